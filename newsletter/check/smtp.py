"""The mail servers, as far as RCPT: nothing is sent. What they offer is compared with the mail that would go out."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from io import BufferedReader
from typing import Final

from newsletter.check import lines
from newsletter.check.lines import Speech
from newsletter.check.remedies import AT_LOGIN, credentials
from newsletter.check.values import Command, Context, Finding, Level, Mail, Remedy, SetKey, bad, ok, warn
from newsletter.config import SmtpConfig
from newsletter.errors import NewsletterError, TransportUnavailable, Trouble
from newsletter.mail.message import compile_copies
from newsletter.mail.signers import signers
from newsletter.model import Delivery, FrozenIssue
from newsletter.replies import Concern, Stage, judge
from newsletter.text import one_line
from newsletter.transport import connect, server_name
from newsletter.transport.connect import Connection

_LOCAL: Final = ("localhost", "127.0.0.1", "::1")
_LONGEST: Final = 100_000  # bytes of a reply
_PATIENCE: Final = 10.0  # seconds for a reply to `logins`
_SHARE: Final = 0.8  # of the papers that would just fit are kept

_AGAIN: Final = Command("newsletter check")
_HELO: Final = re.compile(r"\b(?:helo|ehlo)\b|fully[- ]qualified host", re.IGNORECASE)

# OpenSSL's codes for why a certificate is refused (x509_vfy.h).
_EXPIRED: Final = 10
_NOT_YET: Final = 9
_OTHER_NAME: Final = (62, 64)


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply: its code, 0 if the connection was lost, and its words on one line."""

    code: int
    words: str

    def __str__(self) -> str:
        return f"{self.code} {self.words}" if self.code else self.words


def smtp(context: Context) -> Iterator[Finding]:
    """Every server under `smtp`."""
    if context.options.offline:
        yield ok("smtp", "not asked (--offline)")
        return
    found = [list(_server(context, f"smtp.{at}", server)) for at, server in enumerate(context.config.smtp)]
    serves = any(all(each.level is not Level.BAD for each in one) for one in found)
    for each in (each for one in found for each in one):
        if serves and each.level is Level.BAD and each.remedy is not None:  # `run` uses the others
            yield warn("smtp", f"{each.words}; the other servers serve", each.remedy)
        else:
            yield each


def _server(context: Context, key: str, server: SmtpConfig) -> Iterator[Finding]:
    if server.sendmail:
        yield _program(key, server)
        return
    heard = lines.listen(server.host, server.port, tls_first=server.tls == "implicit")
    mixed = list(judge_speech(key, server, heard))
    if mixed:
        yield from mixed
        return
    try:
        connection = connect(server)
    except TransportUnavailable as error:
        silent = heard.speech is Speech.SILENT and error.trouble is None  # whatever listens there, no mail server
        remedy = SetKey(f"{key}.port", "PORT") if silent else _remedy(context, key, server, error)
        yield bad("smtp", str(error), remedy, error.exit_code)
        return
    size = _size(context)
    try:
        found = list(judge_size(context, key, server, connection.extensions, size))
        found += _rehearse(context, key, server, connection)
    finally:
        connection.socket.close()
    yield from found
    if not found:
        offered = ", ".join(sorted(word.upper() for word in connection.extensions))
        login = "logged in" if server.username else "no login"
        room = f", {size / 1e3:.0f} kB a copy" if size else ""
        yield ok("smtp", f"{server_name(server)} takes our mail{room} ({server.tls}, {login}), and offers {offered}")


def _program(key: str, server: SmtpConfig) -> Finding:
    """Whether the program that takes mail exists. It is not tried, because it sends whatever it is given."""
    try:
        connect(server).socket.close()
    except TransportUnavailable as error:
        return bad("smtp", str(error), SetKey(f"{key}.sendmail", "PROGRAM"), error.exit_code)
    return ok("smtp", f"mail goes to the program {server.sendmail[0]}")


# --- before the session ---------------------------------------------------------------------------------------------


def judge_speech(key: str, server: SmtpConfig, heard: lines.Heard) -> Iterator[Finding]:
    """Whether the port speaks what `tls` says (RFC 8314: implicit TLS on 465, STARTTLS on 587)."""
    name = server_name(server)
    if heard.speech is Speech.CLOSED:
        unknown = heard.words.startswith(lines.UNKNOWN_HOST)
        remedy = SetKey(f"{key}.host", "HOST") if unknown else SetKey(f"{key}.port", "PORT")
        yield bad("smtp", f"{name}: {heard.words}", remedy, 75)
    elif heard.speech is Speech.TLS and server.tls != "implicit":
        said = f"{name} waits for TLS at once, and smtp.tls is {server.tls}"
        yield bad("smtp", said, SetKey(f"{key}.tls", "implicit"))
    elif heard.speech is Speech.PLAIN and server.tls == "implicit":
        said = f"{name} greets in clear, and smtp.tls is implicit"
        yield bad("smtp", said, SetKey(f"{key}.tls", "starttls"))


def _remedy(context: Context, key: str, server: SmtpConfig, error: TransportUnavailable) -> Remedy:
    """The one thing to do about a session that could not be opened."""
    trouble, cause = error.trouble, error.__cause__
    passes = trouble is Trouble.ISSUER or 400 <= error.code < 500  # RFC 5321 section 4.2.1
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _certificate(key, server, cause.verify_code)
    if trouble is Trouble.TLS:
        return SetKey(f"{key}.tls", "starttls" if server.tls == "implicit" else "implicit")
    if trouble is Trouble.STARTTLS:
        return SetKey(f"{key}.tls", "none" if server.host in _LOCAL or server.username is None else "implicit")
    if trouble is Trouble.HELO:
        return SetKey(f"{key}.helo", "NAME-OF-THIS-MACHINE")
    if trouble is Trouble.CA_FILE:
        return SetKey(f"{key}.ca_file", "null")
    if passes:
        return context.command("check")
    return credentials(context, key, error) if trouble in AT_LOGIN else SetKey(f"{key}.host", "HOST")


def _certificate(key: str, server: SmtpConfig, code: int) -> Remedy:
    if code == _EXPIRED:
        return Command("sudo certbot renew")
    if code == _NOT_YET:
        return Command("sudo timedatectl set-ntp true")
    if code in _OTHER_NAME:
        names = lines.names_of(server.host, server.port, starttls=server.tls == "starttls")
        return SetKey(f"{key}.host", next((name for name in names if "*" not in name), "HOST"))
    return SetKey(f"{key}.ca_file", "FILE")


def logins(host: str, port: int, tls: str) -> list[str]:
    """The logins that a server offers (RFC 4954); empty if it cannot be asked. Blocks, and raises nothing."""
    try:
        connection = connect(SmtpConfig(host, port, tls, timeout=_PATIENCE))
    except TransportUnavailable:
        return []
    connection.socket.close()
    return connection.extensions.get("auth", "").split()


# --- in the session -------------------------------------------------------------------------------------------------


def _size(context: Context) -> int:
    """The bytes of a copy as it goes over the wire, 0 if unknown."""
    if context.mail is None:
        return 0
    config, now = context.config, context.runtime.now()
    frozen = FrozenIssue(0, 0, context.mail.rendered, config.publication, now, now + timedelta(days=1))
    try:
        copies = compile_copies(frozen, config.links(), signers(config))
    except NewsletterError:  # a missing secret or key has a finding of its own
        return len(context.mail.rendered.html) + len(context.mail.rendered.text)
    envelope = copies.envelope(Delivery(0, 0, 0, "0" * 16, "reader@example.org", 0))
    return sum(map(len, envelope.pieces))


def judge_size(
    context: Context, key: str, server: SmtpConfig, extensions: dict[str, str], size: int
) -> Iterator[Finding]:
    """Whether a copy of `size` bytes is within the server's SIZE (RFC 1870); 0 there means no limit."""
    limit = extensions.get("size", "").strip()
    if not limit.isdigit() or not 0 < int(limit) < size:
        return
    said = f"{server_name(server)} takes mails of {int(limit):,} bytes at most, and a copy has {size:,}"
    papers = _papers(context, context.mail)
    yield bad("smtp", said, SetKey("issue.max_papers", str(max(1, int(papers * int(limit) / size * _SHARE)))))


def _papers(context: Context, mail: Mail | None) -> int:
    most = context.config.issue.max_papers
    return min(most, mail.papers) if mail is not None and mail.papers else most


def _rehearse(context: Context, key: str, server: SmtpConfig, connection: Connection) -> list[Finding]:
    """Begin a transaction up to the recipient and take it back: the server judges sender and recipient."""
    config = context.config
    sender = config.publication.bounce_address
    recipient, named = _recipient(context)
    connection.socket.settimeout(server.timeout)
    with connection.socket.makefile("rb") as replies:

        def ask(command: str) -> Reply:
            try:
                connection.socket.sendall(command.encode() + b"\r\n")
                return _read(replies)
            except OSError as error:
                return Reply(0, f"the connection was lost: {one_line(error)}")

        again = context.command("check")
        mail = ask(f"MAIL FROM:<{sender}>")
        found = list(judge_reply(Asked(key, server, Stage.MAIL, sender, "bounce_address", again), mail))
        if not found:
            rcpt = ask(f"RCPT TO:<{recipient}>")
            found = list(judge_reply(Asked(key, server, Stage.RCPT, recipient, named, again), rcpt))
        if mail.code:
            ask("RSET")
            ask("QUIT")
    return found


def _recipient(context: Context) -> tuple[str, str]:
    """Whom the server is asked about, and the key that names them."""
    config = context.config
    if config.sending.canary is not None:
        return config.sending.canary, "sending.canary"
    if config.alerts.address is not None:
        return config.alerts.address, "alerts.address"
    return config.publication.bounce_address, "bounce_address"


def _read(replies: BufferedReader) -> Reply:
    words: list[str] = []
    size = 0
    while size < _LONGEST:
        line = replies.readline(2_000)
        size += len(line)
        if len(line) < 4 or not line[:3].isdigit():
            return Reply(0, f"no SMTP reply: {one_line(line)}" if line else "the server closed the connection")
        words.append(one_line(line[4:]))
        if line[3:4] != b"-":
            return Reply(int(line[:3]), " ".join(words))
    return Reply(0, "an endless reply")


@dataclass(frozen=True, slots=True)
class Asked:
    """A command that the server at the key `key` was given: MAIL or RCPT, with the address that the key `named` holds.

    `again` is the command line that asks anew, for what may pass.
    """

    key: str
    server: SmtpConfig
    stage: Stage
    address: str
    named: str
    again: Command = _AGAIN


def judge_reply(asked: Asked, reply: Reply) -> Iterator[Finding]:
    """What a reply asks of the operator."""
    if 200 <= reply.code < 300:
        return
    said = f"{server_name(asked.server)} answers {asked.stage} {asked.address} with: {reply}"
    judgement = judge(asked.stage, reply.code, reply.words)
    if _HELO.search(reply.words):  # Postfix says so at RCPT (smtpd_delay_reject)
        yield bad("smtp", said, SetKey(f"{asked.key}.helo", "NAME-OF-THIS-MACHINE"))
    elif judgement.limit:  # time lifts it, and a limit of our own keeps away from it
        yield bad("smtp", said, SetKey(f"{asked.key}.per_day", "MESSAGES-A-DAY"), 75)
    elif not reply.code:  # none, or none that ends
        yield bad("smtp", said, SetKey(f"{asked.key}.host", "HOST"), 75)
    elif reply.code >= 500:
        yield _refused(asked, reply, judgement.concern, said)
    elif judgement.concern not in (Concern.RECIPIENT, Concern.MOMENT):  # else the next try is another one
        yield bad("smtp", said, asked.again, 75)


def _refused(asked: Asked, reply: Reply, concern: Concern, said: str) -> Finding:
    """What a final refusal asks of the operator; it is of this `concern`, and described by `said`."""
    server = asked.server
    if server.username is None and _wants_login(reply):
        remedy = SetKey(f"{asked.key}.username", "NAME")
        return bad("smtp", f"{said}; it wants a login, and smtp.username is not set", remedy)
    if asked.stage is Stage.MAIL:
        login = server.username if server.username and "@" in server.username else "ADDRESS-THAT-IT-ALLOWS"
        return bad("smtp", said, SetKey("bounce_address", login))
    if concern is not Concern.RECIPIENT:
        return bad("smtp", said, SetKey(f"{asked.key}.host", "HOST"))
    if asked.named == "alerts.address":
        return warn("smtp", said, SetKey(asked.named, "YOUR@ADDRESS"))
    return bad("smtp", said, SetKey(asked.named, "ADDRESS"))


def _wants_login(reply: Reply) -> bool:
    """530 asks for a login (RFC 4954 section 6); others do in words, or refuse to relay for strangers."""
    words = reply.words.lower()
    return reply.code == 530 or any(word in words for word in ("authenticat", "relay", "log in", "login"))
