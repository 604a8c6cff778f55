"""Connections that refuse to reach inside: the address that was really connected to is checked, before a byte is sent.

A feed's server can redirect to anything (SSRF), in spellings that fool a check of the URL: 2130706433, 0x7f000001, a
name that resolves to 127.0.0.1. The peer of a connected socket cannot be misspelt. A proxy named in the environment is
trusted to guard itself: through it the peer is the proxy.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection


class Forbidden(Exception):
    """A redirect led to an address that is not public."""


def session(*, allow_private: bool) -> requests.Session:
    """A session for one hop. Without `allow_private` it connects to public addresses only, else raises Forbidden."""
    client = requests.Session()
    if not allow_private:
        client.mount("http://", _PublicAdapter())
        client.mount("https://", _PublicAdapter())
    return client


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet (IANA's special-purpose registries)."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(ip, "ipv4_mapped", None)
    return (mapped or ip).is_global and not (mapped or ip).is_multicast


def _checked(connected: socket.socket) -> socket.socket:
    peer = connected.getpeername()[0]
    if not is_public(peer):
        connected.close()
        raise Forbidden(f"the private address {peer}")
    return connected


class _PublicHTTP(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _checked(super()._new_conn())


class _PublicHTTPS(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _checked(super()._new_conn())


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _PublicHTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _PublicHTTPS


class _PublicAdapter(HTTPAdapter):
    """requests' adapter over pools whose connections check their peer."""

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        """Make the pools (requests' hook)."""
        self.poolmanager = PoolManager(num_pools=connections, maxsize=maxsize, block=block, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
