"""The bounce mailbox on a real Dovecot, by IMAP with TLS and as a Maildir; and a bounce that Postfix itself writes."""

from __future__ import annotations

import imaplib
import os
import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from imapclient import IMAPClient

from newsletter.bounces.login import log_in
from newsletter.bounces.mailbox import LARGEST, Mail, _Imap, open_mailbox
from newsletter.config import BouncesConfig, ImapConfig, Secret
from newsletter.errors import MailboxMisconfigured, MailboxUnavailable, TokenRefused, TokenUnavailable
from newsletter.sasl import AccessToken, Tokens
from newsletter.store import Store
from tests import program
from tests.conftest import ROOT
from tests.mailhost import BOUNCES, DOMAIN, PASSWORD, UNREAD, MailHost
from tests.smtpd import Authority, Script, smtpd

USER = f"{BOUNCES}@{DOMAIN}"
MAIL = b"From: MAILER-DAEMON@mx.example.net\r\nSubject: failure notice\r\n\r\nIt failed.\r\n"


@pytest.fixture
def inbox(host: MailHost) -> Iterator[imaplib.IMAP4]:
    """The mailbox as another program sees it; empty at first."""
    with imaplib.IMAP4("127.0.0.1", host.imap_port) as imap:
        imap.login(USER, PASSWORD)
        for folder in ("INBOX", "Processed", "Kept"):
            said, mails = imap.select(folder)
            if said == "OK" and mails != [b"0"]:
                imap.store("1:*", "+FLAGS", r"\Deleted")
                imap.expunge()
        imap.select("INBOX")
        yield imap


def imap_config(server: MailHost, **changes: Any) -> ImapConfig:
    usual = ImapConfig(
        "localhost",
        server.imaps_port,
        "implicit",
        server.folder / "authority.pem",
        USER,
        Secret(lambda: PASSWORD),
        timeout=10,
    )
    return replace(usual, **changes)


def put(inbox: imaplib.IMAP4, *raws: bytes) -> None:
    for raw in raws:
        inbox.append("INBOX", "", "", raw)


def number(inbox: imaplib.IMAP4, folder: str) -> int:
    """How many mails another program sees there."""
    inbox.select(folder)
    return len(inbox.search(None, "ALL")[1][0].split())


@pytest.mark.parametrize("tls", ["implicit", "starttls", "none"])
def test_mails_are_read_and_put_away(host: MailHost, inbox: imaplib.IMAP4, tls: str) -> None:
    put(inbox, MAIL + b"1", MAIL + b"2")
    server = imap_config(host) if tls == "implicit" else imap_config(host, tls=tls, port=host.imap_port)
    with open_mailbox(BouncesConfig(imap=server)) as mailbox:
        first, second = mailbox.mails()
        assert [first.raw, second.raw] == [MAIL + b"1", MAIL + b"2"]
        mailbox.file(first, "Processed")
        mailbox.file(second, "Kept")
        mailbox.file(first, "Processed")  # gone already: no error
        assert list(mailbox.mails()) == []
    assert [number(inbox, folder) for folder in ("INBOX", "Processed", "Kept")] == [0, 1, 1]


def test_reading_marks_nothing_as_seen(host: MailHost, inbox: imaplib.IMAP4) -> None:
    put(inbox, MAIL)
    with open_mailbox(BouncesConfig(imap=imap_config(host))) as mailbox:
        assert len(list(mailbox.mails())) == 1
    inbox.select("INBOX")
    assert inbox.search(None, "UNSEEN")[1] == [b"1"]


def test_of_a_large_mail_the_beginning_is_read(host: MailHost, inbox: imaplib.IMAP4) -> None:
    put(inbox, MAIL + b"x" * (LARGEST + 1000))
    with open_mailbox(BouncesConfig(imap=imap_config(host))) as mailbox:
        (mail,) = mailbox.mails()
    assert len(mail.raw) == LARGEST


@dataclass
class OldServer:
    """What a client without MOVE does, word for word; and with or without UIDPLUS."""

    capabilities: set[str]
    done: list[str] = field(default_factory=list)

    def has_capability(self, name: str) -> bool:
        return name in self.capabilities

    def folder_exists(self, folder: str) -> bool:
        return False

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments, **options: self.done.append(name)


@pytest.mark.parametrize(
    ("capabilities", "done"),
    [
        ({"MOVE", "UIDPLUS"}, ["create_folder", "move"]),
        ({"UIDPLUS"}, ["create_folder", "copy", "delete_messages", "uid_expunge"]),
        (set(), ["create_folder", "copy", "delete_messages"]),  # EXPUNGE would take others' mails with it
    ],
)
def test_an_old_server_copies_first_and_deletes_then(capabilities: set[str], done: list[str]) -> None:
    old = OldServer(capabilities)
    _Imap(old, ImapConfig("localhost")).file(Mail(1, b""), "Processed")
    assert old.done == done


def problem(server: ImapConfig) -> MailboxUnavailable:
    with pytest.raises(MailboxUnavailable) as caught, open_mailbox(BouncesConfig(imap=server)):
        pass
    assert "\n" not in str(caught.value)
    assert PASSWORD not in str(caught.value)
    return caught.value


def test_a_wrong_password_certificate_name_or_folder_is_for_a_person(host: MailHost) -> None:
    for server, words in (
        (imap_config(host, password=Secret(lambda: "wrong")), "refused the login of bounces@dest.test"),
        (imap_config(host, ca_file=None), "certificate cannot be trusted"),
        (imap_config(host, host="127.0.0.1"), "certificate cannot be trusted"),  # it is for localhost
        (imap_config(host, folder="Nowhere"), "has no folder Nowhere"),
        (imap_config(host, ca_file=host.folder / "none.pem"), "ca_file"),
    ):
        error = problem(server)
        assert words in str(error)
        assert (type(error), error.exit_code) == (MailboxMisconfigured, os.EX_CONFIG)


def test_a_server_that_is_away_is_tried_again_later(host: MailHost) -> None:
    error = problem(imap_config(host, port=1))
    assert (type(error), error.exit_code) == (MailboxUnavailable, os.EX_TEMPFAIL)
    with smtpd(Script(replies={"greeting": ["* BYE not now\r\n"]})) as other:
        assert problem(imap_config(host, port=other.port, tls="none")).exit_code == os.EX_TEMPFAIL


def test_the_reason_is_said_without_the_number_of_the_error() -> None:
    server = ImapConfig("127.0.0.1", 1, "none", username="me", password=Secret(lambda: PASSWORD))
    assert str(problem(server)) == "127.0.0.1:1: Connection refused"


# --- access tokens, and passwords beyond ASCII -----------------------------------------------------------------------


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
def test_dovecot_takes_an_access_token(host: MailHost, mechanism: str) -> None:
    host.issuer.valid = {f"a-token-by-{mechanism}": USER}
    config = imap_config(host, password=None, token=Tokens(lambda: AccessToken(f"a-token-by-{mechanism}")))
    with IMAPClient("127.0.0.1", host.imap_port, ssl=False) as client:
        log_in(client, config, (mechanism,))  # Dovecot offers both
        assert b"EXISTS" in client.select_folder("INBOX", readonly=True)
    assert f"a-token-by-{mechanism}" in host.issuer.asked


def test_a_token_that_dovecot_refuses_is_replaced_once(host: MailHost) -> None:
    host.issuer.valid = {"token-2": USER}
    given = iter(f"token-{number}" for number in range(1, 9))
    tokens = Tokens(lambda: AccessToken(next(given), 3600))
    server = imap_config(host, password=None, token=tokens)
    with open_mailbox(BouncesConfig(imap=server)) as mailbox:
        list(mailbox.mails())
    host.issuer.valid = {}  # it has been revoked
    error = problem(server)
    assert (type(error), error.exit_code) == (MailboxMisconfigured, os.EX_CONFIG)
    assert f"refused the login of {USER}" in str(error)
    assert "token-" not in str(error)
    assert next(given) == "token-4"


def test_a_token_for_another_mailbox_opens_none(host: MailHost) -> None:
    host.issuer.valid = {"a-token-of-alice": f"alice@{DOMAIN}"}
    error = problem(imap_config(host, password=None, token=Tokens(lambda: AccessToken("a-token-of-alice"))))
    assert error.exit_code == os.EX_CONFIG


@pytest.mark.parametrize(("error", "code"), [(TokenRefused("expired"), 78), (TokenUnavailable("down"), 75)])
def test_a_token_that_cannot_be_had_is_told_as_what_it_is(host: MailHost, error: TokenUnavailable, code: int) -> None:
    def fail() -> AccessToken:
        raise error

    told = problem(imap_config(host, password=None, token=Tokens(fail)))
    assert told.exit_code == code
    assert str(error) in str(told)


def test_a_password_beyond_ascii_is_sent_as_utf_8(host: MailHost) -> None:
    host.add_user("zoe", "pässwörd 密")
    server = imap_config(host, username=f"zoe@{DOMAIN}", password=Secret(lambda: "pässwörd 密"))
    with open_mailbox(BouncesConfig(imap=server)) as mailbox:
        assert list(mailbox.mails()) == []
    assert problem(replace(server, password=Secret(lambda: "pässwörd"))).exit_code == os.EX_CONFIG


class OfferingImap(socketserver.StreamRequestHandler):
    """A server that offers some logins; it keeps what it is told."""

    offers: bytes
    told: list[bytes]

    def handle(self) -> None:
        self.wfile.write(b"* OK ready\r\n")
        for line in self.rfile:
            self.told.append(line)
            tag, _, command = line.strip().partition(b" ")
            said = b"* CAPABILITY IMAP4rev1 %s\r\n" % self.offers if command.upper() == b"CAPABILITY" else b""
            self.wfile.write(said + tag + b" OK done\r\n")


def test_a_server_that_offers_other_logins_is_told_with_what_it_offers() -> None:
    told: list[bytes] = []
    for capabilities, config, words in (
        (b"LOGINDISABLED AUTH=GSSAPI", {}, "offers no login but GSSAPI; this program can PLAIN, LOGIN, CRAM-MD5"),
        (b"LOGINDISABLED AUTH=XOAUTH2", {}, "offers no login but XOAUTH2; set auth: xoauth2"),
        (b"AUTH=PLAIN", {"token": Tokens(lambda: AccessToken("t"))}, "offers no login but PLAIN; set auth: password"),
        (b"", {"password": Secret(lambda: "pässwörd")}, "offers no login; this program can"),
    ):
        handler = type("Handler", (OfferingImap,), {"offers": capabilities, "told": told})
        with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            usual = ImapConfig(
                *("localhost", server.server_address[1], "none", None, USER), Secret(lambda: PASSWORD), timeout=5
            )
            error = problem(replace(usual, **config))
            server.shutdown()
        assert words in str(error)
        assert error.exit_code == os.EX_CONFIG
    assert not any(b"LOGIN" in line.upper() or b"AUTHENTICATE" in line.upper() for line in told)


def test_the_two_ways_to_begin_tls_are_told_apart(host: MailHost) -> None:
    error = problem(imap_config(host, port=host.imap_port))
    assert "does not begin with TLS, as bounces.imap.tls: implicit asks: set it to starttls" in str(error)
    assert error.exit_code == os.EX_CONFIG
    for tls in ("starttls", "none"):
        error = problem(imap_config(host, tls=tls, port=host.imaps_port, timeout=1.0))
        assert f"begins with TLS, and bounces.imap.tls is {tls}: set it to implicit" in str(error)
        assert error.exit_code == os.EX_CONFIG


class StrippedImap(socketserver.StreamRequestHandler):
    """A server in front of which somebody takes STARTTLS away, in two ways; it keeps what it is told."""

    greeting: bytes
    told: list[bytes]

    def handle(self) -> None:
        self.wfile.write(self.greeting + b"\r\n")
        for line in self.rfile:
            self.told.append(line)
            tag, _, command = line.strip().partition(b" ")
            said = b"* CAPABILITY IMAP4rev1\r\n" if command.upper() == b"CAPABILITY" else b""
            kind = b"BAD" if command.upper() == b"STARTTLS" else b"OK"
            self.wfile.write(said + tag + b" " + kind + b" done\r\n")


@pytest.mark.parametrize("greeting", [b"* OK ready", b"* PREAUTH welcome"])
def test_no_password_is_sent_where_starttls_is_taken_away(greeting: bytes) -> None:
    told: list[bytes] = []
    handler = type("Handler", (StrippedImap,), {"greeting": greeting, "told": told})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        port = server.server_address[1]
        error = problem(ImapConfig("localhost", port, "starttls", None, USER, Secret(lambda: PASSWORD), timeout=5))
        server.shutdown()
    assert "STARTTLS" in str(error)
    assert not any(b"LOGIN" in line.upper() for line in told)


@pytest.mark.parametrize("tls", ["implicit", "none"])
def test_of_a_folder_the_mails_from_before_a_day_are_deleted(host: MailHost, inbox: imaplib.IMAP4, tls: str) -> None:
    inbox.create("Processed")
    for folder in ("Processed", "INBOX"):
        for day in ("01-Feb-2026", "02-Feb-2026", "03-Feb-2026", "04-Feb-2026"):
            inbox.append(folder, "", f'"{day} 12:00:00 +0000"', MAIL)
    inbox.select("Processed")
    inbox.store("4", "+FLAGS", r"\Deleted")  # by somebody else, who may think again
    server = imap_config(host) if tls == "implicit" else imap_config(host, tls=tls, port=host.imap_port)
    with open_mailbox(BouncesConfig(imap=server)) as mailbox:
        before = datetime(2026, 2, 3, 11, tzinfo=UTC)
        assert mailbox.prune("Processed", before) == 2
        assert mailbox.prune("Processed", before) == 0
        assert mailbox.prune("Nowhere", before) == 0
        assert mailbox.prune("inbox", before) == 0  # the folder that is read
        assert len(list(mailbox.mails())) == 4
    assert number(inbox, "Processed") == 2


def test_many_mails_are_deleted_a_part_at_a_time(host: MailHost, inbox: imaplib.IMAP4) -> None:
    inbox.create("Processed")
    for _ in range(5):
        inbox.append("Processed", "", '"01-Feb-2026 12:00:00 +0000"', b"Subject: x\r\n\r\n")
    inbox.select("Processed")
    for _ in range(8):
        inbox.copy("1:*", "Processed")  # each time they are twice as many
    inbox.close()
    with open_mailbox(BouncesConfig(imap=imap_config(host))) as mailbox:
        assert mailbox.prune("Processed", datetime(2026, 3, 1, tzinfo=UTC)) == 1280
    assert number(inbox, "Processed") == 0


def test_without_uidplus_nothing_is_deleted() -> None:
    old = OldServer({"MOVE"})
    assert _Imap(old, ImapConfig("localhost")).prune("Processed", datetime(2026, 3, 1, tzinfo=UTC)) == 0
    assert old.done == []


# --- servers without end ---------------------------------------------------------------------------------------------


class EndlessImap(socketserver.StreamRequestHandler):
    """A server with one mail that answers the command `at` with `answer`, then one byte at a time for ever."""

    at: bytes
    answer: bytes
    byte: bytes
    pause = threading.Event()  # never set

    def handle(self) -> None:
        with suppress(OSError):  # the client has closed
            if self.at == b"greeting":
                self.go_on_for_ever()
            self.wfile.write(b"* OK ready\r\n")
            for line in self.rfile:
                tag, _, command = line.strip().partition(b" ")
                if self.at in command.upper():
                    self.go_on_for_ever()
                self.wfile.write(self.said(command.upper()) + tag + b" OK done\r\n")

    def said(self, command: bytes) -> bytes:
        answers = {
            b"CAPABILITY": b"* CAPABILITY IMAP4rev1 UIDPLUS\r\n",
            b"LIST": b'* LIST () "/" INBOX\r\n',
            b"UID SEARCH": b"* SEARCH 1\r\n",
        }
        return next((answer for name, answer in answers.items() if command.startswith(name)), b"")

    def go_on_for_ever(self) -> None:
        self.wfile.write(self.answer)
        while True:
            self.wfile.write(self.byte)
            self.pause.wait(0.01)


def at_an_endless_server(context: ssl.SSLContext | None, seconds: float, **values: bytes) -> str:
    """The error when its mailbox is read, which may take `seconds`; without a deadline this never ends."""

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def get_request(self) -> tuple[socket.socket, Any]:
            connection, address = super().get_request()
            return (context.wrap_socket(connection, server_side=True) if context else connection), address

    with Server(("127.0.0.1", 0), type("Handler", (EndlessImap,), values)) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        folder = None if context is None else Path(values["authority"].decode())
        config = ImapConfig(
            *("localhost", server.server_address[1], "none" if context is None else "implicit", folder, USER),
            Secret(lambda: PASSWORD),
            timeout=5,
        )
        with (
            pytest.raises(MailboxUnavailable) as caught,
            open_mailbox(BouncesConfig(imap=config), session=seconds) as mailbox,
        ):
            list(mailbox.mails())
        server.shutdown()
    assert type(caught.value) is MailboxUnavailable
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("secured", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("at", [b"greeting", b"CAPABILITY", b"LOGIN", b"SELECT", b"SEARCH", b"FETCH"])
@pytest.mark.parametrize("answer", [b"* OK ", b"* 1 FETCH (UID 1 BODY[]<0> {900000}\r\n"], ids=["line", "literal"])
def test_a_server_that_sends_a_byte_at_a_time_ends_at_the_deadline(
    tmp_path: Path, at: bytes, answer: bytes, secured: bool
) -> None:
    authority = Authority.make(tmp_path) if secured else None
    context = authority.context(host="localhost") if authority else None
    path = str(tmp_path / "authority.pem").encode()
    said = at_an_endless_server(context, 0.25, at=at, answer=answer, byte=b"x", authority=path)
    assert "reading takes more than 0.25 seconds" in said


@pytest.mark.parametrize("size", [b"20000000000", b"2100000", b"9" * 30])
def test_a_literal_that_is_too_large_is_refused(size: bytes) -> None:
    answer = b"* 1 FETCH (UID 1 BODY[]<0> {" + size + b"}\r\n"
    said = at_an_endless_server(None, 600, at=b"FETCH", answer=answer, byte=b"x")
    assert f"it announces {size.decode()} bytes" in said


def test_literals_and_lines_without_end_are_refused() -> None:
    literals = (b"* 1 FETCH (UID 1 BODY[]<0> {900000}\r\n" + b"x" * 900_000 + b")\r\n") * 3
    assert "it announces 900000 bytes" in at_an_endless_server(None, 600, at=b"FETCH", answer=literals, byte=b"x")
    lines = (b"* OK " + b"still here " * 5_000 + b"\r\n") * 40
    assert "with more than 2000000 bytes" in at_an_endless_server(None, 600, at=b"SEARCH", answer=lines, byte=b"x")


# --- Maildir ---------------------------------------------------------------------------------------------------------


def test_a_maildir_is_read_new_and_seen_and_put_away_where_dovecot_finds_it(
    host: MailHost, inbox: imaplib.IMAP4
) -> None:
    put(inbox, MAIL + b"1", MAIL + b"2", MAIL + b"3")
    inbox.select("INBOX")
    inbox.store("1", "+FLAGS", r"\Seen")
    inbox.store("3", "+FLAGS", r"\Deleted")
    with open_mailbox(BouncesConfig(maildir=host.folder / "mail" / USER)) as mailbox:
        mails = list(mailbox.mails())
        assert sorted(mail.raw.replace(b"\r\n", b"\n") for mail in mails) == [
            MAIL.replace(b"\r\n", b"\n") + digit for digit in (b"1", b"2")
        ]
        for mail in mails:
            mailbox.file(mail, "Processed")
            mailbox.file(mail, "Processed")
    for path in (host.folder / "mail" / USER).rglob("*"):  # root has moved them
        os.chown(path, *_owner(host))
    assert [number(inbox, folder) for folder in ("INBOX", "Processed")] == [1, 2]


def _owner(host: MailHost) -> tuple[int, int]:
    found = (host.folder / "mail").stat()
    return found.st_uid, found.st_gid


def test_what_is_no_maildir_is_for_a_person(tmp_path: Path) -> None:
    with pytest.raises(MailboxMisconfigured, match="is no Maildir"), open_mailbox(BouncesConfig(maildir=tmp_path)):
        pass
    with pytest.raises(MailboxMisconfigured, match=r"bounces\.maildir or bounces\.imap"), open_mailbox(BouncesConfig()):
        pass


def test_of_a_maildir_folder_the_files_from_before_a_time_are_deleted(tmp_path: Path) -> None:
    for part in ("new", "cur", "tmp", ".Processed/cur", ".Processed/new", ".Processed/tmp"):
        (tmp_path / part).mkdir(parents=True)
    times = {"old:2,S": -60.0, "young:2,S": 60.0}
    before = datetime(2026, 3, 1, tzinfo=UTC)
    for part in ("cur", ".Processed/cur", ".Processed/new", ".Processed/tmp"):
        for name, seconds in times.items():
            path = tmp_path / part / name
            path.write_bytes(MAIL)
            os.utime(path, (before.timestamp() + seconds,) * 2)
    with open_mailbox(BouncesConfig(maildir=tmp_path)) as mailbox:
        assert mailbox.prune("Processed", before) == 2
        assert mailbox.prune("Nowhere", before) == 0
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*:2,S"))
    assert left == sorted(
        f"{part}/{name}"
        for part in ("cur", ".Processed/cur", ".Processed/new", ".Processed/tmp")
        for name in times
        if name.startswith("young") or part in ("cur", ".Processed/tmp")
    )


# --- the whole way ---------------------------------------------------------------------------------------------------


def newsletter(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    call = [*program.COMMAND, "-c", str(folder / "config.yaml"), *words]
    return program.run(call, cwd=ROOT, capture_output=True, text=True, check=False)


def configure(folder: Path, host: MailHost, verp: str) -> None:
    """A list that sends through the Postfix of `host`, and reads its Dovecot's bounces."""
    (folder / "config.yaml").write_text(
        f"sender: Daily Papers <digest@{DOMAIN}>\nbounce_address: {USER}\npostal_address: 1 Example Street\n"
        f"list_id: papers.{DOMAIN}\nfeeds:\n  - url: {ROOT}/newsletter/sample_day.json\nsecret: a secret of this test\n"
        f"smtp:\n  - host: 127.0.0.1\n    port: {host.smtp_port}\n"
        f"bounces:\n  verp: {verp}\n  imap:\n    host: localhost\n    port: {host.imaps_port}\n    username: {USER}\n"
        f"    password: {PASSWORD}\n    ca_file: {host.folder}/authority.pem\n",
        "utf-8",
    )
    (folder / "config.yaml").chmod(0o600)


def states(folder: Path) -> dict[str, str]:
    """The status of each reader, by local part."""
    with Store.open(f"sqlite:///{folder}/newsletter.db") as store:
        return {reader.address.partition("@")[0]: reader.status for reader in store.subscribers()}


@pytest.mark.parametrize("verp", ["true", "false"])
def test_a_copy_that_postfix_returns_suppresses_just_its_reader(
    host: MailHost, inbox: imaplib.IMAP4, tmp_path: Path, verp: str
) -> None:
    configure(tmp_path, host, verp)
    quiet = newsletter(tmp_path, "bounces")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    newsletter(tmp_path, "subscribers", "add", f"{UNREAD}@{DOMAIN}", f"nobody@{DOMAIN}")
    assert "2 accepted" in newsletter(tmp_path, "run").stdout  # Postfix takes them, and Dovecot knows no nobody
    assert len(host.raw_inbox(USER, 1)) == 1
    done = newsletter(tmp_path, "bounces")
    assert (done.returncode, done.stdout) == (0, "bounces: 1 read (1 permanent), 1 suppressed\n"), done.stderr
    assert newsletter(tmp_path, "bounces").stdout == ""
    assert states(tmp_path) == {UNREAD: "active", "nobody": "suppressed"}
    assert "1 permanent" in newsletter(tmp_path, "status").stdout
    assert number(inbox, "Processed") == 1


def test_many_copies_that_postfix_returns_wait_for_the_operator(
    host: MailHost, inbox: imaplib.IMAP4, tmp_path: Path
) -> None:
    configure(tmp_path, host, "false")
    gone = [f"nobody{number}" for number in range(8)]
    newsletter(tmp_path, "subscribers", "add", f"{UNREAD}@{DOMAIN}", *(f"{name}@{DOMAIN}" for name in gone))
    assert "9 accepted" in newsletter(tmp_path, "run").stdout
    assert len(host.raw_inbox(USER, 8)) == 8
    done = newsletter(tmp_path, "bounces")
    assert (done.returncode, done.stdout) == (75, "bounces: 8 read (8 permanent), 8 held\n"), done.stderr
    assert number(inbox, "Processed") == 8
    assert set(states(tmp_path).values()) == {"active"}
    assert newsletter(tmp_path, "bounces", "--confirm").stdout == "bounces: 8 suppressed\n"
    assert states(tmp_path) == {UNREAD: "active"} | dict.fromkeys(gone, "suppressed")
