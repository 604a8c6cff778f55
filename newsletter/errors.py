"""The errors that a user may see, as one tree with their exit codes (sysexits.h).

Each message is one line that says what is wrong, where, and what to do next.

NewsletterError
├── ConfigError             78  a key is wrong: file, line, key
├── MissingExtra            78  an extra of the package is not installed
├── FeedError               75  no usable response from a feed
│   └── FeedFormatError     75  a response, but not a feed
├── TemplateError            1  a template is broken: file, line
├── AddressError             1  not an address to which mail can be sent
├── BackupError              1  a backup cannot be made, or is refused
├── StoreError               1  the database cannot be used (a wrong `store` is a ConfigError)
│   ├── StoreOutdated        1  it is older than what was sent: the operator must decide
│   ├── StoreNewer          78  a newer version of this program made its tables
│   ├── StoreForbidden       1  this account may not read or write it
│   ├── StoreFull            1  its disk is full
│   ├── WitnessUnreadable    1  the witness beside it cannot be read
│   ├── StoreBusy           75  another process holds its lock
│   └── StoreAway           75  its server cannot be reached or closed the connection
├── ServerUnavailable       75  a server does not do now what is asked of it
│   ├── TransportUnavailable 75  the mail server took nothing
│   │   ├── SenderRefused   75  the mail server refuses this sender for now: a quota, a rate, reputation
│   │   └── TransportMisconfigured 78  trying again does not help: login refused, certificate wrong
│   ├── MailboxUnavailable  75  the bounce mailbox cannot be read now
│   │   └── MailboxMisconfigured 78  trying again does not help: login refused, certificate wrong, no such folder
│   └── TokenUnavailable    75  no access token for a login can be had now
│       └── TokenRefused    78  trying again does not help: the refresh token has expired, the command is wrong
├── ParsersGone             75  the process that starts parsers was killed
├── Stopped                 75  a signal ended the run before it sent anything
└── IssuePaused             75  an issue waits for the operator
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import ClassVar, Final

_LONGEST: Final = 2_000  # characters of a message


class NewsletterError(Exception):
    """An error that a user can act on. `exit_code` is the exit code of the command.

    `str(error)` is one line of at most 2,000 characters. It may quote a file or a server, so "?" stands for each
    character that a terminal would obey or not show, such as ESC and the marks of writing direction.
    """

    exit_code: ClassVar[int] = 1

    def __str__(self) -> str:
        text = super().__str__()[:_LONGEST]
        return text if text.isprintable() else "".join(each if each.isprintable() else "?" for each in text)


class ConfigFault(Enum):
    """Kinds of mistakes in config.yaml that `newsletter check` does not mend by setting the key."""

    NO_FILE = auto()
    CLOSED = auto()  # this account may not read the file
    NOT_UTF8 = auto()
    UTF16 = auto()
    UNKNOWN_KEY = auto()
    GIVEN_TWICE = auto()
    MISSING = auto()
    NOT_A_LIST = auto()
    SEVERAL_KEYS = auto()  # they exclude each other, and only a person knows which is meant
    POSTGRESQL_URL = auto()


@dataclass(frozen=True, slots=True)
class Mistake:
    """What a program can know of a mistake in config.yaml, so that it need not read the message.

    `given` is the value as it stands there, `meant` what was probably meant, and `choices` are all that is allowed.
    `beside` names the key of the same mapping that lacks a value. `variable` is one that the environment does not have.
    """

    fault: ConfigFault | None = None
    given: str = ""
    meant: str = ""
    choices: tuple[str, ...] = ()
    beside: str = ""
    variable: str = ""


class ConfigError(NewsletterError):
    """The configuration is wrong. The message names the place: ``config.yaml:12: smtp.port: expected a number``."""

    exit_code = os.EX_CONFIG

    def __init__(
        self,
        message: str,
        *,
        path: Path | str | None = None,
        line: int | None = None,
        key: str = "",
        mistake: Mistake = Mistake(),
    ) -> None:
        """`path` is the configuration file; `line` counts from 1; `key` is dotted, such as ``smtp.0.port``."""
        self.message, self.path, self.line, self.key, self.mistake = message, path, line, key, mistake
        where = "" if path is None else f"{path}:{line}: " if line is not None else f"{path}: "
        super().__init__(f"{where}{key}: {message}" if key else f"{where}{message}")

    def in_file(self, path: Path) -> ConfigError:
        """This error with `path` as the file to correct, for mistakes found only when a value is used."""
        if self.path is not None:
            return self
        return ConfigError(self.message, path=path, key=self.key, mistake=self.mistake)


class MissingExtra(NewsletterError):
    """A command or config key needs an extra of this package that is not installed."""

    exit_code = os.EX_CONFIG

    def __init__(self, what: str, extra: str, reason: str = "") -> None:
        """`what` is the command or config key that needs `extra`; `reason` says why an installed one does not work."""
        why = f" ({reason})" if reason else ""
        super().__init__(f"{what} needs the extra \"{extra}\": pip install 'daily-papers-newsletter[{extra}]'{why}")


class FeedError(NewsletterError):
    """A feed gave no usable response. A later run may succeed.

    `status` is that of the HTTP response that refused it, 0 if there was none. `named` is the URL of the feed that a
    web page names, where a web page came instead of a feed; else it is empty.
    """

    exit_code = os.EX_TEMPFAIL

    def __init__(self, message: str, *, status: int = 0, named: str = "") -> None:
        super().__init__(message)
        self.status, self.named = status, named


class FeedFormatError(FeedError):
    """The response is not a feed: a login page, broken JSON, XML with an entity bomb."""


class TemplateError(NewsletterError):
    """A template cannot be rendered; nothing is sent. The message begins with the template's file and line.

    `file` is that file; it may be a name alone for a template that does not exist.
    """

    def __init__(self, message: str, file: Path | None = None) -> None:
        super().__init__(message)
        self.file = file


class AddressError(NewsletterError):
    """Not an address to which mail can be sent."""

    def __init__(self, message: str, fault: str = "other") -> None:
        """`message` names the address; `fault` is the kind of mistake for the person who typed it (addresses.Fault)."""
        super().__init__(message)
        self.fault = fault


class BackupError(NewsletterError):
    """A backup cannot be made, or one is refused; nothing has been changed."""


class StoreError(NewsletterError):
    """The database cannot be used. Nothing is sent without it."""


class StoreOutdated(StoreError):
    """The database is older than what was sent, as a restored backup is; nothing is sent until a person decides."""


class StoreNewer(StoreError):
    """A newer version of this program made the tables of the database."""

    exit_code = os.EX_CONFIG


class StoreForbidden(StoreError):
    """The account that runs the program may not read or write the database, or its folder."""


class StoreFull(StoreError):
    """The disk of the database is full."""


class WitnessUnreadable(StoreError):
    """The witness beside the database cannot be read, so it is not known whether the database is the newest copy."""

    def __init__(self, message: str, path: Path) -> None:
        """`path` is the witness."""
        super().__init__(message)
        self.path = path


class StoreBusy(StoreError):
    """Another process kept the database locked beyond the timeout."""

    exit_code = os.EX_TEMPFAIL


class StoreAway(StoreError):
    """The database server cannot be reached or closes connections. A later run may succeed."""

    exit_code = os.EX_TEMPFAIL


class Trouble(Enum):
    """What goes wrong with a server, where `newsletter check` has a remedy for it."""

    TLS = auto()  # its port begins TLS in the other way
    STARTTLS = auto()  # it does not offer STARTTLS, or refuses it
    CERTIFICATE = auto()  # it cannot be trusted
    CA_FILE = auto()  # the file cannot be used
    HELO = auto()  # it refuses the name for EHLO
    NO_LOGIN = auto()  # it offers no login that this program can use
    LOGIN = auto()  # it refuses the login
    CREDENTIALS = auto()  # the password or access token cannot be read from where the operator has it
    ISSUER = auto()  # the issuer of access tokens gives none now
    FOLDER = auto()  # there is no such mail folder


class ServerUnavailable(NewsletterError):
    """A server does not do now what is asked of it: a mail server, the bounce mailbox or an issuer of tokens.

    `trouble` is None if the session could not be opened, for a reason that only the message tells. `code` is that of
    the reply (SMTP), 0 if there was none. `auth` is the value of the key `auth` with which the server offers a login;
    `variable` is one that the environment does not have.
    """

    exit_code = os.EX_TEMPFAIL

    def __init__(
        self, message: str, trouble: Trouble | None = None, *, code: int = 0, auth: str = "", variable: str = ""
    ) -> None:
        super().__init__(message)
        self.trouble, self.code, self.auth, self.variable = trouble, code, auth, variable


class TransportUnavailable(ServerUnavailable):
    """The mail server could not be reached or refused the session. No copy counts as tried."""


class SenderRefused(TransportUnavailable):
    """The mail server refuses this sender for now: a quota, a rate, reputation. It is left alone for some time."""


class TransportMisconfigured(TransportUnavailable):
    """The mail server refuses the login, or its certificate is not valid. The operator must act."""

    exit_code = os.EX_CONFIG


class MailboxUnavailable(ServerUnavailable):
    """The bounce mailbox cannot be read now. Its mails stay there for the next run."""


class MailboxMisconfigured(MailboxUnavailable):
    """The login, certificate or folder of the bounce mailbox is wrong. The operator must act."""

    exit_code = os.EX_CONFIG


class TokenUnavailable(ServerUnavailable):
    """No access token for a login can be had now: its issuer does not answer, or the command that prints it fails."""


class TokenRefused(TokenUnavailable):
    """The issuer refuses a token for good, or what gives it is wrong. The operator must act."""

    exit_code = os.EX_CONFIG


class ParsersGone(NewsletterError):
    """The process that starts parsers was killed, as by a system without memory. No document is to blame."""

    exit_code = os.EX_TEMPFAIL


class Stopped(NewsletterError):
    """SIGTERM or Ctrl-C ended a run before it sent anything. The next run does the same work."""

    exit_code = os.EX_TEMPFAIL


class IssuePaused(NewsletterError):
    """Sending of an issue has stopped until the operator acts: many copies were refused alike, or the canary's was."""

    exit_code = os.EX_TEMPFAIL
