"""Compare the send loop with Postfix's load generator and other programs: rate, CPU per copy, memory, rate limit.

It needs the comparison tool, which is not part of this repository, and skips the measurement if that is not set up.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

ROOT: Final = Path(__file__).resolve().parents[1]
SEND: Final = [sys.executable, "-m", "bench.send", "{host}", "{port}", "{subs}"]
FLOOR: Final = [sys.executable, "-m", "bench.floor", "{host}", "{port}", "{n}"]
PEERS: Final = "nodemailer pool 8|inlined once, smtplib$|mailmerge"


def measure() -> None:
    """Print all tables."""
    tool = find_tool()
    if tool is None:
        print("\nsending: not measured; the comparison tool is not set up (shared/tools/bench/setup.sh)")
        return
    with tempfile.TemporaryDirectory() as folder:
        key = Path(folder) / "s2026.pem"
        _make_key(key)
        ours = [*SEND, "--sample", tool / "sample", "--connections", "16"]
        _compare(tool, "16 connections, ledger on disk", ["--peers", PEERS, "-m", "500"], ours)
        _compare(tool, "the same, DKIM RSA-2048", ["--peers", "^$", "-r", "1"], [*ours, "--dkim", key])
        floor = [*FLOOR, tool / "sample/sample.eml"]
        _compare(tool, "a loop that only sends, one message to all", ["--peers", "^$", "--nocheck"], floor)
    with fast_sink(tool, 20) as port:
        took, memory = _run(tool, port, 10_000, ["--connections", "64"])
        print(f"\n20 ms for each reply, 64 connections: {10_000 / took:.0f} a second, {memory:.1f} MB at most")
    with fast_sink(tool, 0) as port:
        print("\nmemory and rate")
        for number in (1_000, 100_000):
            print(f"  {number:>7} subscribers: {_run(tool, port, number, ['--connections', '16'])[1]:.1f} MB at most")
        took, _ = _run(tool, port, 1_000, ["--rate", "50"])
        empty, _ = _run(tool, port, 1, [])
        print(f"  rate 50: {999 / (took - empty):.2f} a second over 1,000 copies")


def _make_key(path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))


def find_tool() -> Path | None:
    """The folder of the comparison tool, or None if it is not set up."""
    places = (ROOT.parent / "shared/tools/bench", Path.home() / ".cache/newsletter-tools/bench")
    return next((place for place in places if (place / "venv").exists() and (place / "bin/fastsink").exists()), None)


def _compare(tool: Path, title: str, options: list[str], command: list[str | Path]) -> None:
    print(f"\nsending: {title}", flush=True)
    compare = [tool / "compare.sh", "-n", "10000", *options, "--", *command]
    subprocess.run(compare, cwd=ROOT, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})


@contextmanager
def fast_sink(tool: Path, delay: int) -> Iterator[int]:
    """Run the tool's fast SMTP sink on a free port; each of its replies takes `delay` milliseconds."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    sink = subprocess.Popen([tool / "bin/fastsink", str(port), "-r", str(delay)], stdout=subprocess.DEVNULL)
    try:
        time.sleep(0.5)
        yield port
    finally:
        sink.terminate()
        sink.wait(10)


def _run(tool: Path, port: int, number: int, more: list[str]) -> tuple[float, float]:
    """Wall seconds and peak resident memory in MB of sending to `number` subscribers."""
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as listed:
        subprocess.run([sys.executable, tool / "sample/subs.py", str(number)], stdout=listed, check=True)
        command = [*SEND[:3], "127.0.0.1", str(port), listed.name, "--sample", tool / "sample"]
        subprocess.run([*command, "--prepare"], cwd=ROOT, check=True)
        begin = time.monotonic()
        done = subprocess.run([*command, *more], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"sending to {number} subscribers failed")
        return time.monotonic() - begin, float(done.stdout.split()[-2])
