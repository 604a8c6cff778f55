"""The bounce mailbox: opened as `newsletter bounces` does, without reading a mail."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from newsletter.bounces.mailbox import open_mailbox
from newsletter.check import lines
from newsletter.check.lines import UNKNOWN_HOST, Speech
from newsletter.check.remedies import AT_LOGIN, account, credentials, given_to_us, remedy_for
from newsletter.check.values import Command, Context, Finding, Remedy, SetKey, bad, ok, quoted, warn
from newsletter.config import BouncesConfig, ImapConfig
from newsletter.errors import ConfigError, MailboxMisconfigured, MailboxUnavailable, MissingExtra, Trouble
from newsletter.text import one_line

_PARTS = ("new", "cur", "tmp")


def bounces(context: Context) -> Iterator[Finding]:
    """Whether bounces are read, and the mailbox can be."""
    config = context.config.bounces
    if config.maildir is None and config.imap is None:
        said = "no bounce mailbox is configured, so nobody reads bounces and complaints"
        yield warn("bounces", said, SetKey("bounces.maildir", "MAILDIR"))
        return
    before = list(_before_it_is_opened(context, config.imap)) if config.imap is not None else []
    yield from before or [_opened(context, config)]


def _before_it_is_opened(context: Context, imap: ImapConfig) -> Iterator[Finding]:
    """Why an IMAP server is not to be logged in at; nothing if it is."""
    if context.options.offline:
        yield ok("bounces", "not asked (--offline)")
    elif find_spec("imapclient") is None:
        yield _missing(MissingExtra("bounces.imap", "imap"))
    else:
        yield from judge_speech(imap)


def _opened(context: Context, config: BouncesConfig) -> Finding:
    """Open the mailbox, and say whether that works."""
    try:
        with open_mailbox(config):
            closed = _closed(config.maildir) if config.maildir is not None else None
        if closed is None:
            return ok("bounces", "the mailbox can be read")
        said = f"bounces.maildir: {closed} cannot be written by {account()}, so that no mail can be put away"
        return bad("bounces", said, given_to_us(config.maildir or closed, whole=True))
    except MissingExtra as error:
        return _missing(error)
    except ConfigError as error:
        return bad("bounces", str(error), remedy_for(context.path, error))
    except MailboxUnavailable as error:
        remedy = _maildir_remedy(config.maildir) if config.maildir is not None else _imap_remedy(context, error)
        return bad("bounces", str(error), remedy, error.exit_code)


def _closed(maildir: Path) -> Path | None:
    """The first folder that mails cannot be moved from or to; None if this account may do so."""
    rights = os.R_OK | os.W_OK | os.X_OK
    return next((each for each in (maildir, maildir / "cur", maildir / "new") if not os.access(each, rights)), None)


def _missing(error: MissingExtra) -> Finding:
    return bad("bounces", str(error), Command("pip install 'daily-papers-newsletter[imap]'"))


def judge_speech(imap: ImapConfig) -> Iterator[Finding]:
    """Whether the port speaks what `tls` says (implicit on 993, STARTTLS on 143)."""
    heard = lines.listen(imap.host, imap.port, tls_first=imap.tls == "implicit")
    name = f"{imap.host}:{imap.port}"
    if heard.speech is Speech.CLOSED:
        unknown = heard.words.startswith(UNKNOWN_HOST)
        remedy = SetKey("bounces.imap.host", "HOST") if unknown else SetKey("bounces.imap.port", "PORT")
        yield bad("bounces", f"{name}: {heard.words}", remedy, 75)
    elif heard.speech is Speech.PLAIN and not heard.words.startswith("* "):  # RFC 9051 section 7.1
        yield bad("bounces", f"{name} speaks no IMAP: {one_line(heard.words)}", SetKey("bounces.imap.port", "PORT"), 75)
    elif heard.speech is Speech.TLS and imap.tls != "implicit":
        said = f"{name} waits for TLS at once, and bounces.imap.tls is {imap.tls}"
        yield bad("bounces", said, SetKey("bounces.imap.tls", "implicit"))
    elif heard.speech is Speech.PLAIN and imap.tls == "implicit":
        said = f"{name} greets in clear, and bounces.imap.tls is implicit"
        yield bad("bounces", said, SetKey("bounces.imap.tls", "starttls"))


def _maildir_remedy(maildir: Path) -> Remedy:
    """What to do about a Maildir that cannot be read."""
    if maildir.exists() and _closed(maildir) and maildir.stat().st_uid != os.geteuid():
        return given_to_us(maildir, whole=True)
    if maildir.exists() and all((maildir / part).is_dir() for part in _PARTS):
        return Command(f"chmod -R u+rwX {quoted(maildir)}")
    if maildir.exists() and not _empty(maildir):  # a file is an mbox, or something else has this folder
        return SetKey("bounces.maildir", "MAILDIR")
    return Command(f"mkdir -p {' '.join(quoted(maildir / part) for part in _PARTS)}")


# What to write for a key below bounces.imap, by what goes wrong with the server.
_AT_KEY: Final = {
    Trouble.CERTIFICATE: ("ca_file", "FILE"),
    Trouble.CA_FILE: ("ca_file", "FILE"),
    Trouble.FOLDER: ("folder", "INBOX"),
    Trouble.STARTTLS: ("tls", "none"),
    None: ("host", "HOST"),
}


def _imap_remedy(context: Context, error: MailboxUnavailable) -> Remedy:
    """The one thing to do about an IMAP server whose mailbox cannot be opened."""
    if error.trouble in _AT_KEY:
        key, value = _AT_KEY[error.trouble]
        return SetKey(f"bounces.imap.{key}", value)
    passes = error.trouble is Trouble.LOGIN and not isinstance(error, MailboxMisconfigured)
    if error.trouble in AT_LOGIN and not passes:
        return credentials(context, "bounces.imap", error)
    return context.command("check")  # the server, or the issuer of its tokens, may do it later


def _empty(folder: Path) -> bool:
    """Whether a folder holds nothing but what a Maildir has."""
    try:
        return {entry.name for entry in folder.iterdir()} <= set(_PARTS)
    except OSError:
        return False
