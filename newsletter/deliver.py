"""The send loop: claim copies, note that they are being sent, hand them over, note what the servers said.

    claim -> offer: SENDING, committed -> envelope, message and final dot -> Answer: noted, and the next one offered

Many connections are under way at once, and one commit notes what they have answered and which copies they get next. A
row is SENDING before anything of its copy leaves, and its answer is noted before its connection is used again: so a
crash leaves one copy per connection in doubt, and to a far server two, the second of which it has not got yet. This
file acts; the store remembers, the transport talks, and the tables below decide.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from newsletter.errors import IssuePaused
from newsletter.mail.message import Copies
from newsletter.model import OUTCOME_STATE, Delivery, FrozenIssue, Outcome, OutcomeKind, Result, State
from newsletter.store import Store
from newsletter.transport import Answer, Copy, Event

# Between attempts at a copy that the server put off. RFC 5321 section 4.5.4.1 asks a queue that runs for days to wait
# 30 minutes; a greylisting server lets us in after about five, and a daily issue is old the next morning.
DELAYS: Final = tuple(timedelta(minutes=minutes) for minutes in (5, 15, 30, 60))

# Copies that were put off together come back apart: each waits longer by a share of its own, up to this.
_SPREAD: Final = 0.2
_GOLDEN: Final = 0.618033988749895  # multiples of it, modulo 1, lie evenly between 0 and 1 however many there are

# Claimed together, to read the ledger once for many copies; what is not reached is released.
BATCH: Final = 200

# Connections that may be lost with one copy before its final dot, in one run, before it is put off.
ATTEMPTS: Final = 2

# A copy in doubt is sent again this often, with the same Message-ID, before it stays `uncertain`.
RESEND_UNCERTAIN: Final = 1

# States from which a copy may be claimed again in the same run.
_AGAIN: Final = frozenset({State.PENDING, State.UNCERTAIN})

# The share of readers refused in the same way is looked at over so many answers.
_SHARE_OF: Final = 100


def retry_at(delivery: Delivery, now: datetime) -> datetime:
    """When a copy that was put off may be tried again (UTC); the wait grows with its attempts."""
    longer = delivery.id * _GOLDEN % 1 * _SPREAD
    return now + DELAYS[min(delivery.attempts, len(DELAYS) - 1)] * (1 + longer)


class Carrier(Protocol):
    """Whatever carries copies over several connections at once: transport.Pool, or a test's own."""

    @property
    def in_flight(self) -> int:
        """Copies that were offered and not answered."""

    def offer(self, next_copy: Callable[[], Copy | None]) -> tuple[list[Copy], list[Event]]:
        """Take copies wherever one can be taken, until `next_copy` gives None; those that leave with the next `turn`.

        Also the answers for those that cannot be sent at all.
        """

    def take_back(self, copy: Copy) -> None:
        """Undo `offer` for a copy whose reader has left; only before the next `turn`."""

    def turn(self, *, has_more: bool) -> list[Event]:
        """Send, and wait for something to happen. Raises TransportUnavailable when no server is left."""

    def full_until(self) -> float | None:
        """Seconds until any server may take a message again, when all have used up their day."""


def _alike(outcome: Outcome) -> str:
    """What two refusals of one kind have in common: the reply code, and the enhanced one if there is one."""
    enhanced = outcome.text.partition(" ")[0] if outcome.text[:1].isdigit() else ""
    return f"{outcome.code} {enhanced}"


@dataclass
class Breaker:
    """Tells when refusals are about us rather than about the readers: too many of them, all in the same way.

    That is the first `first` copies of a run, or `share` of the last hundred answers. The first are those that were
    offered first: on many connections refusals arrive earlier than acceptances, which come after the message. Pure;
    `blamed` are the copies to owe again: with those that led to the pause, those that were under way then.
    """

    first: int
    share: float
    _order: list[int] = field(default_factory=list, init=False)  # ids of the copies offered, until the first are known
    _said: dict[int, str | None] = field(default_factory=dict, init=False)  # how each was refused; None: accepted
    _started: bool = field(default=False, init=False)  # the first are known
    _last: deque[tuple[str, Delivery] | None] = field(default_factory=lambda: deque(maxlen=_SHARE_OF), init=False)
    _paused: bool = field(default=False, init=False)
    _after: list[Delivery] = field(default_factory=list, init=False)  # refused when it had paused already

    def offered(self, delivery: Delivery) -> None:
        """Note the order in which copies set out."""
        if not self._started:
            self._order.append(delivery.id)

    def withdrawn(self, delivery: Delivery) -> None:
        """Note that a copy which was offered does not set out: its reader has left."""
        if delivery.id in self._order:
            self._order.remove(delivery.id)

    def tell(self, delivery: Delivery, outcome: Outcome) -> str | None:
        """Note an answer; returns why to pause, if so, and not again."""
        if self._paused:
            if outcome.kind is OutcomeKind.REFUSED:
                self._after.append(delivery)
            return None
        why = self._why(delivery, outcome)
        self._paused = why is not None
        return why

    def _why(self, delivery: Delivery, outcome: Outcome) -> str | None:
        if outcome.kind not in (OutcomeKind.ACCEPTED, OutcomeKind.REFUSED):
            self.withdrawn(delivery)
            return None
        refused = outcome.kind is OutcomeKind.REFUSED
        words = _alike(outcome) if refused else None
        said = f"{outcome.code} {outcome.text}" if outcome.code else outcome.text
        self._last.append((words, delivery) if words is not None else None)
        if not self._started:
            self._said[delivery.id] = words
            if self._first_alike():
                return f"the first {self.first} readers were all refused: {said}"
        if not refused or len(self._last) < _SHARE_OF:
            return None
        alike = sum(1 for answer in self._last if answer is not None and answer[0] == words)
        if alike < max(1, self.share * _SHARE_OF):
            return None
        return f"{alike} of the last {_SHARE_OF} readers were refused alike: {said}"

    def _first_alike(self) -> bool:
        """Whether the first were all refused in one way; False also while one of them is unanswered."""
        first = self._order[: self.first]
        if len(first) < self.first or any(copy not in self._said for copy in first):
            return False
        self._started = True
        return len({self._said[copy] for copy in first}) == 1 and self._said[first[0]] is not None

    @property
    def blamed(self) -> list[Delivery]:
        """The copies whose refusals led to the pause, or came after it."""
        return [*(answer[1] for answer in self._last if answer is not None), *self._after]


@dataclass
class Sender:
    """Sends what is owed of one issue after the other.

    `stop` is asked before each copy (SIGTERM drains: what is under way is finished, the rest released); `progress` is
    told each outcome. `resend_uncertain` 0 holds copies in doubt. `limited` are the servers whose use is kept.
    """

    store: Store
    carrier: Carrier
    now: Callable[[], datetime]  # UTC
    stop: Callable[[], bool] = lambda: False
    progress: Callable[[Outcome], None] = lambda outcome: None
    resend_uncertain: int = RESEND_UNCERTAIN
    breaker: Breaker = field(default_factory=lambda: Breaker(10**9, 1.1))
    limited: frozenset[str] = frozenset()

    def send(self, issue: FrozenIssue, copies: Copies, *, only: int | None = None) -> None:
        """Send every copy of `issue` that is due, or the one of the subscriber `only`.

        Raises TransportUnavailable when no server can be used, and IssuePaused when the breaker says so; the issue is
        paused then. Whatever ends the loop, copies that were claimed but not begun are released.
        """
        _Loop(self, issue, copies, only).run()


@dataclass
class _Loop:
    """The sending of one issue in one run."""

    sender: Sender
    issue: FrozenIssue
    copies: Copies
    only: int | None
    queue: deque[Delivery] = field(default_factory=deque)  # claimed
    given: list[Copy] = field(default_factory=list)  # to the carrier, in this turn
    lost: Counter[int] = field(default_factory=Counter)  # delivery id -> connections lost with it
    exhausted: bool = False  # nothing is due in the ledger
    paused: str | None = None

    def run(self) -> None:
        """Until nothing is due, or nothing can be done."""
        carrier = self.sender.carrier
        try:
            self._advance([])
            while (has_more := self._has_more) or carrier.in_flight:
                self._advance(carrier.turn(has_more=has_more))
        finally:
            waiting = [*self.queue, *(copy.delivery for copy in self.given if not copy.begun)]
            self.sender.store.release(waiting)
        if self.paused is not None:
            self.sender.store.pause(self.issue.id, self.paused, self.sender.breaker.blamed)
            raise IssuePaused(self.paused)

    def _advance(self, events: Sequence[Event]) -> None:
        """Note what happened and give out the next copies, in one commit; they leave only after it."""
        results = self._judged(events)
        if any(OUTCOME_STATE[result.outcome.kind] in _AGAIN for result in results):
            self._note(results, [])  # now: its copy may be the next
            results = []
        self.given, refused = self.sender.carrier.offer(self._next)
        self._note([*results, *self._judged(refused)], self.given)

    @property
    def _has_more(self) -> bool:
        """Whether there are copies to offer, and a server that may take them."""
        carrier = self.sender.carrier
        return self._willing and carrier.full_until() is None and self._claimed() and not self._waiting

    @property
    def _willing(self) -> bool:
        """Whether we mean to begin with further copies."""
        return self.paused is None and not self.sender.stop()

    def _claimed(self) -> bool:
        """Whether a copy is claimed for us; claims more when none is."""
        if not self.queue and not self.exhausted:
            found = self.sender.store.claim(
                self.issue.id, BATCH, resend_uncertain=self.sender.resend_uncertain, subscriber_id=self.only
            )
            self.queue.extend(found)
            self.exhausted = not found
        return bool(self.queue)

    @property
    def _waiting(self) -> bool:
        """Whether the next copy, one in doubt, waits for all that is under way: a crash may cost one its repetition."""
        return self.queue[0].doubts > 0 and self.sender.carrier.in_flight > 0

    def _next(self) -> Copy | None:
        """The next copy to offer. One that cannot be made costs only its own reader a mail."""
        while self._willing and self._claimed() and not self._waiting:
            delivery = self.queue.popleft()
            try:
                copy = Copy(delivery, self.copies.envelope(delivery))
            except ValueError as error:
                outcome = Outcome(OutcomeKind.REFUSED, None, f"no copy can be made: {error}")
                result = Result(delivery, State.CLAIMED, outcome)
                self.sender.breaker.offered(delivery)
                self._tell(result)
                self._note([result], [])
                continue
            self.sender.breaker.offered(delivery)
            return copy
        return None

    def _judged(self, events: Sequence[Event]) -> list[Result]:
        """What the ledger is to note of the answers among `events`."""
        results = [self._result(event) for event in events if isinstance(event, Answer)]
        for result in results:
            self._tell(result)
        return results

    def _tell(self, result: Result) -> None:
        """Let the breaker know: what it says counts before the next copy is given out."""
        why = self.sender.breaker.tell(result.delivery, result.outcome)
        self.paused = self.paused or why

    def _result(self, answer: Answer) -> Result:
        delivery, outcome = answer.copy.delivery, answer.outcome
        if outcome.kind is OutcomeKind.NOT_SENT and not answer.copy.excused:
            self.lost[delivery.id] += 1
            if self.lost[delivery.id] >= ATTEMPTS and not self._concerns_the_server(outcome):
                outcome = Outcome(OutcomeKind.DEFERRED, outcome.code, outcome.text)
        source = State.SENDING if answer.copy.begun else State.CLAIMED
        return Result(delivery, source, outcome, self._again(delivery, outcome))

    def _again(self, delivery: Delivery, outcome: Outcome) -> datetime | None:
        """When a copy may go again (UTC). One that was not handed over may at once, but after all that were not tried.

        Else a few for whom the server hangs up would end every run before the others had a turn.
        """
        if OUTCOME_STATE[outcome.kind] is State.DEFERRED:
            return retry_at(delivery, self.sender.now())
        return self.issue.frozen_at if outcome.kind is OutcomeKind.NOT_SENT else None

    @staticmethod
    def _concerns_the_server(outcome: Outcome) -> bool:
        """Whether the server spoke of itself (421, or 5xx for everybody) and not of this copy."""
        return outcome.code is not None

    def _note(self, results: Sequence[Result], given: Sequence[Copy]) -> None:
        sender = self.sender
        servers = {copy.delivery.id: copy.server for copy in given if copy.server in sender.limited}
        stopped = set(sender.store.turn(results, [copy.delivery for copy in given], servers))
        for copy in given:
            copy.begun = copy.delivery not in stopped
        if stopped:
            self._take_back([copy for copy in given if not copy.begun])
        for result in results:
            if OUTCOME_STATE[result.outcome.kind] in _AGAIN:
                self.exhausted = False
            sender.progress(result.outcome)

    def _take_back(self, copies: Sequence[Copy]) -> None:
        """Forget copies whose readers have left or moved, before anything of them goes out."""
        self.exhausted = False  # who has moved is owed a copy at the new address
        for copy in copies:
            self.given.remove(copy)
            self.sender.carrier.take_back(copy)
            self.sender.breaker.withdrawn(copy.delivery)
