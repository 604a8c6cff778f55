"""A name server on a loopback port that knows only the records it was given. dnspython builds its answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset


@dataclass
class NameServer:
    """The running server. `records` maps a name (no final dot) and a type to texts; a TXT text is one record.

    With `silent` it takes questions and answers none; with `failing` it answers SERVFAIL.
    """

    port: int = 0
    records: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    questions: list[tuple[str, str]] = field(default_factory=list)
    silent: bool = False
    failing: bool = False

    def answer(self, query: dns.message.Message) -> dns.message.Message:
        question = query.question[0]
        name, kind = str(question.name).rstrip(".").lower(), dns.rdatatype.to_text(question.rdtype)
        self.questions.append((name, kind))
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if self.failing:
            response.set_rcode(dns.rcode.SERVFAIL)
            return response
        texts = self.records.get((name, kind), [])
        if texts:
            data = [_strings(text) if kind == "TXT" else text for text in texts]
            response.answer.append(dns.rrset.from_text_list(question.name, 60, "IN", kind, data))
        elif not any(known == name for known, _ in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response


def _strings(text: str) -> str:
    """A text as the strings of a TXT record, each of at most 255 octets."""
    escaped = [text[at : at + 255].replace("\\", "\\\\").replace('"', '\\"') for at in range(0, len(text), 255)]
    return " ".join(f'"{each}"' for each in escaped)


@contextmanager
def nameserver(records: dict[tuple[str, str], list[str]] | None = None) -> Iterator[NameServer]:
    """Run the server on a free port of 127.0.0.1 (UDP) during the block."""
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.bind(("127.0.0.1", 0))
    server = NameServer(line.getsockname()[1], dict(records or {}))

    def serve() -> None:
        while True:
            with suppress(OSError):  # such as that whoever asked is gone
                packet, sender = line.recvfrom(4096)
                if not packet:
                    return
                if not server.silent:
                    line.sendto(server.answer(dns.message.from_wire(packet)).to_wire(max_size=4096), sender)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(b"", ("127.0.0.1", server.port))
        thread.join()
        line.close()
