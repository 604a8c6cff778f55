"""Latency of subscribing and unsubscribing at 50 requests a second, while an issue is sent from the same SQLite file.

There are four processes, as in production: `newsletter web`, `newsletter send` without a rate limit, a mail server, and
the clients. The latency of a request is measured from the time it was due, so a stall counts for all requests that it
delayed.

    python -m bench.web [SECONDS]
"""

from __future__ import annotations

import http.client
import json
import queue
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from bench.issues import made_up_day, render
from bench.sending import fast_sink, find_tool
from newsletter.config import Config, load
from newsletter.store import Store

RATE: Final = 50  # requests a second, every other one an unsubscription
PER_SECOND: Final = 6_000  # recipients for each second of measuring: more than can be sent in it
_CLIENTS: Final = 16  # requests that may be in progress at once
_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}


def measure(seconds: float = 20.0) -> dict[str, list[float]]:
    """The sorted latencies in ms for each kind of request; empty if the tool with the mail server is not set up."""
    mail = find_tool()
    if mail is None:
        return {}
    with tempfile.TemporaryDirectory() as folder, fast_sink(mail, 0) as smtp_port:
        config = _site(Path(folder), smtp_port)
        links = _unsubscribe_links(config, round(seconds * PER_SECOND), round(seconds * RATE / 2))
        command = [sys.executable, "-m", "newsletter", "-c", str(config.path)]
        base = config.publication.base_url or ""
        with (
            _running([*command, "web", "--port", base.rpartition(":")[2]], says="serving"),
            _running([*command, "send"]) as sending,
        ):
            time.sleep(1)
            took = _send_requests(base, links, seconds)
            if sending.poll() is not None:
                raise SystemExit("the issue was sent before the measurement ended: raise PER_SECOND")
    return {what: sorted(times) for what, times in took.items()}


def percentile(times: list[float], share: float) -> float:
    """The value that the fraction `share` of the sorted `times` do not exceed."""
    return times[min(len(times) - 1, int(len(times) * share))]


def _site(folder: Path, smtp_port: int) -> Config:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{probe.getsockname()[1]}"
    path = folder / "config.yaml"
    path.write_text(
        "sender: digest@news.example.org\npostal_address: 1 Example Street\nlist_id: papers.news.example.org\n"
        f"base_url: {base}\nsecret: the secret of a measurement\nfeeds:\n  - url: day.json\n"
        f"smtp:\n  - host: 127.0.0.1\n    port: {smtp_port}\n    connections: 16\n"
        "web:\n  per_ip: 1000000\n  overall: 1000000\n",
        "utf-8",
    )
    path.chmod(0o600)
    return load(path)


def _unsubscribe_links(config: Config, readers: int, number: int) -> list[str]:
    """Freeze an issue for `readers` subscribers; returns the unsubscribe paths of `number` of them, evenly spread."""
    links = config.links()
    with Store.open(config.store) as store:
        store.add_all((f"reader{n}@example.org" for n in range(readers)), revive=True)
        store.freeze(render(json.dumps(made_up_day(20)).encode()), config.publication, lifetime=timedelta(hours=24))
        refs = [reader.ref for reader in store.subscribers()]
    base = config.publication.base_url or ""
    return [links.unsubscribe(ref)[0].removeprefix(base) for ref in refs[:: readers // number]]


@contextmanager
def _running(command: list[str], says: str = "") -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        if says and not process.stdout.readline().startswith(says):
            raise SystemExit(f"{' '.join(command)} does not run")
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=60)


def _send_requests(base: str, links: list[str], seconds: float) -> dict[str, list[float]]:
    """Send requests at the fixed rate, however long earlier ones take; returns latencies in ms by kind of request."""
    due: queue.SimpleQueue[tuple[float, int] | None] = queue.SimpleQueue()
    took: dict[str, list[float]] = {"subscribe": [], "unsubscribe": []}
    ready = threading.Barrier(_CLIENTS + 1)
    threads = [threading.Thread(target=_client, args=(base, links, due, took, ready)) for _ in range(_CLIENTS)]
    for thread in threads:
        thread.start()
    ready.wait()
    begin = time.monotonic()
    for number in range(round(seconds * RATE)):
        moment = begin + number / RATE
        time.sleep(max(0.0, moment - time.monotonic()))
        due.put((moment, number))
    for _ in threads:
        due.put(None)
    for thread in threads:
        thread.join()
    return took


def _client(
    base: str,
    links: list[str],
    due: queue.SimpleQueue[tuple[float, int] | None],
    took: dict[str, list[float]],
    ready: threading.Barrier,
) -> None:
    """Send the requests that are due, one at a time over one connection."""
    connection = http.client.HTTPConnection(base.removeprefix("http://"), timeout=60)
    connection.request("GET", "/")
    page = connection.getresponse()
    cookie = (page.getheader("Set-Cookie") or "").partition(";")[0]
    (token,) = re.findall(r'name="csrf_token" value="([^"]+)"', page.read().decode())
    ready.wait()
    while (asked := due.get()) is not None:
        moment, number = asked
        if number % 2:
            what, path, form = "unsubscribe", links[number // 2], {"List-Unsubscribe": "One-Click"}
        else:
            what, path, form = "subscribe", "/subscribe", {"csrf_token": token, "email": f"new{number}@example.org"}
        connection.request("POST", path, urlencode(form), _FORM | {"Cookie": cookie})
        answer = connection.getresponse()
        answer.read()
        took[what].append(1000 * (time.monotonic() - moment))
        if answer.status != 200:
            raise SystemExit(f"{what} was answered with {answer.status}")
    connection.close()


if __name__ == "__main__":
    for what, times in measure(float(sys.argv[1]) if len(sys.argv) > 1 else 20.0).items():
        said = ", ".join(f"p{100 * share:g} {percentile(times, share):.1f}" for share in (0.5, 0.9, 0.99))
        print(f"{what}: {said}, worst {times[-1]:.1f} ms of {len(times)} requests")
