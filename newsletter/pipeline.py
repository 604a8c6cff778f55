"""From feed to inbox, the page to read first.

    gather ------> compose ------> Renderer.issue ------> Store.freeze ------> Sender.send
    [ParsedFeed]   Issue           RenderedIssue          FrozenIssue,         Envelopes out,
                                                          Delivery rows        Outcomes in the ledger

`run` walks the whole road, and is safe to repeat: an issue that is frozen is never made again, a copy that was accepted
is never sent again. `send` walks only the last part. Each returns a RunReport whose verdict says how it ended, and why
there was no mail when there was none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Final

from newsletter.config import Config
from newsletter.deliver import RESEND_UNCERTAIN, Breaker, Sender
from newsletter.errors import IssuePaused, NewsletterError, SenderRefused, TransportUnavailable
from newsletter.mail.message import Copies, compile_copies
from newsletter.mail.signers import signers
from newsletter.model import (
    OPEN,
    OWED,
    FrozenIssue,
    NoIssue,
    Outcome,
    Publication,
    RenderedIssue,
    RunReport,
    Span,
    State,
    Subscriber,
    SubscriberStatus,
    Verdict,
)
from newsletter.replies import Concern, Stage, judge
from newsletter.runtime import Runtime
from newsletter.store import Store
from newsletter.text import count
from newsletter.transport import SECONDS_PER_DAY, Pool, Rest, server_name

_ONE_DAY: Final = Span()

_LOOKED_AT: Final = 200  # copies that are owed, for the last words on the sender

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
    still on its way. The other process, or the next `send`, sends it. The issue takes in the days of `span`.

    An issue that exists is made anew while no copy of it may have arrived: with `remake`, or when the publication or
    the templates have changed since it was frozen and copies are owed.
    """
    with _alone(store, runtime) as found:
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
            if isinstance(made, RunReport) and (kept is None or remake or dry_run):
                return made
            fresh = _tell_remade(kept, made, why, runtime)
        if not found.alone:
            return _busy(day)
        return _send_owed(_sending(config, store, runtime, found.expired), day, fresh=fresh)


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
    from newsletter import prepare  # `send` needs neither feeds nor templates, nor their 30 MB

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
    return store.freeze(
        prepared.rendered,
        config.publication,
        lifetime=timedelta(hours=config.issue.lifetime),
        papers=prepared.shown,
        offered=prepared.offered,
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
    if kept is None or not _owed(store.counts(kept.id)):
        return ""
    from newsletter import prepare

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
    if not alone:
        return "another run is sending"
    arrived = store.may_have_arrived(kept.id)
    return f"{count(arrived, 'copy has', 'copies have')} arrived or may have" if arrived else ""


def _rehearsal(rendered: RenderedIssue, store: Store) -> RunReport:
    """The verdict of a run that only shows what it would do."""
    readers = store.count_subscribers()[SubscriberStatus.ACTIVE]
    said = f"would send {rendered.subject!r} to {count(readers, 'reader')}; nothing was kept or sent"
    return RunReport(Verdict.DRY_RUN, said, rendered.day)


def send(
    config: Config,
    day: date | None,
    store: Store,
    runtime: Runtime,
    *,
    retry_uncertain: bool = False,
    resume: bool = False,
    at_once: bool = False,
    trust_store: bool = False,
) -> RunReport:
    """Go on with what is still owed, of every issue or of the one of `day`; makes no new issue.

    With `retry_uncertain`, each uncertain copy is sent once more; with `resume`, also copies of issues that were
    paused; with `at_once`, copies that were put off are tried without waiting; with `trust_store`, a store is sent from
    that is older than what was sent.
    """
    if day is not None and store.issue(day) is None:
        return RunReport(Verdict.FAILED, f"there is no issue of {day}; `newsletter run --date {day}` makes one", day)
    with _alone(store, runtime, trust_store=trust_store) as found:
        if not found.alone:
            return _busy(day)
        for issue in store.unfinished():
            if day in (None, issue.rendered.day):
                if retry_uncertain:
                    store.retry_uncertain(issue.id, resend_uncertain=_repetitions(config))
                if resume:
                    store.resume(issue.id)
                if at_once:
                    store.due_now(issue.id)
        if at_once:
            store.wake_servers()
        sending = _sending(config, store, runtime, found.expired)
        sending.resumed = resume
        return _send_owed(sending, day, fresh=False, only=day)


def withdraw(day: date, store: Store) -> RunReport:
    """Send nothing more of the issue of `day`, also when another process is sending it at this moment."""
    issue = store.issue(day)
    if issue is None:
        return RunReport(Verdict.FAILED, f"there is no issue of {day}", day)
    withdrawn = store.withdraw(issue.id)
    counts = store.counts(issue.id)
    said = f"{count(withdrawn, 'copy', 'copies')} withdrawn now; the issue stands at: {describe(counts)}"
    return RunReport(Verdict.ALREADY_SENT, said, day, counts)


def _sending(config: Config, store: Store, runtime: Runtime, expired: Mapping[date, int]) -> _Sending:
    config.secret.reveal()  # before anything is connected: it is the operator's to mend, not the server's
    return _Sending(config, store, runtime, expired)


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
            if uncertain := store.recover():
                copies = count(uncertain, "copy", "copies")
                runtime.warn(f"the last run was cut off; it is uncertain whether {copies} arrived")
            expired = store.expire()
            for day, late in expired.items():
                copies = count(late, "copy", "copies")
                runtime.warn(f"{copies} of the issue of {day} expired before they could be sent (issue.lifetime)")
        yield _Found(alone, expired)


# --- the second half: from the ledger to the inbox -------------------------------------------------------------------


@dataclass
class _Sending:
    """One run's sending, over all servers at once, counting the copies that were answered for."""

    config: Config
    store: Store
    runtime: Runtime
    expired: Mapping[date, int]  # copies that expired as this run began, by the day of their issue
    answered: int = 0
    resumed: bool = False  # the operator has seen why issues were paused, and goes on
    full_until: datetime | None = None  # UTC: every server has used up its day until then
    refused_until: datetime | None = None  # UTC: no server takes mail of this sender until then
    next_due: datetime | None = None  # UTC: when the first of the copies that were put off may be tried again

    def issues(self, issues: Sequence[FrozenIssue]) -> NewsletterError | None:
        """Send what is owed of each; one that is paused holds up no other. Returns the reason when not all was done.

        Raises ConfigError when a server's password cannot be read.
        """
        if not issues:
            return None
        for server in self.config.smtp:
            if server.password is not None:
                server.password.reveal()  # before anything is connected: it is the operator's to mend, not the server's
        limited = frozenset(server_name(server) for server in self.config.smtp if server.rate or server.per_day)
        used = self.store.used(SECONDS_PER_DAY) if limited else {}
        pool = Pool(self.config.smtp, used=used, resting=self._resting())
        failure: NewsletterError | None = None
        try:
            failure = self._each(issues, pool, limited)
        except TransportUnavailable as error:
            failure = error
            self._expect_service(error, pool)
        finally:
            pool.close()
            for name, seconds in pool.rests.items():
                self.store.rest(name, self.runtime.now() + timedelta(seconds=seconds))
        for trouble in pool.troubles:
            if trouble is not failure:
                self.runtime.warn(str(trouble))
        return failure

    def _each(self, issues: Sequence[FrozenIssue], pool: Pool, limited: frozenset[str]) -> IssuePaused | None:
        """Send what is owed of each. Returns why the first of the paused ones is; raises TransportUnavailable."""
        paused: IssuePaused | None = None
        for issue in issues:
            try:
                self._issue(issue, pool, limited)
            except IssuePaused as error:
                paused = paused or error
            self._suppress_refused(issue)
        if (wait := pool.full_until()) is not None:
            self.full_until = self.runtime.now() + timedelta(seconds=wait)
        return paused

    def _expect_service(self, error: TransportUnavailable, pool: Pool) -> None:
        """Note when the first server that refuses this sender is tried again."""
        if isinstance(error, SenderRefused) and (wait := pool.next_try) is not None:
            self.refused_until = self.runtime.now() + timedelta(seconds=wait)

    def _resting(self) -> dict[str, Rest]:
        """The servers that have refused this sender within a day."""
        now = self.runtime.now()
        return {name: Rest((until - now).total_seconds(), times) for name, (until, times) in self.store.rests().items()}

    def last_words_on_the_sender(self) -> str:
        """What a server last said about this sender, with its code; empty when nothing is known."""
        for issue in self.store.unfinished():
            for row in islice(self.store.refusals(issue.id), _LOOKED_AT):
                if row.state is State.DEFERRED and judge(Stage.RCPT, row.code, row.text).concern is Concern.SENDER:
                    return f"{row.code} {row.text}"
        return ""

    def _issue(self, issue: FrozenIssue, pool: Pool, limited: frozenset[str]) -> None:
        if issue.paused is not None:
            raise IssuePaused(f"paused: {issue.paused}; `newsletter send {issue.rendered.day} --resume` goes on")
        counts = self.store.counts(issue.id)
        if left := _owed(counts) + counts[State.UNCERTAIN]:
            self.runtime.announce(issue, left)
        careful = self.config.sending
        sender = Sender(
            self.store,
            pool,
            self.runtime.now,
            self.runtime.stop,
            self._progress,
            resend_uncertain=_repetitions(self.config),
            breaker=Breaker(careful.pause_after, careful.pause_share, few=not self.resumed),
            limited=limited,
        )
        copies = compile_copies(
            issue,
            self.config.links(issue.publication, issue.key_id),
            signers(self.config, issue.publication),
        )
        if careful.canary is not None:
            self._canary(careful.canary, sender, issue, copies)
        sender.send(issue, copies)

    def _suppress_refused(self, issue: FrozenIssue) -> None:
        """Suppress readers whose address was often refused; say when they are so many that nothing was done."""
        held = self.store.suppress_refused(issue.id, self.config.bounces.policy).held
        if held:
            self.runtime.warn(
                f"the addresses of {count(held, 'reader')} were refused again, more than usual: nothing was done about "
                "them; `newsletter status` shows why, `newsletter bounces --confirm` suppresses them"
            )

    def _canary(self, address: str, sender: Sender, issue: FrozenIssue, copies: Copies) -> None:
        """Send this reader's copy first. Raises IssuePaused unless it was accepted, now or in an earlier run."""
        reader = self.store.find(address)
        if reader is None or reader.status is not SubscriberStatus.ACTIVE:
            raise IssuePaused(f"sending.canary {address} is not subscribed; `newsletter subscribers add {address}`")
        state = self.store.state_of(issue.id, reader.id)
        if state is None and reader.status_at < issue.frozen_at:
            raise IssuePaused(f"sending.canary {address} {_absence(reader, issue.rendered.day)}; nothing is sent")
        if state not in OPEN:
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
        self.runtime.progress(outcome)


def _absence(reader: Subscriber, day: date) -> str:
    """Why a reader has no copy of the issue of `day`, and what the operator can do."""
    if not reader.days >> day.weekday() & 1:
        return f"wants no issue on a {day:%A}: let them choose that day too, or name another canary"
    if reader.paused_until is not None and reader.paused_until > day:
        return f"has paused until {reader.paused_until}: end the pause, or name another canary"
    return "has no copy of this issue: name another canary"


def _repetitions(config: Config) -> int:
    """How often a copy in doubt is sent again by itself."""
    return RESEND_UNCERTAIN if config.sending.uncertain == "resend" else 0


def _send_owed(sending: _Sending, day: date | None, *, fresh: bool, only: date | None = None) -> RunReport:
    """Send what is owed of every unfinished issue, or of the one of `only`, and say how it went."""
    store = sending.store
    issues = [issue for issue in store.unfinished() if only is None or issue.rendered.day == only]
    with sending.runtime.sending():
        failure = sending.issues(issues)
        _prune(sending)
    if store.witness_error is not None:
        sending.runtime.warn(store.witness_error)
    sending.next_due = min(filter(None, (store.next_due(issue.id) for issue in issues)), default=None)
    asked = store.issue(day) if day is not None else None
    late = [issue for expired in sending.expired if (issue := store.issue(expired))]
    shown = {issue.id for issue in (*issues, *late, *([asked] if asked else []))}
    counts = _sum(store.counts(issue_id) for issue_id in shown)
    return _report(counts, day, failure, sending, fresh=fresh)


def _prune(sending: _Sending) -> None:
    """Delete from the store what `retention` says is old. An error is a warning: the run's verdict is about mail."""
    config, now = sending.config, sending.runtime.now()
    kept, soft_days = config.retention, config.bounces.policy.soft_days
    # Failures of the last `soft_days` before an issue are counted until the issue has expired.
    looked_at = soft_days + math.ceil(config.issue.lifetime / 24) + 1
    first_day = (now - timedelta(max(kept.deliveries, looked_at) - 1)).date()
    try:
        sending.store.prune(
            deliveries_before=first_day if kept.deliveries else None,
            reports_before=now - timedelta(max(kept.reports, looked_at)) if kept.reports else None,
            runs_before=now - timedelta(kept.runs) if kept.runs else None,
            stop=sending.runtime.stop,
        )
    except NewsletterError as error:
        sending.runtime.warn(f"old entries could not be deleted: {error}")


def _report(
    counts: Mapping[State, int], day: date | None, failure: NewsletterError | None, sending: _Sending, *, fresh: bool
) -> RunReport:
    """The verdict of a run that came as far as sending: decided from the ledger alone."""
    if failure is not None:
        verdict = Verdict.PAUSED if isinstance(failure, IssuePaused) else Verdict.SEND_FAILED
        said = f"{_why(failure, sending)}; {count(_owed(counts), 'copy', 'copies')} still owed"
        waits = verdict is Verdict.PAUSED or sending.refused_until is not None
        told = waits and not (fresh or sending.answered)  # by the run that had to stop there
        return RunReport(verdict, said, day, counts, exit_code=failure.exit_code, idle=told)
    if _owed(counts):
        wait = _wait(counts, sending)
        said = "; ".join((describe(counts), *([wait] if wait else []), "run `newsletter send` to go on"))
        return RunReport(Verdict.STILL_OWED, said, day, counts, idle=bool(wait) and not sending.answered)
    if sending.expired and counts.get(State.ACCEPTED):
        return RunReport(Verdict.PARTLY_EXPIRED, f"{_expired(sending)}; {describe(counts)}", day, counts)
    if counts.get(State.EXPIRED) and not counts.get(State.ACCEPTED):
        return RunReport(Verdict.TOO_LATE, f"{describe(counts)}: too old to be news (issue.lifetime)", day, counts)
    if not counts.get(State.ACCEPTED) and counts.get(State.REFUSED):
        return RunReport(
            Verdict.FAILED, f"{describe(counts)}; `newsletter status` shows the server's words", day, counts
        )
    if counts.get(State.UNCERTAIN) and (fresh or sending.answered):  # said once: later runs have nothing to do
        held = count(counts[State.UNCERTAIN], "copy", "copies")
        said = f"it is uncertain whether {held} arrived; `newsletter send --retry-uncertain` sends them again"
        return RunReport(Verdict.STILL_OWED, f"{describe(counts)}; {said}", day, counts)
    if fresh or sending.answered:
        return RunReport(Verdict.NEW_ISSUE, describe(counts), day, counts)
    return RunReport(Verdict.ALREADY_SENT, describe(counts) if counts else "nothing is owed", day, counts)


def _why(failure: NewsletterError, sending: _Sending) -> str:
    """Why a run could not go on, with the server's words and the time of the next attempt where a server rests."""
    if sending.refused_until is None:
        return str(failure)
    words = "" if sending.answered else sending.last_words_on_the_sender()
    minute = sending.refused_until + timedelta(seconds=59)
    until = f"it is tried again after {minute:%Y-%m-%d %H:%M} UTC"
    return "; ".join((f"{failure}: {words}" if words else str(failure), until))


def _wait(counts: Mapping[State, int], sending: _Sending) -> str:
    """Until when nothing can be done for the copies that are owed, and why; empty when they could go now."""
    if (full := sending.full_until) is not None:
        return f"smtp.per_day is used up until {full:%Y-%m-%d %H:%M} UTC"
    due = sending.next_due
    if due is None or due <= sending.runtime.now() or _owed(counts) != counts[State.DEFERRED]:
        return ""
    return f"the next try is due at {due:%Y-%m-%d %H:%M} UTC"


def _expired(sending: _Sending) -> str:
    """``200 copies of the issue of 2026-11-23 expired before they could be sent (issue.lifetime)``."""
    parts = [f"{count(number, 'copy', 'copies')} of the issue of {day}" for day, number in sending.expired.items()]
    return f"{', '.join(parts)} expired before they could be sent (issue.lifetime)"


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
