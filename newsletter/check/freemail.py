"""Domains at which anybody may have an address. Nobody but their provider publishes records there or sends for them.

Receivers treat mail that comes from elsewhere as forged: Gmail says so of its own domain in its guidelines for senders
(https://support.google.com/mail/answer/81126), and the others publish a DMARC policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

# The domains, and below what names the provider's servers for outgoing mail are.
_PROVIDERS: Final = (
    (("gmail.com", "googlemail.com"), ("gmail.com", "google.com", "googlemail.com")),
    (("outlook.com", "hotmail.com", "live.com", "msn.com"), ("office365.com", "outlook.com", "live.com")),
    (
        ("yahoo.com", "ymail.com", "yahoo.co.uk", "yahoo.de", "yahoo.fr", "yahoo.co.jp", "aol.com"),
        ("yahoo.com", "aol.com"),
    ),
    (("icloud.com", "me.com", "mac.com"), ("me.com", "icloud.com")),
    (("gmx.de", "gmx.net", "gmx.com", "gmx.at", "gmx.ch", "web.de"), ("gmx.net", "gmx.com", "web.de")),
    (("proton.me", "protonmail.com", "pm.me"), ("protonmail.ch", "proton.me")),
    (("qq.com", "foxmail.com"), ("qq.com",)),
    (("163.com", "126.com"), ("163.com", "126.com")),
    (("mail.ru", "yandex.ru", "yandex.com"), ("mail.ru", "yandex.ru", "yandex.com")),
)


def is_free(domain: str) -> bool:
    """Whether a domain is one of these."""
    return bool(_servers(domain))


def sends_for(domain: str, hosts: Sequence[str]) -> bool:
    """Whether all servers that take our mail are those of the provider of a domain."""
    tops = _servers(domain)
    return all(any(f".{host.lower()}".endswith(f".{top}") for top in tops) for host in hosts)


def _servers(domain: str) -> tuple[str, ...]:
    return next((servers for domains, servers in _PROVIDERS if domain.lower() in domains), ())
