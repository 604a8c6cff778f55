"""A web server on loopback that keeps what it was sent, as a monitor or a chat service is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.serving import serving


@dataclass(frozen=True)
class Got:
    """A request: method, path with its query, headers by lower-case name, and body."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Monitor:
    """Requests in order. `answers` are statuses by path, else 200; requests for a path in `silent` get no answer."""

    port: int = 0
    got: list[Got] = field(default_factory=list)
    answers: dict[str, int] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def paths(self) -> list[str]:
        return [each.path for each in self.got]


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    with monitoring() as made:
        yield made


@contextmanager
def monitoring() -> Iterator[Monitor]:
    """Run the server during the block."""
    made = Monitor()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            made.got.append(Got(self.command, self.path, headers, body))
            if self.path in made.silent:
                made.ended.wait(60)
                return
            status = made.answers.get(self.path, 200)
            self.send_response(status)
            if status in (301, 302):
                self.send_header("Location", f"{made.url}/elsewhere")
            self.send_header("Content-Length", "2")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(b"OK")

        do_GET = do_HEAD = do_POST  # noqa: N815 - http.server's names

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.port = server.server_port
    with serving(server):
        yield made
        made.ended.set()
