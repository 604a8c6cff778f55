"""config.yaml in, a frozen Config out; every mistake is an error with file, line, key and the nearest right spelling.

A table lists what each mapping may hold; the dataclasses say what the program gets. Opens no socket and no database.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parseaddr
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import yaml

from newsletter.config import values as v
from newsletter.config.nodes import ENV, Place, Table, items, mapping, pairs, root
from newsletter.config.values import Secret
from newsletter.filters import Filters
from newsletter.links import Links
from newsletter.model import Publication

__all__ = [
    "TABLES",
    "AlertConfig",
    "Config",
    "DkimConfig",
    "FeedConfig",
    "FetchConfig",
    "IssueConfig",
    "Secret",
    "SendingConfig",
    "SmtpConfig",
    "WebConfig",
    "load",
]


@dataclass(frozen=True, slots=True)
class FeedConfig:
    """One source. `url` may hold ``{date}``; a path is absolute here. `votes` is None, an element or a /pattern/.

    `rhythm` is in working days: when its newest entry is older, the feed is stale.
    """

    url: str
    name: str | None = None
    votes: str | None = None
    rhythm: float = 5.0


@dataclass(frozen=True, slots=True)
class FetchConfig:
    """Bounds of one feed's fetch: seconds in all, bytes after decompression, attempts."""

    deadline: float = 60.0
    max_bytes: int = 10_000_000
    attempts: int = 3


@dataclass(frozen=True, slots=True)
class IssueConfig:
    """What goes into the day's issue; `lifetime` is in hours from its freezing.

    `look_back` is in calendar days, `catch_up` in days on which the source lists papers; 0 switches either off.
    """

    max_papers: int = 20
    min_upvotes: int = 0
    lifetime: float = 24.0
    look_back: int = 7
    max_rising: int = 2
    catch_up: int = 5


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
class WebConfig:
    """The web pages: sign-ups in an hour, from one network address and in all, and whose X-Forwarded-For counts."""

    per_ip: int = 20
    overall: int = 500
    trusted_proxy: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration. Each stage of the pipeline is given its own part of it, never the whole."""

    path: Path
    publication: Publication
    timezone: ZoneInfo
    feeds: tuple[FeedConfig, ...]
    fetch: FetchConfig
    issue: IssueConfig
    templates: Path | None
    store: str
    secret: Secret
    smtp: tuple[SmtpConfig, ...]
    old_secrets: tuple[Secret, ...] = ()
    filters: Filters = field(default_factory=Filters)
    sending: SendingConfig = SendingConfig()
    alerts: AlertConfig = AlertConfig()
    dkim: tuple[DkimConfig, ...] = ()
    web: WebConfig = WebConfig()
    warnings: tuple[str, ...] = ()

    def links(self) -> Links:
        """What makes and checks the links of this publication. Raises ConfigError when there is no secret."""
        return Links(self.secret.reveal(), self.publication, [secret.reveal() for secret in self.old_secrets])


# --- what each mapping may hold --------------------------------------------------------------------------------------

_FEED: Final[Table] = {
    "url": v.feed_url,
    "name": v.optional(v.text),
    "votes": v.optional(v.votes),
    "rhythm": v.number(0, 366),
}
_FETCH: Final[Table] = {"deadline": v.number(0, 3600), "max_megabytes": v.number(0, 1000), "attempts": v.whole(1, 10)}
_ISSUE: Final[Table] = {
    "max_papers": v.whole(1, 1000),
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
_DKIM: Final[Table] = {"selector": v.text, "private_key_file": v.file}
_WEB: Final[Table] = {
    "per_ip": v.whole(1, 10**6),
    "overall": v.whole(1, 10**6),
    "trusted_proxy": v.network_address,
}


def _feeds(place: Place) -> tuple[FeedConfig, ...]:
    return tuple(FeedConfig(**mapping(item, _FEED, required=("url",))) for item in items(place))


def _fetch(place: Place) -> FetchConfig:
    values = mapping(place, _FETCH)
    if "max_megabytes" in values:
        values["max_bytes"] = int(values.pop("max_megabytes") * 1_000_000)
    return FetchConfig(**values)


def _issue(place: Place) -> IssueConfig:
    return IssueConfig(**mapping(place, _ISSUE))


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
        if server.tls == "none" and server.host not in ("localhost", "127.0.0.1", "::1"):
            raise place.error(
                f"a login at {server.host} would send the password in clear: set tls to starttls or implicit"
            )
    return server


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
    "secret": v.optional(v.secret),
    "secret_file": v.optional(v.secret_file),
    "old_secrets": _old_secrets,
    "smtp": _smtp,
    "sending": _sending,
    "alerts": _alerts,
    "dkim": _dkim,
    "web": _web,
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
    "dkim": _DKIM,
    "web": _WEB,
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
    return Config(
        path=path,
        publication=Publication(
            title=values.get("title", "Daily Papers"),
            sender=sender,
            bounce_address=values.get("bounce_address") or parseaddr(sender)[1],
            postal_address=values["postal_address"],
            list_id=values["list_id"],
            base_url=values.get("base_url"),
            language=values.get("language", "en"),
            direction=values.get("direction", "ltr"),
        ),
        timezone=values.get("timezone", ZoneInfo("UTC")),
        feeds=values["feeds"],
        fetch=values.get("fetch", FetchConfig()),
        issue=values.get("issue", IssueConfig()),
        filters=values.get("filters", Filters()),
        templates=templates,
        store=values.get("store") or f"sqlite:///{place.path('newsletter.db')}",
        secret=values.get("secret") or Secret(lambda: _missing_secret(place)),
        smtp=values.get("smtp", (SmtpConfig(),)),
        old_secrets=values.get("old_secrets", ()),
        sending=values.get("sending", SendingConfig()),
        alerts=values.get("alerts", AlertConfig()),
        dkim=values.get("dkim", ()),
        web=values.get("web", WebConfig()),
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


def _open_secrets(place: Place) -> Iterator[str]:
    """A warning when a secret stands in a file that others may read."""
    if place.file.stat().st_mode & 0o077 == 0:
        return
    written = [_find(place, "secret")]
    for _, servers in (pair for pair in pairs(place, _ROOT) if pair[0] == "smtp"):
        written += [child for item in items(servers) for name, child in pairs(item, _SMTP) if name == "password"]
    for child in written:
        if isinstance(child.node, yaml.ScalarNode) and not child.is_null and not ENV.search(child.node.value):
            yield f"{child.file}:{child.line}: {child.key} can be read by others; chmod 600 {child.file}"
