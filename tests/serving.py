"""Servers of Python's socketserver and http.server, during a block of a test."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import TCPServer
from threading import Thread


@contextmanager
def serving(server: TCPServer) -> Iterator[None]:
    """Have `server` answer in a thread of its own during the block, and close it.

    It sleeps until somebody connects or the block ends; `serve_forever` would wake up a hundred times a second.
    """
    end, ended = socket.socketpair()

    def serve() -> None:
        with selectors.DefaultSelector() as waiting:
            waiting.register(server, selectors.EVENT_READ)
            waiting.register(ended, selectors.EVENT_READ)
            while all(key.fileobj is server for key, _ in waiting.select()):
                server.handle_request()

    thread = Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.close()
        thread.join()
        ended.close()
        server.server_close()
