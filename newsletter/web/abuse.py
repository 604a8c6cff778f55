"""Protection against abuse: limits on sign-ups per hour, and protection of the form against CSRF."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, Final

import flask
from flask_limiter import Limiter
from flask_wtf.csrf import CSRFError, CSRFProtect, generate_csrf

from newsletter.config import WebConfig

__all__ = ["AbuseGuard", "CSRFError", "cookie_key", "network"]

_IPV6_SITE: Final = 64  # longest prefix, in bits, that a provider gives to one customer (RFC 6177 section 2)


class AbuseGuard:
    """Rate limits and CSRF protection of one application.

    The counts are kept in memory, since there is one process. A restart sets them to zero.
    """

    def __init__(self, app: flask.Flask, config: WebConfig) -> None:
        # Our pages send no Referer, which Flask-WTF requires on https by default. The form's token protects it.
        app.config["WTF_CSRF_SSL_STRICT"] = False
        app.config["WTF_CSRF_CHECK_DEFAULT"] = False
        self._csrf = CSRFProtect(app)
        limiter = Limiter(key_func=_client, app=app, storage_uri="memory://", fail_on_first_breach=True)
        # The limit per address comes first, so that requests over it do not count towards the limit for all.
        self._limits = (
            limiter.shared_limit(f"{config.per_ip} per hour", scope="per-ip"),
            limiter.shared_limit(f"{config.overall} per hour", scope="overall", key_func=lambda: "all"),
        )

    def limited(self, view: Callable[..., Any]) -> Callable[..., Any]:
        """`view` with the limits of the configuration; requests beyond them get 429."""
        for limit in self._limits:
            view = limit(view)
        return view

    def check_form(self) -> None:
        """Raise CSRFError if this request's form does not have the token that our page gave."""
        self._csrf.protect()

    def form_token(self) -> str:
        """A token for the form. Its counterpart is put into the session cookie."""
        return str(generate_csrf())


def cookie_key(secret: str) -> bytes:
    """The key that signs the session cookie, derived from `secret` and used for nothing else."""
    return hmac.digest(secret.encode(), b"web cookie", hashlib.sha256)


def network(address: str) -> str:
    """The unit for which an IP address is counted: an IPv4 address, or the /64 network of an IPv6 address.

    A value that is not an IP address is returned unchanged.
    """
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ip_network((found, _IPV6_SITE), strict=False))
    return str(found)


def _client() -> str:
    return network(flask.request.remote_addr or "unknown")  # Flask-Limiter sets no limit for an empty key
