"""The feeds, judged by the same function as in `run`: would there be an issue today, and what would it be made of."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urljoin

from newsletter import feed as reader
from newsletter import prepare, resources, summaries
from newsletter.check.remedies import closed_to_us, given_to_us, remedy_for
from newsletter.check.values import Command, Context, Finding, Mail, Remedy, SetKey, bad, ok, warn
from newsletter.check.web import ask
from newsletter.config import Config, FeedConfig, SummaryConfig
from newsletter.errors import ConfigError, FeedError, NewsletterError, TemplateError
from newsletter.feed.urls import shown, without_secrets
from newsletter.issue.calendar import is_rest_day
from newsletter.issue.filters import Filters
from newsletter.model import VERDICT_EXIT, NoIssue, Span, Verdict
from newsletter.request import Answer, Unanswered
from newsletter.runtime import Runtime
from newsletter.store import Store
from newsletter.text import count

_DAYS: Final = 5  # listing days that are looked at for papers
_RHYTHM: Final = 30  # working days: what to set for a feed that is slow
_MOVED: Final = (301, 308)
_NO_HEAD: Final = (405, 501)
_LOGIN: Final = 401  # RFC 9110 section 15.5.2
_TOO_MANY: Final = 429  # RFC 6585 section 4
_EMPTY: Final = (Verdict.WEEKEND, Verdict.QUIET_DAY)


def feeds(context: Context) -> Iterator[Finding]:
    """Each feed by itself, and the issue that they make together."""
    if context.options.offline and not all(Path(feed.url).is_absolute() for feed in context.config.feeds):
        yield ok("feeds", "not asked (--offline)")
        return
    with history(context) as store:
        try:
            day, outcome = _newest(context, store)
        except (TemplateError, ConfigError) as error:
            if isinstance(error, ConfigError) and error.key.startswith("feeds"):  # a header's variable is not set
                yield bad("feeds", str(error), remedy_for(context.path, error))
            elif not context.templates_broken:
                yield bad("feeds", str(error), SetKey("templates", "null"), error.exit_code)
            return
        parts = _parts(context, store, day, outcome)
        yield from parts
        yield from _issue(context, store, day, outcome, told=bool(parts))


def moved(context: Context) -> Iterator[Finding]:
    """Feeds that have another URL for good (301 and 308, RFC 9110 section 15.4), which may not be told for ever."""
    if context.options.offline:
        return
    day = context.config.listed(context.runtime.now())
    for number, feed in enumerate(context.config.feeds):
        if "://" not in feed.url:
            continue
        url = feed.url.replace("{date}", day.isoformat())
        with suppress(Unanswered):
            answer = ask(context, "HEAD", url)
            if answer.status in _NO_HEAD:
                answer = ask(context, "GET", url)
            yield from judge_move(number, feed, answer, day)


def judge_move(number: int, feed: FeedConfig, answer: Answer, day: date) -> Iterator[Finding]:
    """Whether `answer`, to a request for `day`, says that a feed has moved."""
    place = answer.headers.get("location", "")
    if answer.status not in _MOVED or not place:
        return
    where = without_secrets(shown(feed.url), feed.hidden)
    try:
        new = urljoin(feed.url.replace("{date}", day.isoformat()), place)
    except ValueError:
        return
    if "{date}" in feed.url:
        new = new.replace(day.isoformat(), "{date}")
    told = without_secrets(shown(new), feed.hidden)
    remedy = SetKey(f"feeds.{number}.url", without_secrets(new, feed.hidden))
    yield warn("feeds", f"{where} has moved for good to {told}", remedy)


def summary(context: Context) -> Iterator[Finding]:
    """The program for summaries, run on the sample day's first paper."""
    config = context.config.summary
    if not config.command:
        return
    if context.options.offline:
        yield ok("summary", "not asked (--offline)")
        return
    sample = reader.parse(resources.find("sample_day.json").read_bytes(), FeedConfig("sample_day.json")).papers[0]
    try:
        yield ok("summary", f"the program summarises a sample: {summaries.run(config, sample)[:60]}")
    except summaries.SummaryFailed as error:
        yield warn("summary", f"{error}; cards show excerpts until it works", SetKey("summary.command", "null"))


@contextmanager
def history(context: Context) -> Iterator[Store]:
    """The store, whose past issues decide what is new; an empty one if it cannot be used as it is."""
    if context.store is not None:
        yield context.store
        return
    with (
        tempfile.TemporaryDirectory(prefix="newsletter-check-") as folder,
        Store.open(f"sqlite:///{folder}/empty.db") as store,
    ):
        yield store


def _newest(context: Context, store: Store) -> tuple[date, prepare.Prepared | NoIssue]:
    """The newest listing day that has papers, or the newest of all; and what `run` would make of it."""
    config = context.config
    today, asked = config.listed(context.runtime.now()), context.options.day
    first = asked(today) if asked else today
    newest: tuple[date, prepare.Prepared | NoIssue] | None = None
    for day in [first] if asked else _listing_days(config, first):
        outcome = _made(context, config, store, day)
        newest = newest or (day, outcome)
        if not (isinstance(outcome, NoIssue) and outcome.verdict in _EMPTY):
            return day, outcome
    assert newest is not None
    return newest


def _listing_days(config: Config, first: date) -> Iterator[date]:
    """The latest days on which the feeds list papers, newest first; only feeds asked by day know more than one."""
    if not any("{date}" in feed.url for feed in config.feeds):
        yield first
        return
    rests = [feed.calendar for feed in config.feeds if feed.calendar is not None]
    days = (first - timedelta(days=age) for age in range(_DAYS + 4))
    listed = [day for day in days if not rests or not all(is_rest_day(calendar, day) for calendar in rests)]
    yield from listed[:_DAYS]


def _made(context: Context, config: Config, store: Store, day: date) -> prepare.Prepared | NoIssue:
    """What `run` would make of `day`; an issue of that day that exists counts as not made yet."""
    kept = store.issue(day)
    runtime = Runtime(now=context.runtime.now, sleep=context.runtime.sleep, stop=context.runtime.stop)
    quick = replace(config, issue=replace(config.issue, look_back=0), summary=SummaryConfig())
    try:
        return prepare.prepare(quick, day, store, runtime, Span(), kept.id if kept else None)
    except (TemplateError, ConfigError):
        raise
    except NewsletterError as error:
        return NoIssue(Verdict.FEED_FAILED, str(error), error)


def _parts(context: Context, store: Store, day: date, whole: prepare.Prepared | NoIssue) -> list[Finding]:
    """What is wrong with each feed; a single one was just asked."""
    config = context.config
    found: list[Finding] = []
    for number, feed in enumerate(config.feeds):
        alone = whole
        if len(config.feeds) > 1:
            alone = _made(context, replace(config, feeds=(feed,), filters=Filters()), store, day)
        found += judge_feed(number, feed, alone, context.command("check"), only=isinstance(whole, NoIssue))
    return found


def judge_feed(
    number: int, feed: FeedConfig, outcome: prepare.Prepared | NoIssue, again: Command, *, only: bool
) -> Iterator[Finding]:
    """What `outcome`, the issue of this feed alone, says of it. `only`: without it there is no issue at all.

    `again` is the command that asks anew, for what may pass.
    """
    name = f"feeds.{number}"
    where = feed.name or without_secrets(shown(feed.url), feed.hidden)
    if isinstance(outcome, NoIssue):
        if outcome.verdict not in (Verdict.FEED_FAILED, Verdict.STALE):
            return
        remedy = _feed_remedy(name, feed, outcome, again)
        if only:
            yield bad("feeds", outcome.explanation, remedy, VERDICT_EXIT[outcome.verdict])
        else:
            yield warn("feeds", f"{outcome.explanation}; the other feeds serve", remedy)
        return
    papers = [paper for papers in outcome.offered.values() for paper in papers]
    if feed.votes and papers and all(paper.upvotes is None for paper in papers):
        entries = count(len(papers), "entry", "entries")
        said = f"feeds.votes: {feed.votes} is in none of {entries} of {where}"
        yield bad("feeds", said, SetKey(f"{name}.votes", "null"))


def _feed_remedy(name: str, feed: FeedConfig, outcome: NoIssue, again: Command) -> Remedy:
    """What to do about a feed at the key `name` that fails or is late."""
    if outcome.verdict is Verdict.STALE and "{date}" not in feed.url:
        return SetKey(f"{name}.rhythm", str(_RHYTHM))
    status, named = (outcome.cause.status, outcome.cause.named) if isinstance(outcome.cause, FeedError) else (0, "")
    if status == _LOGIN:
        return SetKey(f"{name}.headers", "{Authorization: LOGIN}")
    if Path(feed.url).is_absolute() and closed_to_us(Path(feed.url)):
        return given_to_us(feed.url)
    if status == _TOO_MANY or status >= 500:
        return again
    return SetKey(f"{name}.url", named or "URL")


def _issue(
    context: Context, store: Store, day: date, outcome: prepare.Prepared | NoIssue, *, told: bool
) -> Iterator[Finding]:
    """The issue of all feeds together."""
    if isinstance(outcome, prepare.Prepared):
        context.mail = Mail(outcome.rendered, len(outcome.issue.papers))
        if not told:
            yield ok("feeds", f"{count(len(outcome.issue.papers), 'paper')} for {day}, and the mail passes its lint")
        return
    if outcome.verdict is Verdict.FILTERED_OUT:
        yield warn("feeds", f"{outcome.verdict}: {outcome.explanation}", _loosened(context, store, day))
    elif outcome.verdict in _EMPTY:
        yield ok("feeds", f"no papers for {day}: {outcome.explanation}")
    elif outcome.verdict is Verdict.FAILED:
        if not context.templates_broken:
            remedy = context.command("preview") if context.config.templates is None else SetKey("templates", "null")
            yield bad("feeds", f"the mail for {day} fails its lint: {outcome.explanation}", remedy, 1)
    elif not told:
        code = VERDICT_EXIT[outcome.verdict]
        yield bad("feeds", f"{outcome.verdict}: {outcome.explanation}", SetKey("feeds.0.url", "URL"), code or 75)


def _loosened(context: Context, store: Store, day: date) -> SetKey:
    """The key whose rule leaves all papers out."""
    without = replace(context.config, filters=Filters())
    made = _made(context, without, store, day)
    return SetKey("issue.min_upvotes", "0") if isinstance(made, NoIssue) else SetKey("filters", "{}")
