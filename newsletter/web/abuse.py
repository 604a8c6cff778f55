"""Against abuse: how many sign-ups there may be in an hour, and forms that only our own page can send (CSRF)."""

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

_IPV6_SITE: Final = 64  # bits that one subscriber of a provider is given at least (RFC 6177)


class AbuseGuard:
    """Both guards of one application. The counts are in memory: there is one process, and a restart may forget them."""

    def __init__(self, app: flask.Flask, config: WebConfig) -> None:
        # Our pages send no Referer, which Flask-WTF would ask for on https; the form's own token is what protects it.
        app.config["WTF_CSRF_SSL_STRICT"] = False
        app.config["WTF_CSRF_CHECK_DEFAULT"] = False
        self._csrf = CSRFProtect(app)
        limiter = Limiter(key_func=_client, app=app, storage_uri="memory://", fail_on_first_breach=True)
        # In this order: one address that is over its limit must not use up what is left for all.
        self._limits = (
            limiter.shared_limit(f"{config.per_ip} per hour", scope="per-ip"),
            limiter.shared_limit(f"{config.overall} per hour", scope="overall", key_func=lambda: "all"),
        )

    def limited(self, view: Callable[..., Any]) -> Callable[..., Any]:
        """`view`, for as many requests as the config allows; 429 for more."""
        for limit in self._limits:
            view = limit(view)
        return view

    def check_form(self) -> None:
        """Raises CSRFError when this request's form does not come from our page."""
        self._csrf.protect()

    def form_token(self) -> str:
        """What the form must bring back; puts its other half into the cookie."""
        return str(generate_csrf())


def cookie_key(secret: str) -> bytes:
    """The key that signs the cookie, so that no other use of the secret can be turned into a cookie."""
    return hmac.digest(secret.encode(), b"web cookie", hashlib.sha256)


def network(address: str) -> str:
    """Who a network address counts as: itself, or of IPv6 the network that one customer has to himself."""
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
    return network(flask.request.remote_addr or "unknown")  # an empty key would be no limit
