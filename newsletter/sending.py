"""Sends what the ledger owes, and gives the verdict on how that went.

unfinished issues -> Sender.send over all servers -> the ledger's counts -> RunReport
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Final

from newsletter.config import Config
from newsletter.deliver import RESEND_UNCERTAIN, Breaker, Maker, Sender
from newsletter.errors import IssuePaused, NewsletterError, SenderRefused, StoreError, TransportUnavailable
from newsletter.mail.editions import EditionCopies, JoinedCopies
from newsletter.mail.message import Copies, compile_copies
from newsletter.mail.signers import signers
from newsletter.model import (
    OPEN,
    OWED,
    Delivery,
    Envelope,
    FrozenIssue,
    JoinedEdition,
    Outcome,
    RunReport,
    State,
    Subscriber,
    SubscriberStatus,
    Verdict,
)
from newsletter.replies import Concern, Stage, judge
from newsletter.runtime import Runtime
from newsletter.store import Store
from newsletter.text import count
from newsletter.transport import Pool, Rest

_LOOK_EVERY: Final = 1.0  # seconds between looks at shards that other processes are sending

_ENCODED: Final = 8  # editions of an issue that are kept encoded, each of some 100 KB

_AHEAD: Final = 100  # joined editions that are read together, each of 1 KB

_LOOKED_AT: Final = 200  # copies that are owed, for the last words on the sender


class Editions:
    """The copies of all editions of an issue. An edition is encoded for its first copy, and the last few are kept.

    Copies of one edition, and editions in the order of their ids, are made one after the other: see store.recipients.
    """

    def __init__(self, issue: FrozenIssue, config: Config, store: Store) -> None:
        self._store = store
        self._links = config.links(issue.publication, issue.key_id)
        self._signers = signers(config, issue.publication)
        self._main = issue
        self._encoded: OrderedDict[int, Copies | JoinedCopies] = OrderedDict()  # by the id of the rendering
        self._next: dict[int, JoinedEdition] = {}  # the same, of those to come
        self._joining: EditionCopies | None = None

    def envelope(self, delivery: Delivery) -> Envelope:
        """The envelope of one delivery; the same delivery always gives the same bytes. Raises StoreError.

        Raises ValueError if it cannot be made.
        """
        rendering = delivery.rendering_id
        copies = self._encoded.get(rendering)
        if copies is None:
            copies = self._encoded[rendering] = self._edition(rendering)
            if len(self._encoded) > _ENCODED:
                self._encoded.popitem(last=False)
        self._encoded.move_to_end(rendering)
        return copies.envelope(delivery)

    def _edition(self, rendering: int) -> Copies | JoinedCopies:
        if rendering == self._main.rendering_id:
            return compile_copies(self._main, self._links, self._signers)
        if rendering not in self._next:
            self._next = self._store.joined(self._main.id, rendering, _AHEAD)
        if (edition := self._next.get(rendering)) is not None:
            return self._pieces().of(edition)
        if (found := self._store.rendering(rendering)) is None:
            raise ValueError("its edition is gone")
        return compile_copies(found, self._links, self._signers)

    def _pieces(self) -> EditionCopies:
        if self._joining is None:
            pieces = self._store.pieces(self._main.id)
            self._joining = EditionCopies(self._main, pieces, self._links, self._signers)
        return self._joining


@dataclass
class Sending:
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
    later: int = 0  # copies that wait for the hour of their readers
    later_at: datetime | None = None  # UTC: the first of these hours
    unfitting: int = 0  # readers whom no paper of a new issue fits
    readers: Sequence[int] = ()  # ids of the subscribers whose copies are to be sent, and no others; empty: all

    def issues(
        self, issues: Sequence[FrozenIssue], *, first: int | None = None, wait: bool = True
    ) -> NewsletterError | None:
        """Send what is owed of each; one that is paused holds up no other. Returns the reason when not all was done.

        Of an issue with shards, the shard `first` comes first. With `wait`, shards that other processes are sending are
        waited for, and taken over if those processes end too early.

        Raises ConfigError when a server's password cannot be read.
        """
        if not issues:
            return None
        for server in self.config.smtp:
            if server.password is not None:
                server.password.reveal()  # before anything is connected: it is the operator's to mend, not the server's
        if any(server.per_day for server in self.config.smtp):
            self.store.forget_old_use()
        pool = Pool(self.config.smtp, leases=self.store.leases(), resting=self._resting())
        failure: NewsletterError | None = None
        try:
            failure = self._each(issues, pool, first, wait=wait)
        except TransportUnavailable as error:
            failure = error
            self._expect_service(error, pool)
        finally:
            unused = pool.close()
            with suppress(StoreError):  # the block's own error, if any, is the one to report
                self.store.reserve(unused)
                self.store.end_sending()
            for name, seconds in pool.rests.items():
                self.store.rest(name, self.runtime.now() + timedelta(seconds=seconds))
        for trouble in pool.troubles:
            if trouble is not failure:
                self.runtime.warn(str(trouble))
        return failure

    def _each(self, issues: Sequence[FrozenIssue], pool: Pool, first: int | None, *, wait: bool) -> IssuePaused | None:
        """Send what is owed of each. Returns why the first of the paused ones is; raises TransportUnavailable."""
        paused: IssuePaused | None = None
        for issue in issues:
            try:
                self._issue(issue, pool, first, wait=wait)
            except IssuePaused as error:
                paused = paused or error
            if not self.readers and (wait or not self.store.shards_due(issue.id)):
                self._suppress_refused(issue)
        if (full := pool.full_until()) is not None:
            self.full_until = self.runtime.now() + timedelta(seconds=full)
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

    def _issue(self, issue: FrozenIssue, pool: Pool, first: int | None, *, wait: bool) -> None:
        if issue.paused is not None:
            raise IssuePaused(f"paused: {issue.paused}; `newsletter send {issue.rendered.day} --resume` goes on")
        if wait:
            counts = self.store.counts(issue.id)
            if left := owed(counts) + counts[State.UNCERTAIN]:
                self.runtime.announce(issue, left)
        careful = self.config.sending
        sender = Sender(
            self.store,
            pool,
            self.runtime.now,
            self.runtime.stop,
            self._progress,
            resend_uncertain=repetitions(self.config),
            breaker=Breaker(careful.pause_after, careful.pause_share, few=not self.resumed),
        )
        copies = Editions(issue, self.config, self.store)
        if self.readers:
            self._send_to_readers(issue, sender, copies)
            return
        while not self._sent(issue, sender, copies, first) and wait and self._can_go_on(pool):
            self.runtime.sleep(_LOOK_EVERY)
            if (why := self.store.paused(issue.id)) is not None:
                raise IssuePaused(why)
        sender.end(issue)

    def _send_to_readers(self, issue: FrozenIssue, sender: Sender, copies: Maker) -> None:
        """Send the copies of `readers` alone. A copy in a shard that another process is sending is left to it."""
        for reader in self.readers:
            shard = self.store.shard_of(issue.id, reader)
            if shard is None:
                continue
            with self._shard(issue, shard) as free:
                if free:
                    sender.send(issue, copies, only=reader)

    def _can_go_on(self, pool: Pool) -> bool:
        return not self.runtime.stop() and pool.full_until() is None

    def _sent(self, issue: FrozenIssue, sender: Sender, copies: Maker, first: int | None) -> bool:
        """Send the shards that are free, one after the other; returns whether other processes held none."""
        canary = self.config.sending.canary
        if canary is not None and not self._canary(canary, sender, issue, copies):
            return False
        tried: dict[int, bool] = {}  # shard -> whether it was free
        while left := [shard for shard in self.store.shards_due(issue.id, first=first) if shard not in tried]:
            if self.runtime.stop() or sender.carrier.full_until() is not None:
                return True
            with self._shard(issue, left[0]) as free:
                tried[left[0]] = free
                if free:
                    sender.send(issue, copies, more=True)
        return all(tried.values())

    @contextmanager
    def _shard(self, issue: FrozenIssue, shard: int) -> Iterator[bool]:
        """Hold a shard while the block runs; gives whether it was free. Warns of what its last holder left."""
        with self.store.shard(issue.id, shard, resend_uncertain=repetitions(self.config)) as uncertain:
            if uncertain:
                self.runtime.warn(cut_off(uncertain))
            yield uncertain is not None

    def _suppress_refused(self, issue: FrozenIssue) -> None:
        """Suppress readers whose address was often refused; say when they are so many that nothing was done."""
        held = self.store.suppress_refused(issue.id, self.config.bounces.policy).held
        if held:
            self.runtime.warn(
                f"the addresses of {count(held, 'reader')} were refused again, more than usual: nothing was done about "
                "them; `newsletter status` shows why, `newsletter bounces --confirm` suppresses them"
            )

    def _canary(self, address: str, sender: Sender, issue: FrozenIssue, copies: Maker) -> bool:
        """Send this reader's copy first; returns False when another process is sending it.

        Raises IssuePaused unless it was accepted, now or in an earlier run.
        """
        reader = self.store.find(address)
        if reader is None or reader.status is not SubscriberStatus.ACTIVE:
            raise IssuePaused(f"sending.canary {address} is not subscribed; `newsletter subscribers add {address}`")
        state = self.store.state_of(issue.id, reader.id)
        if state is None and reader.status_at < issue.frozen_at:
            raise IssuePaused(f"sending.canary {address} {_absence(reader, issue.rendered.day)}; nothing is sent")
        shard = self.store.shard_of(issue.id, reader.id)
        if state not in OPEN or shard is None:
            return True  # accepted; or refused, and the operator has resumed it; or subscribed after the freeze
        with self._shard(issue, shard) as free:
            if not free:
                return False
            sender.send(issue, copies, only=reader.id)
        state = self.store.state_of(issue.id, reader.id)
        if state is State.REFUSED:
            words = next((f"{row.code} {row.text}" for row in self.store.refusals(issue.id)), "")
            reason = f"the canary {address} was refused: {words}"
            self.store.pause(issue.id, reason, [])
            raise IssuePaused(reason)
        if state is not State.ACCEPTED:
            raise IssuePaused(f"the canary {address} is {state}; the others wait for it")
        return True

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


def cut_off(uncertain: int) -> str:
    """What the operator is told when the last process that sent these copies was cut off."""
    return f"the last run was cut off; it is uncertain whether {count(uncertain, 'copy', 'copies')} arrived"


def repetitions(config: Config) -> int:
    """How often an uncertain copy is sent again without the operator."""
    return RESEND_UNCERTAIN if config.sending.uncertain == "resend" else 0


def send_owed(sending: Sending, day: date | None, *, fresh: bool, only: date | None = None) -> RunReport:
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
    waiting = [store.not_yet_due(issue_id) for issue_id in shown]
    sending.later = sum(number for number, _ in waiting)
    sending.later_at = min((at for _, at in waiting if at is not None), default=None)
    sending.unfitting = store.unfitting(asked.id) if asked is not None and fresh else 0
    return _report(counts, day, failure, sending, fresh=fresh)


def send_first_copies(config: Config, store: Store, runtime: Runtime) -> None:
    """Send the copies that new readers were given, and no others, unless another process is sending.

    What is left, because another process is sending or a server fails, is left to it or to the next `send`. Neither
    copies that another process has claimed nor those that it left uncertain are touched. Raises NewsletterError.
    """
    with store.sending_lock() as alone:
        if not alone:
            return
        store.check_provenance()
        for day, readers in store.first_copies().items():
            issue = store.issue(day)
            failure = Sending(config, store, runtime, {}, readers=readers).issues([issue]) if issue else None
            if failure is not None:
                raise failure


def _prune(sending: Sending) -> None:
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
    counts: Mapping[State, int], day: date | None, failure: NewsletterError | None, sending: Sending, *, fresh: bool
) -> RunReport:
    """The verdict of a run that came as far as sending: decided from the ledger alone."""
    left = owed(counts) - sending.later
    if failure is not None:
        verdict = Verdict.PAUSED if isinstance(failure, IssuePaused) else Verdict.SEND_FAILED
        said = f"{_why(failure, sending)}; {count(left, 'copy', 'copies')} still owed"
        waits = verdict is Verdict.PAUSED or sending.refused_until is not None
        told = waits and not (fresh or sending.answered)  # by the run that had to stop there
        return RunReport(verdict, said, day, counts, exit_code=failure.exit_code, idle=told)
    if left:
        wait = _wait(counts, sending)
        said = "; ".join((_described(counts, sending), *([wait] if wait else []), "run `newsletter send` to go on"))
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
        return RunReport(Verdict.NEW_ISSUE, _described(counts, sending), day, counts)
    said = _described(counts, sending) if counts else "nothing is owed"
    return RunReport(Verdict.ALREADY_SENT, said, day, counts)


def _described(counts: Mapping[State, int], sending: Sending) -> str:
    """The ledger's counts, and who gets the issue later or not at all because of what they chose."""
    said = [describe(counts)]
    if sending.later and sending.later_at is not None:
        at = f"{sending.later_at:%Y-%m-%d %H:%M} UTC"
        one, many = "copy of them waits for its reader's hour", "copies of them wait for the hours of their readers"
        said.append(f"{count(sending.later, one, many)}, from {at}")
    if sending.unfitting:
        said.append(f"{count(sending.unfitting, 'reader')} had nothing that fits")
    return "; ".join(said)


def _why(failure: NewsletterError, sending: Sending) -> str:
    """Why a run could not go on, with the server's words and the time of the next attempt where a server rests."""
    if sending.refused_until is None:
        return str(failure)
    words = "" if sending.answered else sending.last_words_on_the_sender()
    minute = sending.refused_until + timedelta(seconds=59)
    until = f"it is tried again after {minute:%Y-%m-%d %H:%M} UTC"
    return "; ".join((f"{failure}: {words}" if words else str(failure), until))


def _wait(counts: Mapping[State, int], sending: Sending) -> str:
    """Until when nothing can be done for the copies that are owed, and why; empty when they could go now."""
    if (full := sending.full_until) is not None:
        return f"smtp.per_day is used up until {full:%Y-%m-%d %H:%M} UTC"
    due = sending.next_due
    if due is None or due <= sending.runtime.now() or owed(counts) - sending.later != counts[State.DEFERRED]:
        return ""
    return f"the next try is due at {due:%Y-%m-%d %H:%M} UTC"


def _expired(sending: Sending) -> str:
    """``200 copies of the issue of 2026-11-23 expired before they could be sent (issue.lifetime)``."""
    parts = [f"{count(number, 'copy', 'copies')} of the issue of {day}" for day, number in sending.expired.items()]
    return f"{', '.join(parts)} expired before they could be sent (issue.lifetime)"


def describe(counts: Mapping[State, int]) -> str:
    """The ledger's counts in words: ``12 accepted, 1 refused``."""
    return ", ".join(f"{counts[state]} {state}" for state in State if counts.get(state)) or "no copies"


def owed(counts: Mapping[State, int]) -> int:
    """How many copies a later run will still send."""
    return sum(counts.get(state, 0) for state in OWED)


def _sum(all_counts: Iterable[Mapping[State, int]]) -> dict[State, int]:
    total: dict[State, int] = {}
    for counts in all_counts:
        for state, number in counts.items():
            total[state] = total.get(state, 0) + number
    return total
