"""SMTP, one kept connection: hands over an envelope and says what the server said about it.

`send` returns an Outcome, a fact about one recipient, and raises TransportUnavailable when nothing was handed over and
the reason concerns everybody: connection, TLS, login, sender, policy. The two must never be mixed up: the first is
charged to a reader, the second to nobody. Which is which stands in the tables below.

smtplib's own `sendmail` writes the body and the final dot in one go, so it cannot tell a line that dropped before the
dot (nothing happened) from one that dropped after it (nobody knows, RFC 1047). Its primitives are used instead.
"""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
from typing import Final, Protocol

from newsletter.config import SmtpConfig
from newsletter.errors import TransportMisconfigured, TransportUnavailable
from newsletter.model import Envelope, Outcome, OutcomeKind

# The server may take its time to store the message; giving up early makes duplicates (RFC 5321 section 4.5.3.2.6).
AFTER_DOT: Final = 600.0  # seconds

# Replies that condemn the run, not the reader, by SMTP stage: sender refused, login missing, message too big.
_EVERYBODY: Final[dict[str, re.Pattern[str]]] = {
    "MAIL FROM": re.compile(r"5\d\d"),
    "RCPT TO": re.compile(r"530"),
    "DATA": re.compile(r"530|552"),
    "message": re.compile(r"552|5\d\d 5\.3\.4"),
}

# Policy (RFC 3463 section 3.8): spam, authentication, reputation. It says nothing about the address, so the copy waits.
_POLICY: Final = re.compile(r"5\d\d 5\.7\.\d+")

_LONGEST_REPLY: Final = 500  # characters kept of a server's words


class Transport(Protocol):
    """Whatever can carry an envelope."""

    def send(self, envelope: Envelope) -> Outcome:
        """Hand over one envelope. Raises TransportUnavailable when it cannot carry anything for anybody."""

    def close(self) -> None:
        """Say goodbye; a later send connects again."""


class SmtpTransport:
    """One mail server, connected when first needed and again when it hung up. `timeout_after_dot` in seconds."""

    def __init__(self, server: SmtpConfig, *, timeout_after_dot: float = AFTER_DOT) -> None:
        self._server = server
        self._timeout_after_dot = timeout_after_dot
        self._smtp: smtplib.SMTP | None = None
        self._name = f"{server.host}:{server.port}"

    def send(self, envelope: Envelope) -> Outcome:
        """Hand over one envelope on the kept connection."""
        if re.search(rb"\r(?!\n)|(?<!\r)\n|\0", envelope.message):
            raise ValueError("a message with bare CR, LF or NUL is never sent")  # SMTP smuggling, CVE-2023-51764
        smtp = self._connected()
        if not envelope.rcpt_to.isascii() and not smtp.has_extn("smtputf8"):
            return Outcome(OutcomeKind.REFUSED, None, f"{self._name} cannot send to addresses beyond ASCII (RFC 6531)")
        self._check_size(smtp, envelope)
        try:
            refusal = self._envelope(smtp, envelope)
            if refusal is None:
                self._body(smtp, envelope.message)
        except OSError as error:  # smtplib's own exceptions are OSErrors too
            self._drop()
            return Outcome(OutcomeKind.NOT_SENT, None, _line(error))
        return refusal or self._dot(smtp)

    def close(self) -> None:
        """Say QUIT, as far as the server listens."""
        if self._smtp is not None:
            try:
                self._smtp.quit()
            except OSError:
                self._smtp.close()
            self._smtp = None

    # --- one message -------------------------------------------------------------------------------------------------

    def _envelope(self, smtp: smtplib.SMTP, envelope: Envelope) -> Outcome | None:
        """MAIL, RCPT and DATA; None when the server waits for the message."""
        options = [f"SIZE={len(envelope.message)}"] if smtp.has_extn("size") else []
        if not envelope.rcpt_to.isascii():
            options.append("SMTPUTF8")
            smtp.command_encoding = "utf-8"
        steps = (
            ("MAIL FROM", f"MAIL FROM:<{envelope.mail_from}> {' '.join(options)}".rstrip(), (250,)),
            ("RCPT TO", f"RCPT TO:<{envelope.rcpt_to}>", (250, 251, 252)),
            ("DATA", "DATA", (354,)),
        )
        try:
            for stage, command, good in steps:
                code, reply = smtp.docmd(command)
                if code not in good:
                    return self._refused(smtp, stage, code, reply)
        finally:
            smtp.command_encoding = "ascii"
        return None

    def _body(self, smtp: smtplib.SMTP, message: bytes) -> None:
        """The message without its final dot, dot-stuffed (RFC 5321 section 4.5.2)."""
        stuffed = re.sub(rb"(?m)^\.", b"..", message)
        smtp.send(stuffed if stuffed.endswith(b"\r\n") else stuffed + b"\r\n")

    def _dot(self, smtp: smtplib.SMTP) -> Outcome:
        """The final dot and the server's word on it: from here on a dropped line leaves the copy in doubt."""
        assert smtp.sock is not None
        try:
            smtp.sock.settimeout(self._timeout_after_dot)
            smtp.send(b".\r\n")
            code, reply = smtp.getreply()
            smtp.sock.settimeout(self._server.timeout)
        except OSError as error:
            self._drop()
            return Outcome(OutcomeKind.UNCERTAIN, None, _line(error))
        if code == 250:
            return Outcome(OutcomeKind.ACCEPTED, code, _line(reply))
        return self._refused(smtp, "message", code, reply)

    def _refused(self, smtp: smtplib.SMTP, stage: str, code: int, reply: bytes) -> Outcome:
        """What a reply other than yes means, for this reader or for everybody."""
        words = _line(reply)
        if code == 421:  # closing, RFC 5321 section 3.8: said at any stage, nothing was taken
            self._drop()
            return Outcome(OutcomeKind.NOT_SENT, code, words)
        if _EVERYBODY[stage].match(f"{code} {words}"):
            self.close()
            raise TransportMisconfigured(f"{self._name} refused {stage} for everybody: {code} {words}")
        if stage != "message" and smtp.rset()[0] != 250:
            self._drop()
        return Outcome(_kind(code, words), code, words)

    def _check_size(self, smtp: smtplib.SMTP, envelope: Envelope) -> None:
        """RFC 1870: a server that states its limit is spared a message beyond it."""
        limit = smtp.esmtp_features.get("size", "")
        if limit.isdigit() and 0 < int(limit) < len(envelope.message):
            size = len(envelope.message)
            raise TransportMisconfigured(f"{self._name} takes {limit} bytes, the message has {size}: fewer max_papers?")

    # --- the connection ----------------------------------------------------------------------------------------------

    def _connected(self) -> smtplib.SMTP:
        if self._smtp is None:
            try:
                self._smtp = self._connect()
            except ssl.SSLCertVerificationError as error:
                reason = f"its certificate is not to be trusted: {error.verify_message}"
                raise TransportMisconfigured(f"{self._name}: {reason}; see smtp.ca_file") from error
            except smtplib.SMTPResponseException as error:
                raise TransportUnavailable(
                    f"{self._name} does not serve us: {error.smtp_code} {_line(error.smtp_error)}"
                ) from error
            except OSError as error:
                raise TransportUnavailable(f"{self._name}: {_line(error)}") from error
        return self._smtp

    def _connect(self) -> smtplib.SMTP:
        """Connect, secure and log in; anything less than what was asked for is an error (no stepping down)."""
        server = self._server
        # The host goes to the constructor: only then does smtplib check the certificate's name.
        if server.tls == "implicit":
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, _hostname(), timeout=server.timeout, context=self._context()
            )
        else:
            smtp = smtplib.SMTP(server.host, server.port, _hostname(), timeout=server.timeout)
        try:
            smtp.ehlo_or_helo_if_needed()
            if server.tls == "starttls":
                self._starttls(smtp)
            if server.username is not None:
                self._login(smtp)
        except BaseException:
            smtp.close()
            raise
        assert smtp.sock is not None
        # Body and dot are two writes: Nagle and delayed acknowledgement would cost 40 ms a message.
        smtp.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return smtp

    def _starttls(self, smtp: smtplib.SMTP) -> None:
        if not smtp.has_extn("starttls"):
            raise TransportMisconfigured(f"{self._name} does not offer STARTTLS, and smtp.tls asks for it")
        try:
            code, reply = smtp.starttls(context=self._context())
        except smtplib.SMTPResponseException as error:
            code, reply = error.smtp_code, _bytes(error.smtp_error)
        if code != 220:
            raise TransportUnavailable(f"{self._name} refused STARTTLS: {code} {_line(reply)}")
        smtp.ehlo()

    def _context(self) -> ssl.SSLContext:
        """Verifies certificate and name; TLS 1.2 at least."""
        try:
            context = ssl.create_default_context(cafile=self._server.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise TransportMisconfigured(
                f"smtp.ca_file {self._server.ca_file} cannot be used: {_line(error)}"
            ) from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def _login(self, smtp: smtplib.SMTP) -> None:
        server = self._server
        assert server.username is not None
        password = server.password.reveal() if server.password is not None else ""
        if not smtp.has_extn("auth"):
            raise TransportMisconfigured(f"{self._name} offers no login, and smtp.username asks for one")
        try:
            smtp.login(server.username, password)
        except smtplib.SMTPAuthenticationError as error:
            temporary = error.smtp_code < 500
            kind = TransportUnavailable if temporary else TransportMisconfigured
            raise kind(
                f"{self._name} refused the login of {server.username}: {error.smtp_code} {_line(error.smtp_error)}"
            ) from None  # the cause would carry what was sent
        except smtplib.SMTPNotSupportedError as error:
            raise TransportMisconfigured(f"{self._name}: {_line(error)}") from error

    def _drop(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
            self._smtp = None


def _kind(code: int, words: str) -> OutcomeKind:
    if code < 500:
        return OutcomeKind.DEFERRED
    return OutcomeKind.BLOCKED if _POLICY.match(f"{code} {words}") else OutcomeKind.REFUSED


def _hostname() -> str:
    """The name for EHLO (RFC 5321 section 4.1.1.1): this host's if it is a full one, else an address literal.

    getfqdn would ask DNS, which can hang for seconds.
    """
    name = socket.gethostname()
    return name if re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", name) else "[127.0.0.1]"


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def _line(said: BaseException | str | bytes) -> str:
    """A server's words, or an error's, as one short line."""
    if isinstance(said, OSError) and said.strerror:
        said = said.strerror
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", text).split())[:_LONGEST_REPLY]
