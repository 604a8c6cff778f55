"""The configuration as the program gets it: one frozen dataclass for each section of config.yaml.

schema.py describes what each key is for; this module gives types and units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from newsletter.config.fields import Secret
from newsletter.errors import ConfigError
from newsletter.issue.calendar import Calendar, day_due, listing_day
from newsletter.issue.filters import Filters
from newsletter.issue.rules import IssueRules
from newsletter.links import Links
from newsletter.model import BouncePolicy, Publication
from newsletter.sasl import Tokens


@dataclass(frozen=True, slots=True)
class FeedConfig:
    """One feed. `url` may contain ``{date}``, or is an absolute path; `rhythm` is in working days.

    `headers` are names and values, which are secrets. `hidden` are the values of ${NAME} in `url`, which are never
    shown. `calendar` is None if the feed counts its days as the operator does.
    """

    url: str
    name: str | None = None
    votes: str | None = None
    rhythm: float = 5.0
    replacements: bool = False
    headers: tuple[tuple[str, Secret], ...] = ()
    user_agent: str | None = None
    ca_file: Path | None = None
    hidden: tuple[str, ...] = field(default=(), repr=False)
    calendar: Calendar | None = None


@dataclass(frozen=True, slots=True)
class FetchConfig:
    """Limits for one feed: `deadline` in seconds, `max_bytes` after decompression."""

    deadline: float = 60.0
    max_bytes: int = 10_000_000
    attempts: int = 3


@dataclass(frozen=True, slots=True)
class SmtpConfig:
    """One mail server. `timeout` is in seconds for each reply, `rate` in messages per second, `per_day` in messages.

    `helo` is the name to say to it, None an address literal. A login is by `password` or by an access token of `token`.
    With `sendmail`, the words of a command, that program takes the mail, and no connection is made.
    """

    host: str = "localhost"
    port: int = 25
    tls: str = "none"
    ca_file: Path | None = None
    username: str | None = None
    password: Secret | None = None
    token: Tokens | None = None
    helo: str | None = None
    sendmail: tuple[str, ...] = ()
    timeout: float = 60.0
    connections: int = 4
    messages_per_connection: int | None = None
    rate: float | None = None
    per_day: int | None = None


@dataclass(frozen=True, slots=True)
class SendingConfig:
    """The send loop. `pause_after` is in copies, `pause_share` a share between 0 and 1 of the last hundred copies."""

    uncertain: str = "resend"
    canary: str | None = None
    pause_after: int = 5
    pause_share: float = 0.5


@dataclass(frozen=True, slots=True)
class Pings:
    """The URLs of a monitor that are requested when a run begins, went well or failed; None: no request."""

    start: Secret | None = None
    success: Secret | None = None
    failure: Secret | None = None


@dataclass(frozen=True, slots=True)
class AlertConfig:
    """Whom to tell what: mail to the operator, pings and a webhook. `after` is in days with a run and without an issue.

    URLs are secrets. `webhook_secret` signs the POSTs of `webhook`. `summary` asks for a mail after each issue.
    """

    address: str | None = None
    after: int = 3
    pings: Pings = Pings()
    webhook: Secret | None = None
    webhook_secret: Secret | None = None
    summary: bool = False


@dataclass(frozen=True, slots=True)
class DkimConfig:
    """A key that signs each copy (RFC 6376), with its name in DNS."""

    selector: str
    private_key_file: Path


@dataclass(frozen=True, slots=True)
class ImapConfig:
    """A mailbox on an IMAP server. `timeout` is in seconds for each reply; a login is by `password` or `token`."""

    host: str
    port: int = 993
    tls: str = "implicit"
    ca_file: Path | None = None
    username: str | None = None
    password: Secret | None = None
    folder: str = "INBOX"
    timeout: float = 60.0
    token: Tokens | None = None


@dataclass(frozen=True, slots=True)
class BouncesConfig:
    """The bounce mailbox: a Maildir or an IMAP server, never both. `processed` and `kept` name folders in it."""

    maildir: Path | None = None
    imap: ImapConfig | None = None
    processed: str = "Processed"
    kept: str = "Kept"
    verp: bool = False
    policy: BouncePolicy = field(default_factory=BouncePolicy)


@dataclass(frozen=True, slots=True)
class WebConfig:
    """The web pages. `per_ip` and `overall` are in sign-ups per hour; `trusted_proxy` is an address, or ``*``.

    With `first_copy`, a reader who confirms gets the latest issue at once.
    """

    per_ip: int = 20
    overall: int = 500
    first_copy: bool = True
    trusted_proxy: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class SummaryConfig:
    """The operator's program for summaries. `command` is the program and its arguments, empty for none.

    `timeout` is in seconds for each paper, `budget` in papers per run.
    """

    command: tuple[str, ...] = ()
    timeout: float = 60.0
    budget: int = 20


@dataclass(frozen=True, slots=True)
class RetentionConfig:
    """How many days the store keeps things; 0 keeps them for ever. Issues and the list are always kept."""

    deliveries: int = 90
    reports: int = 90
    runs: int = 90


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration. `path` is its file; `warnings` are one line each.

    A stage of the pipeline gets its own section, never the whole.
    """

    path: Path
    publication: Publication
    timezone: ZoneInfo
    feeds: tuple[FeedConfig, ...]
    fetch: FetchConfig
    issue: IssueRules
    templates: Path | None
    catalogues: Path  # folder of the operator's gettext catalogues; it may not exist
    store: str
    secret: Secret
    smtp: tuple[SmtpConfig, ...]
    old_secrets: tuple[Secret, ...] = ()
    filters: Filters = field(default_factory=Filters)
    sending: SendingConfig = SendingConfig()
    alerts: AlertConfig = AlertConfig()
    bounces: BouncesConfig = BouncesConfig()
    dkim: tuple[DkimConfig, ...] = ()
    web: WebConfig = WebConfig()
    retention: RetentionConfig = RetentionConfig()
    summary: SummaryConfig = SummaryConfig()
    witness: Path | None = None
    warnings: tuple[str, ...] = ()

    @property
    def calendars(self) -> tuple[Calendar, ...]:
        """The calendars of the feeds that have one."""
        return tuple(feed.calendar for feed in self.feeds if feed.calendar is not None)

    def today(self, now: datetime) -> date:
        """The newest day that has begun at `now` (aware), by the feeds' calendars and the operator's time zone."""
        return day_due(self.calendars, self.timezone, now)

    def due(self, now: datetime) -> date:
        """The day whose issue is due at `now` (aware): the newest ripe one (`issue.settle`), rest days included."""
        return day_due(self.calendars, self.timezone, now, self.issue.settling)

    def listed(self, now: datetime) -> date:
        """The newest ripe day at `now` (aware) on which the feeds list papers."""
        return listing_day(self.calendars, self.due(now))

    @property
    def witness_file(self) -> Path | None:
        """The store's witness (store/provenance.py): as configured, else beside config.yaml for PostgreSQL.

        None stands for the default of an SQLite store: beside its file.
        """
        if self.witness is not None or self.store.startswith("sqlite"):
            return self.witness
        return self.path.absolute().with_name(f"{self.path.name}.witness")

    def links(self, publication: Publication | None = None, key_id: str | None = None) -> Links:
        """What makes and checks the links of a publication: the configured one, or the one frozen with an issue.

        `key_id` is the id of the secret that makes them (links.py). Raises ConfigError if there is no secret.
        """
        old = [secret.reveal() for secret in self.old_secrets]
        return Links(self.secret.reveal(), publication or self.publication, old, key_id)

    def address_hasher(self) -> Callable[[str], Sequence[str]] | None:
        """Maps an address to the hashes that a forgotten subscriber may be stored under; None without a secret."""
        try:
            return self.links().forgotten_hashes
        except ConfigError:
            return None
