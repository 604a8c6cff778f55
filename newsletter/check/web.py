"""The pages for readers, as readers reach them; and our clock beside those of the servers that were asked."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from html import unescape
from http.client import HTTPException, HTTPResponse
from statistics import median
from typing import Final
from urllib.parse import urlsplit

from newsletter import __version__
from newsletter.check.values import Command, Context, Finding, Publish, bad, ok, warn
from newsletter.check.values import SetKey as Set
from newsletter.text import one_line

_SECONDS: Final = 10.0
_LARGEST: Final = 1_000_000  # bytes of a page
_NOTICED: Final = 120.0  # seconds: links and signatures begin to suffer
_WRONG: Final = 900.0  # seconds


def web(context: Context) -> Iterator[Finding]:
    """Whether `base_url` is https and answers with our page."""
    url = context.config.publication.base_url
    if url is None:
        yield ok("web", "no base_url: readers unsubscribe by mail")
        return
    if url.startswith("http:"):
        said = f"{url} is http: no mail program offers one-click unsubscribe then (RFC 8058)"
        yield warn("web", said, Set("base_url", f"https:{url.partition(':')[2]}"))
    if context.options.offline:
        yield ok("web", f"{url} was not asked (--offline)")
        return
    try:
        with _open(f"{url}/", "GET") as response:
            _note_clock(context, urlsplit(url).netloc, response.headers.get("Date"))
            page = unescape(response.read(_LARGEST).decode("utf-8", "replace"))
    except urllib.error.HTTPError as error:
        _note_clock(context, urlsplit(url).netloc, error.headers.get("Date"))
        said = f"{url} answers {error.code} {error.reason}: does `newsletter web` run behind it?"
        error.close()
        yield bad("web", said, context.command("web"), 75)
        return
    except (OSError, HTTPException, ValueError) as error:
        yield _unreachable(context, url, error)
        return
    if context.config.publication.title not in page:
        yield warn("web", f"{url} answers with a page of somebody else", context.command("web"))
    elif url.startswith("https:"):
        yield ok("web", f"{url} answers")


def _open(url: str, method: str) -> HTTPResponse:
    """The response to a request. Raises OSError, of which urllib's errors are, HTTPException and ValueError."""
    headers = {"User-Agent": f"newsletter-check/{__version__}"}
    request = urllib.request.Request(url, method=method, headers=headers)  # noqa: S310 - config.py allows http(s) only
    response: HTTPResponse = urllib.request.urlopen(request, timeout=_SECONDS)  # noqa: S310
    return response


def _unreachable(context: Context, url: str, error: Exception) -> Finding:
    reason = getattr(error, "reason", error)
    said = f"{url} cannot be reached: {one_line(getattr(reason, 'strerror', None) or reason)}"
    if isinstance(reason, ssl.SSLCertVerificationError):
        return bad("web", f"{url}: its certificate is refused: {reason.verify_message}", Command("sudo certbot renew"))
    host = urlsplit(url).hostname or ""
    if "Name or service" in said or "No address" in said:
        return bad("web", said, Publish(host, "A", "ADDRESS-OF-YOUR-WEB-SERVER"))
    return bad("web", said, context.command("web"), 75)


# --- the clock ------------------------------------------------------------------------------------------------------


def clock(context: Context) -> Iterator[Finding]:
    """Whether our clock agrees with the Date of the servers (RFC 9110 section 6.6.1) that serve feeds and pages."""
    if not context.options.offline:
        for url in dict.fromkeys(_origin(feed.url) for feed in context.config.feeds if "://" in feed.url):
            _ask(context, url)
    yield from judge_clock(context.clocks)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/"


def _ask(context: Context, url: str) -> None:
    netloc = urlsplit(url).netloc
    if netloc in context.clocks:
        return
    try:
        with _open(url, "HEAD") as response:
            _note_clock(context, netloc, response.headers.get("Date"))
    except urllib.error.HTTPError as error:
        _note_clock(context, netloc, error.headers.get("Date"))
        error.close()
    except (OSError, HTTPException, ValueError):
        return


def _note_clock(context: Context, name: str, said: str | None) -> None:
    try:
        theirs = parsedate_to_datetime(said or "")
    except ValueError:
        return
    if theirs.tzinfo is not None:
        context.clocks[name] = (theirs - context.runtime.now()).total_seconds()


def judge_clock(offsets: dict[str, float]) -> Iterator[Finding]:
    """`offsets`: seconds by which each server's clock is ahead. The median counts, since one server may be wrong."""
    if not offsets:
        yield ok("clock", "no server was asked for the time")
        return
    ahead = median(offsets.values())
    if abs(ahead) <= _NOTICED:
        yield ok("clock", f"agrees with {', '.join(offsets)}")
        return
    way = "slow" if ahead > 0 else "fast"
    said = f"our clock is {abs(ahead) / 60:.0f} min {way}, say {', '.join(offsets)}"
    remedy = Command("sudo timedatectl set-ntp true")
    yield bad("clock", said, remedy) if abs(ahead) > _WRONG else warn("clock", said, remedy)
