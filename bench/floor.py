"""The lower bound for sending in Python: a loop that sends the same message over 16 connections.

    python -m bench.floor HOST PORT NUMBER MESSAGE.eml

It has no ledger, no recipients and no error handling. The difference to `bench.send` is the cost of the newsletter. The
server must offer PIPELINING (RFC 2920), as smtp-sink does.
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
class Connection:
    """A connection, and whether the reply to a final dot comes next."""

    socket: socket.socket
    at_the_dot: bool = False


def main() -> None:
    """Send the message NUMBER times, as fast as possible."""
    host, port, number, path = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    message = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n.", b"\n..").replace(b"\n", b"\r\n") + b".\r\n"
    with DefaultSelector() as selector:
        connections = [_connected(host, port) for _ in range(min(CONNECTIONS, number))]
        for connection in connections:
            selector.register(connection.socket, EVENT_READ, connection)
            connection.socket.sendall(_ENVELOPE)
        offered, answered = len(connections), 0
        while answered < number:
            for key, _ in selector.select():
                connection = key.data
                reply = connection.socket.recv(4096)
                if not reply:
                    raise SystemExit("the server closed a connection")
                if b"354" in reply:
                    connection.socket.sendall(message)
                    connection.at_the_dot = True
                elif connection.at_the_dot:
                    connection.at_the_dot = False
                    answered += 1
                    if offered < number:
                        connection.socket.sendall(_ENVELOPE)
                        offered += 1
    for connection in connections:
        connection.socket.close()


def _connected(host: str, port: int) -> Connection:
    connected = socket.create_connection((host, port))
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    reader = connected.makefile("rb")
    reader.readline()
    connected.sendall(b"EHLO localhost\r\n")
    while reader.readline()[3:4] == b"-":
        pass
    return Connection(connected)


if __name__ == "__main__":
    main()
