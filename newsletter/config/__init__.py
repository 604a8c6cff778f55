"""config.yaml in, a frozen Config out; every mistake is an error with file, line, key and the nearest right spelling.

A table lists what each mapping may hold; the dataclasses say what the program gets. Opens no socket and no database.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import yaml

from newsletter.config import fields as v
from newsletter.config.fields import Secret
from newsletter.config.yaml_nodes import ENV, Place, Table, entries, items, mapping, pairs, root
from newsletter.errors import ConfigError
from newsletter.issue.calendar import CALENDARS, Calendar, calendar_of, day_due
from newsletter.issue.filters import Filters
from newsletter.issue.rules import IssueRules
from newsletter.links import LONGEST_BOUNCE_LOCAL_PART, Links
from newsletter.model import BouncePolicy, Publication

__all__ = [
    "TABLES",
    "AlertConfig",
    "BouncesConfig",
    "Config",
    "DkimConfig",
    "FeedConfig",
    "FetchConfig",
    "ImapConfig",
    "RetentionConfig",
    "Secret",
    "SendingConfig",
    "SmtpConfig",
    "WebConfig",
    "load",
]


@dataclass(frozen=True, slots=True)
class FeedConfig:
    """One source. `url` may hold ``{date}``; a path is absolute here. `votes` is None, an element or a /pattern/.

    `rhythm` is in working days: when its newest entry is older, the feed is stale. `calendar` is how it counts
    its days; None: as the operator does.
    """

    url: str
    name: str | None = None
    votes: str | None = None
    rhythm: float = 5.0
    calendar: Calendar | None = None


@dataclass(frozen=True, slots=True)
class FetchConfig:
    """Bounds of one feed's fetch: seconds in all, bytes after decompression, attempts."""

    deadline: float = 60.0
    max_bytes: int = 10_000_000
    attempts: int = 3


@dataclass(frozen=True, slots=True)
class SmtpConfig:
    """One mail server; `timeout` in seconds per answer, `rate` in messages per second, `per_day` in any 24 hours."""

    host: str = "localhost"
    port: int = 25
    tls: str = "none"
    ca_file: Path | None = None
    username: str | None = None
    password: Secret | None = None
    timeout: float = 60.0
    connections: int = 4
    messages_per_connection: int | None = None
    rate: float | None = None
    per_day: int | None = None


@dataclass(frozen=True, slots=True)
class SendingConfig:
    """How careful the send loop is. `canary` is the reader whose copy goes first and must be accepted."""

    uncertain: str = "resend"
    canary: str | None = None
    pause_after: int = 5
    pause_share: float = 0.5


@dataclass(frozen=True, slots=True)
class AlertConfig:
    """Who is told when there was no issue on so many days with a run; nobody without an address."""

    address: str | None = None
    after: int = 3


@dataclass(frozen=True, slots=True)
class DkimConfig:
    """A key that signs every copy (RFC 6376), published under `selector`."""

    selector: str
    private_key_file: Path


@dataclass(frozen=True, slots=True)
class ImapConfig:
    """A mailbox on an IMAP server; `timeout` in seconds for each answer."""

    host: str
    port: int = 993
    tls: str = "implicit"
    ca_file: Path | None = None
    username: str | None = None
    password: Secret | None = None
    folder: str = "INBOX"
    timeout: float = 60.0


@dataclass(frozen=True, slots=True)
class BouncesConfig:
    """Where mails come back to: a Maildir or an IMAP server, one of them, or none.

    What was read is moved to the folder `processed`, what a person should look at to `kept`. `verp` gives each copy a
    reverse path of its own.
    """

    maildir: Path | None = None
    imap: ImapConfig | None = None
    processed: str = "Processed"
    kept: str = "Kept"
    verp: bool = False
    policy: BouncePolicy = field(default_factory=BouncePolicy)


@dataclass(frozen=True, slots=True)
class WebConfig:
    """The web pages: sign-ups in an hour, from one network address and in all, and whose X-Forwarded-For counts."""

    per_ip: int = 20
    overall: int = 500
    trusted_proxy: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class RetentionConfig:
    """How many days things are kept in the store; 0 keeps them for ever. Issues and the list are always kept."""

    deliveries: int = 90
    reports: int = 90
    runs: int = 90


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration. Each stage of the pipeline is given its own part of it, never the whole."""

    path: Path
    publication: Publication
    timezone: ZoneInfo
    feeds: tuple[FeedConfig, ...]
    fetch: FetchConfig
    issue: IssueRules
    templates: Path | None
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
    witness: Path | None = None
    warnings: tuple[str, ...] = ()

    @property
    def calendars(self) -> tuple[Calendar, ...]:
        """Those of the feeds that have one."""
        return tuple(feed.calendar for feed in self.feeds if feed.calendar is not None)

    def today(self, now: datetime) -> date:
        """The day of the issue that is due at `now` (aware), in the calendars of the feeds and the operator's zone."""
        return day_due(self.calendars, self.timezone, now)

    def links(self, publication: Publication | None = None, key_id: str | None = None) -> Links:
        """What makes and checks the links of a publication, this one or the one that was frozen with an issue.

        `key_id` is the id of the secret that makes them (links.py). Raises ConfigError when there is no secret.
        """
        old = [secret.reveal() for secret in self.old_secrets]
        return Links(self.secret.reveal(), publication or self.publication, old, key_id)

    @property
    def witness_file(self) -> Path | None:
        """The store's witness (store/provenance.py): as configured, beside this file for PostgreSQL, else the store's.

        None: it stands beside the SQLite file.
        """
        if self.witness is not None or self.store.startswith("sqlite"):
            return self.witness
        return self.path.absolute().with_name(f"{self.path.name}.witness")

    def address_hasher(self) -> Callable[[str], Sequence[str]] | None:
        """What the store recognises forgotten addresses by; None when there is no secret at hand."""
        try:
            return self.links().forgotten_hashes
        except ConfigError:
            return None


# --- what each mapping may hold --------------------------------------------------------------------------------------

_FEED: Final[Table] = {
    "url": v.feed_url,
    "name": v.optional(v.text),
    "votes": v.optional(v.votes),
    "rhythm": v.number(0, 366),
    "calendar": v.optional(v.choice(*CALENDARS)),
}
_FETCH: Final[Table] = {"deadline": v.number(0, 3600), "max_megabytes": v.number(0, 1000), "attempts": v.whole(1, 10)}
_ISSUE: Final[Table] = {
    "max_papers": v.whole(1, 1000),
    "sections": v.choice("merged", "source"),
    "min_upvotes": v.whole(0, 10**9),
    "lifetime": v.number(0, 24 * 31),
    "look_back": v.whole(0, 31),
    "max_rising": v.whole(0, 100),
    "catch_up": v.whole(0, 31),
}
_FILTERS: Final[Table] = dict.fromkeys(("include", "exclude", "pin", "authors", "organisations", "categories"), v.words)
_SMTP: Final[Table] = {
    "host": v.text,
    "port": v.whole(1, 65535),
    "tls": v.choice("none", "starttls", "implicit"),
    "ca_file": v.optional(v.file),
    "username": v.optional(v.text),
    "password": v.optional(v.secret),
    "password_file": v.optional(v.secret_file),
    "timeout": v.number(0, 3600),
    "connections": v.whole(1, 256),
    "messages_per_connection": v.optional(v.whole(1, 10**6)),
    "rate": v.optional(v.number(0, 10**6)),
    "per_day": v.optional(v.whole(1, 10**6)),
}
_SENDING: Final[Table] = {
    "uncertain": v.choice("resend", "hold"),
    "canary": v.optional(v.bare_address),
    "pause_after": v.whole(1, 10**6),
    "pause_share": v.number(0, 1),
}
_ALERTS: Final[Table] = {"address": v.optional(v.bare_address), "after": v.whole(1, 366)}
_IMAP: Final[Table] = {
    "host": v.text,
    "port": v.whole(1, 65535),
    "tls": v.choice("none", "starttls", "implicit"),
    "ca_file": v.optional(v.file),
    "username": v.text,
    "password": v.optional(v.secret),
    "password_file": v.optional(v.secret_file),
    "folder": v.text,
    "timeout": v.number(0, 3600),
}
_POLICY: Final[Table] = {
    "hard": v.whole(0, 1000),
    "soft": v.whole(0, 1000),
    "soft_days": v.whole(1, 366),
    "complaint": v.whole(0, 1000),
}


def _imap(place: Place) -> ImapConfig | None:
    if place.is_null:
        return None
    values = _secret_or_file(place, mapping(place, _IMAP, required=("host", "username")), "password")
    if "port" not in values and values.get("tls", "implicit") != "implicit":
        values["port"] = 143
    server = ImapConfig(**values)
    if server.password is None:
        raise place.error("username needs password or password_file")
    _no_clear_login(place, server.tls, server.host)
    return server


def _policy(place: Place) -> BouncePolicy:
    return BouncePolicy(**mapping(place, _POLICY))


_BOUNCES: Final[Table] = {
    "maildir": v.optional(v.file),
    "imap": _imap,
    "processed": v.folder,
    "kept": v.folder,
    "verp": v.flag,
    "policy": _policy,
}
_DKIM: Final[Table] = {"selector": v.text, "private_key_file": v.file}
_WEB: Final[Table] = {
    "per_ip": v.whole(1, 10**6),
    "overall": v.whole(1, 10**6),
    "trusted_proxy": v.network_address,
}


_RETENTION: Final[Table] = dict.fromkeys(("deliveries", "reports", "runs"), v.whole(0, 3660))


def _feeds(place: Place) -> tuple[FeedConfig, ...]:
    return tuple(_feed(mapping(item, _FEED, required=("url",))) for item in items(place))


def _feed(values: dict[str, Any]) -> FeedConfig:
    named = values.pop("calendar", None)
    return FeedConfig(**values, calendar=CALENDARS[named] if named else calendar_of(values["url"]))


def _fetch(place: Place) -> FetchConfig:
    values = mapping(place, _FETCH)
    if "max_megabytes" in values:
        values["max_bytes"] = int(values.pop("max_megabytes") * 1_000_000)
    return FetchConfig(**values)


def _issue(place: Place) -> IssueRules:
    return IssueRules(**mapping(place, _ISSUE))


def _filters(place: Place) -> Filters:
    return Filters(**mapping(place, _FILTERS))


def _sending(place: Place) -> SendingConfig:
    return SendingConfig(**mapping(place, _SENDING))


def _alerts(place: Place) -> AlertConfig:
    return AlertConfig(**mapping(place, _ALERTS))


def _dkim(place: Place) -> tuple[DkimConfig, ...]:
    if place.is_null:
        return ()
    required = ("selector", "private_key_file")
    return tuple(DkimConfig(**mapping(item, _DKIM, required=required)) for item in items(place))


def _web(place: Place) -> WebConfig:
    return WebConfig(**mapping(place, _WEB))


def _retention(place: Place) -> RetentionConfig:
    return RetentionConfig(**mapping(place, _RETENTION))


def _old_secrets(place: Place) -> tuple[Secret, ...]:
    return tuple(v.secret(item) for item in items(place))


def _smtp(place: Place) -> tuple[SmtpConfig, ...]:
    return tuple(_server(item) for item in items(place))


def _server(place: Place) -> SmtpConfig:
    values = _secret_or_file(place, mapping(place, _SMTP), "password")
    server = SmtpConfig(**values)
    if server.username is not None:
        if server.password is None:
            raise place.error("username needs password or password_file")
        _no_clear_login(place, server.tls, server.host)
    return server


def _no_clear_login(place: Place, tls: str, host: str) -> None:
    if tls == "none" and host not in ("localhost", "127.0.0.1", "::1"):
        raise place.error(f"a login at {host} would send the password in clear: set tls to starttls or implicit")


def _bounces(place: Place) -> BouncesConfig:
    found = BouncesConfig(**mapping(place, _BOUNCES))
    if found.maildir is not None and found.imap is not None:
        raise place.error("maildir and imap are both given; keep one")
    if found.processed == found.kept:
        raise place.error("processed and kept must be two folders")
    return found


_ROOT: Final[Table] = {
    "title": v.text,
    "sender": v.mailbox,
    "postal_address": v.text,
    "bounce_address": v.optional(v.bare_address),
    "base_url": v.optional(v.base_url),
    "list_id": v.list_id,
    "timezone": v.zone,
    "language": v.language,
    "direction": v.choice("ltr", "rtl"),
    "feeds": _feeds,
    "fetch": _fetch,
    "issue": _issue,
    "filters": _filters,
    "templates": v.optional(v.file),
    "store": v.store_url,
    "witness": v.optional(v.file),
    "secret": v.optional(v.signing(v.secret)),
    "secret_file": v.optional(v.signing(v.secret_file)),
    "old_secrets": _old_secrets,
    "smtp": _smtp,
    "sending": _sending,
    "alerts": _alerts,
    "bounces": _bounces,
    "dkim": _dkim,
    "web": _web,
    "retention": _retention,
}

# Every key of config.yaml, dotted; `tests/test_config.py` holds the shipped file equal to it.
TABLES: Final[Mapping[str, Table]] = {
    "": _ROOT,
    "feeds": _FEED,
    "fetch": _FETCH,
    "issue": _ISSUE,
    "filters": _FILTERS,
    "smtp": _SMTP,
    "sending": _SENDING,
    "alerts": _ALERTS,
    "bounces": _BOUNCES,
    "bounces.imap": _IMAP,
    "bounces.policy": _POLICY,
    "dkim": _DKIM,
    "web": _WEB,
    "retention": _RETENTION,
}


def load(path: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """Read and check `path`. Raises ConfigError with file, line and key; secrets are looked up only when revealed."""
    place = root(path, environ)
    values = _secret_or_file(
        place, mapping(place, _ROOT, required=("sender", "postal_address", "list_id", "feeds")), "secret"
    )
    templates = values.get("templates")
    if templates is not None and not templates.is_dir():
        raise _find(place, "templates").error(f"no such folder: {templates}")
    sender = values["sender"]
    bounces = values.get("bounces", BouncesConfig())
    bounce_address = values.get("bounce_address") or sender.address
    if bounces.verp and len(bounce_address.rpartition("@")[0]) > LONGEST_BOUNCE_LOCAL_PART:
        most = f"more than {LONGEST_BOUNCE_LOCAL_PART} characters before its @"
        raise _find(place, "bounces").error(f"verp adds a token to {bounce_address}, which has {most}")
    return Config(
        path=path,
        publication=Publication(
            title=values.get("title", "Daily Papers"),
            sender=sender,
            bounce_address=bounce_address,
            postal_address=values["postal_address"],
            list_id=values["list_id"],
            base_url=values.get("base_url"),
            language=values.get("language", "en"),
            direction=values.get("direction", "ltr"),
            verp=bounces.verp,
        ),
        timezone=values.get("timezone", ZoneInfo("UTC")),
        feeds=values["feeds"],
        fetch=values.get("fetch", FetchConfig()),
        issue=values.get("issue", IssueRules()),
        filters=values.get("filters", Filters()),
        templates=templates,
        store=values.get("store") or f"sqlite:///{place.path('newsletter.db')}",
        secret=values.get("secret") or Secret(lambda: _missing_secret(place)),
        smtp=values.get("smtp", (SmtpConfig(),)),
        old_secrets=values.get("old_secrets", ()),
        sending=values.get("sending", SendingConfig()),
        alerts=values.get("alerts", AlertConfig()),
        bounces=bounces,
        dkim=values.get("dkim", ()),
        web=values.get("web", WebConfig()),
        retention=values.get("retention", RetentionConfig()),
        witness=values.get("witness"),
        warnings=tuple(_open_secrets(place)),
    )


def _missing_secret(place: Place) -> str:
    raise place.error("secret is missing: set secret or secret_file (`newsletter init` makes one)")


def _find(place: Place, name: str) -> Place:
    return next((child for key, child in pairs(place, _ROOT) if key == name), place)


def _secret_or_file(place: Place, values: dict[str, Any], name: str) -> dict[str, Any]:
    """Fold `name_file` into `name`; a file wins over an unset environment, never over a second value."""
    from_file = values.pop(f"{name}_file", None)
    if from_file is not None:
        if values.get(name) is not None:
            raise place.error(f"{name} and {name}_file are both given; keep one")
        values[name] = from_file
    return values


_WRITTEN: Final = ("secret", "password")
_IN_FILES: Final = ("secret_file", "password_file", "private_key_file")


def _open_secrets(place: Place) -> Iterator[str]:
    """A warning for each secret in a file that others may read: this one, or one that it names."""
    for name, child in entries(place):
        if name in _IN_FILES and not child.is_null:
            path = v.file(child)
        elif name in _WRITTEN and isinstance(child.node, yaml.ScalarNode) and not child.is_null:
            if ENV.search(child.node.value):
                continue
            path = child.file
        else:
            continue
        if _is_open(path):
            yield f"{child.file}:{child.line}: {child.key} can be read by others; chmod 600 {path}"


def _is_open(path: Path) -> bool:
    """Whether others than its owner and group may use the file; one that is not there is named when it is needed.

    A DKIM key is often shared with a mail server by its group.
    """
    try:
        return path.stat().st_mode & 0o007 != 0
    except OSError:
        return False
