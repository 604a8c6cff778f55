"""A web server on loopback that answers as the test scripts it, and functions that fetch from it."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event

import pytest

from newsletter.config import FetchConfig
from newsletter.errors import FeedError
from newsletter.feed import fetch
from tests.fakes import FakeClock
from tests.serving import serving

LIMITS = FetchConfig(deadline=30, max_bytes=100_000, attempts=3)
BODY = b'[{"paper": {"id": "2611.00001", "title": "A paper"}}]'

Response = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Gives each path its scripted responses in turn; the last one is repeated."""

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
        """Send a valid response. Header names have underscores for hyphens; Content-Length is added if missing."""
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Write no log to standard error."""


class Site(ThreadingHTTPServer):
    """The server. `asked` keeps path and headers of each request; `closing` is set when the test ends."""

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
    with serving(server):
        try:
            yield server
        finally:
            server.closing.set()


def says(status: int, body: bytes = b"", **headers: str) -> Response:
    return lambda handler: handler.reply(status, body, **headers)


def sends(raw: bytes) -> Response:
    """A response of exactly these bytes, after which the connection is closed."""

    def answer(handler: Handler) -> None:
        handler.wfile.write(raw)

    return answer


# --- asking it --------------------------------------------------------------------------------------------------------


def forget_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the proxies from the environment, so that loopback is reached directly."""
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
