"""Decide which IP addresses a redirect may lead to: public ones only (protection against SSRF).

The operator chose the configured URL, so it may be anywhere, also on loopback. The target of a redirect is chosen by
the server and must not reach the operator's own network. Each name is resolved once, here, and the connection is made
to that address, so that a different second DNS answer has no effect (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# The last 32 bits of an address in this network are an IPv4 address (RFC 6052 section 2.1).
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


class Refused(Exception):
    """A request or response that is not allowed; another attempt would not change that."""


@dataclass(frozen=True)
class AddressGuard:
    """The rule for one fetch. `origin` is host and port of the configured URL, for which any address is allowed."""

    origin: tuple[str, int]

    def addresses(self, host: str, port: int) -> list[str]:
        """The allowed addresses of `host`. Raises Refused if there is none, OSError if the name cannot be resolved."""
        found = resolve(host, port)
        if (host, port) == self.origin:
            return found
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
    """Whether `address` and all addresses embedded in it are global by IANA's special-purpose address registries."""
    return all(each.is_global and not each.is_multicast for each in _layers(ipaddress.ip_address(address)))


def _layers(ip: _Address) -> Iterator[_Address]:
    """`ip`, or the IPv4 address it maps, and the IPv4 addresses that 6to4, Teredo and NAT64 embed in it."""
    if isinstance(ip, ipaddress.IPv4Address):
        yield ip
        return
    yield ip.ipv4_mapped or ip
    if ip.sixtofour:
        yield ip.sixtofour
    if ip.teredo:
        yield ip.teredo[1]
    if ip in _NAT64:
        yield ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
