"""Decide which IP addresses a redirect may lead to: public ones only (protection against SSRF).

The operator chose the configured URL, so it may be anywhere, also on loopback. The target of a redirect is chosen by
the server and must not reach the operator's own network. Each name is resolved once, here, and the connection is made
to that address, so that a different second DNS answer has no effect (DNS rebinding). A redirect back to the configured
host and port leads to the addresses that it had at the first request.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass, field
from typing import Final

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# The networks that are not globally reachable, and those whose addresses stand for others, by IANA's special-purpose
# address registries (RFC 6890): https://www.iana.org/assignments/iana-ipv4-special-registry and
# https://www.iana.org/assignments/iana-ipv6-special-registry. Multicast is of RFC 5771 and RFC 4291 section 2.7.
_SPECIAL: Final = tuple(
    ipaddress.ip_network(network)
    for network in """
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24
    192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
    ::/96 ::ffff:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64 2001::/23 2001:db8::/32 2002::/16 3fff::/20
    5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8
    """.split()
)
# Global unicast addresses are of this network (RFC 4291 section 2.4); the others are reserved.
_UNICAST: Final = ipaddress.IPv6Network("2000::/3")

# The last 32 bits of an address in this network are an IPv4 address (RFC 6052 section 2.1).
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


class Refused(Exception):
    """A request or response that is not allowed; another attempt would not change that."""


@dataclass
class AddressGuard:
    """The rule for one fetch. `origin` is host and port of the configured URL, for which any address is allowed."""

    origin: tuple[str, int]
    _of_origin: list[str] = field(default_factory=list)  # what the origin's name meant at the first request

    def addresses(self, host: str, port: int) -> list[str]:
        """The allowed addresses of `host`. Raises Refused if there is none, OSError if the name cannot be resolved."""
        if (host, port) == self.origin:
            self._of_origin = self._of_origin or resolve(host, port)
            return self._of_origin
        found = resolve(host, port)
        allowed = [address for address in found if is_public(address)]
        if not allowed:
            raise Refused(f"a redirect leads to {host}, which is not a public address ({found[0]})")
        return allowed

    def check_literal(self, host: str, port: int) -> None:
        """Raise Refused if `host` is a private IP address. Names pass, because a proxy resolves them itself."""
        if (host, port) == self.origin:
            return
        try:
            found = resolve(host, port, socket.AI_NUMERICHOST)
        except OSError:
            return
        if not all(map(is_public, found)):
            raise Refused(f"a redirect leads to {host}, which is not a public address")


def resolve(host: str, port: int, flags: int = 0) -> list[str]:
    """All addresses of `host` from getaddrinfo, which also reads forms as 2130706433 and 0x7f.1. Raises OSError."""
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)]


def is_public(address: str) -> bool:
    """Whether `address`, or the IPv4 address in it, is global unicast and in no special network (`_SPECIAL`)."""
    ip = _inner(ipaddress.ip_address(address.partition("%")[0]))
    if any(ip in network for network in _SPECIAL):
        return False
    return isinstance(ip, ipaddress.IPv4Address) or ip in _UNICAST


def _inner(ip: _Address) -> _Address:
    """`ip`, or the IPv4 address that it maps or that NAT64 translates it to."""
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped:
            return ip.ipv4_mapped
        if ip in _NAT64:
            return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip
