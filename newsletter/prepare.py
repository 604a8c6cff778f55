"""The first half of the road: from the feeds to a rendered issue, or to the verdict that says why there is none."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from newsletter import feed as feeds
from newsletter.calendar import HUGGING_FACE, is_rest_day, is_stale
from newsletter.config import Config
from newsletter.errors import FeedError
from newsletter.issue import compose
from newsletter.lint import Level, lint
from newsletter.model import Issue, ParsedFeed, RenderedIssue, Report, SubscriberStatus, Verdict
from newsletter.render import Renderer
from newsletter.store import Store
from newsletter.words import count
from newsletter.world import World


@dataclass(frozen=True)
class Gathered:
    """What the feeds gave for a day, and which of them failed with what words."""

    feeds: tuple[ParsedFeed, ...]
    failures: tuple[str, ...] = field(default=())


def today(config: Config, now: datetime) -> date:
    """The day it is in the configured time zone."""
    return now.astimezone(config.timezone).date()


def gather(config: Config, day: date, world: World, cache: feeds.Cache | None = None) -> Gathered:
    """Ask every feed for `day`. One that fails is reported and the others serve; raises FeedError when none does."""
    parsed: list[ParsedFeed] = []
    failures: list[str] = []
    for source in config.feeds:
        url = source.url.replace("{date}", day.isoformat())
        try:
            answer = feeds.fetch(url, config.fetch, cache=cache, now=world.now, sleep=world.sleep)
            parsed.append(feeds.parse(answer.body, source, content_type=answer.content_type))
        except FeedError as error:
            failures.append(str(error))
    if not parsed:
        raise FeedError("; ".join(failures))
    return Gathered(tuple(parsed), tuple(failures))


def render(config: Config, issue: Issue) -> RenderedIssue:
    """The issue as mail, with the operator's templates. Raises TemplateError with file and line."""
    return Renderer(config.publication, templates=config.templates).issue(issue)


@dataclass(frozen=True)
class Prepared:
    """An issue and its rendering."""

    issue: Issue
    rendered: RenderedIssue


def prepare(config: Config, day: date, store: Store, world: World) -> Prepared | Report:
    """The day's issue, or the verdict that says why there is none."""
    try:
        gathered = _with_their_votes(gather(config, day, world, store), store)
    except FeedError as error:
        return Report(Verdict.FEED_FAILED, str(error), day)
    shown = store.shown(paper.key for feed in gathered.feeds for paper in feed.papers)
    issue = compose(gathered.feeds, day, config.issue, config.filters, shown)
    if not issue.papers:
        return _no_papers(issue, gathered, stale=_stale(config, gathered, world.now()))
    for failure in gathered.failures:
        world.warn(failure)
    rendered = render(config, issue)
    return _linted(rendered, world) or Prepared(issue, rendered)


def _with_their_votes(gathered: Gathered, store: Store) -> Gathered:
    """Without the feeds that carried votes in their last issue and carry none now: their shape has changed.

    Ranked by nothing, they would make a digest that looks like any other. Raises FeedError when no feed is left.
    """
    kept: list[ParsedFeed] = []
    failures = list(gathered.failures)
    for feed in gathered.feeds:
        source = feed.papers[0].source if feed.papers else ""
        voted = None if feed.has_votes or not feed.papers else store.last_votes(source)
        if voted is None:
            kept.append(feed)
        else:
            failures.append(f"{source or 'a feed'}: no paper has upvotes, and on {voted} they had; see feeds.votes")
    if not kept:
        raise FeedError("; ".join(failures))
    return Gathered(tuple(kept), tuple(failures))


def _stale(config: Config, gathered: Gathered, now: datetime) -> bool:
    """Whether old papers are all there is because the sources are late: asked for by day, or older than their rhythm.

    A feed that is asked for a day and gives another's papers is late, whatever their dates say.
    """
    if any("{date}" in source.url for source in config.feeds):
        return True
    dates = [paper.published for feed in gathered.feeds for paper in feed.papers if paper.published is not None]
    rhythm = timedelta(days=max(source.rhythm for source in config.feeds))
    return is_stale(max(dates, default=None), now, rhythm)


def _linted(rendered: RenderedIssue, world: World) -> Report | None:
    """The verdict on a mail that must not go out as it is; warnings are said and do not stop it."""
    findings = lint(rendered)
    errors = [finding.message for finding in findings if finding.level is Level.ERROR]
    for finding in findings:
        if finding.level is Level.WARNING:
            world.warn(finding.message)
    return Report(Verdict.FAILED, "; ".join(errors), rendered.day) if errors else None


def _no_papers(issue: Issue, gathered: Gathered, *, stale: bool) -> Report:
    if gathered.failures:
        return Report(Verdict.FEED_FAILED, "; ".join(gathered.failures), issue.day)
    if issue.left_out:
        said = f"{count(issue.left_out, 'paper')}, all left out by min_upvotes or filters"
        return Report(Verdict.FILTERED_OUT, said, issue.day)
    if issue.skipped:
        unread = count(issue.skipped, "entry", "entries")
        return Report(Verdict.FEED_FAILED, f"the feeds hold {unread}, none of which could be read", issue.day)
    if is_rest_day(HUGGING_FACE, issue.day):
        return Report(Verdict.WEEKEND, f"nothing is listed on a {issue.day:%A}", issue.day)
    if issue.seen and stale:
        said = f"the feeds hold {count(issue.seen, 'paper')}, and earlier issues have shown them all; they are late"
        return Report(Verdict.STALE, said, issue.day)
    if issue.seen:
        return Report(Verdict.QUIET_DAY, "the feeds have nothing new since the last issue", issue.day)
    return Report(Verdict.QUIET_DAY, "the feeds have no papers for this day", issue.day)


def rehearsal(rendered: RenderedIssue, store: Store) -> Report:
    """The verdict of a run that only shows what it would do."""
    readers = store.count_subscribers()[SubscriberStatus.ACTIVE]
    said = f"would send {rendered.subject!r} to {count(readers, 'reader')}; nothing was kept or sent"
    return Report(Verdict.DRY_RUN, said, rendered.day)
