"""One HTTP GET with its redirects, limited in hops, addresses and bytes. Retries and caching are in fetch.py.

It uses urllib3's connections without its pools, in order to connect to exactly the address that guard.py has allowed,
without another DNS query. An incomplete body (shorter than its Content-Length, with a broken chunk, or gzip without its
end) is an error and never reaches a parser.
"""

from __future__ import annotations

import socket
import ssl
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urljoin, urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from newsletter.feed.answer import FetchFailure, Response
from newsletter.feed.coding import CHUNK, BadCoding, coding_of, decoded
from newsletter.feed.cookies import Cookies
from newsletter.feed.guard import AddressGuard, Refused
from newsletter.feed.text import plain
from newsletter.feed.tls import tls_failure
from newsletter.feed.urls import ascii_host, shown

MAX_REDIRECTS: Final = 5
CONNECT_SECONDS: Final = 10.0
IDLE_SECONDS: Final = 30.0  # for each read; the caller limits the whole
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True)
class _Target:
    """The parts of a URL. `path` is that of the request line, with the query; `login` is ``user:password`` or None."""

    scheme: str
    host: str
    port: int
    path: str
    login: str | None = None

    @classmethod
    def of(cls, url: str) -> _Target:
        try:
            parts = urlsplit(url)
            host, port = ascii_host(parts.hostname or ""), parts.port
        except ValueError as error:
            raise Refused(f"not a URL: {shown(url)}") from error
        if parts.scheme not in _PORTS or not host:
            raise Refused(f"not an http(s) URL: {shown(url)}")
        path = quote(parts.path or "/", safe="%/:@!$&'()*+,;=~-._")
        query = quote(parts.query, safe="%/:@!$&'()*+,;=~-._?[]")
        login = unquote(parts.netloc.rpartition("@")[0]) or None
        return cls(parts.scheme, host, port or _PORTS[parts.scheme], f"{path}?{query}" if query else path, login)

    @property
    def place(self) -> tuple[str, int]:
        return self.host.strip("[]"), self.port

    @property
    def netloc(self) -> str:
        return self.host if self.port == _PORTS[self.scheme] else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.netloc}{self.path}"


class Exchange:
    """The exchange for one URL. `run` blocks; `abort`, called from another thread, ends it at once."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        max_bytes: int,
        own: Mapping[str, str] | None = None,
        ca_file: Path | None = None,
    ) -> None:
        """`max_bytes` limits the size of the decompressed body.

        `own` are header fields for the URL's own host only, and the certificates in `ca_file` (PEM) are for it only.
        """
        self._url, self._headers, self._max_bytes = url, headers, max_bytes
        self._own, self._ca_file = own or {}, ca_file
        self._cookies = Cookies()
        self._connection: HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._aborted = False

    def run(self) -> Response:
        """Send the request, follow redirects and read the body. Raises FetchFailure."""
        try:
            return self._follow()
        except Refused as refusal:
            raise FetchFailure(str(refusal)) from refusal
        except BadCoding as error:
            raise FetchFailure(str(error), again=error.cut) from error
        except (urllib3.exceptions.HTTPError, HTTPException, OSError, ValueError) as error:
            reason, again = tls_failure(error) or (_explain(error), True)
            raise FetchFailure(plain(reason, 200), again=again) from error

    def abort(self) -> None:
        """Shut down the connection whatever it is doing. `run` then raises FetchFailure."""
        self._aborted = True
        open_socket = self._socket or (self._connection.sock if self._connection else None)
        if open_socket is not None:
            # Not SSLSocket.shutdown, which also drops the TLS state that the other thread is using.
            with suppress(OSError):
                socket.socket.shutdown(open_socket, socket.SHUT_RDWR)

    def _follow(self) -> Response:
        target = _Target.of(self._url)
        guard, own = AddressGuard(target.place), dict(self._own)
        if target.login and "authorization" not in {name.lower() for name in own}:
            own.update(urllib3.make_headers(basic_auth=target.login))
        home = (target.scheme, target.place)
        left = False  # whether a redirect has led elsewhere; who leads back must not have the secrets sent
        for _ in range(MAX_REDIRECTS + 1):
            left = left or (target.scheme, target.place) != home
            answer = self._get(target, guard, None if left else own)
            location = answer.headers.get("Location")
            if answer.status not in _REDIRECTS or not location:
                return answer
            target = _next_hop(target, location)
        raise Refused(f"more than {MAX_REDIRECTS} redirects")

    def _get(self, target: _Target, guard: AddressGuard, own: Mapping[str, str] | None) -> Response:
        """One response; `own` are the header fields for the feed's host, None when this is another."""
        named = {name.lower() for name in own or {}}
        usual = {name: value for name, value in self._headers.items() if name.lower() not in named}
        headers = {**usual, **(own or {}), "Host": target.netloc}
        secure = target.scheme == "https"
        if cookies := self._cookies.header(target.place[0], target.path, secure=secure):
            given = next((name for name in headers if name.lower() == "cookie"), "Cookie")
            headers[given] = "; ".join(filter(None, (headers.get(given), cookies)))
        proxy = _proxy_for(target)
        if proxy:
            guard.check_literal(*target.place)
        ca_file = None if own is None else self._ca_file
        connection = self._connect_to_proxy(proxy, target, ca_file) if proxy else self._connect(target, guard, ca_file)
        with closing(connection):
            if proxy and target.scheme == "http":
                headers.update(_proxy_login(proxy))
            path = target.url if proxy and target.scheme == "http" else target.path
            connection.request("GET", path, headers=headers, preload_content=False, decode_content=False)
            response = connection.getresponse()
            with closing(response):
                set_cookies = response.headers.getlist("Set-Cookie")
                self._cookies.take(target.place[0], target.path, set_cookies, secure=secure)
                body = b"".join(self._body(response)) if response.status == 200 else b""
                return Response(response.status, response.reason or "", response.headers, body)

    def _connect(self, target: _Target, guard: AddressGuard, ca_file: Path | None) -> HTTPConnection:
        """A connection to the first of the target's addresses that accepts one."""
        failure: Exception | None = None
        for address in guard.addresses(*target.place):
            if target.scheme == "https":
                connection: HTTPConnection = HTTPSConnection(
                    address, target.port, ssl_context=_context(ca_file), server_hostname=target.place[0]
                )
            else:
                connection = HTTPConnection(address, target.port)
            try:
                return self._open(connection)
            except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError) as error:
                failure = error
        raise failure or OSError("no address")

    def _connect_to_proxy(self, proxy: str, target: _Target, ca_file: Path | None) -> HTTPConnection:
        """A connection to the proxy; for https, a tunnel through it (CONNECT, RFC 9110 section 9.3.6)."""
        parts = urlsplit(proxy)
        host, port = parts.hostname or "", parts.port or 80
        if target.scheme == "http":
            return self._open(HTTPConnection(host, port))
        tunnel = HTTPSConnection(host, port, ssl_context=_context(ca_file))
        tunnel.set_tunnel(target.host, target.port, headers=_proxy_login(proxy))
        return self._open(tunnel)

    def _open(self, connection: HTTPConnection) -> HTTPConnection:
        if self._aborted:
            raise FetchFailure("aborted")
        self._connection, self._socket = connection, None
        connection.timeout = CONNECT_SECONDS
        try:
            connection.connect()
            self._socket = connection.sock
        except BaseException:
            connection.close()
            raise
        connection.timeout = IDLE_SECONDS  # urllib3 sets it on the socket when it sends the request
        return connection

    def _body(self, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        """The decompressed body in chunks. Raises Refused if it is larger than `max_bytes`."""
        self._bound(_length(response.headers.get("Content-Length")))
        coding = coding_of(response.headers.get("Content-Encoding"))
        raw = response.stream(CHUNK, decode_content=False)
        size = 0
        for chunk in decoded(raw, coding):
            size += len(chunk)
            self._bound(size)
            if self._aborted:
                raise FetchFailure("aborted")
            yield chunk

    def _bound(self, size: int) -> None:
        if size > self._max_bytes:
            raise Refused(f"the response has more than {self._max_bytes / 1e6:g} MB (fetch.max_megabytes)")


def _next_hop(current: _Target, location: str) -> _Target:
    """The target of a Location header. Raises Refused if it is not http(s), or http after https."""
    url = urljoin(current.url, _as_utf_8(location).strip())
    try:
        target = _Target.of(url)
    except Refused as refusal:
        raise Refused(f"a redirect to a URL that is not http(s): {plain(shown(url), 200)}") from refusal
    if current.scheme == "https" and target.scheme == "http":
        raise Refused(f"a redirect from https to http, to {target.netloc}")
    return target


def _as_utf_8(header: str) -> str:
    """A header's value as UTF-8, if it is; http.client has decoded it as Latin-1."""
    try:
        return header.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return header


def _length(header: str | None) -> int:
    """The Content-Length in bytes, 0 if unknown. Equal ones may be given twice (RFC 9110 section 8.6)."""
    values = {value.strip() for value in (header or "").split(",")}
    (only, *others) = values
    return int(only) if not others and only.isascii() and only.isdigit() and len(only) < 19 else 0


def _context(ca_file: Path | None) -> ssl.SSLContext:
    """The system's certificates, or those in `ca_file`. Raises Refused if it cannot be read."""
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except OSError as error:
        said = "holds no certificates" if isinstance(error, ssl.SSLError) else error.strerror or "cannot be read"
        raise Refused(f"feeds.ca_file: {ca_file}: {said}") from error


def _proxy_for(target: _Target) -> str | None:
    """The proxy that the environment names for `target`, or None. Raises Refused if it is not an http:// proxy.

    The variables are http_proxy, https_proxy, all_proxy and no_proxy, as for curl. Nothing else is read from the
    environment: a .netrc, for example, would send a password that nobody configured here. A proxy resolves names
    itself, so their addresses cannot be checked here.
    """
    proxies = urllib.request.getproxies()
    proxy = proxies.get(target.scheme) or proxies.get("all")
    if not proxy or urllib.request.proxy_bypass(target.netloc):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if not proxy.startswith("http://"):
        raise Refused(f"the environment names the proxy {shown(proxy)}; only http:// proxies are supported")
    return proxy


def _proxy_login(proxy: str) -> dict[str, str]:
    login = unquote(urlsplit(proxy).netloc.rpartition("@")[0])
    return dict(urllib3.make_headers(proxy_basic_auth=login)) if login else {}


def _explain(error: Exception) -> str:
    """A connection's error in words, those of the operating system if it has any."""
    cause = _innermost(error)
    if isinstance(cause, socket.gaierror):
        return "the host name cannot be resolved"
    if isinstance(cause, TimeoutError):
        return "the server stopped answering"
    if isinstance(cause, urllib3.exceptions.IncompleteRead | HTTPException):
        return "the response was cut off"
    return plain(getattr(cause, "strerror", None) or str(cause), 200) or type(cause).__name__


def _innermost(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error
