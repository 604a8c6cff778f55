"""Questions to DNS, by dnspython: the system's name servers, or one that the operator names. Answers are kept.

dnspython takes 25 ms to import, so it is imported for the first question: `--offline` asks none.
"""

from __future__ import annotations

import socket
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final

from newsletter.errors import NewsletterError
from newsletter.text import one_line

if TYPE_CHECKING:
    import dns.resolver

_SECONDS: Final = 6.0  # for one question
_MOST: Final = 60  # questions in one check: SPF records may include one another


_PRIVATE: Final = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))


class Unanswered(NewsletterError):
    """No name server gave an answer. That says nothing about the record."""

    exit_code = 75


class NoNameServer(Unanswered):
    """No name server can be asked anything: none is known, or none replies."""


class Names:
    """Asks DNS. Each method returns what there is, an empty list if there is nothing, and raises Unanswered."""

    def __init__(self, resolver: tuple[str, int] | None = None) -> None:
        """`resolver` is host and port of the name server to ask; None: those of the system."""
        self._asked = resolver
        self._resolver: dns.resolver.Resolver | None = None
        self._known: dict[tuple[str, str], list[Any]] = {}
        self._dead: Unanswered | None = None

    def txt(self, name: str) -> list[str]:
        """The texts of TXT records; the strings of one are joined (RFC 7208 section 3.3)."""
        return [b"".join(record.strings).decode("utf-8", "replace") for record in self._ask(name, "TXT")]

    def mx(self, name: str) -> list[str]:
        """The hosts of MX records, best first, without a final dot; ``.`` says that no mail is taken (RFC 7505)."""
        found = sorted(self._ask(name, "MX"), key=lambda record: int(record.preference))
        return [str(record.exchange).rstrip(".") or "." for record in found]

    def addresses(self, name: str) -> list[str]:
        """The IPv4 and IPv6 addresses of a host."""
        return [str(record.address) for kind in ("A", "AAAA") for record in self._ask(name, kind)]

    def ptr(self, address: str) -> list[str]:
        """The host names of an address."""
        return [str(record.target).rstrip(".") for record in self._ask(reverse_name(address), "PTR")]

    def _ask(self, name: str, kind: str) -> list[Any]:
        key = (name.lower().rstrip("."), kind)
        if key not in self._known:
            self._known[key] = self._fetch(*key)
        return self._known[key]

    def _fetch(self, name: str, kind: str) -> list[Any]:
        if self._dead is not None:
            raise self._dead
        if len(self._known) >= _MOST:
            raise Unanswered(f"more than {_MOST} questions to DNS; {name} was not asked for")
        import dns.exception
        import dns.name
        import dns.resolver

        try:
            self._resolver = self._resolver or _opened(self._asked)
            return list(self._resolver.resolve(dns.name.from_text(name), kind, search=False))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.resolver.LifetimeTimeout, dns.resolver.NoResolverConfiguration, OSError) as error:
            self._dead = NoNameServer(f"no name server answers ({kind} of {name}): {one_line(error)}")
            raise self._dead from error
        except (dns.exception.DNSException, UnicodeError, ValueError) as error:
            raise Unanswered(f"{kind} of {name}: {one_line(error) or type(error).__name__}") from error


def _opened(asked: tuple[str, int] | None) -> dns.resolver.Resolver:
    import dns.resolver

    if asked is None:
        resolver = dns.resolver.Resolver()
    else:
        host, port = asked
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers = [str(socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0][4][0])]
        resolver.port = port
    resolver.lifetime = _SECONDS
    resolver.timeout = _SECONDS / 2
    return resolver


def reverse_name(address: str) -> str:
    """The name of an address for PTR, without a final dot (RFC 1035 section 3.5, RFC 3596 section 2.5)."""
    import dns.reversename

    return str(dns.reversename.from_address(address)).rstrip(".")


def is_address(text: str) -> bool:
    """Whether a name is an IP address."""
    try:
        return bool(ip_address(text))
    except ValueError:
        return False


def is_inside(address: str) -> bool:
    """Whether an address is of this machine or of a network of somebody's own (RFC 1918, RFC 4193)."""
    found = ip_address(address)
    return (
        found.is_loopback
        or found.is_link_local
        or any(found in each for each in _PRIVATE if each.version == found.version)
    )


def is_global(address: str) -> bool:
    """Whether the world can send to an address."""
    try:
        return ip_address(address).is_global
    except ValueError:
        return False
