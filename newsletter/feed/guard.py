"""Which addresses a redirect may lead to: public ones only, judged by the very address that is then connected to.

The configured URL may be anywhere, loopback included: the operator chose it. What a server answers with is chosen by
whoever runs that server, and must not reach the operator's own network (SSRF). Names are resolved here, once, and the
connection is made to the result, so that a second DNS answer cannot differ from the one that was judged.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# RFC 6052 section 2.1: the last 32 bits of such an address are an IPv4 address.
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


class Refused(Exception):
    """A hop that is not allowed; asking again will not change that."""


@dataclass(frozen=True)
class AddressGuard:
    """The rule for one fetch. `origin` is host and port of the configured URL, where anything is allowed."""

    origin: tuple[str, int]

    def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of `host` that may be connected to. Raises Refused when there is none, OSError without DNS."""
        found = resolve(host, port)
        if (host, port) == self.origin:
            return found
        allowed = [address for address in found if is_public(address)]
        if not allowed:
            raise Refused(f"a redirect leads to {host}, which is not a public address ({found[0]})")
        return allowed

    def check_literal(self, host: str, port: int) -> None:
        """Refuse `host` if it is written as a private address; names pass. For a proxy, which resolves names itself."""
        if (host, port) == self.origin:
            return
        try:
            found = resolve(host, port, socket.AI_NUMERICHOST)
        except OSError:
            return
        if not all(map(is_public, found)):
            raise Refused(f"a redirect leads to {host}, which is not a public address")


def resolve(host: str, port: int, flags: int = 0) -> list[str]:
    """Every address of `host` as getaddrinfo reads it, which knows 2130706433 and 0x7f.1 too. Raises OSError."""
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)]


def is_public(address: str) -> bool:
    """Whether `address` is reachable from anywhere (IANA's special-purpose registries), and so are those inside it."""
    return all(each.is_global and not each.is_multicast for each in _layers(ipaddress.ip_address(address)))


def _layers(ip: _Address) -> Iterator[_Address]:
    """The address, or the IPv4 address it stands for; and the ones a tunnel would unwrap."""
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
