"""The send loop: claim copies, note that they are being sent, hand them over, note what the servers said.

    claim -> offer the envelope -> Ready: SENDING, committed -> the message and its dot -> Answer: noted

Many connections are under way at once, and one commit notes everything that happened on them since the last. A row is
SENDING before its own final dot, so a crash leaves at most one copy per connection in doubt. This file acts; the store
remembers, the transport talks, and the tables below decide.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from newsletter.errors import IssuePaused
from newsletter.message import Copies
from newsletter.model import OUTCOME_STATE, Delivery, FrozenIssue, Outcome, OutcomeKind, Result, State
from newsletter.store import Store
from newsletter.transport import Answer, Copy, Event, Ready

# Between attempts at a copy that the server put off. RFC 5321 section 4.5.4.1 asks a queue that runs for days to wait
# 30 minutes; a greylisting server lets us in after about five, and a daily issue is old the next morning.
DELAYS: Final = tuple(timedelta(minutes=minutes) for minutes in (5, 15, 30, 60))

# Claimed together, to read the ledger once for many copies; what is not reached is released.
BATCH: Final = 200

# Attempts at one copy whose connection is lost before the final dot, before the next reader gets a turn.
ATTEMPTS: Final = 2

# A copy in doubt is sent again this often, with the same Message-ID, before it stays `uncertain`.
RESEND_UNCERTAIN: Final = 1

# The share of readers refused in the same way is looked at over so many answers.
_SHARE_OF: Final = 100


def retry_at(delivery: Delivery, now: datetime) -> datetime:
    """When a copy that was put off may be tried again; the wait grows with its attempts."""
    return now + DELAYS[min(delivery.attempts, len(DELAYS) - 1)]


class Carrier(Protocol):
    """Whatever carries copies over several connections at once: transport.Pool, or a test's own."""

    @property
    def in_flight(self) -> int:
        """Copies that were offered and not answered."""

    def offer(self, next_copy: Callable[[], Copy | None]) -> list[Event]:
        """Offer copies wherever one can be taken, until `next_copy` gives None."""

    def go(self, copy: Copy) -> None:
        """Let the message of a copy that was Ready out."""

    def turn(self, *, hungry: bool) -> list[Event]:
        """Wait for something to happen. Raises TransportUnavailable when no server is left."""

    def full_until(self) -> float | None:
        """Seconds until any server may take a message again, when all have used up their day."""


@dataclass
class Breaker:
    """Tells when refusals are about us rather than about the readers: too many of them, all in the same way.

    That is the first `first` copies of a run, or `share` of the last hundred answers. The first are those that were
    offered first: on many connections refusals arrive earlier than acceptances, which come after the message. Pure;
    `blamed` are the copies to owe again.
    """

    first: int
    share: float
    _order: list[int] = field(default_factory=list, init=False)  # ids of the copies offered, until the first are known
    _said: dict[int, str | None] = field(default_factory=dict, init=False)  # how each was refused; None: accepted
    _started: bool = field(default=False, init=False)  # the first are known
    _last: deque[tuple[str, Delivery] | None] = field(default_factory=lambda: deque(maxlen=_SHARE_OF), init=False)

    def offered(self, delivery: Delivery) -> None:
        """Note the order in which copies set out."""
        if not self._started:
            self._order.append(delivery.id)

    def tell(self, delivery: Delivery, outcome: Outcome) -> str | None:
        """Note an answer; returns why to pause, if so."""
        if outcome.kind not in (OutcomeKind.ACCEPTED, OutcomeKind.REFUSED):
            if delivery.id in self._order:
                self._order.remove(delivery.id)
            return None
        words = f"{outcome.code} {outcome.text.partition(' ')[0]}" if outcome.text[:1].isdigit() else f"{outcome.code}"
        refused = outcome.kind is OutcomeKind.REFUSED
        self._last.append((words, delivery) if refused else None)
        if not self._started:
            self._said[delivery.id] = words if refused else None
            if self._first_alike():
                return f"the first {self.first} readers were all refused: {outcome.code} {outcome.text}"
        if not refused or len(self._last) < _SHARE_OF:
            return None
        alike = sum(1 for answer in self._last if answer is not None and answer[0] == words)
        if alike < max(1, self.share * _SHARE_OF):
            return None
        return f"{alike} of the last {_SHARE_OF} readers were refused alike: {outcome.code} {outcome.text}"

    def _first_alike(self) -> bool:
        """Whether the first were all refused in one way; False also while one of them is unanswered."""
        first = self._order[: self.first]
        if len(first) < self.first or any(copy not in self._said for copy in first):
            return False
        self._started = True
        return len({self._said[copy] for copy in first}) == 1 and self._said[first[0]] is not None

    @property
    def blamed(self) -> list[Delivery]:
        """The copies whose refusals led to the pause."""
        return [answer[1] for answer in self._last if answer is not None]


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
    offered: set[Copy] = field(default_factory=set)  # claimed, envelope out
    lost: Counter[int] = field(default_factory=Counter)  # delivery id -> connections lost with it
    exhausted: bool = False  # nothing is due in the ledger
    paused: str | None = None

    def run(self) -> None:
        """Until nothing is due, or nothing can be done."""
        try:
            while True:
                self._settle(self.sender.carrier.offer(self._next))
                hungry = self._hungry
                if not self.sender.carrier.in_flight and not hungry:
                    break
                self._settle(self.sender.carrier.turn(hungry=hungry))
        finally:
            waiting = [*self.queue, *(copy.delivery for copy in self.offered)]
            self.sender.store.release(waiting)
        if self.paused is not None:
            self.sender.store.pause(self.issue.id, self.paused, self.sender.breaker.blamed)
            raise IssuePaused(self.paused)

    @property
    def _hungry(self) -> bool:
        """Whether there are copies to offer, and we mean to."""
        if self.paused is not None or self.sender.stop() or self.sender.carrier.full_until() is not None:
            return False
        return bool(self.queue or self._claimed())

    def _claimed(self) -> bool:
        if not self.exhausted:
            found = self.sender.store.claim(
                self.issue.id, BATCH, resend_uncertain=self.sender.resend_uncertain, subscriber_id=self.only
            )
            self.queue.extend(found)
            self.exhausted = not found
        return bool(self.queue)

    def _next(self) -> Copy | None:
        """The next copy to offer. One that cannot be made costs only its own reader a mail."""
        while self._hungry:
            delivery = self.queue.popleft()
            try:
                copy = Copy(delivery, self.copies.envelope(delivery))
            except ValueError as error:
                outcome = Outcome(OutcomeKind.REFUSED, None, f"no copy can be made: {error}")
                self.sender.breaker.offered(delivery)
                self._note([Result(delivery, State.CLAIMED, outcome)], [])
                continue
            self.offered.add(copy)
            self.sender.breaker.offered(delivery)
            return copy
        return None

    def _settle(self, events: Sequence[Event]) -> None:
        """One commit for all that happened; only then the messages of those that were Ready."""
        ready = [event.copy for event in events if isinstance(event, Ready)]
        answered = [event for event in events if isinstance(event, Answer)]
        gone = {event.copy for event in answered}
        ready = [copy for copy in ready if copy not in gone]
        results = [result for event in answered if (result := self._judged(event)) is not None]
        self._note(results, ready)
        for copy in ready:
            copy.begun = True
            self.offered.discard(copy)
            self.sender.carrier.go(copy)

    def _judged(self, event: Answer) -> Result | None:
        """What the ledger is to note; None for a copy that is simply offered again."""
        delivery, outcome = event.copy.delivery, event.outcome
        source = State.SENDING if event.copy.begun else State.CLAIMED
        self.offered.discard(event.copy)
        if outcome.kind is OutcomeKind.NOT_SENT:
            self.lost[delivery.id] += 1
            if self.lost[delivery.id] >= ATTEMPTS and not self._everybody_s(outcome):
                outcome = Outcome(OutcomeKind.DEFERRED, outcome.code, outcome.text)
            elif not event.copy.begun:
                self.queue.appendleft(delivery)
                return None
        later = retry_at(delivery, self.sender.now()) if OUTCOME_STATE[outcome.kind] is State.DEFERRED else None
        return Result(delivery, source, outcome, later)

    @staticmethod
    def _everybody_s(outcome: Outcome) -> bool:
        """Whether the server spoke of itself (421, or 5xx for everybody) and not of this copy."""
        return outcome.code is not None

    def _note(self, results: Sequence[Result], ready: Sequence[Copy]) -> None:
        sender = self.sender
        used = Counter(copy.server for copy in ready if copy.server in sender.limited)
        sender.store.turn(results, [copy.delivery for copy in ready], used)
        for result in results:
            if OUTCOME_STATE[result.outcome.kind] in (State.PENDING, State.UNCERTAIN):
                self.exhausted = False
            sender.progress(result.outcome)
            self.paused = self.paused or sender.breaker.tell(result.delivery, result.outcome)
