"""Reads the bounce mailbox, a Maildir or an IMAP folder, and moves each mail away when it has been dealt with.

A mail is moved only after its report is in the store. After a crash in between it is read again, and the store
recognises it.
"""

from __future__ import annotations

import imaplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from mailbox import Maildir
from pathlib import Path
from typing import Any, Final, Protocol

from newsletter.bounces.limited_imap import LimitedImap, LimitedImapTls
from newsletter.bounces.login import log_in
from newsletter.config import BouncesConfig, ImapConfig
from newsletter.errors import (
    ConfigError,
    MailboxMisconfigured,
    MailboxUnavailable,
    TokenRefused,
    TokenUnavailable,
    Trouble,
)
from newsletter.extras import needed
from newsletter.text import one_line
from newsletter.tls import GREETS_WITHIN, IMPLICIT_PORTS, begins_with_tls, is_plain_text

# Bytes of one mail that are read: reports stand at its beginning, and what they return may be of any size.
LARGEST: Final = 1_000_000

# Seconds for a whole session with an IMAP server. The schedule reads the mailbox every hour. A session that takes
# longer has a server that sends too slowly, or too many mails; the next run goes on with those that are left.
SESSION: Final = 900.0

# Bytes with which an IMAP server may answer one command: a mail, or the UIDs of 200,000, and the words around.
_ANSWER: Final = 2 * LARGEST

# Mails that one IMAP command deletes: a command is one line, which servers limit (RFC 7162 section 4: 8,192 bytes).
_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail: its key in the mailbox, and its first LARGEST bytes."""

    key: Path | int
    raw: bytes

    @property
    def name(self) -> str:
        """How the operator finds it: its file, or its UID in the IMAP folder."""
        return self.key.name if isinstance(self.key, Path) else f"the mail with UID {self.key}"


class Mailbox(Protocol):
    """The mailbox that bounces, complaints and unsubscribe mails arrive in."""

    def mails(self) -> Iterator[Mail]:
        """Everything that is there, one by one."""

    def file(self, mail: Mail, folder: str) -> None:
        """Move a mail to a folder beside this one, which is made if there is none. A mail that is gone is no error."""

    def prune(self, folder: str, before: datetime) -> int:
        """Delete the mails of a folder beside that arrived before `before` (aware); returns how many.

        Nothing is deleted from the folder that is read, and none when `folder` does not exist.
        """


@contextmanager
def open_mailbox(config: BouncesConfig, *, session: float = SESSION) -> Iterator[Mailbox]:
    """The configured mailbox. Raises MailboxUnavailable, and MailboxMisconfigured when a person must act.

    `session` is how many seconds it may be open on an IMAP server.

    Raises MissingExtra when an IMAP mailbox is configured and IMAPClient is not installed. A Maildir needs no extra.
    """
    if config.imap is not None:
        with _connected(config.imap, session) as client:
            yield _Imap(client, config.imap)
    elif config.maildir is not None:
        yield _Maildir(config.maildir)
    else:
        raise MailboxMisconfigured("no bounce mailbox is configured: set bounces.maildir or bounces.imap")


# --- Maildir ---------------------------------------------------------------------------------------------------------


class _Maildir:
    """cr.yp.to/proto/maildir.html; folders beside it as in Maildir++, so that Dovecot shows them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._translating():
            there = (path / "cur").is_dir() and (path / "new").is_dir()
        if not there:
            raise MailboxMisconfigured(f"bounces.maildir: {path} is no Maildir (it has no folders cur and new)")

    def mails(self) -> Iterator[Mail]:
        """New and seen mails alike, oldest name first; not those that a mail program marks as deleted."""
        with self._translating():
            found = [file for part in ("new", "cur") for file in (self._path / part).iterdir()]
        for path in sorted(found, key=lambda file: file.name):
            name, _, flags = path.name.partition(":2,")
            if name.startswith(".") or "T" in flags:
                continue
            with self._translating():
                try:
                    with path.open("rb") as file:
                        raw = file.read(LARGEST)
                except FileNotFoundError:
                    continue  # another process was quicker
            yield Mail(path, raw)

    def file(self, mail: Mail, folder: str) -> None:
        """One rename, so that the mail is never in two places nor in none."""
        assert isinstance(mail.key, Path)
        with self._translating():
            Maildir(self._path, create=False).add_folder(folder)
            name = mail.key.name.partition(":2,")[0]
            try:
                mail.key.rename(self._path / f".{folder}" / "cur" / f"{name}:2,S")
            except FileNotFoundError:
                return

    def prune(self, folder: str, before: datetime) -> int:
        """By the time of the file, which is when the mail arrived: moving it has not changed that."""
        number = 0
        with self._translating():
            for part in ("cur", "new"):
                for path in _files(self._path / f".{folder}" / part):
                    with suppress(FileNotFoundError):  # another process was quicker
                        if path.lstat().st_mtime < before.timestamp():
                            path.unlink()
                            number += 1
        return number

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise MailboxMisconfigured(f"bounces.maildir: {error.filename or self._path}: {error.strerror}") from error


def _files(folder: Path) -> list[Path]:
    """The mails of a part of a Maildir; none when it does not exist."""
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file()]
    except FileNotFoundError:
        return []


# --- IMAP ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Imap:
    client: Any  # IMAPClient publishes no types
    config: ImapConfig

    def mails(self) -> Iterator[Mail]:
        """By UID, oldest first; reading sets no flag."""
        with _translating(self.config):
            uids = self.client.search("UNDELETED")
        for uid in uids:
            with _translating(self.config):
                answer = self.client.fetch([uid], [f"BODY.PEEK[]<0.{LARGEST}>"])
            raw = answer.get(uid, {}).get(b"BODY[]<0>")
            if raw is not None:  # else another process was quicker
                yield Mail(uid, raw)

    def file(self, mail: Mail, folder: str) -> None:
        """MOVE (RFC 6851); without it, copy first and then delete, by UID alone (RFC 4315) or not at all."""
        with _translating(self.config):
            if not self.client.folder_exists(folder):
                self.client.create_folder(folder)
            if self.client.has_capability("MOVE"):
                self.client.move([mail.key], folder)
                return
            self.client.copy([mail.key], folder)
            self.client.delete_messages([mail.key], silent=True)
            if self.client.has_capability("UIDPLUS"):
                self.client.uid_expunge([mail.key])

    def prune(self, folder: str, before: datetime) -> int:
        """By INTERNALDATE, whose day alone IMAP compares; by UID, so not on a server without UIDPLUS (RFC 4315)."""
        with _translating(self.config):
            if not self.client.has_capability("UIDPLUS") or not self.client.folder_exists(folder):
                return 0
            if folder.upper() == self.config.folder.upper():
                return 0
            self.client.select_folder(folder)
            try:
                found = self.client.search(["BEFORE", before.date()])
                for start in range(0, len(found), _AT_ONCE):
                    uids = found[start : start + _AT_ONCE]
                    self.client.delete_messages(uids, silent=True)
                    self.client.uid_expunge(uids)
            finally:
                self.client.select_folder(self.config.folder)
        return len(found)


@contextmanager
def _connected(config: ImapConfig, session: float) -> Iterator[Any]:
    """A client that is connected, secured, logged in and in the folder."""
    with needed("imap", "bounces.imap"):
        from imapclient import IMAPClient
        from imapclient.exceptions import IMAPClientError
    with _translating(config):
        implicit = config.tls == "implicit"
        context = None if config.tls == "none" else _context(config)

        def connect(_: Any) -> LimitedImap:
            at, timeout = (config.host, config.port), config.timeout
            if not implicit and config.port in IMPLICIT_PORTS:
                timeout = min(timeout, GREETS_WITHIN)
            if context is not None and implicit:
                return LimitedImapTls(*at, context, timeout=timeout, session=session, answer=_ANSWER)
            return LimitedImap(*at, timeout=timeout, session=session, answer=_ANSWER)

        kind = type("LimitedClient", (IMAPClient,), {"_create_IMAP4": connect})
        client = _greeted(kind, config, context)
    try:
        with _translating(config):
            _enter(client, config, context)
        yield client
    finally:
        with suppress(IMAPClientError, OSError):  # the work is done, and a lost connection has been reported
            client.logout()
        with suppress(OSError):
            client.shutdown()


def _greeted(kind: type[Any], config: ImapConfig, context: ssl.SSLContext | None) -> Any:
    """A client whose server has greeted.

    Raises MailboxMisconfigured for a port that expects implicit TLS where `tls` says STARTTLS, or the reverse.
    """
    implicit = config.tls == "implicit"
    try:
        return kind(config.host, config.port, ssl=implicit, ssl_context=context, timeout=config.timeout)
    except (OSError, imaplib.IMAP4.error) as error:
        if implicit and is_plain_text(error):
            words = "does not begin with TLS, as bounces.imap.tls: implicit asks: set it to starttls (or port to 993)"
            raise MailboxMisconfigured(f"{_name(config)} {words}", Trouble.TLS) from error
        if not implicit and begins_with_tls(config.host, config.port, config.timeout):
            words = f"begins with TLS, and bounces.imap.tls is {config.tls}: set it to implicit (or port to 143)"
            raise MailboxMisconfigured(f"{_name(config)} {words}", Trouble.TLS) from error
        raise


def _enter(client: Any, config: ImapConfig, context: ssl.SSLContext | None) -> None:
    if config.tls == "starttls":
        client.starttls(context)
    log_in(client, config)
    if not client.folder_exists(config.folder):
        said = f"{_name(config)} has no folder {config.folder}; see bounces.imap.folder"
        raise MailboxMisconfigured(said, Trouble.FOLDER)
    client.select_folder(config.folder)


@contextmanager
def _translating(config: ImapConfig) -> Iterator[None]:
    """What went wrong, in one line.

    A login that is refused for now (RFC 5530 UNAVAILABLE), or that the connection did not survive, may work later.
    """
    from imapclient.exceptions import CapabilityError, IMAPClientAbortError, IMAPClientError, LoginError

    where = _name(config)
    try:
        yield
    except ConfigError as error:
        variable = error.mistake.variable
        raise MailboxMisconfigured(f"{where}: {error}", Trouble.CREDENTIALS, variable=variable) from None
    except TokenRefused as error:
        raise MailboxMisconfigured(f"{where}: {error}", Trouble.CREDENTIALS) from None
    except TokenUnavailable as error:
        raise MailboxUnavailable(f"{where}: {error}", error.trouble) from None
    except LoginError as error:
        if isinstance(error.__context__, IMAPClientAbortError):
            raise MailboxUnavailable(f"{where}: {one_line(error)}") from error
        kind = MailboxUnavailable if "UNAVAILABLE" in str(error).upper() else MailboxMisconfigured
        said = f"{where} refused the login of {config.username}: {one_line(error)}"
        raise kind(said, Trouble.LOGIN) from None
    except CapabilityError as error:
        said = f"{where} does not offer STARTTLS, and bounces.imap.tls asks for it"
        raise MailboxMisconfigured(said, Trouble.STARTTLS) from error
    except ssl.SSLCertVerificationError as error:
        reason = f"its certificate cannot be trusted: {error.verify_message}"
        raise MailboxMisconfigured(f"{where}: {reason}; see bounces.imap.ca_file", Trouble.CERTIFICATE) from error
    except (IMAPClientError, OSError) as error:
        raise MailboxUnavailable(f"{where}: {one_line(error)}") from error


def _context(config: ImapConfig) -> ssl.SSLContext:
    """Verifies certificate and name; TLS 1.2 at least."""
    try:
        context = ssl.create_default_context(cafile=config.ca_file)
    except (OSError, ssl.SSLError) as error:
        said = f"bounces.imap.ca_file {config.ca_file} cannot be used: {one_line(error)}"
        raise MailboxMisconfigured(said, Trouble.CA_FILE) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _name(config: ImapConfig) -> str:
    return f"{config.host}:{config.port}"
