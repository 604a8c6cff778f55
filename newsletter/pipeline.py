"""From feed to inbox, the page to read first.

    gather ------> compose ------> Renderer.issue ------> Store.freeze ------> Sender.send
    [ParsedFeed]   Issue           RenderedIssue          FrozenIssue,         Envelopes out,
                                                          Delivery rows        Outcomes in the ledger

`run` walks the whole road, and is safe to repeat: an issue that is frozen is never made again, a copy that was accepted
is never sent again. `send` walks only the last part. Each returns a RunReport whose verdict says how it ended, and why
there was no mail when there was none. What only one of the halves needs is loaded by it: a quiet day needs no SMTP, and
`send` no feeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from newsletter.config import Config
from newsletter.issue.calendar import listing_day, why_empty
from newsletter.model import (
    FrozenIssue,
    IssuePapers,
    NoIssue,
    Publication,
    RenderedIssue,
    RunReport,
    Span,
    SubscriberStatus,
    Verdict,
)
from newsletter.runtime import Runtime
from newsletter.store import Store
from newsletter.text import count

if TYPE_CHECKING:
    from newsletter.sending import Sending

_ONE_DAY: Final = Span()

# --- the whole road --------------------------------------------------------------------------------------------------


def run(
    config: Config,
    day: date,
    store: Store,
    runtime: Runtime,
    *,
    dry_run: bool = False,
    span: Span = _ONE_DAY,
    remake: bool = False,
) -> RunReport:
    """Make the issue of `day`, unless it exists, and send what is owed. Safe to repeat and to overlap, as cron does.

    A run that finds another one sending makes the issue all the same: it must not be missing because yesterday's was
    still on its way. The other process, or the next `send`, sends it. The issue takes in the days of `span`. With
    `span.catch_up`, `day` is the newest ripe one; if the feeds rest on it, the day before the rest is made, unless it
    exists.

    An issue that exists is made anew while no copy of it may have arrived: with `remake`, or when the publication or
    the templates have changed since it was frozen and copies are owed.
    """
    store.check_list(config.publication.list_id)
    with _alone(store, runtime) as found:
        due = day
        day = _unsent(config, due, store) if span.catch_up and span.since is None else due
        kept = store.issue(day)
        if kept is not None and dry_run and not remake:
            return RunReport(Verdict.ALREADY_SENT, "the issue of this day exists; `newsletter status` shows it", day)
        why = "as asked" if remake else _outdated(config, kept, store, runtime)
        if kept is not None and why and (refusal := _why_not_anew(kept, store, alone=found.alone)):
            if remake:
                return RunReport(Verdict.FAILED, f"the issue of {day} stays as it is: {refusal}", day)
            runtime.warn(f"the issue of {day} was frozen with another {why}; its copies go out as frozen: {refusal}")
            why = ""
        fresh = kept is None or bool(why)
        if fresh:
            made = _make(config, day, store, runtime, span, dry_run=dry_run, replaces=kept.id if kept else None)
            made = _rested(made, due, config)
            if isinstance(made, RunReport) and (kept is None or remake or dry_run):
                return made
            fresh = _tell_remade(kept, made, why, runtime)
        if not found.alone:
            return _busy(day)
        from newsletter.sending import send_owed

        return send_owed(_sending(config, store, runtime, found.expired), day, fresh=fresh)


def _unsent(config: Config, day: date, store: Store) -> date:
    """The day before the rest days that `day` ends, if it has no issue yet: it was not ripe before them, or failed."""
    listed = listing_day(config.calendars, day)
    return listed if store.issue(listed) is None else day


def _rested(made: FrozenIssue | RunReport, due: date, config: Config) -> FrozenIssue | RunReport:
    """`made`, but the verdict of the rest day `due` if the day before the rest turned out to have nothing either."""
    if isinstance(made, FrozenIssue) or made.day == due or made.verdict is not Verdict.QUIET_DAY:
        return made
    return NoIssue(Verdict.WEEKEND, f"nothing new is listed on {why_empty(config.calendars[0], due)}").report(due)


def _make(
    config: Config,
    day: date,
    store: Store,
    runtime: Runtime,
    span: Span,
    *,
    dry_run: bool,
    replaces: int | None,
) -> FrozenIssue | RunReport:
    """A new issue of `day`, frozen, in place of the one whose id is `replaces`; or the verdict why there is none."""
    from newsletter import prepare

    links = config.links()  # an issue that could not be sent is not begun
    prepared = prepare.prepare(config, day, store, runtime, span, replaces)
    if isinstance(prepared, NoIssue):
        return prepared.report(day)
    if dry_run:
        return _rehearsal(prepared.rendered, store)
    if not store.count_subscribers()[SubscriberStatus.ACTIVE]:
        return RunReport(Verdict.NO_SUBSCRIBERS, "nobody to send to; `newsletter subscribers add ADDRESS`", day)
    if not store.recipients(day):
        words = f"no reader wants an issue on a {day:%A}, or all who do have paused; nothing was made"
        return RunReport(Verdict.NO_SUBSCRIBERS, words, day)
    from newsletter import editions

    return store.freeze(
        prepared.rendered,
        config.publication,
        lifetime=timedelta(hours=config.issue.lifetime),
        papers=IssuePapers(prepared.shown, prepared.offered, prepared.contents, prepared.candidates),
        editions=editions.make(config, prepared, store, runtime, again=span.again, replaces=replaces),
        key_id=links.key_id,
        templates=prepare.fingerprint(config),
        replaces=replaces,
    )


def _tell_remade(kept: FrozenIssue | None, made: FrozenIssue | RunReport, why: str, runtime: Runtime) -> bool:
    """Say what became of an issue that was to be made anew; returns whether there is a new one to send."""
    if isinstance(made, RunReport):
        runtime.warn(f"the issue could not be made anew ({made.explanation}); its copies go out as frozen")
        return False
    if kept is not None:
        runtime.warn(f"the issue of {made.rendered.day} was made anew: {why}")
    return True


def _outdated(config: Config, kept: FrozenIssue | None, store: Store, runtime: Runtime) -> str:
    """What has changed since `kept` was frozen, in words; empty when nothing has, or when nothing of it is owed."""
    if kept is None:
        return ""
    from newsletter import prepare
    from newsletter.sending import owed

    if not owed(store.counts(kept.id)):
        return ""
    changed = [
        field.name
        for field in fields(Publication)
        if getattr(kept.publication, field.name) != getattr(config.publication, field.name)
    ]
    if kept.templates is not None and kept.templates != prepare.fingerprint(config):
        changed.append("set of templates")
    return ", ".join(changed)


def _why_not_anew(kept: FrozenIssue, store: Store, *, alone: bool) -> str:
    """Why an issue must not be made anew; empty when it may be."""
    if not alone or store.shards_held(kept.id):
        return "another process is sending"
    arrived = store.may_have_arrived(kept.id)
    return f"{count(arrived, 'copy has', 'copies have')} arrived or may have" if arrived else ""


def _rehearsal(rendered: RenderedIssue, store: Store) -> RunReport:
    """The verdict of a run that only shows what it would do."""
    readers = store.count_subscribers()[SubscriberStatus.ACTIVE]
    said = f"would send {rendered.subject!r} to {count(readers, 'reader')}; nothing was kept or sent"
    return RunReport(Verdict.DRY_RUN, said, rendered.day)


@dataclass(frozen=True, slots=True)
class Decisions:
    """What the operator has decided for one `send`.

    `retry_uncertain`: each uncertain copy is sent once more. `resume`: issues that were paused go on. `at_once`: copies
    that were put off are tried without waiting. `trust_store`: a store may send that is older than what was sent.
    """

    retry_uncertain: bool = False
    resume: bool = False
    at_once: bool = False
    trust_store: bool = False

    def carry_out(self, issue: FrozenIssue, store: Store, config: Config) -> None:
        """Do what was decided about the copies of an issue. Needs the sender's lock."""
        from newsletter.sending import repetitions

        if self.retry_uncertain:
            store.retry_uncertain(issue.id, resend_uncertain=repetitions(config))
        if self.resume:
            store.resume(issue.id)
        if self.at_once:
            store.due_now(issue.id)


_NOTHING_DECIDED: Final = Decisions()


def send(
    config: Config, day: date | None, store: Store, runtime: Runtime, decisions: Decisions = _NOTHING_DECIDED
) -> RunReport:
    """Go on with what is still owed, of every issue or of the one of `day`; makes no new issue."""
    if day is not None and store.issue(day) is None:
        return RunReport(Verdict.FAILED, f"there is no issue of {day}; `newsletter run --date {day}` makes one", day)
    from newsletter.sending import send_owed

    store.check_list(config.publication.list_id, adopt=decisions.trust_store)
    with _alone(store, runtime, trust_store=decisions.trust_store) as found:
        if not found.alone:
            return _busy(day)
        for issue in store.unfinished():
            if day in (None, issue.rendered.day):
                decisions.carry_out(issue, store, config)
        if decisions.at_once:
            store.wake_servers()
        sending = _sending(config, store, runtime, found.expired)
        sending.resumed = decisions.resume
        return send_owed(sending, day, fresh=False, only=day)


def withdraw(day: date, store: Store) -> RunReport:
    """Send nothing more of the issue of `day`, also when another process is sending it at this moment."""
    from newsletter.sending import describe

    issue = store.issue(day)
    if issue is None:
        return RunReport(Verdict.FAILED, f"there is no issue of {day}", day)
    withdrawn = store.withdraw(issue.id)
    counts = store.counts(issue.id)
    said = f"{count(withdrawn, 'copy', 'copies')} withdrawn now; the issue stands at: {describe(counts)}"
    return RunReport(Verdict.ALREADY_SENT, said, day, counts)


def _sending(config: Config, store: Store, runtime: Runtime, expired: Mapping[date, int]) -> Sending:
    from newsletter.sending import Sending

    config.secret.reveal()  # before anything is connected: it is the operator's to mend, not the server's
    return Sending(config, store, runtime, expired)


def _busy(day: date | None) -> RunReport:
    return RunReport(
        Verdict.ALREADY_RUNNING, "another run is sending; the next `newsletter send` does what it leaves", day
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """What a run finds: whether it alone may send, and the copies that expired, by the day of their issue."""

    alone: bool
    expired: Mapping[date, int]


@contextmanager
def _alone(store: Store, runtime: Runtime, *, trust_store: bool = False) -> Iterator[_Found]:
    """The sender's lock. Its holder knows that no other process sends: what is half done was left by a crash.

    Raises StoreOutdated when the store is older than what was sent, unless `trust_store`.
    """
    with store.sending_lock() as alone:
        expired: Mapping[date, int] = {}
        if alone:
            if trust_store:
                store.trust()
            store.check_provenance()
            if not store.has_shards and (uncertain := store.recover()):
                from newsletter.sending import cut_off

                runtime.warn(cut_off(uncertain))
            expired = store.expire()
            for day, late in expired.items():
                copies = count(late, "copy", "copies")
                runtime.warn(f"{copies} of the issue of {day} expired before they could be sent (issue.lifetime)")
        yield _Found(alone, expired)
