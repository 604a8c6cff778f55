"""From feed to inbox, the page to read first.

    gather ------> compose ------> Renderer.issue ------> Store.freeze ------> Sender.send
    [ParsedFeed]   Issue           RenderedIssue          FrozenIssue,         Envelopes out,
                                                          Delivery rows        Outcomes in the ledger

`run` walks the whole road, and is safe to repeat: an issue that is frozen is never made again, a copy that was accepted
is never sent again. `send` walks only the last part. Each returns a RunReport whose verdict says how it ended, and why
there was no mail when there was none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from newsletter.config import Config
from newsletter.deliver import RESEND_UNCERTAIN, Breaker, Sender
from newsletter.errors import IssuePaused, NewsletterError, TransportUnavailable
from newsletter.links import Links
from newsletter.mail.message import Copies, compile_copies
from newsletter.mail.signers import signers
from newsletter.model import (
    OPEN,
    OWED,
    FrozenIssue,
    Outcome,
    RenderedIssue,
    RunReport,
    Span,
    State,
    SubscriberStatus,
    Verdict,
)
from newsletter.runtime import Runtime
from newsletter.store import Store
from newsletter.text import count
from newsletter.transport import SECONDS_PER_DAY, Pool, server_name

if TYPE_CHECKING:
    from newsletter.prepare import Prepared


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
) -> RunReport:
    """Make the issue of `day`, unless it exists, and send what is owed. Safe to repeat and to overlap, as cron does.

    A run that finds another one sending makes the issue all the same: it must not be missing because yesterday's was
    still on its way. The other process, or the next `send`, goes on with it. The issue takes in the days of `span`.
    """
    from newsletter import prepare  # `send` needs neither feeds nor templates, nor their 30 MB

    with _alone(store, runtime) as alone:
        fresh = store.issue(day) is None
        if dry_run and not fresh:
            return RunReport(Verdict.ALREADY_SENT, "the issue of this day exists; `newsletter status` tells more", day)
        if fresh:
            config.secret.reveal()  # an issue that could not be sent is not begun
            prepared = prepare.prepare(config, day, store, runtime, span)
            verdict = _freeze(config, prepared, day, store, dry_run=dry_run)
            if verdict is not None:
                return verdict
        if not alone:
            return _busy(day)
        return _send_owed(_sending(config, store, runtime), day, fresh=fresh)


def _freeze(
    config: Config, prepared: Prepared | RunReport, day: date, store: Store, *, dry_run: bool
) -> RunReport | None:
    """Keep a new issue; returns the verdict when there is none to send."""
    if isinstance(prepared, RunReport):
        return prepared
    if dry_run:
        return _rehearsal(prepared.rendered, store)
    if not store.count_subscribers()[SubscriberStatus.ACTIVE]:
        return RunReport(Verdict.NO_SUBSCRIBERS, "nobody to send to; `newsletter subscribers add ADDRESS`", day)
    lifetime = timedelta(hours=config.issue.lifetime)
    store.freeze(
        prepared.rendered, config.publication, lifetime=lifetime, papers=prepared.shown, offered=prepared.offered
    )
    return None


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
) -> RunReport:
    """Go on with what is still owed, of every issue or of the one of `day`; makes no new issue.

    With `retry_uncertain`, each copy in doubt is sent once more; with `resume`, also of issues that were paused.
    """
    if day is not None and store.issue(day) is None:
        return RunReport(Verdict.FAILED, f"there is no issue of {day}; `newsletter run --date {day}` makes one", day)
    with _alone(store, runtime) as alone:
        if not alone:
            return _busy(day)
        for issue in store.unfinished():
            if day in (None, issue.rendered.day):
                if retry_uncertain:
                    store.retry_uncertain(issue.id, resend_uncertain=_repetitions(config))
                if resume:
                    store.resume(issue.id)
        return _send_owed(_sending(config, store, runtime), day, fresh=False, only=day)


def _sending(config: Config, store: Store, runtime: Runtime) -> _Sending:
    return _Sending(config, store, runtime, config.links())


def _busy(day: date | None) -> RunReport:
    return RunReport(
        Verdict.ALREADY_RUNNING, "another run is sending; the next `newsletter send` does what it leaves", day
    )


@contextmanager
def _alone(store: Store, runtime: Runtime) -> Iterator[bool]:
    """The sender's lock. Who holds it knows that no other process sends: what is found half done, a crash left."""
    with store.sending_lock() as alone:
        if alone:
            if doubtful := store.recover():
                runtime.warn(
                    f"the last run was cut off; nobody knows whether {count(doubtful, 'copy', 'copies')} arrived"
                )
            if late := store.expire():
                runtime.warn(f"{count(late, 'copy', 'copies')} could not be sent while they were news (issue.lifetime)")
        yield alone


# --- the second half: from the ledger to the inbox -------------------------------------------------------------------


@dataclass
class _Sending:
    """One run's sending, over all servers at once, counting the copies that were answered for."""

    config: Config
    store: Store
    runtime: Runtime
    links: Links
    answered: int = 0
    full_until: datetime | None = None  # UTC: every server has used up its day until then
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
        pool = Pool(self.config.smtp, used=self.store.used(SECONDS_PER_DAY) if limited else {})
        failure: NewsletterError | None = None
        try:
            for issue in issues:
                try:
                    self._issue(issue, pool, limited)
                except IssuePaused as error:
                    failure = failure or error
                self.store.suppress_refused(issue.id, self.config.bounces.policy)
            if (wait := pool.full_until()) is not None:
                self.full_until = self.runtime.now() + timedelta(seconds=wait)
        except TransportUnavailable as error:
            failure = error
        finally:
            pool.close()
        for trouble in pool.troubles:
            if trouble is not failure:
                self.runtime.warn(str(trouble))
        return failure

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
        self.runtime.progress(outcome)


def _repetitions(config: Config) -> int:
    """How often a copy in doubt is sent again by itself."""
    return RESEND_UNCERTAIN if config.sending.uncertain == "resend" else 0


def _send_owed(sending: _Sending, day: date | None, *, fresh: bool, only: date | None = None) -> RunReport:
    """Send what is owed of every unfinished issue, or of the one of `only`, and say how it went."""
    store = sending.store
    issues = [issue for issue in store.unfinished() if only is None or issue.rendered.day == only]
    failure = sending.issues(issues)
    sending.next_due = min(filter(None, (store.next_due(issue.id) for issue in issues)), default=None)
    asked = store.issue(day) if day is not None else None
    shown = {issue.id for issue in (*issues, *([asked] if asked else []))}
    counts = _sum(store.counts(issue_id) for issue_id in shown)
    return _report(counts, day, failure, sending, fresh=fresh)


def _report(
    counts: Mapping[State, int], day: date | None, failure: NewsletterError | None, sending: _Sending, *, fresh: bool
) -> RunReport:
    """The verdict of a run that came as far as sending: decided from the ledger alone."""
    if failure is not None:
        verdict = Verdict.PAUSED if isinstance(failure, IssuePaused) else Verdict.SEND_FAILED
        said = f"{failure}; {count(_owed(counts), 'copy', 'copies')} still owed"
        told = verdict is Verdict.PAUSED and not (fresh or sending.answered)  # by the run that had to stop there
        return RunReport(verdict, said, day, counts, exit_code=failure.exit_code, idle=told)
    if _owed(counts):
        wait = _wait(counts, sending)
        said = "; ".join((describe(counts), *([wait] if wait else []), "run `newsletter send` to go on"))
        return RunReport(Verdict.STILL_OWED, said, day, counts, idle=bool(wait) and not sending.answered)
    if counts.get(State.EXPIRED) and not counts.get(State.ACCEPTED):
        return RunReport(Verdict.TOO_LATE, f"{describe(counts)}: too old to be news (issue.lifetime)", day, counts)
    if not counts.get(State.ACCEPTED) and counts.get(State.REFUSED):
        return RunReport(
            Verdict.FAILED, f"{describe(counts)}; `newsletter status` shows the server's words", day, counts
        )
    if counts.get(State.UNCERTAIN) and (fresh or sending.answered):  # said once: later runs have nothing to do
        held = count(counts[State.UNCERTAIN], "copy", "copies")
        said = f"nobody knows whether {held} arrived; `newsletter send --retry-uncertain` sends them again"
        return RunReport(Verdict.STILL_OWED, f"{describe(counts)}; {said}", day, counts)
    if fresh or sending.answered:
        return RunReport(Verdict.NEW_ISSUE, describe(counts), day, counts)
    return RunReport(Verdict.ALREADY_SENT, describe(counts) if counts else "nothing is owed", day, counts)


def _wait(counts: Mapping[State, int], sending: _Sending) -> str:
    """Until when nothing can be done for the copies that are owed, and why; empty when they could go now."""
    if (full := sending.full_until) is not None:
        return f"smtp.per_day is used up until {full:%Y-%m-%d %H:%M} UTC"
    due = sending.next_due
    if due is None or due <= sending.runtime.now() or _owed(counts) != counts[State.DEFERRED]:
        return ""
    return f"the next try is due at {due:%Y-%m-%d %H:%M} UTC"


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
