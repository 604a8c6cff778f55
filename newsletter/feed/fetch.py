"""Get a feed's bytes from http(s) or a file, within a deadline and a size limit, with a cache and retries.

The result is complete or a FeedError. exchange.py makes one GET; this module judges its response and decides about
another attempt.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Final, Protocol

from newsletter import __version__
from newsletter.config import FeedConfig, FetchConfig
from newsletter.errors import FeedError
from newsletter.feed.answer import FetchFailure, Response
from newsletter.feed.text import plain
from newsletter.feed.urls import shown, without_secrets
from newsletter.model import CachedResponse
from newsletter.runtime import utc_now

if TYPE_CHECKING:
    from newsletter.feed.exchange import Exchange

# Statuses that may be different at another attempt (RFC 9110 section 15; 425: RFC 8470; 429: RFC 6585).
RETRYABLE: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_BACKOFF: Final = (1.0, 2.0, 4.0, 8.0)  # seconds before the second attempt, the third, ...; the last value stays
_HEADERS: Final = {
    "User-Agent": f"daily-papers-newsletter/{__version__}",
    "Accept": "application/rss+xml, application/atom+xml, application/feed+json, application/json, text/xml;q=0.9,"
    " application/xml;q=0.9, */*;q=0.5",
    "Accept-Encoding": "gzip",
    "Accept-Language": "*",  # some hosts refuse requests without it
}


@dataclass(frozen=True, slots=True)
class Fetched:
    """A complete response. `not_modified`: the server answered 304 and the body is the cached one."""

    body: bytes
    content_type: str | None
    not_modified: bool = False


class Cache(Protocol):
    """Keeps each feed's last response with its validators."""

    def cached(self, url: str) -> CachedResponse | None:
        """The last response from `url`, or None."""

    def cache(self, answer: CachedResponse) -> None:
        """Keep `answer`, replacing an earlier one from its URL."""


def fetch(
    url: str,
    limits: FetchConfig,
    *,
    source: FeedConfig | None = None,
    cache: Cache | None = None,
    now: Callable[[], datetime] = utc_now,
    sleep: Callable[[float], None] = time.sleep,
) -> Fetched:
    """The bytes of `url`, an http(s) URL or the absolute path of a file. Raises FeedError with one line and the place.

    `limits` are the deadline in seconds for all attempts, the size in bytes after decompression, and the number of
    attempts. `source` says what the feed's own host is sent and how it is trusted. A password in the URL and the
    headers of `source` are sent to that host only, and neither they nor the query of the URL are in errors.
    """
    source = source or FeedConfig(url)
    try:
        return _fetch(url, limits, source, cache, now, sleep)
    except FeedError as error:
        raise FeedError(without_secrets(str(error), source.hidden), status=error.status) from error


def _fetch(
    url: str,
    limits: FetchConfig,
    source: FeedConfig,
    cache: Cache | None,
    now: Callable[[], datetime],
    sleep: Callable[[float], None],
) -> Fetched:
    if not url.lower().startswith(("http://", "https://")):
        return Fetched(_read_file(Path(url), limits.max_bytes), None)
    known = cache.cached(url) if cache else None
    answer = _ask(url, limits, source, known, now, sleep)
    if answer.status == 304:
        if known is None:
            raise FeedError(f"{shown(url)}: answered 304 Not Modified to an unconditional request")
        return Fetched(known.body, known.content_type, not_modified=True)
    headers = answer.headers
    content_type, etag, modified = (headers.get(name) for name in ("Content-Type", "ETag", "Last-Modified"))
    if cache and (etag or modified):
        cache.cache(CachedResponse(url, answer.body, content_type, etag, modified, now()))
    return Fetched(answer.body, content_type)


def _ask(
    url: str,
    limits: FetchConfig,
    source: FeedConfig,
    known: CachedResponse | None,
    now: Callable[[], datetime],
    sleep: Callable[[float], None],
) -> Response:
    """Repeat the request until there is a 200 or a 304. Raises FeedError if no further attempt makes sense."""
    from newsletter.feed.exchange import Exchange  # urllib3 takes 15 ms to import, and files do not need it

    own = {name: secret.reveal() for name, secret in source.headers}
    headers = {**_HEADERS, **_conditions(known)}
    if source.user_agent:
        headers["User-Agent"] = source.user_agent
    end = time.monotonic() + limits.deadline
    attempt = 0
    while True:
        attempt += 1
        try:
            answer = _within(end - time.monotonic(), Exchange(url, headers, limits.max_bytes, own, source.ca_file))
            _require(answer, now)
        except TimeoutError as error:
            raise FeedError(f"{shown(url)}: no complete response in {limits.deadline:g} s (fetch.deadline)") from error
        except FetchFailure as failure:
            pause = failure.after if failure.after is not None else _BACKOFF[min(attempt, len(_BACKOFF)) - 1]
            reason = _give_up(failure, attempt, limits, pause, end - time.monotonic())
            if reason is not None:
                raise FeedError(f"{shown(url)}: {reason}", status=failure.status) from failure
            sleep(pause)
        else:
            return answer


def _require(answer: Response, now: Callable[[], datetime]) -> None:
    """Raise FetchFailure unless the status is 200 or 304."""
    if answer.status not in (200, 304):
        reason = f"HTTP {answer.status} {plain(answer.reason, 80)}".strip()
        after = retry_after(answer.headers.get("Retry-After"), now())
        raise FetchFailure(reason, again=answer.status in RETRYABLE, after=after, status=answer.status)


def _give_up(failure: FetchFailure, attempt: int, limits: FetchConfig, pause: float, left: float) -> str | None:
    """The reason not to try again after `failure`, or None. `pause` and the time `left` are in seconds."""
    if not failure.again:
        return str(failure)
    if attempt >= limits.attempts:
        return str(failure) if attempt == 1 else f"{failure} ({attempt} attempts)"
    if pause >= left:
        return f"{failure}; the next attempt would be in {pause:g} s, past the deadline of {limits.deadline:g} s"
    return None


def _within(seconds: float, exchange: Exchange) -> Response:
    """Run `exchange` for at most `seconds`. Raises FetchFailure, or TimeoutError when the time is up.

    A socket's timeout applies to each read, so a server that sends single bytes never exceeds it, and DNS has no
    timeout at all. The exchange therefore runs in its own thread. When the time is up its connection is shut down, and
    the thread is left to end by itself.
    """
    done: Future[Response] = Future()

    def run() -> None:
        try:
            done.set_result(exchange.run())
        except BaseException as error:
            done.set_exception(error)

    Thread(target=run, name="fetch", daemon=True).start()
    try:
        return done.result(max(seconds, 0))
    finally:
        exchange.abort()


def _conditions(known: CachedResponse | None) -> dict[str, str]:
    """The conditional headers for a cached response (RFC 9110 section 13.1)."""
    held = {"If-None-Match": known.etag, "If-Modified-Since": known.last_modified} if known else {}
    return {name: value for name, value in held.items() if value}


def retry_after(value: str | None, now: datetime) -> float | None:
    """The delay in seconds that a Retry-After header asks for (RFC 9110 section 10.2.3); None if it is not valid."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - now).total_seconds())


def _read_file(path: Path, max_bytes: int) -> bytes:
    """The bytes of a regular file. Raises FeedError, also for a pipe, which would block, and for a device."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise FeedError(f"{path}: not a regular file")
        with path.open("rb") as file:
            body = file.read(max_bytes + 1)
    except (OSError, ValueError) as error:
        raise FeedError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(body) > max_bytes:
        raise FeedError(f"{path}: more than {max_bytes / 1e6:g} MB (fetch.max_megabytes)")
    return body
