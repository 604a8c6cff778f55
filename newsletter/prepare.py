"""Makes an issue: from the feeds to the rendered mail, or to the verdict that says why there is none."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from newsletter.children import Nursery
from newsletter.config import Config, FeedConfig
from newsletter.errors import FeedError
from newsletter.feed import gathering
from newsletter.feed.gathering import Asked, Gathered, ask, called
from newsletter.issue.calendar import Calendar, is_stale, missed_days, why_empty
from newsletter.issue.compose import compose, join_duplicates
from newsletter.issue.late_risers import Candidate, select
from newsletter.issue.rules import UNCUT
from newsletter.model import (
    Gain,
    Issue,
    LateRiser,
    NoIssue,
    Paper,
    ParsedFeed,
    RenderedIssue,
    Span,
    Verdict,
)
from newsletter.runtime import Runtime
from newsletter.store import Store
from newsletter.summaries import summarised, with_summary
from newsletter.text import count

if TYPE_CHECKING:
    from newsletter.mail.render import Renderer

_NOTES: Final = 10  # in the operator's copy


def renderer(config: Config) -> Renderer:
    """What renders mails with the operator's templates and catalogues. Raises ConfigError."""
    from newsletter.mail.render import Renderer  # takes 50 ms to import, while feeds are parsed

    return Renderer(config.publication, templates=config.templates, catalogues=config.catalogues)


def render(config: Config, issue: Issue) -> RenderedIssue:
    """The issue as mail, without its notes. Raises TemplateError with file and line."""
    return renderer(config).issue(issue)


@dataclass(frozen=True)
class Prepared:
    """An issue, its rendering, and the papers it was chosen from, by the day they were listed on.

    `noted` is the rendering with the notes for the operator; equal to `rendered` if there are none.
    """

    issue: Issue
    rendered: RenderedIssue
    noted: RenderedIssue
    offered: Mapping[date, Sequence[Paper]]
    candidates: Issue  # with all papers that passed the filters, before the cut

    @property
    def shown(self) -> tuple[Paper, ...]:
        """All papers that the issue shows."""
        return (*self.issue.papers, *(rising.paper for rising in self.issue.rising))

    @property
    def contents(self) -> Issue:
        """The issue as its page in the archive shows it."""
        from newsletter.mail.render import legible

        return legible(self.issue)


def fingerprint(config: Config) -> str:
    """SHA-256 (hex) of the templates that an issue is rendered with."""
    return renderer(config).fingerprint()


def prepare(
    config: Config, day: date, store: Store, runtime: Runtime, span: Span, replaces: int | None = None
) -> Prepared | NoIssue:
    """The day's issue, or why there is none; `replaces` is the id of an issue that it is to be put in place of."""
    with gathering.parser() as children:
        return _prepare(_Task(config, day, store, runtime, span, replaces, children))


@dataclass(frozen=True)
class _Task:
    """What one call of `prepare` was asked for, and what it works with."""

    config: Config
    day: date
    store: Store
    runtime: Runtime
    span: Span
    replaces: int | None
    children: Nursery

    def note(self, feed: str, words: str) -> None:
        """Keep what is wrong with a feed, for `status --check` and the report."""
        self.store.note_feed_fault(self.day, feed, words)


def _prepare(task: _Task) -> Prepared | NoIssue:
    config, day, store, runtime, span = task.config, task.day, task.store, task.runtime, task.span
    missed = _missed(task)
    if undated := _undated(config, day, span):
        runtime.warn(
            f"feeds.url of {', '.join(undated)} has no {{date}}: it gives what it lists now, not the earlier days of "
            "this issue; write {date} where the address takes a day"
        )
    try:
        store.clear_feed_faults(day)
        asked = ask(config, day, runtime, task.children, store)
        drawing = renderer(config)  # loads Jinja2 meanwhile
        days = {day: _with_their_votes(asked.gathered(task.note), store, task.note)}
        days |= _gathered({each: _asked_again(task, each) for each in missed})
    except FeedError as error:
        return NoIssue(Verdict.FEED_FAILED, str(error), error)
    gathered = _merged(config, days.values())
    shown = _old(task, gathered)
    issue = compose(gathered.feeds, day, config.issue, config.filters, shown)
    uncut = compose(gathered.feeds, day, replace(config.issue, max_papers=UNCUT), config.filters, shown)
    behind = list(_late(gathered, shown, runtime.now()))
    for source, said in behind:
        if not (source.calendar and why_empty(source.calendar, day)):  # on a rest day nothing new is due
            task.note(called(source), said)
    late = tuple(said for _, said in behind)
    if not issue.papers:
        return no_papers(issue, gathered, config.calendars, late)
    past = {} if span.again else _looked_back(task)
    notes = (*gathered.failures, *late, *voteless(gathered))
    for note in notes:
        runtime.warn(note)
    drawing.ready()  # loads premailer meanwhile
    offered = {
        listed_on: join_duplicates(paper for feed in each.feeds for paper in feed.papers)
        for listed_on, each in days.items()
    }
    rising = _rising(task, issue, past)
    task.children.close()  # they end while the mail is rendered
    gains = _gains(issue, sorted(days), store) if span.again else {}
    issue = replace(issue, rising=rising, gains=gains, since=missed[0] if missed else None, notes=_shortened(notes))
    issue = _with_summaries(task, issue)
    rendered, noted = drawing.noted(issue)
    known = {paper.key: paper for paper in issue.papers}  # with their summaries
    uncut = replace(uncut, papers=tuple(known.get(paper.key, paper) for paper in uncut.papers))
    candidates = replace(uncut, rising=issue.rising, since=issue.since)
    return _linted(rendered, config, runtime) or Prepared(issue, rendered, noted, offered, candidates)


def _with_summaries(task: _Task, issue: Issue) -> Issue:
    """The issue with summaries by the operator's program, for the papers whose feed gave none."""
    papers = (*issue.papers, *(rising.paper for rising in issue.rising))
    found = summarised(papers, task.config.summary, task.store, task.runtime)
    return replace(
        issue,
        papers=tuple(with_summary(paper, found) for paper in issue.papers),
        rising=tuple(replace(rising, paper=with_summary(rising.paper, found)) for rising in issue.rising),
    )


def _old(task: _Task, gathered: Gathered) -> set[str]:
    """The keys of papers that are no news: an issue has shown them, or left them out of a list that is served again.

    A list in which nothing is new is the one of an earlier day, and what was below the cut then is so still.
    """
    store, span = task.store, task.span
    papers = [paper for feed in gathered.feeds for paper in feed.papers]
    keys = {paper.key for paper in papers}
    first = span.since if span.again else None
    shown = store.shown(papers, before=first, besides=task.replaces)
    known = shown | store.offered(keys, before=first or task.day)
    fresh = [feed.papers for feed in gathered.feeds if any(paper.key not in known for paper in feed.papers)]
    return shown | (keys - {paper.key for papers in fresh for paper in papers})


def _gains(issue: Issue, days: Sequence[date], store: Store) -> dict[str, Gain]:
    """What the papers of an issue over several days have won since the first issue that knew them."""
    then: dict[str, tuple[date, int]] = {}
    for day in days:
        for key, upvotes in store.votes_then(day).items():
            then.setdefault(key, (day, upvotes or 0))
    known = [(paper, *then[paper.key]) for paper in issue.papers if paper.key in then and paper.upvotes is not None]
    return {paper.key: Gain(day, paper.upvotes - votes) for paper, day, votes in known if paper.upvotes}


def _shortened(notes: tuple[str, ...]) -> tuple[str, ...]:
    if len(notes) <= _NOTES:
        return notes
    return (*notes[:_NOTES], f"and {len(notes) - _NOTES} more, which the run has printed")


def _missed(task: _Task) -> tuple[date, ...]:
    """The earlier days that the issue of `day` takes in; only feeds that are asked by day know any."""
    config, day, span = task.config, task.day, task.span
    if not any(_by_day(source) for source in config.feeds):
        return ()
    if span.since is not None:
        return tuple(span.since + timedelta(days=number) for number in range((day - span.since).days))
    calendars = [source.calendar for source in config.feeds if _by_day(source) and source.calendar is not None]
    latest = task.store.latest_issue(before=day) if span.catch_up and config.issue.catch_up else None
    if latest is None or not calendars:
        return ()
    return missed_days(latest.rendered.day, day, calendars[0])[-config.issue.catch_up :]


def _by_day(source: FeedConfig) -> bool:
    return "{date}" in source.url


def _undated(config: Config, day: date, span: Span) -> tuple[str, ...]:
    """The feeds that know nothing of the earlier days which the operator asked for (`--since`, `--period`)."""
    if span.since is None or span.since >= day:
        return ()
    return tuple(called(source) for source in config.feeds if not _by_day(source))


def _asked_again(task: _Task, day: date) -> Asked:
    """The feeds that are asked by day, asked for an earlier one."""
    asked = replace(task.config, feeds=tuple(source for source in task.config.feeds if _by_day(source)))
    return ask(asked, day, task.runtime, task.children, task.store)


def _gathered(asked: Mapping[date, Asked]) -> dict[date, Gathered]:
    """What the feeds say of earlier days; a failure costs only its day."""
    days = {}
    for day, answers in asked.items():
        try:
            days[day] = answers.gathered()
        except FeedError as error:
            days[day] = Gathered((), (str(error),))
    return days


def _merged(config: Config, every: Collection[Gathered]) -> Gathered:
    """The answers of several days, those of one feed together: feeds stay in the order of the config."""
    order = {source: number for number, source in enumerate(config.feeds)}
    answers = [answer for each in every for answer in each.answers]
    return Gathered(
        tuple(sorted(answers, key=lambda answer: order[answer[0]])),
        tuple(said for each in every for said in each.failures),
    )


@dataclass(frozen=True)
class _Past:
    """A past day that had an issue: the upvotes of its papers then, by Paper.key, and its feeds, asked again."""

    then: Mapping[str, int | None]
    asked: Asked


def _looked_back(task: _Task) -> dict[date, _Past]:
    """The days in which late risers are looked for: at most one request for each feed, which the cache answers."""
    rule = task.config.issue.rising
    if not rule.look_back or not rule.max_cards or not any(_by_day(source) for source in task.config.feeds):
        return {}
    days = (task.day - timedelta(days=age) for age in range(1, rule.look_back + 1))
    return {day: _Past(then, _asked_again(task, day)) for day in days if (then := task.store.votes_then(day))}


def _rising(task: _Task, issue: Issue, past: Mapping[date, _Past]) -> tuple[LateRiser, ...]:
    """The late risers of the past days."""
    if not past:
        return ()
    config, store, rules = task.config, task.store, task.config.issue
    papers: dict[str, Paper] = {}
    days: dict[date, list[Candidate]] = {}
    failures: list[str] = []
    for day, again in _gathered({day: each.asked for day, each in past.items()}).items():
        then = past[day].then
        failures += again.failures
        now = _ranked(config, again.feeds, day)
        papers.update({paper.key: paper for paper in now})
        days[day] = [
            Candidate(paper.key, paper.upvotes or 0, then.get(paper.key), paper.source if issue.by_source else "")
            for paper in now
        ]
    if failures:
        said = f"late risers: {count(len(failures), 'answer')} of the past days failed, such as {failures[0]}"
        task.runtime.warn(said)
    shown = store.shown(papers.values(), besides=task.replaces) | {paper.key for paper in issue.papers}
    chosen = select(days, shown, issue.day, rules.max_papers, rules.rising)
    return tuple(LateRiser(papers[riser.key], riser.day, riser.gained) for riser in chosen)


def _ranked(config: Config, feeds: Sequence[ParsedFeed], day: date) -> tuple[Paper, ...]:
    """A past day as its issue would rank it now, uncut; a feed without votes has no risers."""
    voted = [feed for feed in feeds if feed.has_votes]
    return compose(voted, day, replace(config.issue, max_papers=UNCUT), config.filters).papers


def _with_their_votes(gathered: Gathered, store: Store, failed: Callable[[str, str], None]) -> Gathered:
    """Without the feeds that carried votes in their last issue and carry none now: their shape has changed.

    Ranked by nothing, they would make a digest that looks like any other. Raises FeedError when no feed is left.
    """
    kept: list[tuple[FeedConfig, ParsedFeed]] = []
    failures = list(gathered.failures)
    for source_of, feed in gathered.answers:
        source = feed.papers[0].source if feed.papers else ""
        voted = None if feed.has_votes or not feed.papers else store.last_votes(source)
        if voted is None:
            kept.append((source_of, feed))
        else:
            failures.append(
                f"{source or 'a feed'}: no paper has upvotes, and on {voted} they had; see feeds.votes, "
                "or give the feed another feeds.name if it has none any more"
            )
            failed(called(source_of), failures[-1])
    if not kept:
        raise FeedError("; ".join(failures))
    return Gathered(tuple(kept), tuple(failures))


def voteless(gathered: Gathered) -> Iterator[str]:
    """The feeds none of whose papers has upvotes where `feeds.votes` says that they stand: perhaps it is mistyped.

    No error in a run, since a feed may be new and nobody have voted yet.
    """
    for source in dict.fromkeys(source for source, _ in gathered.answers):
        papers = [paper for asked, feed in gathered.answers if asked == source for paper in feed.papers]
        if source.votes and papers and all(paper.upvotes is None for paper in papers):
            entries = count(len(papers), "entry", "entries")
            yield f"feeds.votes: {source.votes} is in none of {entries} of {called(source)}"


def _late(gathered: Gathered, shown: Collection[str], now: datetime) -> Iterator[tuple[FeedConfig, str]]:
    """The feeds that hold nothing new and should, and what to say of each.

    They are those that were asked for a day, and those that are older than their rhythm.

    A feed that is asked for a day and gives another's papers is late, whatever their dates say. A date to come, as of
    an issue of a journal, says nothing of when the feed changed; in some time zones tomorrow has begun.
    """
    tomorrow = now.date() + timedelta(days=1)
    for source, feed in gathered.answers:
        dates = (paper.published for paper in feed.papers if paper.published is not None)
        newest = max((each for each in dates if each <= tomorrow), default=None)
        if not feed.papers or any(paper.key not in shown for paper in feed.papers):
            continue
        name = feed.papers[0].source or called(source)
        if _by_day(source):
            yield source, f"{name}: lists only papers of earlier days"
        elif is_stale(newest, now, timedelta(days=source.rhythm)):
            yield source, f"{name}: nothing since {newest}, which is late for feeds.rhythm"


def _linted(rendered: RenderedIssue, config: Config, runtime: Runtime) -> NoIssue | None:
    """The verdict on a mail that must not go out as it is; warnings are said and do not stop it."""
    from newsletter.mail.lint import Level, lint

    findings = lint(rendered, config.catalogues)
    errors = [finding.message for finding in findings if finding.level is Level.ERROR]
    for finding in findings:
        if finding.level is Level.WARNING:
            runtime.warn(finding.message)
    return NoIssue(Verdict.FAILED, "; ".join(errors)) if errors else None


def no_papers(issue: Issue, gathered: Gathered, calendars: Sequence[Calendar], late: Sequence[str] = ()) -> NoIssue:
    """Why there is no issue; `calendars` are those of the feeds that have one."""
    if gathered.failures:
        return NoIssue(Verdict.FEED_FAILED, "; ".join((*gathered.failures, *late)))
    if issue.left_out:
        said = f"{count(issue.left_out, 'paper')}, all left out by min_upvotes or filters"
        return NoIssue(Verdict.FILTERED_OUT, said)
    if issue.skipped and not issue.seen:
        unread = count(issue.skipped, "entry", "entries")
        return NoIssue(Verdict.FEED_FAILED, f"the feeds hold {unread}, none of which could be read")
    reasons = [why_empty(calendar, issue.day) for calendar in calendars]
    if reasons and all(reasons):
        return NoIssue(Verdict.WEEKEND, f"nothing new is listed on {reasons[0]}")
    if late:
        return NoIssue(Verdict.STALE, "; ".join(late))
    if issue.seen:
        return NoIssue(Verdict.QUIET_DAY, "the feeds have nothing new since the last issue")
    return NoIssue(Verdict.QUIET_DAY, "the feeds have no papers for this day")
