"""The two ways to begin TLS at a mail server's port, for telling an operator that they have configured the other one.

A port speaks TLS from the first byte (465 and 993, RFC 8314), or plain text until STARTTLS (587, 25 and 143).
"""

from __future__ import annotations

import socket
import ssl
from typing import Final

# What OpenSSL says when a greeting in plain text comes where it expects its own protocol; the words depend on its
# version and on the greeting's first bytes.
_PLAIN_TEXT: Final = frozenset(
    {"WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"}
)

_LONGEST: Final = 5.0  # seconds for the probe

# Ports at which TLS begins with the first byte (RFC 8314 section 7). Nothing greets in plain text there.
IMPLICIT_PORTS: Final = frozenset({465, 993})
GREETS_WITHIN: Final = 10.0  # seconds to wait for a greeting at such a port


def is_plain_text(error: BaseException) -> bool:
    """Whether `error` of a TLS handshake says that the server speaks plain text first."""
    return isinstance(error, ssl.SSLError) and error.reason in _PLAIN_TEXT


def begins_with_tls(host: str, port: int, timeout: float) -> bool:
    """Whether a TLS handshake succeeds at once; asked when a server sends no greeting. `timeout` is in seconds.

    The certificate is not checked, because nothing is sent over this connection.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    seconds = min(timeout, _LONGEST)
    try:
        with (
            socket.create_connection((host, port), timeout=seconds) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return True
    except (OSError, ValueError):
        return False
