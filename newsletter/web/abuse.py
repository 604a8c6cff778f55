"""Protection against abuse: limits on sign-ups per hour, and protection of the form against CSRF.

The limits here count network addresses, in memory. Those that count mailboxes and domains are in the store.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable
from functools import partial
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, Final

import flask
from flask_limiter import Limiter
from flask_wtf.csrf import CSRFError, CSRFProtect, generate_csrf

from newsletter.config import WebConfig

__all__ = ["AbuseGuard", "CSRFError", "cookie_key", "networks"]

# Prefixes, in bits, that providers give to one customer (RFC 6177 section 2), and how many times `web.per_ip` each may
# sign up: behind the shorter ones there are more people.
_IPV6_SITES: Final = {64: 1, 56: 2, 48: 4}

_MOVES_PER_READER: Final = 5  # an hour

# What a proxy writes for a client: an address, in brackets or not, with a port or not.
_WITH_PORT: Final = re.compile(r"\[(?P<v6>[^\]]*)\](?::\d*)?|(?P<v4>[\d.]+):\d+")


class AbuseGuard:
    """Rate limits and CSRF protection of one application.

    The counts are kept in memory, since there is one process. A restart sets them to zero.
    """

    def __init__(self, app: flask.Flask, config: WebConfig) -> None:
        # Our pages send no Referer, which Flask-WTF requires on https by default. The form's token protects it.
        app.config["WTF_CSRF_SSL_STRICT"] = False
        app.config["WTF_CSRF_CHECK_DEFAULT"] = False
        self._csrf = CSRFProtect(app)
        self._limiter = limiter = Limiter(key_func=_client, app=app, storage_uri="memory://", fail_on_first_breach=True)

        def of_networks(what: str) -> list[Callable[..., Any]]:
            return [
                limiter.shared_limit(
                    f"{config.per_ip * times} per hour", scope=f"{what}-{bits}", key_func=partial(_client, level)
                )
                for level, (bits, times) in enumerate(_IPV6_SITES.items())
            ]

        # The last one is asked first: a request over the limit of a small network does not count for the larger one.
        self._sign_ups = of_networks("sign-up")[::-1]
        per_reader = limiter.shared_limit(f"{_MOVES_PER_READER} per hour", scope="reader", key_func=_token)
        self._moves: list[Callable[..., Any]] = [*of_networks("move")[::-1], per_reader]

    def limit_sign_ups(self, act: Callable[..., Any]) -> Callable[..., Any]:
        """Limit `act`, which makes a mail due for somebody who signs up. Beyond the limits it answers 429.

        It is called by a view once form and address are found good, so that nothing else counts.
        """
        return self._limited(act, self._sign_ups)

    def limit_moves(self, act: Callable[..., Any]) -> Callable[..., Any]:
        """The same for a reader who changes the address. The view's URL has their token."""
        return self._limited(act, self._moves)

    @staticmethod
    def _limited(act: Callable[..., Any], limits: list[Callable[..., Any]]) -> Callable[..., Any]:
        for limit in limits:
            act = limit(act)
        return act

    def retry_after(self) -> int | None:
        """Seconds after which the limit that this request has reached counts anew, or None if it reached none."""
        reached = self._limiter.current_limit
        return None if reached is None else max(1, int(reached.reset_at - time.time()))

    def check_form(self) -> None:
        """Raise CSRFError unless this request's form was sent from our own pages.

        The form of the home page has a token. That of the archive has none, because its pages are cached and set no
        cookie: there the browser itself has to say that it was on this site (Fetch Metadata, Sec-Fetch-Site, which no
        page can set). Browsers say so over https only, and old ones never; they get the form with a token.
        """
        if not self.has_token() and flask.request.headers.get("Sec-Fetch-Site") == "same-origin":
            return
        self._csrf.protect()

    @staticmethod
    def has_token() -> bool:
        """Whether this request's form has a token, which need not be valid."""
        return bool(flask.request.form.get("csrf_token"))

    def form_token(self) -> str:
        """A token for the form. Its counterpart is put into the session cookie."""
        return str(generate_csrf())


def cookie_key(secret: str) -> bytes:
    """The key that signs the session cookie, derived from `secret` and used for nothing else."""
    return hmac.digest(secret.encode(), b"web cookie", hashlib.sha256)


def networks(client: str) -> tuple[str, ...]:
    """The networks for which a client counts, the smallest first: of IPv6 the /64, /56 and /48, of IPv4 the address.

    There are always three. A port, brackets and an IPv6 zone do not count, and an IPv4 address within IPv6 is one of
    IPv4. A value that is not an IP address is returned as it is.
    """
    found = _WITH_PORT.fullmatch(client.strip())
    host = (found["v6"] or found["v4"] or "") if found else client.strip()
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return (client,) * len(_IPV6_SITES)
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is None:
            return tuple(str(ip_network((address, bits), strict=False)) for bits in _IPV6_SITES)
        address = address.ipv4_mapped
    return (str(address),) * len(_IPV6_SITES)


def _client(level: int = 0) -> str:
    """The network of this request's client; the header is there only if a trusted proxy wrote it (cli/web.py).

    Waitress makes a REMOTE_ADDR of it, but cuts an IPv4 address within IPv6 at its last colon.
    """
    named = flask.request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    return networks(named or flask.request.remote_addr or "")[level] or "unknown"  # an empty key would have no limit


def _token() -> str:
    return str((flask.request.view_args or {}).get("token"))
