"""URLs: which ones from feeds may become links, and how to show one in a message. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

URL_LIMIT: Final = 2_048  # characters; longer links break in mail clients, and no paper has one

# Characters that browsers strip around a URL: C0 and space (WHATWG URL, "basic URL parser").
_AROUND: Final = "".join(map(chr, range(33)))
_HOST: Final = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?")  # RFC 1035 section 2.3.4, plus underscores
_HOST_LIMIT: Final = 253  # characters (RFC 1035 section 2.3.4)
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
    host = host.lower() if host.isascii() else _a_labels(host)
    return host if len(host) <= _HOST_LIMIT and _HOST.fullmatch(host) else ""


def _a_labels(host: str) -> str:
    """`host` by IDNA 2008 (RFC 5891) with the mapping of UTS #46, non-transitional, as in browsers.

    A name that IDNA 2008 refuses and browsers open, such as one with emoji, is encoded by IDNA 2003. Raises ValueError.
    """
    import idna  # takes 10 ms, and hardly any feed has such a host

    if len(host) > _HOST_LIMIT:
        raise ValueError("too long for a host name")
    try:
        return idna.encode(host, uts46=True).decode("ascii").lower()
    except idna.IDNAError:
        return host.encode("idna").decode("ascii").lower()


def shown(url: str) -> str:
    """`url` for messages and logs: scheme, host and path, since a login or query may hold keys. A path stays whole."""
    if "://" not in url:
        return url
    scheme, _, rest = re.split(r"[?#]", url, maxsplit=1)[0].partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


def without_secrets(text: str, hidden: Iterable[str]) -> str:
    """`text` without the values `hidden`, also where they are percent-encoded."""
    for value in sorted(hidden, key=len, reverse=True):
        for form in (value, quote(value, safe=""), quote(value)):
            text = text.replace(form, "***")
    return text


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
