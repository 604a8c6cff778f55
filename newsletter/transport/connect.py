"""Opens a connection to a mail server by smtplib: TCP, TLS and login. Less than was asked for is an error."""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
from dataclasses import dataclass

from newsletter.config import SmtpConfig
from newsletter.errors import SenderRefused, TransportMisconfigured, TransportUnavailable
from newsletter.replies import Stage, judge
from newsletter.text import one_line


@dataclass(frozen=True, slots=True)
class Connection:
    """A connected, secured and logged in socket, and what the server offered to EHLO (lower case, with parameters)."""

    socket: socket.socket
    extensions: dict[str, str]


def server_name(server: SmtpConfig) -> str:
    """The name of a server in messages and in the store: ``host:port``."""
    return f"{server.host}:{server.port}"


def connect(server: SmtpConfig) -> Connection:
    """Connect to `server`; blocks.

    Raises TransportUnavailable: SenderRefused when the server speaks of the sender's quota or rate, and
    TransportMisconfigured when the operator must act.
    """
    try:
        smtp = _open(server)
    except ssl.SSLCertVerificationError as error:
        reason = f"its certificate cannot be trusted: {error.verify_message}"
        raise TransportMisconfigured(f"{server_name(server)}: {reason}; see smtp.ca_file") from error
    except smtplib.SMTPResponseException as error:
        raise TransportUnavailable(
            f"{server_name(server)} refused the session: {error.smtp_code} {one_line(error.smtp_error)}"
        ) from error
    except UnicodeError:  # smtplib writes ASCII
        reason = "smtp.host is not a valid host name, or smtp.username or smtp.password is not all ASCII"
        raise TransportMisconfigured(f"{server_name(server)}: {reason}") from None  # the cause would carry the password
    except OSError as error:  # also smtplib's own exceptions
        raise TransportUnavailable(f"{server_name(server)}: {one_line(error)}") from error
    return _detached(smtp)


def _detached(smtp: smtplib.SMTP) -> Connection:
    """The socket without smtplib, which works on one command at a time."""
    line, extensions = smtp.sock, {key.lower(): value for key, value in smtp.esmtp_features.items()}
    assert line is not None
    if smtp.file is not None:
        smtp.file.close()
    smtp.sock = smtp.file = None
    # Without this, a message that is not the last write of a burst waits 40 ms for the delayed acknowledgement.
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Connection(line, extensions)


def _open(server: SmtpConfig) -> smtplib.SMTP:
    # smtplib checks the certificate's name only when the host goes to the constructor.
    if server.tls == "implicit":
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(
            server.host, server.port, _hostname(), timeout=server.timeout, context=_context(server)
        )
    else:
        smtp = smtplib.SMTP(server.host, server.port, _hostname(), timeout=server.timeout)
    try:
        smtp.ehlo_or_helo_if_needed()
        if server.tls == "starttls":
            _starttls(smtp, server)
        if server.username is not None:
            _login(smtp, server)
    except BaseException:
        smtp.close()
        raise
    return smtp


def _starttls(smtp: smtplib.SMTP, server: SmtpConfig) -> None:
    if not smtp.has_extn("starttls"):
        raise TransportMisconfigured(f"{server_name(server)} does not offer STARTTLS, and smtp.tls asks for it")
    try:
        code, reply = smtp.starttls(context=_context(server))
    except smtplib.SMTPResponseException as error:
        code, reply = error.smtp_code, one_line(error.smtp_error).encode()
    if code != 220:
        raise TransportUnavailable(f"{server_name(server)} refused STARTTLS: {code} {one_line(reply)}")
    smtp.ehlo()


def _context(server: SmtpConfig) -> ssl.SSLContext:
    """A context that verifies certificate and name, for TLS 1.2 and later."""
    try:
        context = ssl.create_default_context(cafile=server.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise TransportMisconfigured(f"smtp.ca_file {server.ca_file} cannot be used: {one_line(error)}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _login(smtp: smtplib.SMTP, server: SmtpConfig) -> None:
    assert server.username is not None
    password = server.password.reveal() if server.password is not None else ""
    if not smtp.has_extn("auth"):
        raise TransportMisconfigured(f"{server_name(server)} offers no login, and smtp.username asks for one")
    try:
        smtp.login(server.username, password)
    except smtplib.SMTPAuthenticationError as error:
        said = one_line(error.smtp_error)
        raise _login_error(error.smtp_code, said)(
            f"{server_name(server)} refused the login of {server.username}: {error.smtp_code} {said}"
        ) from None  # the cause would carry what was sent
    except smtplib.SMTPNotSupportedError as error:
        raise TransportMisconfigured(f"{server_name(server)}: {one_line(error)}") from error


def _login_error(code: int, said: str) -> type[TransportUnavailable]:
    """What a refused login is: a limit of the sender, something to correct, or trouble that may pass."""
    judgement = judge(Stage.LOGIN, code, said)
    if judgement.for_good:
        return TransportMisconfigured
    return SenderRefused if judgement.limit else TransportUnavailable


def _hostname() -> str:
    """The name for EHLO (RFC 5321 section 4.1.1.1): this host's full name if it has one, else an address literal.

    socket.getfqdn would ask DNS, which can hang for seconds.
    """
    own = socket.gethostname()
    return own if re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", own) else "[127.0.0.1]"
