"""An issuer of access tokens as a mail server asks it: whose is this token, and is it valid (RFC 7662)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs


@dataclass
class Introspection:
    """The endpoint at `port`. `valid` are the tokens with the users they were given to; a test changes it."""

    port: int
    valid: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def answer(self, token: str) -> dict[str, object]:
        self.asked.append(token)
        user = self.valid.get(token)
        return {"active": user is not None, "username": user or "", "scope": "mail"}


@contextmanager
def introspection() -> Iterator[Introspection]:
    """Run the endpoint on a free loopback port, without TLS."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            said = json.dumps(made.answer(parse_qs(body).get("token", [""])[0])).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made = Introspection(server.server_port)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()
