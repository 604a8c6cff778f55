"""Functions that read values of config.yaml, one for each kind. All raise ConfigError, which says what was expected."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import yaml

from newsletter import addresses, languages
from newsletter.config.yaml_nodes import ENV, Place, Reader, expand, items, scalar
from newsletter.errors import AddressError, ConfigFault, Mistake
from newsletter.model import Mailbox

_SHORTEST: Final = 16  # characters; `newsletter init` writes 43


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that is never shown: repr, str and tracebacks print ``***``. It is read when `reveal` is called.

    So `preview` works without the environment of `run`, and a missing password is an error only for what logs in.
    """

    _read: Callable[[], str] = field(repr=False)

    def reveal(self) -> str:
        """The value. Raises ConfigError with file and line if the environment or the file does not have it."""
        return self._read()

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


def text(place: Place) -> str:
    """One line of text that is not empty, with ${NAME} replaced."""
    value = expand(place, scalar(place, "text")).strip()
    if not value:
        raise place.error("must not be empty")
    if any(ord(c) < 32 or ord(c) == 127 for c in value):
        raise place.error("must be one line without control characters")
    return value


def words(place: Place) -> tuple[str, ...]:
    """A list of keywords or names; it may be empty."""
    return () if place.is_null else tuple(text(item) for item in items(place))


def whole(low: int, high: int) -> Callable[[Place], int]:
    """A whole number from `low` to `high`."""

    def read(place: Place) -> int:
        value = expand(place, scalar(place, "a whole number"))
        if not re.fullmatch(r"[+-]?\d{1,12}", value):
            raise place.error(f"expected a whole number, not {value!r}")
        if not low <= int(value) <= high:
            raise place.error(f"expected a whole number from {low} to {high}, not {value}")
        return int(value)

    return read


def number(low: float, high: float) -> Callable[[Place], float]:
    """A number above `low`, up to `high`."""

    def read(place: Place) -> float:
        value = expand(place, scalar(place, "a number"))
        if not re.fullmatch(r"[+-]?(\d{1,12}(\.\d*)?|\.\d+)", value):
            raise place.error(f"expected a number, not {value!r}")
        if not low < float(value) <= high:
            raise place.error(f"expected a number above {low:g}, up to {high:g}, not {value}")
        return float(value)

    return read


def flag(place: Place) -> bool:
    """A switch: true or false."""
    value = expand(place, scalar(place, "true or false")).lower()
    if value not in ("true", "false"):
        raise place.error(f"expected true or false, not {value!r}")
    return value == "true"


def choice(*words: str) -> Callable[[Place], str]:
    """One of `words`."""

    def read(place: Place) -> str:
        value = text(place)
        if value not in words:
            raise place.error(f"expected {' | '.join(words)}, not {value!r}", Mistake(given=value, choices=words))
        return value

    return read


def optional(read: Reader) -> Reader:
    """null, or what `read` accepts."""
    return lambda place: None if place.is_null else read(place)


def file(place: Place) -> Path:
    """A path; relative ones start at the config file's folder."""
    return place.path(text(place))


def command(place: Place) -> tuple[str, ...]:
    """The words of a command: a list, or a text with words quoted as for a shell, which does not run it.

    ${NAME} is refused rather than replaced: whoever lists the processes of the machine sees the words of a command.
    """
    listed = isinstance(place.node, yaml.SequenceNode)
    given = [scalar(item, "a word") for item in items(place)] if listed else [scalar(place, "a command")]
    if any(ENV.search(value) for value in given):
        raise place.error("a command's words are visible to other users: let the command read the environment itself")
    try:
        words = tuple(given) if listed else tuple(shlex.split(given[0]))
    except ValueError as error:
        raise place.error(f"cannot be split into words: {error}") from error
    if not words or not words[0]:
        raise place.error("must not be empty")
    if any(not word.isprintable() for word in words):
        raise place.error("must be one line without control characters")
    return words


def host(place: Place) -> str:
    """A host's name or address alone, without a scheme, a login, a port or brackets."""
    value = text(place)
    bare = re.sub(r"^\w+://|/.*", "", value).rpartition("@")[2]
    literal = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](:\d+)?", bare)
    bare = literal.group(1) if literal else bare if bare.count(":") > 1 else bare.partition(":")[0]
    if value != bare or not re.fullmatch(r"[^\s:/@]+|[0-9A-Fa-f:.]+", value):
        meant = "" if re.search(r"\s", bare) else bare
        raise place.error(f"expected a host's name alone, not {value!r}", Mistake(meant=meant))
    return value


def _parts(place: Place, value: str, message: str) -> SplitResult:
    """The parts of a URL. Raises ConfigError with `message` if it cannot be parsed, as when its port is no number."""
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError as error:
        raise place.error(message) from error
    return parts


def helo(place: Place) -> str:
    """A host's full name in ASCII, or an address literal such as [192.0.2.1] (RFC 5321 section 4.1.3)."""
    value = text(place)
    if not re.fullmatch(r"(?=.{1,255}\Z)[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*|\[[0-9A-Za-z:.]{2,60}\]", value):
        raise place.error(f"expected a host's name such as mail.example.org, or [192.0.2.1], not {value!r}")
    return value


def https_url(place: Place) -> str:
    """An https URL, without a login in it."""
    value = text(place)
    message = f"expected a URL such as https://login.example.org/token, not {value!r}"
    parts = _parts(place, value, message)
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc or not value.isascii():
        raise place.error(message)
    return value


def tenant(place: Place) -> str:
    """A tenant of Microsoft's: a domain or an identifier."""
    value = text(place)
    if not re.fullmatch(r"[A-Za-z0-9.-]{1,100}", value):
        raise place.error(f"expected a domain, an identifier, common or organizations, not {value!r}")
    return value


def folder(place: Place) -> str:
    """The name of a mail folder, not a path."""
    value = text(place)
    if "/" in value or value.startswith("."):
        raise place.error(f"expected a folder's name without / or a dot in front, not {value!r}")
    return value


def mailbox(place: Place) -> Mailbox:
    """An address, with or without a name in front: ``Daily Papers <digest@example.org>``."""
    name, address = addresses.split_name(text(place))
    try:
        return Mailbox(name, addresses.normalise(address))
    except AddressError as error:
        raise place.error(str(error)) from error


def bare_address(place: Place) -> str:
    """An address; a name in front of it is dropped."""
    return mailbox(place).address


def base_url(place: Place) -> str:
    """An absolute http(s) URL; a trailing slash is dropped, and scheme and host are in small letters."""
    value = text(place)
    example = "such as https://news.example.org"
    message = f"expected a URL {example}, not {value!r}"
    if "@" in value:  # what may be a login is not shown
        message = f"expected a URL without a login, {example}"
    parts = _parts(place, value, message)
    if "@" in parts.netloc:  # readers would see it
        raise place.error(message)
    if "://" not in value and re.fullmatch(r"[\w-]+(\.[\w-]+)+(/.*)?", value):
        raise place.error(message, Mistake(meant=f"https://{value}"))
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise place.error(message)
    return parts._replace(netloc=parts.netloc.lower()).geturl().rstrip("/")


def network_address(place: Place) -> str:
    """An IPv4 or IPv6 address, or * for any."""
    value = text(place)
    if value != "*":
        try:
            ip_address(value)
        except ValueError as error:
            raise place.error(f"expected a network address such as 127.0.0.1, or *, not {value!r}") from error
    return value


_LIST_ID: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+")


def list_id(place: Place) -> str:
    """The identifier inside List-Id's brackets (RFC 2919 section 2): dotted atoms, no name."""
    value = text(place)
    if not _LIST_ID.fullmatch(value) or len(value) > 255:
        inside = value.strip("<> ").replace("@", ".")
        said = f"expected a dotted name such as daily-papers.news.example.org, not {value!r}"
        raise place.error(said, Mistake(meant=inside if _LIST_ID.fullmatch(inside) else ""))
    return value


def selector(place: Place) -> str:
    """A DKIM selector: dotted atoms, before ``._domainkey`` (RFC 6376 section 3.1)."""
    value = text(place)
    meant = value.partition("._domainkey")[0]
    if value != meant or not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", value):
        mistake = Mistake(meant=meant if meant != value else "")
        raise place.error(f"expected a selector such as s2026, not {value!r}", mistake)
    return value


def language(place: Place) -> str:
    """A BCP 47 language tag; an underscore counts as a hyphen. Whether there are words in it is checked later."""
    value = text(place)
    if not re.fullmatch(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*", value):
        raise place.error(f"expected a language tag such as en or zh-Hans, not {value!r}")
    return languages.normalise(value)


def zone(place: Place) -> ZoneInfo:
    """An IANA time zone."""
    value = text(place)
    try:
        return ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        meant = _zone_meant(value)
        such = "" if meant else " (expected a name such as Europe/Berlin)"
        raise place.error(f"no such time zone: {value!r}{such}", Mistake(meant=meant)) from error


def _zone_meant(value: str) -> str:
    """The zone that `value` is a misspelling or the city of; empty if none. ``CEST`` or ``UTC+1`` names no place."""
    names = {name.casefold(): name for name in sorted(available_timezones())}
    cities = {name.rpartition("/")[2]: names[name] for name in reversed(names) if "/" in name}
    wanted = value.casefold().replace(" ", "_")
    if wanted in names:
        return names[wanted]
    near = difflib.get_close_matches(wanted, names if "/" in wanted else cities, 1, 0.88)
    return (names | cities)[near[0]] if near else ""


def feed_url(place: Place) -> str:
    """An http(s) URL, in which no word but ``{date}`` may stand in braces, or the absolute path of a file."""
    value = text(place)
    message = f"expected an http(s) URL or a path to a file, not {value!r}"
    parts = _parts(place, value, message)
    if parts.scheme in ("http", "https"):
        if not parts.hostname:
            raise place.error(f"no host in {value!r}")
        unknown = [each for each in re.findall(r"{[\w%-]*}", value) if each != "{date}"]  # other braces may be JSON
        if unknown:
            raise place.error(f"{unknown[0]} is not known", Mistake(meant=value.replace(unknown[0], "{date}")))
        return value
    if parts.scheme == "file":
        return unquote(parts.path)
    if "://" in value or parts.scheme == "feed":
        feed = re.sub(r"^feed:(//)?(https?://)?", lambda found: found[2] or "https://", value)
        raise place.error(message, Mistake(meant=feed if parts.scheme == "feed" else ""))
    if re.fullmatch(r"[\w-]+(\.[\w-]+)+/\S*", value) and not place.path(value).parent.is_dir():
        raise place.error(message, Mistake(meant=f"https://{value}"))  # a host without https in front
    return str(place.path(value))


def votes(place: Place) -> str:
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


def store_url(place: Place) -> str:
    """An SQLAlchemy URL; a relative SQLite file starts at the config file's folder."""
    value = text(place)
    if value.startswith("sqlite:///") and value != "sqlite:///:memory:":
        return f"sqlite:///{place.path(value.removeprefix('sqlite:///'))}"
    expected = "expected sqlite:///FILE or postgresql://USER@HOST/DATABASE"
    if found := re.fullmatch(r"postgres(?:ql)?(?:\+psycopg)?://(.*)", value):  # libpq knows both names
        if found.group(1).partition("?")[0].count("@") > 1:
            said = f"{expected}; an @ in a postgresql password is written %40"  # no part of it is shown
            raise place.error(said, Mistake(ConfigFault.POSTGRESQL_URL))
        return f"postgresql://{found.group(1)}"
    if value.startswith("postgres"):
        said = f"{expected}; there is no other driver for postgresql"
        raise place.error(said, Mistake(ConfigFault.POSTGRESQL_URL))
    file = value.removeprefix("sqlite:").lstrip("/") if value.startswith("sqlite:") else value
    meant = f"sqlite:///{file}" if re.fullmatch(r"[\w./~-]+", file) else ""
    raise place.error(expected, Mistake(meant=meant))


def secret(place: Place) -> Secret:
    """A value that is read when it is revealed; ${NAME} is replaced then."""
    value = scalar(place, "text")

    def read() -> str:
        expanded = expand(place, value).strip()
        if not expanded:
            raise place.error("must not be empty")
        return expanded

    return Secret(read)


# Fields that the program sets itself, or that would change what a response is (RFC 9110, RFC 9112).
_OUR_HEADERS: Final = frozenset(
    {"accept-encoding", "connection", "content-length", "expect", "host", "range", "te", "trailer", "transfer-encoding"}
)
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")  # RFC 9110 section 5.6.2


def headers(place: Place) -> tuple[tuple[str, Secret], ...]:
    """Header fields by name, each value a secret with ${NAME} looked up when it is needed."""
    if place.is_null:
        return ()
    if not isinstance(place.node, yaml.MappingNode):
        raise place.error("expected `Name: value` lines")
    found: dict[str, tuple[str, Secret]] = {}
    for key_node, value_node in place.node.value:
        name = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else ""
        child = place.child(name or "?", value_node, key_node.start_mark.line + 1)
        if not _TOKEN.fullmatch(name):
            raise child.error("not a header's name")
        if name.lower() in _OUR_HEADERS:
            raise child.error("this header is set by the program")
        if name.lower() in found:
            raise child.error("given twice")
        found[name.lower()] = (name, _header_secret(child))
    return tuple(found.values())


def _header_secret(place: Place) -> Secret:
    given = secret(place)

    def reveal() -> str:
        return _one_line(place, given.reveal())

    return Secret(reveal)


def header_value(place: Place) -> str:
    """A header's value as it is sent: one line of Latin-1."""
    return _one_line(place, text(place))


def _one_line(place: Place, value: str) -> str:
    if not value.isprintable() or not all(ord(character) < 256 for character in value):
        raise place.error("a header's value must be one line of Latin-1 characters")  # it is not shown: it may be a key
    return value


def secret_url(place: Place) -> Secret:
    """An http(s) URL that is a secret, because whoever knows it may use it. It is judged at once if it is written out.

    A login in front of the host is refused: HTTP libraries treat it differently, and this one would drop it.
    """
    given = secret(place)

    def reveal() -> str:
        value = given.reveal()
        try:
            parts = urlsplit(value)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            usable = False
        if not usable or "@" in parts.netloc or not value.isascii() or not value.isprintable() or " " in value:
            raise place.error("expected an http(s) URL without a login, such as https://hc-ping.com/UUID")  # not shown
        return value

    if not ENV.search(scalar(place, "a URL")):
        reveal()
    return Secret(reveal)


def or_off(read: Reader) -> Reader:
    """The word off, which gives False, or what `read` accepts."""
    return lambda place: False if not place.is_null and scalar(place, "a URL, or off") == "off" else read(place)


def secret_file(place: Place) -> Secret:
    """The path of a file whose content, without the final newline and a byte order mark, is the secret."""
    path = file(place)

    def read() -> str:
        try:
            content = path.read_text("utf-8-sig").strip()  # Notepad writes such a mark
        except (OSError, UnicodeError) as error:
            raise place.error(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
        if not content:
            raise place.error(f"{path} is empty")
        return content

    return Secret(read)


def password_file(place: Place) -> Secret:
    """The path of a file with a password or a token, on one line."""
    given, path = secret_file(place), file(place)

    def read() -> str:
        content = given.reveal()
        if len(content.splitlines()) > 1:
            raise place.error(f"{path} has more than one line; write nothing but the secret into it")
        return content

    return Secret(read)


def signing(read: Callable[[Place], Secret]) -> Callable[[Place], Secret]:
    """A secret of at least 16 characters.

    Whoever has a link could find a shorter one by trial, and then forge every link.
    """

    def long_enough(place: Place) -> Secret:
        given = read(place)

        def reveal() -> str:
            value = given.reveal()
            if len(value) < _SHORTEST:
                few = f"fewer than {_SHORTEST} characters"
                raise place.error(f"the secret is too short ({few}); `newsletter init` makes a good one")
            return value

        return Secret(reveal)

    return long_enough
