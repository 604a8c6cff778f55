"""Every error a user may meet, in one tree; each says what, where, and what to do next.

NewsletterError
├── ConfigError             78  a key is wrong: file, line, key
├── FeedError               75  no usable answer from a feed
│   └── FeedFormatError         an answer came, but it is not a feed we can read
├── TemplateError            1  a template is broken: file and line
├── AddressError             1  not an address we can send to
├── StoreError               1  the database cannot be used; a wrong `store` is a ConfigError
│   ├── StoreBusy           75  another process holds it
│   └── StoreAway           75  its server cannot be reached, or has cut us off
├── TransportUnavailable    75  nothing could be handed to the mail server
│   └── TransportMisconfigured 78  and trying again will not help: login refused, certificate wrong
├── MailboxUnavailable      75  the bounce mailbox cannot be read now
│   └── MailboxMisconfigured 78  and trying again will not help: login refused, certificate wrong, no such folder
└── IssuePaused             75  an issue waits for the operator
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar


class NewsletterError(Exception):
    """Something a user can act on. `str(error)` is one line; `exit_code` is what the command ends with."""

    exit_code: ClassVar[int] = 1


class ConfigError(NewsletterError):
    """The configuration is wrong. Carries the place: ``config.yaml:12: smtp.port: expected a whole number``."""

    exit_code = os.EX_CONFIG

    def __init__(self, message: str, *, path: Path | str | None = None, line: int | None = None, key: str = "") -> None:
        """`line` counts from 1; `key` is dotted, such as ``smtp.0.port``."""
        self.message, self.path, self.line, self.key = message, path, line, key
        where = "" if path is None else f"{path}:{line}: " if line is not None else f"{path}: "
        super().__init__(f"{where}{key}: {message}" if key else f"{where}{message}")

    def in_file(self, path: Path) -> ConfigError:
        """The same, and that `path` is the file to correct: for what shows only when a value is put to use."""
        return self if self.path is not None else ConfigError(self.message, path=path, key=self.key)


class FeedError(NewsletterError):
    """A feed gave no usable answer; another run may fare better."""

    exit_code = os.EX_TEMPFAIL


class FeedFormatError(FeedError):
    """An answer came, but it is not a feed: a login page, broken JSON, an entity bomb."""


class TemplateError(NewsletterError):
    """A template cannot be rendered; nothing is sent. The message opens with the template's file and line."""


class AddressError(NewsletterError):
    """Not an address this program can send to. `reason` is a sentence for whoever typed it."""

    def __init__(self, message: str, reason: str = "") -> None:
        """`message` names the address."""
        super().__init__(message)
        self.reason = reason


class StoreError(NewsletterError):
    """The database cannot be used; nothing is ever sent without it."""


class StoreBusy(StoreError):
    """Another process kept the database locked for longer than we wait."""

    exit_code = os.EX_TEMPFAIL


class StoreAway(StoreError):
    """The database's server cannot be reached, or ends our connections; it may be back for the next run."""

    exit_code = os.EX_TEMPFAIL


class TransportUnavailable(NewsletterError):
    """No mail was handed over: the server could not be reached or would not talk to us. Nobody is charged for it."""

    exit_code = os.EX_TEMPFAIL


class TransportMisconfigured(TransportUnavailable):
    """The server can be reached, but the login or the certificate is wrong: a person must act."""

    exit_code = os.EX_CONFIG


class MailboxUnavailable(NewsletterError):
    """The bounce mailbox cannot be read now; what came stays there for the next run."""

    exit_code = os.EX_TEMPFAIL


class MailboxMisconfigured(MailboxUnavailable):
    """The login, the certificate or the folder of the bounce mailbox is wrong: a person must act."""

    exit_code = os.EX_CONFIG


class IssuePaused(NewsletterError):
    """Nothing more of an issue is sent until the operator has looked: too many refusals alike, or the canary's."""

    exit_code = os.EX_TEMPFAIL
