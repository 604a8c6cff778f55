"""config.yaml in, a frozen Config out; every mistake is an error with file, line, key and the nearest right spelling.

PyYAML's nodes keep line numbers, so the reader walks nodes rather than loaded values. A table lists what each mapping
may hold; the dataclasses say what the program gets. Nothing here opens a socket or a database.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parseaddr
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml

from newsletter import addresses
from newsletter.errors import AddressError, ConfigError
from newsletter.model import Publication


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that is never shown: repr, str and tracebacks print ``***``. It is read only when needed.

    So `preview` works without the environment of `run`, and a missing password matters only to whoever logs in.
    """

    _read: Callable[[], str] = field(repr=False)

    def reveal(self) -> str:
        """The value. Raises ConfigError, with file and line, when the environment or the file does not hold it."""
        return self._read()

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class FeedConfig:
    """One source. `url` may hold ``{date}``; a path is absolute here. `votes` is None, an element or a /pattern/."""

    url: str
    name: str | None = None
    votes: str | None = None


@dataclass(frozen=True, slots=True)
class FetchConfig:
    """Bounds of one feed's fetch: seconds in all, bytes after decompression, attempts."""

    deadline: float = 60.0
    max_bytes: int = 10_000_000
    attempts: int = 3


@dataclass(frozen=True, slots=True)
class IssueConfig:
    """What goes into the day's issue; `lifetime` is in hours from its freezing."""

    max_papers: int = 20
    min_upvotes: int = 0
    lifetime: float = 24.0


@dataclass(frozen=True, slots=True)
class SmtpConfig:
    """One mail server; `timeout` in seconds per answer, `rate` in messages per second."""

    host: str = "localhost"
    port: int = 25
    tls: str = "none"
    ca_file: Path | None = None
    username: str | None = None
    password: Secret | None = None
    timeout: float = 60.0
    connections: int = 4
    rate: float | None = None


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
    warnings: tuple[str, ...] = ()


# --- reading ---------------------------------------------------------------------------------------------------------

_ENV: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SPEC_TAGS: Final = {"tag:yaml.org,2002:" + name for name in ("str", "int", "float", "bool", "null", "timestamp")}


@dataclass(frozen=True)
class _Place:
    """A node with where it stands: everything an error message needs."""

    node: yaml.Node | None
    key: str
    file: Path
    line: int
    environ: Mapping[str, str]

    def error(self, message: str) -> ConfigError:
        return ConfigError(message, path=self.file, line=self.line, key=self.key)

    @property
    def is_null(self) -> bool:
        return self.node is None or self.node.tag == "tag:yaml.org,2002:null"

    def child(self, name: str | int, node: yaml.Node | None, line: int | None = None) -> _Place:
        where = line if line is not None else self.line if node is None else node.start_mark.line + 1
        return _Place(node, f"{self.key}.{name}" if self.key else str(name), self.file, where, self.environ)

    def path(self, name: str) -> Path:
        """A path as written is relative to the config file's folder."""
        return (self.file.parent / Path(name).expanduser()).resolve()


_Reader = Callable[[_Place], Any]
_Table = Mapping[str, _Reader]


def _scalar(place: _Place, expected: str) -> str:
    node = place.node
    if not isinstance(node, yaml.ScalarNode) or node.tag not in _SPEC_TAGS:
        raise place.error(f"expected {expected}")
    return cast("str", node.value)


def _expand(place: _Place, value: str) -> str:
    def replace(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in place.environ:
            raise place.error(f"the environment variable {name} is not set")
        return place.environ[name]

    return _ENV.sub(replace, value)


def text(place: _Place) -> str:
    """A string that is not empty, with ${NAME} replaced."""
    value = _expand(place, _scalar(place, "text")).strip()
    if not value:
        raise place.error("must not be empty")
    if any(ord(c) < 32 or ord(c) == 127 for c in value):
        raise place.error("must be one line without control characters")
    return value


def whole(low: int, high: int) -> Callable[[_Place], int]:
    """A whole number from `low` to `high`."""

    def read(place: _Place) -> int:
        value = _expand(place, _scalar(place, "a whole number"))
        if not re.fullmatch(r"[+-]?\d{1,12}", value):
            raise place.error(f"expected a whole number, not {value!r}")
        if not low <= int(value) <= high:
            raise place.error(f"expected a whole number from {low} to {high}, not {value}")
        return int(value)

    return read


def number(low: float, high: float) -> Callable[[_Place], float]:
    """A number above `low`, up to `high`."""

    def read(place: _Place) -> float:
        value = _expand(place, _scalar(place, "a number"))
        if not re.fullmatch(r"[+-]?(\d{1,12}(\.\d*)?|\.\d+)", value):
            raise place.error(f"expected a number, not {value!r}")
        if not low < float(value) <= high:
            raise place.error(f"expected a number above {low:g}, up to {high:g}, not {value}")
        return float(value)

    return read


def choice(*words: str) -> Callable[[_Place], str]:
    """One of `words`."""

    def read(place: _Place) -> str:
        value = text(place)
        if value not in words:
            raise place.error(f"expected {' | '.join(words)}, not {value!r}")
        return value

    return read


def optional(read: _Reader) -> _Reader:
    """null, or what `read` takes."""
    return lambda place: None if place.is_null else read(place)


def file(place: _Place) -> Path:
    """A path; relative ones start at the config file's folder."""
    return place.path(text(place))


def mailbox(place: _Place) -> str:
    """One address, with or without a name in front: ``Daily Papers <digest@example.org>``."""
    value = text(place)
    name, address = parseaddr(value)
    try:
        address = addresses.normalise(address or value)
    except AddressError as error:
        raise place.error(str(error)) from error
    return f"{name} <{address}>" if name else address


def bare_address(place: _Place) -> str:
    """One address without a name."""
    return parseaddr(mailbox(place))[1]


def base_url(place: _Place) -> str:
    """An absolute http(s) URL; a trailing slash is dropped."""
    value = text(place)
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise place.error(f"expected a URL such as https://news.example.org, not {value!r}")
    return value.rstrip("/")


def list_id(place: _Place) -> str:
    """The identifier inside List-Id's brackets (RFC 2919 section 2): dotted atoms, no name."""
    value = text(place)
    if not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+", value) or len(value) > 255:
        raise place.error(f"expected a dotted name such as daily-papers.news.example.org, not {value!r}")
    return value


def language(place: _Place) -> str:
    """A BCP 47 language tag."""
    value = text(place)
    if not re.fullmatch(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*", value):
        raise place.error(f"expected a language tag such as en or zh-Hans, not {value!r}")
    return value


def zone(place: _Place) -> ZoneInfo:
    """An IANA time zone."""
    value = text(place)
    try:
        return ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise place.error(f"no such time zone: {value!r} (expected a name such as Europe/Berlin)") from error


def feed_url(place: _Place) -> str:
    """An http(s) URL, or the absolute path of a file."""
    value = text(place)
    scheme = urlsplit(value).scheme.lower()
    if scheme in ("http", "https"):
        if not urlsplit(value).hostname:
            raise place.error(f"no host in {value!r}")
        return value
    if scheme == "file":
        return unquote(urlsplit(value).path)
    if "://" in value:
        raise place.error(f"expected an http(s) URL or a path to a file, not {value!r}")
    return str(place.path(value))


def votes(place: _Place) -> str:
    """An element's name, or a /regular expression/ with exactly one group."""
    value = text(place)
    if value.startswith("/"):
        try:
            groups = re.compile(value.strip("/")).groups if value.endswith("/") and len(value) > 2 else 0
        except re.error as error:
            raise place.error(f"not a regular expression: {error}") from error
        if groups != 1:
            raise place.error(r"expected a pattern with one group, such as /Likes: (\d+)/")
    return value


def store_url(place: _Place) -> str:
    """An SQLAlchemy URL; a relative SQLite file starts at the config file's folder."""
    value = text(place)
    if value.startswith("sqlite:///"):
        return f"sqlite:///{place.path(value.removeprefix('sqlite:///'))}"
    if value.startswith("postgresql"):
        return value
    raise place.error("expected sqlite:///FILE or postgresql://USER@HOST/DATABASE")


def secret(place: _Place) -> Secret:
    """A value read only when it is needed; ${NAME} is looked up then."""
    value = _scalar(place, "text")

    def read() -> str:
        expanded = _expand(place, value).strip()
        if not expanded:
            raise place.error("must not be empty")
        return expanded

    return Secret(read)


def secret_file(place: _Place) -> Secret:
    """The path of a file whose content, without the final newline, is the secret."""
    path = file(place)

    def read() -> str:
        try:
            content = path.read_text("utf-8").strip()
        except (OSError, UnicodeError) as error:
            raise place.error(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
        if not content:
            raise place.error(f"{path} is empty")
        return content

    return Secret(read)


# --- what each mapping may hold --------------------------------------------------------------------------------------

_FEED: Final[_Table] = {"url": feed_url, "name": optional(text), "votes": optional(votes)}
_FETCH: Final[_Table] = {"deadline": number(0, 3600), "max_megabytes": number(0, 1000), "attempts": whole(1, 10)}
_ISSUE: Final[_Table] = {
    "max_papers": whole(1, 1000),
    "min_upvotes": whole(0, 10**9),
    "lifetime": number(0, 24 * 31),
}
_SMTP: Final[_Table] = {
    "host": text,
    "port": whole(1, 65535),
    "tls": choice("none", "starttls", "implicit"),
    "ca_file": optional(file),
    "username": optional(text),
    "password": optional(secret),
    "password_file": optional(secret_file),
    "timeout": number(0, 3600),
    "connections": whole(1, 256),
    "rate": optional(number(0, 10**6)),
}


def _feeds(place: _Place) -> tuple[FeedConfig, ...]:
    return tuple(FeedConfig(**_mapping(item, _FEED, required=("url",))) for item in _items(place))


def _fetch(place: _Place) -> FetchConfig:
    values = _mapping(place, _FETCH)
    if "max_megabytes" in values:
        values["max_bytes"] = int(values.pop("max_megabytes") * 1_000_000)
    return FetchConfig(**values)


def _issue(place: _Place) -> IssueConfig:
    return IssueConfig(**_mapping(place, _ISSUE))


def _smtp(place: _Place) -> tuple[SmtpConfig, ...]:
    return tuple(_server(item) for item in _items(place))


def _server(place: _Place) -> SmtpConfig:
    values = _secret_or_file(place, _mapping(place, _SMTP), "password")
    server = SmtpConfig(**values)
    if server.username is not None:
        if server.password is None:
            raise place.error("username needs password or password_file")
        if server.tls == "none" and server.host not in ("localhost", "127.0.0.1", "::1"):
            raise place.error(
                f"a login at {server.host} would send the password in clear: set tls to starttls or implicit"
            )
    return server


_ROOT: Final[_Table] = {
    "title": text,
    "sender": mailbox,
    "postal_address": text,
    "bounce_address": optional(bare_address),
    "base_url": optional(base_url),
    "list_id": list_id,
    "timezone": zone,
    "language": language,
    "direction": choice("ltr", "rtl"),
    "feeds": _feeds,
    "fetch": _fetch,
    "issue": _issue,
    "templates": optional(file),
    "store": store_url,
    "secret": optional(secret),
    "secret_file": optional(secret_file),
    "smtp": _smtp,
}

# Every key of config.yaml, dotted; `tests/test_config.py` holds the shipped file equal to it.
TABLES: Final[Mapping[str, _Table]] = {"": _ROOT, "feeds": _FEED, "fetch": _FETCH, "issue": _ISSUE, "smtp": _SMTP}


def load(path: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """Read and check `path`. Raises ConfigError with file, line and key; secrets are looked up only when revealed."""
    place = _root(path, environ)
    values = _secret_or_file(
        place, _mapping(place, _ROOT, required=("sender", "postal_address", "list_id", "feeds")), "secret"
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
        templates=templates,
        store=values.get("store") or f"sqlite:///{place.path('newsletter.db')}",
        secret=values.get("secret") or Secret(lambda: _missing_secret(place)),
        smtp=values.get("smtp", (SmtpConfig(),)),
        warnings=tuple(_open_secrets(place)),
    )


def _missing_secret(place: _Place) -> str:
    raise place.error("secret is missing: set secret or secret_file (`newsletter init` makes one)")


def _root(path: Path, environ: Mapping[str, str]) -> _Place:
    try:
        node = yaml.compose(path.read_text("utf-8"), Loader=yaml.SafeLoader)
    except FileNotFoundError as error:
        raise ConfigError("no such file; `newsletter init` writes one, or name it with -c", path=path) from error
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path=path) from error
    except UnicodeDecodeError as error:
        raise ConfigError("is not UTF-8 text", path=path) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(f"not YAML: {error.problem}", path=path, line=mark.line + 1 if mark else None) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"not YAML: {str(error).splitlines()[0]}", path=path) from error
    return _Place(node, "", path, 1, environ)


def _pairs(place: _Place, table: _Table) -> Iterator[tuple[str, _Place]]:
    """The entries of a mapping, each key known and given once."""
    node = place.node
    if not isinstance(node, yaml.MappingNode):
        raise place.error("expected `key: value` lines")
    seen: set[str] = set()
    for key_node, value_node in node.value:
        name = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
        child = place.child(name, value_node, key_node.start_mark.line + 1)
        if name not in table:
            near = difflib.get_close_matches(name, table, 1, 0.5)
            raise child.error(
                f"unknown key; did you mean {near[0]}?" if near else f"unknown key; known: {', '.join(table)}"
            )
        if name in seen:
            raise child.error("given twice")
        seen.add(name)
        yield name, child


def _mapping(place: _Place, table: _Table, required: tuple[str, ...] = ()) -> dict[str, Any]:
    """The values of a mapping, read by its table. A null where null is no value leaves the default."""
    values = {name: table[name](child) for name, child in _pairs(place, table)}
    for name in required:
        if values.get(name) in (None, ()):
            raise place.child(name, None).error("is missing")
    return values


def _items(place: _Place) -> list[_Place]:
    if not isinstance(place.node, yaml.SequenceNode):
        raise place.error("expected a list: lines that begin with `- `")
    return [place.child(i, node) for i, node in enumerate(place.node.value)]


def _find(place: _Place, name: str) -> _Place:
    return next((child for key, child in _pairs(place, _ROOT) if key == name), place)


def _secret_or_file(place: _Place, values: dict[str, Any], name: str) -> dict[str, Any]:
    """Fold `name_file` into `name`; a file wins over an unset environment, never over a second value."""
    from_file = values.pop(f"{name}_file", None)
    if from_file is not None:
        if values.get(name) is not None:
            raise place.error(f"{name} and {name}_file are both given; keep one")
        values[name] = from_file
    return values


def _open_secrets(place: _Place) -> Iterator[str]:
    """A warning when a secret stands in a file that others may read."""
    if place.file.stat().st_mode & 0o077 == 0:
        return
    written = [_find(place, "secret")]
    for _, servers in (pair for pair in _pairs(place, _ROOT) if pair[0] == "smtp"):
        written += [child for item in _items(servers) for name, child in _pairs(item, _SMTP) if name == "password"]
    for child in written:
        if isinstance(child.node, yaml.ScalarNode) and not child.is_null and not _ENV.search(child.node.value):
            yield f"{child.file}:{child.line}: {child.key} can be read by others; chmod 600 {child.file}"
