"""Say in words why TLS failed. No I/O.

The sources are OpenSSL's lists: X509_verify_cert_error_string(3) for certificates, SSL_R_* and the alerts of RFC 8446
section 6 for the protocol.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Final

_CERTIFICATE: Final = {
    9: "the certificate is not yet valid",
    10: "the certificate has expired",
    18: "the certificate is self-signed",
    19: "the certificate is of an unknown authority (a self-signed one is in its chain)",
    20: "the certificate is of an unknown authority, or the server leaves out an intermediate one",
    21: "the certificate is of an unknown authority, or the server leaves out an intermediate one",
    23: "the certificate has been revoked",
    62: "the certificate is for another host name",
    64: "the certificate is for another IP address",
}
_PROTOCOL: Final = (
    ("WRONG_VERSION_NUMBER", "the server does not speak TLS at this port"),
    ("HTTP_REQUEST", "the server does not speak TLS at this port"),
    ("PROTOCOL_VERSION", "the server speaks only versions of TLS that are too old"),
    ("UNSUPPORTED_PROTOCOL", "the server speaks only versions of TLS that are too old"),
    ("HANDSHAKE_FAILURE", "the server and this program have no cipher in common"),
    ("NO_SHARED_CIPHER", "the server and this program have no cipher in common"),
    ("UNRECOGNIZED_NAME", "the server does not know this host name"),
    ("UNEXPECTED_EOF", "the server closed the connection"),
    ("DH_KEY_TOO_SMALL", "the key of the server is too short"),
    ("KEY_TOO_SMALL", "the key of the server is too short"),
    ("MD_TOO_WEAK", "the certificate has a signature that is too weak"),
    ("CERTIFICATE_REQUIRED", "the server asks for a certificate of the client"),
)


def tls_failure(error: BaseException) -> tuple[str, bool] | None:
    """Why TLS failed, and whether another attempt may succeed; None if `error` has no TLS error in it."""
    for each in _chain(error):
        if isinstance(each, ssl.SSLCertVerificationError):
            said = _CERTIFICATE.get(each.verify_code) or each.verify_message or "the certificate is not valid"
            return f"TLS: {said}", False
        if isinstance(each, ssl.SSLError):
            reason = each.reason or ""
            known = next((words for part, words in _PROTOCOL if part in reason), None)
            closed = isinstance(each, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError)
            other = reason.replace("_", " ").lower() or each.strerror or "the connection failed"
            return f"TLS: {known or ('the server closed the connection' if closed else other)}", closed
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """`error` and the errors in it: its causes, its context, its arguments."""
    waiting, seen = [error], set[int]()
    while waiting:
        each = waiting.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        inside = (each.__cause__, each.__context__, *each.args)
        waiting += [other for other in inside if isinstance(other, BaseException)]
