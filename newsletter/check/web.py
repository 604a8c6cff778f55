"""The pages for readers, as readers reach them; and our clock beside those of the servers that were asked."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from html import unescape
from http.client import responses
from ipaddress import ip_address
from statistics import median
from typing import Final
from urllib.parse import urljoin, urlsplit

from newsletter import __version__
from newsletter.check.remedies import WANTED
from newsletter.check.settings import organisation
from newsletter.check.values import Command, Context, Finding, Publish, bad, ok, warn
from newsletter.check.values import SetKey as Set
from newsletter.request import Answer, Unanswered, request

_SECONDS: Final = 10.0
_URL: Final = WANTED["base_url"]
_NOTICED: Final = 120.0  # seconds: links and signatures begin to suffer
_WRONG: Final = 900.0  # seconds


def web(context: Context) -> Iterator[Finding]:
    """Whether `base_url` is https and answers with our page."""
    url = context.config.publication.base_url
    if url is None:
        yield ok("web", "no base_url: readers unsubscribe by mail")
        return
    if is_local(urlsplit(url).hostname or ""):
        yield warn(
            "web", f"{url} is in this machine or network: the links of other readers fail", Set("base_url", _URL)
        )
    elif url.startswith("http:"):
        said = f"{url} is http: no mail program offers one-click unsubscribe then (RFC 8058)"
        yield warn("web", said, Set("base_url", f"https:{url.partition(':')[2]}"))
    if context.options.offline:
        yield ok("web", f"{url} was not asked (--offline)")
        return
    try:
        answer = ask(context, "GET", f"{url}/")
    except Unanswered as error:
        yield _unreachable(context, url, error)
        return
    if finding := judge_page(context, url, answer):
        yield finding


def is_local(host: str) -> bool:
    """Whether only this machine or its network knows a host of that name or address (RFC 6761, RFC 6762)."""
    try:
        return not ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".localhost", ".local", ".lan", ".internal", ".home.arpa"))


def ask(context: Context, method: str, url: str) -> Answer:
    """The answer of a server to a request without a body. Its Date is noted for the clock. Raises Unanswered."""
    answer = request(method, url, headers={"User-Agent": f"newsletter-check/{__version__}"}, within=_SECONDS)
    _note_clock(context, urlsplit(url).netloc, answer.headers.get("date"))
    return answer


def judge_page(context: Context, url: str, answer: Answer) -> Finding | None:
    """What `answer` says of `base_url`, which is `url`; None if the finding about http says enough."""
    if 300 <= answer.status < 400 and (place := _place(url, answer.headers.get("location", ""))):
        return _moved(context, url, place)
    if answer.status >= 300:
        reason = f"{answer.status} {responses.get(answer.status, '')}".rstrip()
        said = f"{url} answers {reason}: does `newsletter web` run behind it?"
        return bad("web", said, context.command("web"), 75)
    if context.config.publication.title not in unescape(answer.body.decode("utf-8", "replace")):
        return warn("web", f"{url} answers with a page that is not ours", context.command("web"))
    return ok("web", f"{url} answers") if url.startswith("https:") else None


def _place(url: str, location: str) -> str | None:
    """Where a redirect of `url` leads, as a base_url; None if nowhere else."""
    try:
        place = urljoin(f"{url}/", location).partition("?")[0].rstrip("/")
        return place if urlsplit(place).hostname and place != url else None
    except ValueError:  # what is no URL leads nowhere
        return None


def _moved(context: Context, url: str, place: str) -> Finding | None:
    """A redirect: the POST of one-click unsubscribe is lost at one (RFC 8058 section 3.1 forbids them)."""
    old, new = urlsplit(url), urlsplit(place)
    if organisation(old.hostname or "") != organisation(new.hostname or ""):
        return warn("web", f"{url} redirects to {new.netloc}, a page that is not ours", context.command("web"))
    if place == f"https:{url.partition(':')[2]}" and old.scheme == "http":
        return None
    said = f"{url} redirects to {place}: one-click unsubscribe fails at a redirect (RFC 8058 section 3.1)"
    return bad("web", said, Set("base_url", place))


def _unreachable(context: Context, url: str, error: Unanswered) -> Finding:
    said = f"{url} cannot be reached: {error}"
    if isinstance(error.cause, ssl.SSLCertVerificationError):
        said = f"{url}: its certificate is refused: {error.cause.verify_message}"
        return bad("web", said, Command("sudo certbot renew"))
    if isinstance(error.cause, socket.gaierror) and error.cause.errno != socket.EAI_AGAIN:
        return bad("web", said, Publish(urlsplit(url).hostname or "", "A", "ADDRESS-OF-YOUR-WEB-SERVER"))
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
    if urlsplit(url).netloc not in context.clocks:
        with suppress(Unanswered):
            ask(context, "HEAD", url)


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
