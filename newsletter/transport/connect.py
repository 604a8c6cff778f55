"""Opens a connection to a mail server by smtplib: TCP, TLS and login. It never falls back to less than configured."""

from __future__ import annotations

import smtplib
import socket
import ssl
from dataclasses import dataclass
from typing import Final

from newsletter.config import SmtpConfig
from newsletter.errors import (
    ConfigError,
    TokenRefused,
    TokenUnavailable,
    TransportMisconfigured,
    TransportUnavailable,
    Trouble,
)
from newsletter.replies import Stage, judge
from newsletter.text import one_line
from newsletter.tls import GREETS_WITHIN, IMPLICIT_PORTS, begins_with_tls, is_plain_text
from newsletter.transport import program
from newsletter.transport.login import LoginRefused, log_in

# New access tokens for one login. The second is for the case that others have used up the first meanwhile.
_TOKENS: Final = 2

_NO_EHLO: Final = frozenset({500, 502, 504})  # a server of before RFC 1869: it knows HELO


@dataclass(frozen=True, slots=True)
class Connection:
    """A connected, secured and logged in socket, and what the server offered to EHLO (lower case, with parameters).

    `by_token`: the login was made with an access token, which expires. `by_program`: a program takes the mail.
    """

    socket: socket.socket
    extensions: dict[str, str]
    by_token: bool = False
    by_program: bool = False


def server_name(server: SmtpConfig) -> str:
    """The name of a server in messages and in the store: ``host:port``, or the program that takes mail in its place."""
    return server.sendmail[0] if server.sendmail else f"{server.host}:{server.port}"


def connect(server: SmtpConfig) -> Connection:
    """Connect to `server`; blocks. An access token that it refuses is replaced.

    Raises TransportUnavailable: SenderRefused when the server speaks of the sender's quota or rate, and
    TransportMisconfigured when the operator must act.
    """
    if server.sendmail:
        return Connection(program.connect(server.sendmail), dict(program.EXTENSIONS), by_program=True)
    try:
        secret = _secret(server)
        for _ in range(_TOKENS):
            try:
                return _connect(server, secret)
            except LoginRefused as refused:
                newer = server.token.other_than(secret) if server.token is not None and refused.stale else None
                if newer is None:
                    raise
                secret = newer
        return _connect(server, secret)
    except LoginRefused as refused:
        raise refused.error from None
    except ConfigError as error:
        variable = error.mistake.variable
        raise TransportMisconfigured(
            f"{server_name(server)}: {error}", Trouble.CREDENTIALS, variable=variable
        ) from None
    except TokenRefused as error:
        raise TransportMisconfigured(f"{server_name(server)}: {error}", Trouble.CREDENTIALS) from None
    except TokenUnavailable as error:
        raise TransportUnavailable(f"{server_name(server)}: {error}", error.trouble) from None


def _secret(server: SmtpConfig) -> str:
    """The password or a current access token; empty when there is no login."""
    if server.username is None:
        return ""
    if server.token is not None:
        return server.token.current()
    return server.password.reveal() if server.password is not None else ""


def _connect(server: SmtpConfig, secret: str) -> Connection:
    name = server_name(server)
    try:
        smtp = _open(server, secret)
    except ssl.SSLCertVerificationError as error:
        reason = f"its certificate cannot be trusted: {error.verify_message}"
        raise TransportMisconfigured(f"{name}: {reason}; see smtp.ca_file", Trouble.CERTIFICATE) from error
    except smtplib.SMTPResponseException as error:
        said = f"{name} refused the session: {error.smtp_code} {one_line(error.smtp_error)}"
        raise TransportUnavailable(said, code=error.smtp_code) from error
    except UnicodeError:  # smtplib writes ASCII
        raise TransportMisconfigured(f"{name}: smtp.host is not a valid host name") from None
    except OSError as error:  # also smtplib's own exceptions
        if server.tls == "implicit" and is_plain_text(error):
            other = "set smtp.tls to starttls (or smtp.port to 465)"
            said = f"{name} does not begin with TLS, as smtp.tls: implicit asks: {other}"
            raise TransportMisconfigured(said, Trouble.TLS) from error
        raise TransportUnavailable(f"{name}: {one_line(error)}") from error
    return _detached(smtp, by_token=server.token is not None)


def _detached(smtp: smtplib.SMTP, *, by_token: bool) -> Connection:
    """The socket without smtplib, which works on one command at a time."""
    line, extensions = smtp.sock, {key.lower(): value for key, value in smtp.esmtp_features.items()}
    assert line is not None
    if smtp.file is not None:
        smtp.file.close()
    smtp.sock = smtp.file = None
    # Without this, a message that is not the last write of a burst waits 40 ms for the delayed acknowledgement.
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Connection(line, extensions, by_token)


def _open(server: SmtpConfig, secret: str) -> smtplib.SMTP:
    smtp = _greeted(server)
    try:
        _ehlo(smtp, server)
        if server.tls == "starttls":
            _starttls(smtp, server)
        if server.username is not None:
            log_in(smtp, server, server_name(server), secret)
    except BaseException:
        smtp.close()
        raise
    return smtp


def _greeted(server: SmtpConfig) -> smtplib.SMTP:
    """A connection whose server has greeted. Raises smtplib's errors, and TransportMisconfigured for the wrong port."""
    # smtplib checks the certificate's name only when the host goes to the constructor.
    at = (server.host, server.port, _own_name(server))
    if server.tls == "implicit":
        return smtplib.SMTP_SSL(*at, timeout=server.timeout, context=_context(server))
    patience = min(server.timeout, GREETS_WITHIN) if server.port in IMPLICIT_PORTS else server.timeout
    try:
        smtp = smtplib.SMTP(*at, timeout=patience)
    except (TimeoutError, smtplib.SMTPServerDisconnected) as error:
        if begins_with_tls(server.host, server.port, server.timeout):
            words = f"begins with TLS, and smtp.tls is {server.tls}: set it to implicit (or smtp.port to 587)"
            raise TransportMisconfigured(f"{server_name(server)} {words}", Trouble.TLS) from error
        raise
    assert smtp.sock is not None
    smtp.sock.settimeout(server.timeout)
    return smtp


def _own_name(server: SmtpConfig) -> str:
    """The name for EHLO (RFC 5321 section 4.1.1.1)."""
    return server.helo or "[127.0.0.1]"


def _ehlo(smtp: smtplib.SMTP, server: SmtpConfig) -> None:
    """Say EHLO, or HELO to a server that does not know it. Raises TransportUnavailable with the server's words."""
    code, reply = smtp.ehlo(_own_name(server))
    if code in _NO_EHLO:
        code, reply = smtp.helo(_own_name(server))
    if code == 250:
        return
    words = one_line(reply)
    kind = TransportMisconfigured if judge(Stage.CONNECT, code, words).for_good else TransportUnavailable
    said = f"{server_name(server)} refused EHLO {_own_name(server)}: {code} {words}; see smtp.helo"
    raise kind(said, Trouble.HELO, code=code)


def _starttls(smtp: smtplib.SMTP, server: SmtpConfig) -> None:
    if not smtp.has_extn("starttls"):
        said = f"{server_name(server)} does not offer STARTTLS, and smtp.tls asks for it"
        raise TransportMisconfigured(said, Trouble.STARTTLS)
    try:
        code, reply = smtp.starttls(context=_context(server))
    except smtplib.SMTPResponseException as error:
        code, reply = error.smtp_code, one_line(error.smtp_error).encode()
    if code != 220:
        said = f"{server_name(server)} refused STARTTLS: {code} {one_line(reply)}"
        raise TransportUnavailable(said, Trouble.STARTTLS, code=code)
    _ehlo(smtp, server)


def _context(server: SmtpConfig) -> ssl.SSLContext:
    """A context that verifies certificate and name, for TLS 1.2 and later."""
    try:
        context = ssl.create_default_context(cafile=server.ca_file)
    except (OSError, ssl.SSLError) as error:
        said = f"smtp.ca_file {server.ca_file} cannot be used: {one_line(error)}"
        raise TransportMisconfigured(said, Trouble.CA_FILE) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
