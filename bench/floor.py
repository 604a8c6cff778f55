"""The least that a copy can cost in Python: one and the same message over 16 connections, and nothing else.

    python -m bench.floor HOST PORT NUMBER MESSAGE.eml

No ledger, no readers, no errors: what `bench.send` takes on top of this is what the newsletter does. Its server must
offer PIPELINING (RFC 2920), as smtp-sink does.
"""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import Final

CONNECTIONS: Final = 16
_ENVELOPE: Final = b"MAIL FROM:<bounces@news.example.org>\r\nRCPT TO:<reader@example.org>\r\nDATA\r\n"


@dataclass
class Line:
    """A connection, and whether its next 250 is the answer to a message."""

    socket: socket.socket
    at_the_dot: bool = False


def main() -> None:
    """Send the message so often, as quickly as it goes."""
    host, port, number, path = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    message = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n.", b"\n..").replace(b"\n", b"\r\n") + b".\r\n"
    with DefaultSelector() as selector:
        lines = [_connected(host, port) for _ in range(min(CONNECTIONS, number))]
        for line in lines:
            selector.register(line.socket, EVENT_READ, line)
            line.socket.sendall(_ENVELOPE)
        offered, answered = len(lines), 0
        while answered < number:
            for key, _ in selector.select():
                line = key.data
                said = line.socket.recv(4096)
                if not said:
                    raise SystemExit("the server hung up")
                if b"354" in said:
                    line.socket.sendall(message)
                    line.at_the_dot = True
                elif line.at_the_dot:
                    line.at_the_dot = False
                    answered += 1
                    if offered < number:
                        line.socket.sendall(_ENVELOPE)
                        offered += 1
    for line in lines:
        line.socket.close()


def _connected(host: str, port: int) -> Line:
    line = socket.create_connection((host, port))
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    reader = line.makefile("rb")
    reader.readline()
    line.sendall(b"EHLO localhost\r\n")
    while reader.readline()[3:4] == b"-":
        pass
    return Line(line)


if __name__ == "__main__":
    main()
