"""From feed to inbox, the page to read first.

    gather ------> compose ------> Renderer.issue ------> Store.freeze ------> Sender.send
    [ParsedFeed]   Issue           RenderedIssue          FrozenIssue,         Envelopes out,
                                                          Delivery rows        Outcomes in the ledger

`run` walks the whole road, and is safe to repeat: an issue that is frozen is never made again, a copy that was accepted
is never sent again. `send` walks only the last part. Each returns a Report whose verdict says how it ended, and why
there was no mail when there was none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email.utils import parseaddr

from newsletter import dkim
from newsletter import feed as feeds
from newsletter.config import Config
from newsletter.deliver import RESEND_UNCERTAIN, Breaker, Sender
from newsletter.dkim import Signer
from newsletter.errors import FeedError, IssuePaused, NewsletterError, TransportUnavailable
from newsletter.issue import compose
from newsletter.links import Links
from newsletter.lint import Level, lint
from newsletter.message import Copies, compile_copies
from newsletter.model import (
    OPEN,
    OWED,
    FrozenIssue,
    Issue,
    Outcome,
    ParsedFeed,
    RenderedIssue,
    Report,
    State,
    SubscriberStatus,
    Verdict,
)
from newsletter.render import Renderer
from newsletter.store import Store
from newsletter.transport import DAY, Pool, name


def utc_now() -> datetime:
    """The present moment, aware."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class World:
    """What a run takes from outside: clocks, sleep, and whoever watches it. Tests bring their own."""

    now: Callable[[], datetime] = utc_now
    sleep: Callable[[float], None] = time.sleep  # seconds
    stop: Callable[[], bool] = lambda: False
    announce: Callable[[FrozenIssue, int], None] = lambda issue, owed: None  # before the first copy of an issue
    progress: Callable[[Outcome], None] = lambda outcome: None
    warn: Callable[[str], None] = lambda message: None


@dataclass(frozen=True)
class Gathered:
    """What the feeds gave for a day, and which of them failed with what words."""

    feeds: tuple[ParsedFeed, ...]
    failures: tuple[str, ...] = field(default=())


# --- the first half: from the feeds to an issue ----------------------------------------------------------------------


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


# --- the whole road --------------------------------------------------------------------------------------------------


def run(config: Config, day: date, store: Store, world: World, *, dry_run: bool = False) -> Report:
    """Make the issue of `day`, unless it exists, and send what is owed. Safe to repeat and to overlap, as cron does."""
    with _alone(store) as alone:
        if not alone:
            return Report(Verdict.ALREADY_RUNNING, "another run is sending; nothing to do here", day)
        links = Links(config.secret.reveal(), config.publication)
        fresh = store.issue(day) is None
        if fresh:
            prepared = _prepare(config, day, store, world)
            if isinstance(prepared, Report):
                return prepared
            if dry_run:
                return _rehearsal(prepared, store)
            if not store.count_subscribers()[SubscriberStatus.ACTIVE]:
                return Report(Verdict.NO_SUBSCRIBERS, "nobody to send to; `newsletter subscribers add ADDRESS`", day)
            store.freeze(prepared, config.publication, lifetime=timedelta(hours=config.issue.lifetime))
        elif dry_run:
            return Report(Verdict.ALREADY_SENT, "the issue of this day exists; `newsletter status` tells more", day)
        return _send_owed(_Sending(config, store, world, links), day, fresh=fresh)


def send(
    config: Config,
    day: date | None,
    store: Store,
    world: World,
    *,
    retry_uncertain: bool = False,
    resume: bool = False,
) -> Report:
    """Go on with what is still owed, of every issue or of the one of `day`; makes no new issue.

    With `retry_uncertain`, each copy in doubt is sent once more; with `resume`, also of issues that were paused.
    """
    with _alone(store) as alone:
        if not alone:
            return Report(Verdict.ALREADY_RUNNING, "another run is sending; nothing to do here", day)
        links = Links(config.secret.reveal(), config.publication)
        for issue in store.unfinished():
            if day in (None, issue.rendered.day):
                if retry_uncertain:
                    store.retry_uncertain(issue.id)
                if resume:
                    store.resume(issue.id)
        return _send_owed(_Sending(config, store, world, links), day, fresh=False, only=day)


@contextmanager
def _alone(store: Store) -> Iterator[bool]:
    """The sender's lock. Who holds it knows that no other process sends: what is found half done, a crash left."""
    with store.exclusive() as alone:
        if alone:
            store.recover()
            store.expire()
        yield alone


def _prepare(config: Config, day: date, store: Store, world: World) -> RenderedIssue | Report:
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
        return Report(Verdict.FILTERED_OUT, f"{_count(issue.left_out, 'paper')}, all below min_upvotes", issue.day)
    if issue.skipped:
        unread = _count(issue.skipped, "entry", "entries")
        return Report(Verdict.FEED_FAILED, f"the feeds hold {unread}, none of which could be read", issue.day)
    return Report(Verdict.QUIET_DAY, "the feeds have no papers for this day", issue.day)


def _rehearsal(rendered: RenderedIssue, store: Store) -> Report:
    readers = store.count_subscribers()[SubscriberStatus.ACTIVE]
    said = f"would send {rendered.subject!r} to {_count(readers, 'reader')}; nothing was kept or sent"
    return Report(Verdict.DRY_RUN, said, rendered.day)


# --- the second half: from the ledger to the inbox -------------------------------------------------------------------


@dataclass
class _Sending:
    """One run's sending, over all servers at once, counting the copies that were answered for."""

    config: Config
    store: Store
    world: World
    links: Links
    answered: int = 0
    full_until: datetime | None = None  # UTC: every server has used up its day until then

    def issues(self, issues: Sequence[FrozenIssue]) -> NewsletterError | None:
        """Send what is owed of each. Returns the reason when it could not be done."""
        if not issues:
            return None
        limited = frozenset(name(server) for server in self.config.smtp if server.rate or server.per_day)
        pool = Pool(self.config.smtp, used=self.store.used(DAY) if limited else {})
        try:
            for issue in issues:
                self._issue(issue, pool, limited)
            if (wait := pool.full_until()) is not None:
                self.full_until = self.world.now() + timedelta(seconds=wait)
        except (TransportUnavailable, IssuePaused) as error:
            return error
        finally:
            pool.close()
        return None

    def _issue(self, issue: FrozenIssue, pool: Pool, limited: frozenset[str]) -> None:
        if issue.paused is not None:
            raise IssuePaused(f"paused: {issue.paused}; `newsletter send {issue.rendered.day} --resume` goes on")
        if owed := _owed(self.store.counts(issue.id)):
            self.world.announce(issue, owed)
        careful = self.config.sending
        sender = Sender(
            self.store,
            pool,
            self.world.now,
            self.world.stop,
            self._progress,
            resend_uncertain=RESEND_UNCERTAIN if careful.uncertain == "resend" else 0,
            breaker=Breaker(careful.pause_after, careful.pause_share),
            limited=limited,
        )
        copies = compile_copies(issue, self.links, signers(self.config))
        if careful.canary is not None:
            self._canary(careful.canary, sender, issue, copies)
        sender.send(issue, copies)

    def _canary(self, address: str, sender: Sender, issue: FrozenIssue, copies: Copies) -> None:
        """Send this reader's copy first. Raises IssuePaused unless it was accepted, now or in an earlier run."""
        reader = self.store.find(address)
        if reader is None or reader.status is not SubscriberStatus.ACTIVE:
            raise IssuePaused(f"sending.canary {address} is not subscribed; `newsletter subscribers add {address}`")
        if self.store.state_of(issue.id, reader.id) not in OPEN:
            return  # accepted; or refused, and the operator has resumed the issue; or subscribed after the freeze
        sender.send(issue, copies, only=reader.id)
        state = self.store.state_of(issue.id, reader.id)
        if state is State.REFUSED:
            words = next((f"{row.code} {row.text}" for row in self.store.refusals(issue.id)), "")
            reason = f"the canary {address} was refused: {words}"
            self.store.pause(issue.id, reason, [])
            raise IssuePaused(reason)
        if state is not State.ACCEPTED:
            raise IssuePaused(f"the canary {address} is {state}; the others wait for it")

    def _progress(self, outcome: Outcome) -> None:
        self.answered += 1
        self.world.progress(outcome)


def signers(config: Config) -> tuple[Signer, ...]:
    """The DKIM keys, for the domain of the sender (aligned: RFC 7489 section 3.1.1). Raises ConfigError."""
    domain = parseaddr(config.publication.sender)[1].rpartition("@")[2]
    return tuple(dkim.load(key.private_key_file, key.selector, domain) for key in config.dkim)


def _send_owed(sending: _Sending, day: date | None, *, fresh: bool, only: date | None = None) -> Report:
    """Send what is owed of every unfinished issue, or of the one of `only`, and say how it went."""
    store = sending.store
    issues = [issue for issue in store.unfinished() if only is None or issue.rendered.day == only]
    failure = sending.issues(issues)
    asked = store.issue(day) if day is not None else None
    shown = {issue.id for issue in (*issues, *([asked] if asked else []))}
    counts = _sum(store.counts(issue_id) for issue_id in shown)
    return _report(counts, day, failure, sending, fresh=fresh)


def _report(
    counts: Mapping[State, int], day: date | None, failure: NewsletterError | None, sending: _Sending, *, fresh: bool
) -> Report:
    """The verdict of a run that came as far as sending: decided from the ledger alone."""
    if failure is not None:
        verdict = Verdict.PAUSED if isinstance(failure, IssuePaused) else Verdict.SEND_FAILED
        said = f"{failure}; {_count(_owed(counts), 'copy', 'copies')} still owed"
        return Report(verdict, said, day, counts, exit_code=failure.exit_code)
    if _owed(counts):
        full = sending.full_until
        wait = f"; smtp.per_day is used up until {full:%Y-%m-%d %H:%M} UTC" if full else ""
        return Report(Verdict.STILL_OWED, f"{describe(counts)}{wait}; run `newsletter send` to go on", day, counts)
    if not counts.get(State.ACCEPTED) and counts.get(State.REFUSED):
        return Report(Verdict.FAILED, f"{describe(counts)}; `newsletter status` shows the server's words", day, counts)
    if fresh or sending.answered:
        return Report(Verdict.NEW_ISSUE, describe(counts), day, counts)
    return Report(Verdict.ALREADY_SENT, describe(counts) if counts else "nothing is owed", day, counts)


def describe(counts: Mapping[State, int]) -> str:
    """The ledger's counts in words: ``12 accepted, 1 refused``."""
    return ", ".join(f"{counts[state]} {state}" for state in State if counts.get(state)) or "no copies"


def _owed(counts: Mapping[State, int]) -> int:
    return sum(counts.get(state, 0) for state in OWED)


def _sum(all_counts: Iterable[Mapping[State, int]]) -> dict[State, int]:
    total: dict[State, int] = {}
    for counts in all_counts:
        for state, number in counts.items():
            total[state] = total.get(state, 0) + number
    return total


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
