"""What a port speaks before anything is configured: words in clear, TLS, or nothing; and whose certificate it shows.

A server with implicit TLS waits for the client, which waits for a greeting. A server that greets in clear answers a TLS
handshake with bytes that OpenSSL calls WRONG_VERSION_NUMBER. So both are tried, and the finding names the right `tls`.
"""

from __future__ import annotations

import smtplib
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_CONNECT: Final = 10.0  # seconds
UNKNOWN_HOST: Final = ("Name or service", "No address", "Temporary failure", "nodename")  # of getaddrinfo(3)
_GREETING: Final = 2.0  # seconds; nothing is decided about a server that greets later and speaks no TLS either


class Speech(StrEnum):
    """What was heard."""

    PLAIN = "plain"  # a greeting in clear
    TLS = "TLS"  # a handshake
    SILENT = "silent"
    CLOSED = "closed"  # nothing listens there, or the name is unknown


@dataclass(frozen=True, slots=True)
class Heard:
    """What a port speaks; `words` are the greeting, or the system's words on why there was no connection."""

    speech: Speech
    words: str = ""


def listen(host: str, port: int, *, tls_first: bool) -> Heard:
    """Find out what the port speaks, by one connection or two. Blocks; raises nothing."""
    attempts = (_handshake, _greeting) if tls_first else (_greeting, _handshake)
    heard = Heard(Speech.SILENT)
    for attempt in attempts:
        try:
            with socket.create_connection((host, port), timeout=_CONNECT) as line:
                line.settimeout(_GREETING)
                heard = attempt(line)
        except (OSError, UnicodeError) as error:
            return Heard(Speech.CLOSED, getattr(error, "strerror", None) or str(error))
        if heard.speech is not Speech.SILENT:
            return heard
    return heard


def _greeting(line: socket.socket) -> Heard:
    try:
        said = line.recv(512)
    except OSError:
        return Heard(Speech.SILENT)
    if not said or said[:1] in b"\x15\x16":  # TLS records: alert, handshake
        return Heard(Speech.SILENT)
    return Heard(Speech.PLAIN, said.decode("utf-8", "replace").partition("\r")[0])


def _handshake(line: socket.socket) -> Heard:
    try:
        with _unverified().wrap_socket(line):
            return Heard(Speech.TLS)
    except (OSError, ValueError):
        return Heard(Speech.SILENT)


def names_of(host: str, port: int, *, starttls: bool) -> list[str]:
    """The host names in the certificate that a mail server shows, whoever has signed it; empty if it shows none."""
    from cryptography import x509  # takes 15 ms to import, which a check does not need that asks no server

    with suppress(OSError, ValueError, smtplib.SMTPException, x509.ExtensionNotFound):
        if starttls:
            smtp = smtplib.SMTP(host, port, timeout=_CONNECT)
            smtp.starttls(context=_unverified())
            line = smtp.sock
        else:
            line = _unverified().wrap_socket(socket.create_connection((host, port), timeout=_CONNECT))
        assert isinstance(line, ssl.SSLSocket)
        with line:
            shown = x509.load_der_x509_certificate(line.getpeercert(binary_form=True) or b"")
        names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    return []


def _unverified() -> ssl.SSLContext:
    """A context that looks at any certificate. No password ever goes over it."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
