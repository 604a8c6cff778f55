"""A web site of the tests' own on a loopback port, which answers as each test scripts it, and a fetch that asks it."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest

from newsletter.config import FetchConfig
from newsletter.errors import FeedError
from newsletter.feed import fetch
from tests.fakes import FakeClock

LIMITS = FetchConfig(deadline=30, max_bytes=100_000, attempts=3)
BODY = b'[{"paper": {"id": "2611.00001", "title": "A paper"}}]'

Response = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Gives each path its scripted answers in turn, the last one for ever."""

    protocol_version = "HTTP/1.1"
    server: Site

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers))
        self.close_connection = True
        answers = self.server.answers[self.path.partition("?")[0]]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        with suppress(ConnectionError):
            answer(self)

    def do_CONNECT(self) -> None:
        self.do_GET()

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        """A well-formed answer; header names are given with underscores, Content-Length unless it is given."""
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing on stderr."""


class Site(ThreadingHTTPServer):
    """A web site of the test's own on a loopback port."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, answers: dict[str, list[Response]]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = answers
        self.asked: list[tuple[str, Message]] = []
        self.closing = Event()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


@contextmanager
def site(answers: dict[str, Response | list[Response]], tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    server = Site({path: answer if isinstance(answer, list) else [answer] for path, answer in answers.items()})
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def says(status: int, body: bytes = b"", **headers: str) -> Response:
    return lambda handler: handler.reply(status, body, **headers)


def sends(raw: bytes) -> Response:
    """Exactly these bytes, then the connection is closed."""

    def answer(handler: Handler) -> None:
        handler.wfile.write(raw)

    return answer


# --- asking it --------------------------------------------------------------------------------------------------------


def forget_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask loopback directly, whatever this machine's environment says."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def get(url: str, limits: FetchConfig = LIMITS, clock: FakeClock | None = None) -> bytes:
    clock = clock or FakeClock()
    return fetch(url, limits, now=clock.now, sleep=clock.sleep).body


def error_of(url: str, limits: FetchConfig = LIMITS, clock: FakeClock | None = None) -> str:
    with pytest.raises(FeedError) as caught:
        get(url, limits, clock)
    assert "\n" not in str(caught.value)
    return str(caught.value)
