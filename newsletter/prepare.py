"""The first half of the road: from the feeds to a rendered issue, or to the verdict that says why there is none."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime

from newsletter import feed as feeds
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


def prepare(config: Config, day: date, store: Store, world: World) -> RenderedIssue | Report:
    """The day's rendered issue, or the verdict that says why there is none."""
    try:
        gathered = gather(config, day, world, store)
    except FeedError as error:
        return Report(Verdict.FEED_FAILED, str(error), day)
    issue = compose(gathered.feeds, day, config.issue)
    if not issue.papers:
        return _no_papers(issue, gathered)
    for failure in gathered.failures:
        world.warn(failure)
    rendered = render(config, issue)
    return _linted(rendered, world) or rendered


def _linted(rendered: RenderedIssue, world: World) -> Report | None:
    """The verdict on a mail that must not go out as it is; warnings are said and do not stop it."""
    findings = lint(rendered)
    errors = [finding.message for finding in findings if finding.level is Level.ERROR]
    for finding in findings:
        if finding.level is Level.WARNING:
            world.warn(finding.message)
    return Report(Verdict.FAILED, "; ".join(errors), rendered.day) if errors else None


def _no_papers(issue: Issue, gathered: Gathered) -> Report:
    if gathered.failures:
        return Report(Verdict.FEED_FAILED, "; ".join(gathered.failures), issue.day)
    if issue.left_out:
        return Report(Verdict.FILTERED_OUT, f"{count(issue.left_out, 'paper')}, all below min_upvotes", issue.day)
    if issue.skipped:
        unread = count(issue.skipped, "entry", "entries")
        return Report(Verdict.FEED_FAILED, f"the feeds hold {unread}, none of which could be read", issue.day)
    return Report(Verdict.QUIET_DAY, "the feeds have no papers for this day", issue.day)


def rehearsal(rendered: RenderedIssue, store: Store) -> Report:
    """The verdict of a run that only shows what it would do."""
    readers = store.count_subscribers()[SubscriberStatus.ACTIVE]
    said = f"would send {rendered.subject!r} to {count(readers, 'reader')}; nothing was kept or sent"
    return Report(Verdict.DRY_RUN, said, rendered.day)
