"""One POST of a form to a token endpoint, over TLS with a certificate that is checked."""

from __future__ import annotations

import json
import ssl
import time
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPException
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import urllib3

from newsletter.errors import TokenUnavailable
from newsletter.text import one_line

_WITHIN: Final = 20.0  # seconds for connecting, and for each read
_WHOLE: Final = 60.0  # seconds for the whole body
_LONGEST: Final = 65_536  # bytes of an answer


def post(url: str, fields: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
    """The status and the JSON object that answer a form; empty if there is none. Raises TokenUnavailable.

    Redirects are not followed: they would take the secrets elsewhere. An https_proxy of the environment is used.
    """
    where = urlsplit(url).netloc
    options: dict[str, Any] = {
        "ssl_context": ssl.create_default_context(),
        "timeout": urllib3.Timeout(connect=_WITHIN, read=_WITHIN),
        "retries": False,
    }
    try:
        with _manager(where, options) as manager:
            response = manager.request(
                "POST",
                url,
                body=urlencode(fields),
                headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
                redirect=False,
                preload_content=False,
            )
            with closing(response):
                body, status = _body(response), response.status
    except (urllib3.exceptions.HTTPError, HTTPException, OSError) as error:
        raise TokenUnavailable(f"{where} cannot be asked for an access token: {_reason(error)}") from None
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = {}
    return status, found if isinstance(found, dict) else {}


def _body(response: urllib3.BaseHTTPResponse) -> bytes:
    """The body, cut off after _LONGEST bytes. Raises TimeoutError for one that drips."""
    body, end = b"", time.monotonic() + _WHOLE
    while len(body) < _LONGEST and (chunk := response.read1(_LONGEST)):
        body += chunk
        if time.monotonic() > end:
            raise TimeoutError
    return body


def _manager(where: str, options: dict[str, Any]) -> urllib3.PoolManager:
    proxy = urllib.request.getproxies().get("https")
    if proxy and not urllib.request.proxy_bypass(where):
        return urllib3.ProxyManager(proxy if "://" in proxy else f"http://{proxy}", **options)
    return urllib3.PoolManager(**options)


def _reason(error: BaseException) -> str:
    """The innermost reason in words, without the URL and the fields that urllib3 would show."""
    while (inner := _inside(error)) is not None:
        error = inner
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate cannot be trusted: {error.verify_message}"
    if isinstance(error, TimeoutError | urllib3.exceptions.TimeoutError):
        return "it does not answer"
    strerror = error.strerror if isinstance(error, OSError) else None
    return one_line(strerror or type(error).__name__)


def _inside(error: BaseException) -> BaseException | None:
    """The error that `error` wraps: urllib3 keeps it as its cause or as an argument."""
    return next((each for each in (error.__cause__, *error.args) if isinstance(each, BaseException)), None)
