"""URLs: which ones from feeds may become links, and how to show one in a message. No I/O."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

URL_LIMIT: Final = 2_048  # characters; longer links break in mail clients, and no paper has one

# Characters that browsers strip around a URL: C0 and space (WHATWG URL, "basic URL parser").
_AROUND: Final = "".join(map(chr, range(33)))
_HOST: Final = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?")  # RFC 1035 section 2.3.4, plus underscores
_RESERVED: Final = "%:/?#[]@!$&'()*+,;=-._~"  # other characters are percent-encoded (RFC 3986 section 2)


def web_url(value: object) -> str | None:
    """`value` as an absolute http(s) URL in ASCII; None if it is anything else, such as javascript: or a relative URL.

    A URL with a user name is refused, because ``https://arxiv.org@elsewhere.example/`` misleads.
    """
    if not isinstance(value, str) or len(value) > URL_LIMIT:
        return None
    try:
        parts = urlsplit(value.strip(_AROUND))
        host = ascii_host(parts.hostname or "")
        netloc = host if parts.port is None else f"{host}:{parts.port}"
        url = quote(urlunsplit((parts.scheme, netloc, parts.path, parts.query, parts.fragment)), safe=_RESERVED)
    except ValueError:  # an invalid bracket, port or character
        return None
    return url if parts.scheme in ("http", "https") and host and "@" not in parts.netloc else None


def ascii_host(host: str) -> str:
    """`host` in lower case as A-labels (RFC 5890), an IPv6 address in brackets; empty if it is not a host.

    Raises ValueError if it cannot be encoded.
    """
    if ":" in host:
        return f"[{host}]" if re.fullmatch(r"[0-9a-fA-F:.]+", host) else ""
    host = host.lower() if host.isascii() else host.encode("idna").decode("ascii").lower()
    return host if len(host) <= 253 and _HOST.fullmatch(host) else ""


def shown(url: str) -> str:
    """`url` for messages and logs, with user name and password hidden (RFC 3986 section 3.2.1)."""
    return re.sub(r"^(\w[\w.+-]*://)[^/?#]*@", r"\1***@", url)


def site(url: str) -> str:
    """The host of an http(s) URL, used as the name of a feed without one; empty for a file."""
    return public_part(url).partition("//")[2].partition("/")[0]


def public_part(url: str) -> str:
    """Scheme, host and path of an http(s) URL, as the base of relative links; empty for a file."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https"):
        return ""
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
