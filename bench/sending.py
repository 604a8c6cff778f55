"""Compare the send loop with Postfix's load generator and other programs: rate, CPU per copy, memory, rate limit.

It needs the comparison tool, which is not part of this repository, and skips the measurement if that is not set up.
"""

from __future__ import annotations

import hashlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ROOT: Final = Path(__file__).resolve().parents[1]
SEND: Final = [sys.executable, "-m", "bench.send", "{host}", "{port}", "{subs}"]
FLOOR: Final = [sys.executable, "-m", "bench.floor", "{host}", "{port}", "{n}"]
PEERS: Final = "nodemailer pool 8|inlined once, smtplib$|mailmerge"


def rate(tool: Path) -> None:
    """Compare the rate and the CPU per copy with those of smtp-source and of the peers."""
    _compare(tool, "16 connections, ledger on disk, start included", ["--peers", PEERS, "-m", "500"], _ours(tool))
    _compare(tool, "50,000 copies", ["--peers", "^$", "-n", "50000", "--nocheck"], _ours(tool))
    floor = [*FLOOR, tool / "sample/sample.eml"]
    _compare(tool, "a loop that only sends, one message to all", ["--peers", "^$", "--nocheck"], floor)


def signed(tool: Path) -> None:
    """Compare the rate where each copy is signed."""
    with _key() as key:
        _compare(tool, "DKIM RSA-2048", ["--peers", "^$", "-r", "1"], [*_ours(tool), "--dkim", key])


def further(tool: Path) -> None:
    """Print the CPU of each copy after the first 10,000, beside smtp-source and what a DKIM signature is made of."""
    source = ["smtp-source", "-d", "-s", "16", "-l", str((tool / "sample/sample.eml").stat().st_size)]
    print("\nCPU of each further copy, ms (from 10,000 to 50,000 copies; median of three)")
    with fast_sink(tool, 0) as port, _key() as key:
        rows: dict[str, list[str | Path]] = {"without DKIM": [], "DKIM RSA-2048": ["--dkim", key]}
        to = ["-f", "a@x.example", "-t", "b@y.example", f"127.0.0.1:{port}"]
        theirs = _median_further(lambda number: _cpu_of([*source, "-m", str(number), *to]))
        print(f"  {'smtp-source, 16 sessions':<26}{theirs:.3f}")
        for name, more in rows.items():
            ours = _median_further(lambda number, more=more: _cpu_of(_prepared(tool, port, number, more)))
            print(f"  {name:<26}{ours:.3f}  {ours / theirs:.2f} of smtp-source")
        print(f"  {'one RSA-2048 signature':<26}{_signature(key):.3f}")
    print(f"  {'one SHA-256 of a copy':<26}{_digest(tool):.3f}")


def far(tool: Path) -> None:
    """Print the rate over 64 connections to a server whose replies take 20 ms."""
    with fast_sink(tool, 20) as port:
        took, memory = _run(tool, port, 10_000, ["--connections", "64"])
        print(f"\n20 ms for each reply, 64 connections: {10_000 / took:.0f} a second, {memory:.1f} MB at most")


def memory(tool: Path) -> None:
    """Print the memory for a short and a long list, and how exactly a rate is kept."""
    with fast_sink(tool, 0) as port:
        print("\nmemory and rate")
        for number in (1_000, 100_000):
            print(f"  {number:>7} subscribers: {_run(tool, port, number, ['--connections', '16'])[1]:.1f} MB at most")
        took, _ = _run(tool, port, 1_000, ["--rate", "50"])
        empty, _ = _run(tool, port, 1, [])
        print(f"  rate 50: {999 / (took - empty):.2f} a second over 1,000 copies")


def _with_tool(measure: Callable[[Path], None]) -> None:
    tool = find_tool()
    if tool is None:
        print(f"\n{measure.__name__}: not measured; the comparison tool is not set up (shared/tools/bench/setup.sh)")
    else:
        measure(tool)


SECTIONS: Final[dict[str, Callable[[], None]]] = {
    measure.__name__: partial(_with_tool, measure) for measure in (rate, signed, further, far, memory)
}


def _ours(tool: Path) -> list[str | Path]:
    return [*SEND, "--sample", tool / "sample", "--connections", "16"]


@contextmanager
def _key() -> Iterator[Path]:
    """A file with a new key for DKIM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s2026.pem"
        path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
        yield path


def find_tool() -> Path | None:
    """The folder of the comparison tool, or None if it is not set up."""
    places = (ROOT.parent / "shared/tools/bench", Path.home() / ".cache/newsletter-tools/bench")
    return next((place for place in places if (place / "venv").exists() and (place / "bin/fastsink").exists()), None)


def _compare(tool: Path, title: str, options: Sequence[str], command: Sequence[str | Path]) -> None:
    print(f"\nsending: {title}", flush=True)
    number = [] if "-n" in options else ["-n", "10000"]
    compare = [tool / "compare.sh", *number, *options, "--", *command]
    subprocess.run(compare, cwd=ROOT, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})


def _median_further(cpu: Callable[[int], float]) -> float:
    """Milliseconds of CPU per copy beyond 10,000, where `cpu` measures the seconds of that many copies."""
    return statistics.median(1000 * (cpu(50_000) - cpu(10_000)) / 40_000 for _ in range(3))


def _cpu_of(command: Sequence[str | Path]) -> float:
    """CPU seconds of a command that must succeed, with its children."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with exit code {process.returncode}")
    return used.ru_utime + used.ru_stime


def _prepared(tool: Path, port: int, number: int, more: Sequence[str | Path]) -> list[str | Path]:
    """The command that sends to `number` subscribers, whose database is ready."""
    listed = Path(tempfile.gettempdir()) / f"newsletter-bench-{number}.csv"
    if not listed.exists():
        with listed.open("w", encoding="utf-8") as stream:
            subprocess.run([sys.executable, tool / "sample/subs.py", str(number)], stdout=stream, check=True)
    command = [*SEND[:3], "127.0.0.1", str(port), listed, "--sample", tool / "sample", "--connections", "16"]
    subprocess.run([*command, "--prepare"], cwd=ROOT, check=True)
    return [*command, *more]


def _signature(key: Path) -> float:
    """Milliseconds of CPU for one signature with `key`, as DKIM makes it."""
    private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    assert isinstance(private, rsa.RSAPrivateKey)
    return _each(lambda: private.sign(b"the canonical headers", padding.PKCS1v15(), hashes.SHA256()), 500)


def _digest(tool: Path) -> float:
    """Milliseconds of CPU to hash one copy."""
    message = (tool / "sample/sample.eml").read_bytes()
    return _each(lambda: hashlib.sha256(message).digest(), 500)


def _each(act: Callable[[], object], times: int) -> float:
    begin = time.process_time()
    for _ in range(times):
        act()
    return 1000 * (time.process_time() - begin) / times


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
