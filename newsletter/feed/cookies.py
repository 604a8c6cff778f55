"""The cookies of one fetch: what its servers set on the way is sent back to them within it (RFC 6265). No I/O.

Journals' hosts set a cookie and redirect to the same page, endlessly for a client without it. No cookie outlives
the fetch. A cookie goes to the host that set it, or with Domain to hosts below a domain of at least two labels that the
host belongs to; never to an address by number other than the one that set it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Final

_MOST: Final = 50  # cookies of one fetch
_LONGEST: Final = 4_096  # characters of a name and its value (RFC 6265 section 6.1)


@dataclass(frozen=True)
class _Cookie:
    name: str
    value: str
    domain: str
    host_only: bool
    path: str
    secure: bool

    def goes_to(self, host: str, path: str, *, secure: bool) -> bool:
        below = not self.host_only and host.endswith(f".{self.domain}")
        return (host == self.domain or below) and _path_matches(path, self.path) and (secure or not self.secure)


@dataclass
class Cookies:
    """The cookies that one fetch has got so far, by name, domain and path."""

    _held: dict[tuple[str, str, str], _Cookie] = field(default_factory=dict)

    def take(self, host: str, path: str, fields: Iterable[str], *, secure: bool, now: datetime | None = None) -> None:
        """Keep what `host` sets in the Set-Cookie `fields` of its response to a request for `path`.

        `secure`: over https. Cookies of other hosts, malformed and long ones are ignored, expired ones removed.
        """
        for text in fields:
            pair, *attributes = text.split(";")
            name, equals, value = (part.strip() for part in pair.partition("="))
            given = {key.strip().lower(): what.strip() for key, _, what in (each.partition("=") for each in attributes)}
            domain = given.get("domain", "").lstrip(".").lower()
            if not equals or not name or len(pair) > _LONGEST or not pair.isprintable():
                continue
            if (domain and not _may_set(host, domain)) or ("secure" in given and not secure):
                continue
            place = given["path"] if given.get("path", "").startswith("/") else _default_path(path)
            cookie = _Cookie(name, value, domain or host, domain in ("", host), place, "secure" in given)
            key = (name, cookie.domain, place)
            self._held.pop(key, None)
            if not _is_expired(given, now or datetime.now(UTC)) and len(self._held) < _MOST:
                self._held[key] = cookie

    def header(self, host: str, path: str, *, secure: bool) -> str:
        """The Cookie header for a request; empty if no cookie goes there."""
        sent = [cookie for cookie in self._held.values() if cookie.goes_to(host, path, secure=secure)]
        sent.sort(key=lambda cookie: -len(cookie.path))  # RFC 6265 section 5.4
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in sent)


def _may_set(host: str, domain: str) -> bool:
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return host == domain or ("." in domain and host.endswith(f".{domain}"))
    return host == domain


def _default_path(path: str) -> str:
    """The folder of the request's path (RFC 6265 section 5.1.4)."""
    return path.partition("?")[0].rpartition("/")[0] or "/"


def _path_matches(path: str, place: str) -> bool:
    asked = path.partition("?")[0]
    return asked == place or (asked.startswith(place) and (place.endswith("/") or asked[len(place)] == "/"))


def _is_expired(given: dict[str, str], now: datetime) -> bool:
    age = given.get("max-age", "")
    if age.lstrip("-").isdigit():
        return age.startswith("-") or not age.strip("0")
    try:
        moment = parsedate_to_datetime(given.get("expires", "").replace("-", " "))
    except (ValueError, TypeError, IndexError):
        return False
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) <= now
