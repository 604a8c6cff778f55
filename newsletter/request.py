"""One bounded HTTP request to a server that the operator has named: for access tokens, pings, webhooks and the doctor.

Such a server may well be on this machine or in a private network, so its address is not judged as a feed's is.
"""

from __future__ import annotations

import ssl
import threading
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, Final
from urllib.parse import urlsplit

import urllib3

_LONGEST: Final = 65_536  # bytes of an answer that are read
_IN_CLEAR: Final = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE")  # OpenSSL


class Unanswered(Exception):
    """No answer came. The message says why, in words without the URL, which may be a secret.

    `cause` is the error of the system or of the TLS library, None if the time was up.
    """

    def __init__(self, words: str, cause: BaseException | None = None) -> None:
        super().__init__(words)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: its HTTP status, up to 65,536 bytes of its body, and its header fields by lower-case name."""

    status: int
    body: bytes
    headers: Mapping[str, str]


def request(method: str, url: str, *, body: bytes = b"", headers: Mapping[str, str], within: float) -> Answer:
    """Send `body` to an http(s) URL and wait for the answer, for `within` seconds altogether. Raises Unanswered.

    The time includes the name server, which has no timeout of its own: after it the request is left to a thread that
    does not keep the process alive. Certificates are verified. Redirects are not followed: they would take secrets
    elsewhere. A proxy of the environment is used, except for hosts in no_proxy.
    """
    found: list[Answer | Unanswered] = []
    thread = threading.Thread(target=lambda: found.append(_ask(method, url, body, headers, within)), daemon=True)
    thread.start()
    thread.join(within)
    answer = found[0] if found else Unanswered("it does not answer")
    if isinstance(answer, Unanswered):
        raise answer
    return answer


def _ask(method: str, url: str, body: bytes, headers: Mapping[str, str], within: float) -> Answer | Unanswered:
    try:
        with _manager(url, within) as manager:
            sent = body if body or method == "POST" else None
            response = manager.request(
                method, url, body=sent, headers=dict(headers), redirect=False, preload_content=False
            )
            with closing(response):
                named = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status, _body(response), named)
    except (urllib3.exceptions.HTTPError, HTTPException, OSError, ValueError) as error:
        cause = _innermost(error)
        return Unanswered(_reason(cause), cause)


def _body(response: urllib3.BaseHTTPResponse) -> bytes:
    """The body, cut off after _LONGEST bytes. The caller's deadline ends the wait for one that arrives byte by byte."""
    body = b""
    while len(body) < _LONGEST and (chunk := response.read1(_LONGEST)):
        body += chunk
    return body


def _manager(url: str, within: float) -> urllib3.PoolManager:
    parts = urlsplit(url)
    options: dict[str, Any] = {"timeout": urllib3.Timeout(connect=within, read=within), "retries": False}
    if parts.scheme == "https":
        options["ssl_context"] = ssl.create_default_context()
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.netloc):
        return urllib3.ProxyManager(proxy if "://" in proxy else f"http://{proxy}", **options)
    return urllib3.PoolManager(**options)


def _reason(error: BaseException) -> str:
    """The reason in words, without the URL and the fields that urllib3 would show."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate cannot be trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason:
        in_clear = error.reason in _IN_CLEAR
        return "it does not speak TLS at this port" if in_clear else f"TLS: {error.reason.replace('_', ' ').lower()}"
    if isinstance(error, TimeoutError | urllib3.exceptions.TimeoutError):
        return "it does not answer"
    strerror = error.strerror if isinstance(error, OSError) else None
    return strerror or type(error).__name__


def _innermost(error: BaseException) -> BaseException:
    """The error that began it: urllib3 keeps it as the cause or as an argument of its own."""
    while (inner := _inside(error)) is not None:
        error = inner
    return error


def _inside(error: BaseException) -> BaseException | None:
    return next((each for each in (error.__cause__, *error.args) if isinstance(each, BaseException)), None)
