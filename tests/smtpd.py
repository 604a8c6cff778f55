"""A mail server that misbehaves as the test scripts it, on real sockets, with TLS by its own certificate authority.

It speaks the SMTP that our transport uses.
"""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# Scripted behaviour instead of a reply.
CLOSE = "close"  # close the connection without a reply
SILENT = "silent"  # send nothing and keep the connection open
DRIP = "drip"  # send lines of a reply slowly, and never the last one


@dataclass(frozen=True)
class Limit:
    """After `most` messages the server says `words` at `stage` (MAIL, RCPT, DATA, dot), to everybody."""

    most: int
    stage: str
    words: str
    reached: threading.Event = field(default_factory=threading.Event)  # set when the words are first said


@dataclass
class Script:
    """The server's behaviour. `replies` maps a stage to its scripted replies, which are used once each, in turn.

    Stages are greeting, EHLO, MAIL, RCPT, DATA, dot, AUTH and STARTTLS. A stage without a scripted reply gives the
    usual one. `extensions` are offered before and after STARTTLS.
    """

    replies: dict[str, list[str]] = field(default_factory=dict)
    extensions: tuple[str, ...] = ("SIZE 10000000", "8BITMIME", "SMTPUTF8")
    tls: ssl.SSLContext | None = None
    implicit: bool = False
    messages_per_connection: int = 10**9
    slow: dict[str, float] = field(default_factory=dict)  # delay of a stage in seconds
    quick: int = 0  # number of replies before the delays begin
    awaited: dict[str, threading.Event] = field(default_factory=dict)  # what a stage waits for
    recipients: dict[str, str] = field(default_factory=dict)  # reply to every RCPT for an address
    senders: dict[str, str] = field(default_factory=dict)  # reply to every MAIL from an address
    helo: dict[str, str] = field(default_factory=dict)  # reply to every RCPT from a client that calls itself so
    password: str | None = None  # the one that AUTH PLAIN must give; None: any
    login_first: str = ""  # reply to every MAIL before a login
    limit: Limit | None = None
    # A login: gets the words after AUTH and what sends a challenge, and returns the last reply.
    login: Callable[[list[str], Callable[[bytes], bytes]], str] | None = None
    reset_after: str = ""  # stage after whose reply the connection is reset


@dataclass
class Smtpd:
    """The running server, with the commands and messages it received."""

    port: int
    script: Script
    commands: list[str] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    connections: int = 0

    def reply(self, stage: str, usual: str) -> str:
        limit = self.script.limit
        if limit is not None and stage == limit.stage and len(self.messages) >= limit.most:
            limit.reached.set()
            return limit.words
        waiting = self.script.replies.get(stage)
        return waiting.pop(0) if waiting else usual


@contextmanager
def smtpd(script: Script | None = None) -> Iterator[Smtpd]:
    """Run the server on a free loopback port, with a thread per connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Smtpd(listener.getsockname()[1], script or Script())
    threading.Thread(target=_accept, args=(listener, server), daemon=True).start()
    try:
        yield server
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _accept(listener: socket.socket, server: Smtpd) -> None:
    while True:
        try:
            line, _ = listener.accept()
        except OSError:
            return
        server.connections += 1
        # Else a second answer would wait until the client's system has confirmed the first, which it puts off by 40 ms.
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_talk, args=(line, server), daemon=True).start()


class _HangUp(Exception):
    """Ends the conversation and closes the connection."""


def _talk(line: socket.socket, server: Smtpd) -> None:
    conversation = _Conversation(line, server)
    with suppress(OSError, _HangUp):
        if server.script.implicit:
            conversation.secure_the_line()
        conversation.run()
    conversation.file.close()
    conversation.line.close()


class _Conversation:
    def __init__(self, line: socket.socket, server: Smtpd) -> None:
        self.line, self.server = line, server
        self.name = ""  # that the client gives to EHLO
        self.file = line.makefile("rb")
        self.secure = False
        self.logged_in = False
        self.taken = 0

    def secure_the_line(self) -> None:
        assert self.server.script.tls is not None
        self.file.close()
        tls = self.server.script.tls.wrap_socket(self.line, server_side=True, do_handshake_on_connect=False)
        self.line, self.file, self.secure = tls, tls.makefile("rb"), True
        tls.do_handshake()

    def say(self, stage: str, usual: str, *, before: Callable[[], None] = lambda: None) -> str:
        """Send the scripted reply of `stage`, else `usual`; `before` is called before the usual reply is sent."""
        script = self.server.script
        if stage in script.slow:
            script.quick -= 1
            time.sleep(script.slow[stage] if script.quick < 0 else 0)
        if stage in script.awaited:
            script.awaited[stage].wait(30)
        answer = self.server.reply(stage, usual)
        if answer == usual:
            before()
        if answer == CLOSE:
            raise _HangUp
        if answer == SILENT:
            self.file.read()
            raise _HangUp
        while answer == DRIP:
            self.line.sendall(b"220-wait\r\n" if stage == "greeting" else b"250-wait\r\n")
            time.sleep(0.05)
        self.line.sendall(answer.encode() + b"\r\n")
        if stage == script.reset_after:
            self.line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise _HangUp
        if answer.startswith("421"):
            raise _HangUp
        return answer

    def run(self) -> None:
        self.say("greeting", "220 hello")
        while command := self.file.readline():
            words = command.decode("utf-8", "replace").strip()
            self.server.commands.append(words)
            verb = words[:4].upper()
            if verb == "QUIT":
                self.say("QUIT", "221 bye")
                return
            getattr(self, f"on_{verb}", self.on_other)(words)

    def on_other(self, words: str) -> None:
        verb = words.partition(" ")[0].upper()
        self.say(verb, "250 ok")

    def on_MAIL(self, words: str) -> None:
        script = self.server.script
        address = words.partition("<")[2].partition(">")[0]
        needed = "" if self.logged_in else script.login_first
        self.say("MAIL", needed or script.senders.get(address, "250 ok"))

    def on_RCPT(self, words: str) -> None:
        address = words.partition("<")[2].partition(">")[0]
        script = self.server.script
        self.say("RCPT", script.helo.get(self.name) or script.recipients.get(address, "250 ok"))

    def on_EHLO(self, words: str) -> None:
        self.name = words.partition(" ")[2].strip()
        offered = [*self.server.script.extensions]
        if self.server.script.tls is not None and not self.secure:
            offered.append("STARTTLS")
        lines = ["hello", *offered]
        self.say("EHLO", "\r\n".join(f"250{' ' if line is lines[-1] else '-'}{line}" for line in lines))

    def on_STAR(self, words: str) -> None:
        if self.say("STARTTLS", "220 go on").startswith("220"):
            self.secure_the_line()

    def on_AUTH(self, words: str) -> None:
        script = self.server.script
        if script.login is not None:
            answer = script.login(words.split()[1:], self._challenge)
        else:
            given = words.rpartition(" ")[2]
            right = script.password is None or base64.b64decode(given).decode().endswith(f"\0{script.password}")
            answer = "235 welcome" if right else "535 5.7.8 wrong password"
        self.logged_in = self.say("AUTH", answer).startswith("235")

    def _challenge(self, challenge: bytes) -> bytes:
        """Send a challenge; returns the client's response to it."""
        self.line.sendall(b"334 " + base64.b64encode(challenge) + b"\r\n")
        return base64.b64decode(self.file.readline())

    def on_DATA(self, words: str) -> None:
        if not self.say("DATA", "354 go on").startswith("354"):
            return
        if self.server.reply("body", "") == CLOSE:
            self.line.recv(100)
            raise _HangUp
        lines: list[bytes] = []
        while (received := self.file.readline()) != b".\r\n":
            if not received:
                raise _HangUp
            lines.append(received)
        message = b"".join(lines)
        if self.say("dot", "250 kept", before=lambda: self.server.messages.append(message)).startswith("250"):
            self.taken += 1
            if self.taken >= self.server.script.messages_per_connection:
                raise _HangUp


# --- certificates ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Authority:
    """A certificate authority for tests; `file` is the path of its certificate."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    name: x509.Name

    @classmethod
    def make(cls, folder: Path) -> Authority:
        authority = cls(folder, ec.generate_private_key(ec.SECP256R1()), _name("A test's authority"))
        certificate = authority._builder(authority.name, authority.key).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        usage = x509.KeyUsage(
            digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
            data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        _write(authority.file, certificate.add_extension(usage, critical=True).sign(authority.key, hashes.SHA256()))
        return authority

    @property
    def file(self) -> Path:
        return self.folder / "authority.pem"

    def context(self, *, host: str = "localhost", expired: bool = False, self_signed: bool = False) -> ssl.SSLContext:
        """A TLS context for a server, with a certificate for `host`."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(host)
        alternative: x509.GeneralName = x509.DNSName(host)
        with suppress(ValueError):
            alternative = x509.IPAddress(ipaddress.ip_address(host))
        builder = self._builder(name, key, expired=expired).add_extension(
            x509.SubjectAlternativeName([alternative]), critical=False
        )
        issuer, signer = (name, key) if self_signed else (self.name, self.key)
        certificate = builder.issuer_name(issuer).sign(signer, hashes.SHA256())
        chain = self.folder / f"{host}-{expired}-{self_signed}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        chain.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        return context

    def _builder(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, *, expired: bool = False
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        start, end = (now - dt.timedelta(days=9), now - dt.timedelta(days=1)) if expired else (now, now)
        builder = x509.CertificateBuilder().subject_name(name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(start - dt.timedelta(days=1))
        builder = builder.not_valid_after(end if expired else now + dt.timedelta(days=2))
        return builder if name != self.name else builder.issuer_name(name)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _write(path: Path, certificate: x509.Certificate) -> None:
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
