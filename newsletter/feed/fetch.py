"""The bytes of a feed, from http(s) or a file: within a deadline, below a size, and never from where it should not.

Content never comes from a truncated answer: a body shorter than announced, a broken chunk or a broken gzip stream is an
error, and the size cap counts decoded bytes.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from newsletter import __version__
from newsletter.config import FetchConfig
from newsletter.errors import FeedError
from newsletter.feed.guard import Forbidden, session
from newsletter.model import CachedAnswer

_REDIRECTS: Final = 5
_REDIRECT: Final = {301, 302, 303, 307, 308}

# Worth asking again (RFC 9110 section 15, RFC 6585 section 4).
_RETRYABLE: Final = {408, 425, 429, 500, 502, 503, 504}
_BACKOFF: Final = 1.0  # seconds before the second attempt, doubled for each further one

_READ_TIMEOUT: Final = 20.0  # seconds of silence; what a thread that was given up on may still take
_CHUNK: Final = 65536

_HEADERS: Final = {
    "User-Agent": f"daily-papers-newsletter/{__version__}",
    "Accept": "application/json, application/feed+json, application/atom+xml, application/rss+xml, */*;q=0.5",
    "Accept-Encoding": "gzip",
}


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer's decoded bytes. `not_modified`: the server said 304, and `body` is the one kept from before."""

    body: bytes
    content_type: str | None = None
    not_modified: bool = False


class Cache(Protocol):
    """Where a feed's last answer is kept."""

    def cached(self, url: str) -> CachedAnswer | None:
        """The last answer of `url`, if it is kept."""

    def cache(self, answer: CachedAnswer) -> None:
        """Keep an answer."""


class _Again(FeedError):
    """This attempt failed, another may not; `after` is the server's Retry-After in seconds."""

    def __init__(self, message: str, after: float | None = None) -> None:
        self.after = after
        super().__init__(message)


def fetch(
    url: str,
    limits: FetchConfig,
    *,
    cache: Cache | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    sleep: Callable[[float], None] = time.sleep,
) -> Fetched:
    """Get `url`, an http(s) URL or a file's path. Raises FeedError, in one line that names the place."""
    if not url.lower().startswith(("http://", "https://")):
        return Fetched(_from_file(Path(url), limits.max_bytes))
    kept = cache.cached(url) if cache is not None else None
    answer = _within(limits.deadline, shown(url), lambda: _Exchange(url, limits, kept, now, sleep).result())
    if answer.fetched is not None:
        if cache is not None and (answer.etag or answer.last_modified):
            cache.cache(answer.to_cache(url, now()))
        return answer.fetched
    if kept is None:
        raise FeedError(f"{shown(url)}: 304 Not Modified, though nothing is kept from before")
    return Fetched(kept.body, kept.content_type, not_modified=True)


def shown(url: str) -> str:
    """`url` for people: without user and password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _from_file(path: Path, max_bytes: int) -> bytes:
    try:
        if not path.is_file():
            raise FeedError(f"{path}: no such file" if not path.exists() else f"{path}: not a file")
        with path.open("rb") as stream:
            body = stream.read(max_bytes + 1)
    except OSError as error:
        raise FeedError(f"{path}: {error.strerror}") from error
    if len(body) > max_bytes:
        raise FeedError(f"{path}: larger than {max_bytes / 1e6:g} MB (fetch.max_megabytes)")
    return body


def _within(seconds: float, name: str, act: Callable[[], _Answer]) -> _Answer:
    """The result of `act`, or FeedError when it takes longer.

    A timeout of requests bounds each wait for bytes, not a server that drips them, nor DNS. So the exchange has a
    thread of its own, which is left behind when time is up: it ends by itself, and holds no more than the size cap.
    """
    box: queue.SimpleQueue[_Answer | BaseException] = queue.SimpleQueue()

    def work() -> None:
        try:
            box.put(act())
        except BaseException as error:  # handed over, and raised where it is waited for
            box.put(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        result = box.get(timeout=seconds)
    except queue.Empty:
        raise FeedError(f"{name}: took longer than {seconds:g} s (fetch.deadline)") from None
    if isinstance(result, BaseException):
        raise result
    return result


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the server said in the end; `fetched` is None for 304."""

    fetched: Fetched | None
    etag: str | None = None
    last_modified: str | None = None

    def to_cache(self, url: str, when: datetime) -> CachedAnswer:
        assert self.fetched is not None
        return CachedAnswer(url, self.fetched.body, self.fetched.content_type, self.etag, self.last_modified, when)


class _Exchange:
    """One feed's attempts and redirects."""

    def __init__(
        self,
        url: str,
        limits: FetchConfig,
        kept: CachedAnswer | None,
        now: Callable[[], datetime],
        sleep: Callable[[float], None],
    ) -> None:
        self._url, self._limits, self._now, self._sleep = url, limits, now, sleep
        self._ends = time.monotonic() + limits.deadline
        self._headers = dict(_HEADERS)
        if kept is not None and kept.etag:
            self._headers["If-None-Match"] = kept.etag
        if kept is not None and kept.last_modified:
            self._headers["If-Modified-Since"] = kept.last_modified

    def result(self) -> _Answer:
        """Try until it works, the attempts are used up, or waiting would outlast the deadline."""
        for attempt in range(1, self._limits.attempts + 1):
            try:
                return self._attempt()
            except _Again as error:
                wait = error.after if error.after is not None else _BACKOFF * 2 ** (attempt - 1)
                if attempt == self._limits.attempts:
                    raise FeedError(f"{error}, in {attempt} attempts") from error
                if wait >= self._left():
                    raise FeedError(f"{error}; it asks to wait {wait:.0f} s, beyond fetch.deadline") from error
                self._sleep(wait)
        raise AssertionError("attempts is at least 1")

    def _left(self) -> float:
        return max(0.0, self._ends - time.monotonic())

    def _attempt(self) -> _Answer:
        url = self._url
        for _ in range(_REDIRECTS + 1):
            with session(allow_private=_origin(url) == _origin(self._url)) as client:
                try:
                    response = client.get(
                        url, headers=self._headers, stream=True, allow_redirects=False, timeout=_READ_TIMEOUT
                    )
                except Forbidden as error:
                    raise FeedError(f"{shown(self._url)} redirects to {error}, which is refused") from error
                except requests.RequestException as error:
                    raise _Again(f"{shown(url)}: {_reason(error)}") from error
                with response:
                    if response.status_code not in _REDIRECT:
                        return self._answer(url, response)
                    url = self._next(url, response)
        raise FeedError(f"{shown(self._url)}: more than {_REDIRECTS} redirects")

    def _next(self, url: str, response: requests.Response) -> str:
        """Where a redirect leads, if it may lead there."""
        target = urljoin(url, response.headers.get("Location", ""))
        scheme = urlsplit(target).scheme
        if scheme not in ("http", "https"):
            raise FeedError(f"{shown(self._url)} redirects to {scheme}:, which is refused")
        if scheme == "http" and url.startswith("https:"):
            raise FeedError(f"{shown(self._url)} redirects from https to http, which is refused")
        return target

    def _answer(self, url: str, response: requests.Response) -> _Answer:
        status, headers = response.status_code, response.headers
        if status in _RETRYABLE:
            raise _Again(f"{shown(url)}: HTTP {status}", _retry_after(headers.get("Retry-After"), self._now()))
        if status == 304:
            return _Answer(None)
        if status != 200:
            raise FeedError(f"{shown(url)}: HTTP {status}")
        fetched = Fetched(self._body(url, response), headers.get("Content-Type"))
        return _Answer(fetched, headers.get("ETag"), headers.get("Last-Modified"))

    def _body(self, url: str, response: requests.Response) -> bytes:
        """The whole body, decoded as it comes in, never more than the cap in memory."""
        chunks: list[bytes] = []
        size = 0
        try:
            while chunk := response.raw.read(_CHUNK, decode_content=True):
                size += len(chunk)
                if size > self._limits.max_bytes:
                    raise FeedError(
                        f"{shown(url)}: larger than {self._limits.max_bytes / 1e6:g} MB (fetch.max_megabytes)"
                    )
                chunks.append(chunk)
                if not self._left():
                    raise FeedError(f"{shown(url)}: took longer than {self._limits.deadline:g} s (fetch.deadline)")
        except urllib3.exceptions.DecodeError as error:
            raise FeedError(
                f"{shown(url)}: the answer is not the {response.headers.get('Content-Encoding')} it says"
            ) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _Again(f"{shown(url)}: the answer broke off ({_reason(error)})") from error
        return b"".join(chunks)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait by RFC 9110 section 10.2.3: a number, or a date."""
    if not value:
        return None
    if value.strip().isdigit():
        return float(value.strip()[:9])
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (when.astimezone(UTC) - now).total_seconds())


def _reason(error: BaseException) -> str:
    """The innermost cause, in a few words."""
    seen = str(error)
    for words, said in _REASONS:
        if words in seen:
            return said
    return type(error).__name__


_REASONS: Final = (
    ("NameResolution", "the host is not known"),
    ("Name or service not known", "the host is not known"),
    ("Connection refused", "connection refused"),
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is not to be trusted"),
    ("timed out", "no answer in time"),
    ("Read timed out", "no answer in time"),
    ("IncompleteRead", "shorter than announced"),
    ("Connection aborted", "the connection was closed"),
    ("Connection reset", "the connection was reset"),
    ("RemoteDisconnected", "the connection was closed"),
    ("InvalidChunkLength", "a broken chunk"),
)
