"""The send loop: claim copies, record that they are being sent, hand them over, record what the servers said.

    claim -> offer: SENDING, committed -> envelope, message and final dot -> Answer: recorded, and the next one offered

Many connections are under way at once, and one commit records what they have answered and which copies they get next.
A row is SENDING before anything of its copy leaves, and its answer is recorded before its connection is used again. So
a crash leaves one uncertain copy per connection, and two with a far server, the second of which it has not received
yet. This module acts on what the tables below decide. The store keeps the ledger, and the transport speaks SMTP.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from newsletter.errors import IssuePaused
from newsletter.model import (
    OUTCOME_STATE,
    UNCHARGED,
    Delivery,
    Envelope,
    FrozenIssue,
    Outcome,
    OutcomeKind,
    Result,
    State,
)
from newsletter.replies import Concern, Stage, alike, judge
from newsletter.slots import SlotOrder
from newsletter.store import Store
from newsletter.transport import Answer, Copy, Event

# Time between attempts at a copy that the server put off. RFC 5321 section 4.5.4.1 asks for at least 30 minutes, for a
# queue that runs for days; a greylisting server accepts after about five, and a daily issue is old the next morning.
DELAYS: Final = tuple(timedelta(minutes=minutes) for minutes in (5, 15, 30, 60))

# Copies that were put off together are spread out: each waits longer by a share of its own, up to this one.
_SPREAD: Final = 0.2
_GOLDEN: Final = 0.618033988749895  # its multiples, modulo 1, are spread evenly between 0 and 1

# How long what is under way may take after SIGTERM or Ctrl-C. A service manager kills a process that takes much longer,
# and then more copies become uncertain than the few that wait for a reply here.
DRAIN: Final = timedelta(seconds=4)

# Copies are claimed in batches of this size, to read the ledger and write the witness once for many. Those not reached
# are released.
BATCH: Final = 500

# Connections that may be lost with one copy before its final dot, in one run, before it is put off.
ATTEMPTS: Final = 2

# An uncertain copy is sent again this often, with the same Message-ID, before it stays `uncertain`.
RESEND_UNCERTAIN: Final = 1

# Outcomes after which a copy may be claimed again in the same run.
_AGAIN: Final = frozenset({OutcomeKind.NOT_SENT, OutcomeKind.UNCERTAIN, OutcomeKind.SENDER})

# The share of readers refused alike is taken over the last so many answers.
_SHARE_OF: Final = 100

# If the last answers of a run are so many like refusals, the fault is not the readers', unless they say that addresses
# do not exist.
_LAST_ALIKE: Final = 3


def retry_at(delivery: Delivery, now: datetime) -> datetime:
    """When a copy that was put off may be tried again (UTC). The wait grows with its attempts."""
    longer = delivery.id * _GOLDEN % 1 * _SPREAD
    return now + DELAYS[min(delivery.attempts, len(DELAYS) - 1)] * (1 + longer)


class Maker(Protocol):
    """Makes the envelopes of an issue: mail.message.Copies, or those of several editions."""

    def envelope(self, delivery: Delivery) -> Envelope:
        """The envelope of one delivery, always the same bytes. Raises ValueError if none can be made."""


class Carrier(Protocol):
    """Carries copies over several connections at once: transport.Pool, or a test's own."""

    @property
    def in_flight(self) -> int:
        """Copies that were offered and not answered."""

    def offer(self, next_copy: Callable[[], Copy | None]) -> tuple[list[Copy], list[Event]]:
        """Take copies wherever one can be taken, until `next_copy` gives None.

        Returns those that leave with the next `turn`, and the answers for those that cannot be sent at all.
        """

    def take_back(self, copy: Copy) -> None:
        """Undo `offer` for a copy whose reader has left; only before the next `turn`."""

    def turn(self, *, has_more: bool) -> list[Event]:
        """Send, and wait for events. Raises TransportUnavailable when no server is left."""

    def give_up(self) -> list[Event]:
        """Close every connection; what that means for the copies that are under way."""

    def orders(self, most: int) -> list[SlotOrder]:
        """What to ask of the store for servers with a limit, when `most` copies are left to offer, or more."""

    def granted(self, orders: Sequence[SlotOrder]) -> None:
        """Take in what the store has filled in and committed."""

    def full_until(self) -> float | None:
        """Seconds until a server may take a message again, when all have used up their day; else None."""


class _End:
    """How the copies that were offered last were answered, in the order in which they were offered. Pure."""

    def __init__(self) -> None:
        self._offered: deque[int] = deque(maxlen=_SHARE_OF)
        self._said: dict[int, str | None] = {}  # alike words of a refusal; None: accepted

    def offered(self, copy: int) -> None:
        """Note that this copy is being sent."""
        if len(self._offered) == _SHARE_OF:
            self._said.pop(self._offered[0], None)
        self._offered.append(copy)

    def answered(self, copy: int, words: str | None, outcome: Outcome) -> None:
        """Note an answer. An address that does not exist is normal: it counts neither way."""
        if words is not None:
            judgement = judge(Stage.RCPT, outcome.code, outcome.text)
            if judgement.concern is Concern.RECIPIENT and judgement.for_good:
                return
        self._said[copy] = words

    def alike(self) -> int:
        """How many of the last copies were refused in the same words, without one that was accepted among them."""
        row: dict[int, str] = {}
        for copy in reversed(self._offered):
            words = self._said.get(copy, "")
            if words is None or (row and words and words not in row.values()):
                break
            if words:
                row[copy] = words
        return len(row)


@dataclass
class Breaker:
    """Tells when refusals are about us rather than about the readers: many readers, all refused alike.

    Alike means: the same reply code, enhanced code and words, apart from names and numbers. The issue is paused when

    - the first `first` copies of a run are refused alike. The first are those that were offered first: on many
      connections refusals arrive before acceptances, which come after the message;
    - more than `share` of the last hundred answers are, or of all answers of a shorter run when it ends, if these are
      at least twice `first`;
    - the last three of a run or more are, and their words do not say that the address does not exist. As many in the
      middle are no sign, because others were accepted after them. Without `few` this rule is left out: the operator has
      seen the words and has resumed the issue.

    Pure. `blamed` are the copies to owe again: those that led to the pause, and those that were under way then.
    """

    first: int
    share: float
    few: bool = True
    _order: list[int] = field(default_factory=list, init=False)  # ids of the copies offered, until the first are known
    _said: dict[int, str | None] = field(default_factory=dict, init=False)  # how each was refused; None: accepted
    _started: bool = field(default=False, init=False)  # the first are known
    _last: deque[tuple[str, Delivery] | None] = field(default_factory=lambda: deque(maxlen=_SHARE_OF), init=False)
    _end: _End = field(default_factory=lambda: _End(), init=False)
    _words: str = field(default="", init=False)  # of the last refusal, as the server said them
    _paused: bool = field(default=False, init=False)
    _after: list[Delivery] = field(default_factory=list, init=False)  # refused when the issue was paused already

    def offered(self, delivery: Delivery) -> None:
        """Note the order in which copies set out."""
        self._end.offered(delivery.id)
        if not self._started:
            self._order.append(delivery.id)

    def withdrawn(self, delivery: Delivery) -> None:
        """Note that a copy which was offered does not set out: its reader has left."""
        if delivery.id in self._order:
            self._order.remove(delivery.id)

    def tell(self, delivery: Delivery, outcome: Outcome) -> str | None:
        """Note an answer. Returns the reason when the issue is to be paused, once."""
        if self._paused:
            if outcome.kind is OutcomeKind.REFUSED:
                self._after.append(delivery)
            return None
        return self._decided(self._why(delivery, outcome))

    def ended(self) -> str | None:
        """Note that the run has no more copies. Returns the reason when the issue is to be paused, once."""
        return None if self._paused else self._decided(self._why_at_the_end())

    def paused_elsewhere(self) -> None:
        """Note that another process has paused the issue.

        Refusals here have the same cause if there are several alike; a single one may be about its reader.
        """
        words = Counter(answer[0] for answer in self._last if answer is not None)
        alone = [answer for answer in self._last if answer is not None and words[answer[0]] < _LAST_ALIKE]
        for answer in alone:
            self._last.remove(answer)
        self._paused = True

    def _decided(self, why: str | None) -> str | None:
        self._paused = why is not None
        return f"{why}: {self._words}" if why is not None else None

    def _why(self, delivery: Delivery, outcome: Outcome) -> str | None:
        if outcome.kind not in (OutcomeKind.ACCEPTED, OutcomeKind.REFUSED):
            self.withdrawn(delivery)
            return None
        words = alike(outcome.code, outcome.text) if outcome.kind is OutcomeKind.REFUSED else None
        self._last.append((words, delivery) if words is not None else None)
        self._end.answered(delivery.id, words, outcome)
        if words is not None:
            self._words = f"{outcome.code} {outcome.text}" if outcome.code else outcome.text
        if not self._started:
            self._said[delivery.id] = words
            if self._first_alike():
                return f"the first {self.first} readers were all refused"
        return self._share_alike(words) if words is not None and len(self._last) == _SHARE_OF else None

    def _why_at_the_end(self) -> str | None:
        if self.few and (number := self._end.alike()) >= _LAST_ALIKE:
            return f"the last {number} readers were refused alike"
        refused = Counter(answer[0] for answer in self._last if answer is not None)
        words, most = next(iter(refused.most_common(1)), (None, 0))
        return self._share_alike(words) if words is not None and most >= 2 * self.first else None

    def _share_alike(self, words: str) -> str | None:
        """Whether too many of the last answers are refusals with these `words`."""
        number = sum(1 for answer in self._last if answer is not None and answer[0] == words)
        limit = self.share * len(self._last)
        if number < max(1, limit) or (number == limit and len(self._last) < _SHARE_OF):
            return None
        return f"{number} of the last {len(self._last)} readers were refused alike"

    def _first_alike(self) -> bool:
        """Whether the first were all refused alike; False also while one of them is unanswered."""
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

    `stop` is asked before each copy: on SIGTERM the copies under way are finished and the rest released. `progress` is
    told each outcome. With `resend_uncertain` 0, uncertain copies are held.
    """

    store: Store
    carrier: Carrier
    now: Callable[[], datetime]  # UTC
    stop: Callable[[], bool] = lambda: False
    progress: Callable[[Outcome], None] = lambda outcome: None
    resend_uncertain: int = RESEND_UNCERTAIN
    breaker: Breaker = field(default_factory=lambda: Breaker(10**9, 1.1))

    def send(self, issue: FrozenIssue, copies: Maker, *, only: int | None = None, more: bool = False) -> None:
        """Send every copy of `issue` that is due, or only that of the subscriber `only`.

        Where the store holds a shard, only its copies are sent; `more` says that further shards may follow, until
        `end`. Copies that were claimed and have not begun are released, whatever ends the loop. Raises
        TransportUnavailable when no server can be used, and IssuePaused when the issue was paused.
        """
        _Loop(self, issue, copies, only, more).run()

    def end(self, issue: FrozenIssue) -> None:
        """Say that this process has no more copies of the issue. Raises IssuePaused when the last answers say so."""
        if (why := self.breaker.ended()) is not None:
            self.store.pause(issue.id, why, self.breaker.blamed)
            raise IssuePaused(why)


@dataclass
class _Loop:
    """The sending of one issue in one run."""

    sender: Sender
    issue: FrozenIssue
    copies: Maker
    only: int | None
    more: bool
    queue: deque[Delivery] = field(default_factory=deque)  # claimed
    given: list[Copy] = field(default_factory=list)  # to the carrier, in this turn
    lost: Counter[int] = field(default_factory=Counter)  # delivery id -> connections lost with it
    exhausted: bool = False  # nothing is due in the ledger
    paused: str | None = None
    stopping_since: datetime | None = None  # UTC

    def run(self) -> None:
        """Send until nothing is due or nothing can be done."""
        carrier = self.sender.carrier
        try:
            self._advance([])
            while (has_more := self._claim_more()) or carrier.in_flight:
                if self._drained_long_enough():
                    self._note(self._judged(carrier.give_up()), [])
                    break
                self._advance(carrier.turn(has_more=has_more))
            if self.paused is None and not self.more:
                self.paused = self.sender.breaker.ended()
        finally:
            waiting = [*self.queue, *(copy.delivery for copy in self.given if not copy.begun)]
            self.sender.store.release(waiting)
        if self.paused is not None:
            self.sender.store.pause(self.issue.id, self.paused, self.sender.breaker.blamed)
            raise IssuePaused(self.paused)

    def _advance(self, events: Sequence[Event]) -> None:
        """Record what happened and give out the next copies in one commit; they leave only after it."""
        results = self._judged(events)
        if any(result.outcome.kind in _AGAIN for result in results):
            self._note(results, [])  # before the next copies are claimed: this one may be among them
            results = []
        self.given, refused = self.sender.carrier.offer(self._next)
        self._note([*results, *self._judged(refused)], self.given)

    def _drained_long_enough(self) -> bool:
        """Whether the run was asked to end so long ago that it must, whatever is under way."""
        if not self.sender.stop():
            return False
        now = self.sender.now()
        self.stopping_since = self.stopping_since or now
        return now - self.stopping_since > DRAIN

    def _claim_more(self) -> bool:
        """Whether there are copies to offer, and a server that may take them; claims some when none is left."""
        carrier = self.sender.carrier
        return self._willing and carrier.full_until() is None and self._claimed() and not self._waiting

    @property
    def _willing(self) -> bool:
        """Whether further copies are to begin."""
        return self.paused is None and not self.sender.stop()

    @property
    def _left(self) -> int:
        """How many copies are left to offer, as far as is known."""
        return (len(self.queue) if self.exhausted else BATCH) if self._willing else 0

    def _claimed(self) -> bool:
        """Whether a claimed copy is left; claims more when none is."""
        if not self.queue and not self.exhausted:
            found = self.sender.store.claim(
                self.issue.id, BATCH, resend_uncertain=self.sender.resend_uncertain, subscriber_id=self.only
            )
            self.queue.extend(found)
            self.exhausted = not found
        return bool(self.queue)

    @property
    def _waiting(self) -> bool:
        """Whether the next copy is uncertain and waits for all that is under way, so that a crash affects only it."""
        return self.queue[0].doubts > 0 and self.sender.carrier.in_flight > 0

    def _next(self) -> Copy | None:
        """The next copy to offer. A copy that cannot be made is refused, and the others go on."""
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
        """What the ledger is to record of the answers among `events`."""
        results = [self._result(event) for event in events if isinstance(event, Answer)]
        for result in results:
            self._tell(result)
        return results

    def _tell(self, result: Result) -> None:
        """Tell the breaker at once, so that its decision counts before the next copy is given out."""
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
        """When a copy may go again (UTC). One that nobody is charged for may at once, after all that were not tried.

        Otherwise a few copies for which the server hangs up would end every run before the others had a turn.
        """
        if outcome.kind in UNCHARGED:
            return self.issue.frozen_at
        return retry_at(delivery, self.sender.now()) if OUTCOME_STATE[outcome.kind] is State.DEFERRED else None

    @staticmethod
    def _concerns_the_server(outcome: Outcome) -> bool:
        """Whether the server spoke about itself or about everybody (421, a wrong login), and not about this copy."""
        return outcome.code is not None

    def _note(self, results: Sequence[Result], given: Sequence[Copy]) -> None:
        sender = self.sender
        orders = sender.carrier.orders(self._left)
        stopped = set(sender.store.turn(results, [copy.delivery for copy in given], orders))
        sender.carrier.granted(orders)
        for copy in given:
            copy.begun = not stopped or copy.delivery not in stopped
        if stopped:
            self._take_back([copy for copy in given if not copy.begun])
            self._ask_whether_paused(stopped)
        for result in results:
            if result.outcome.kind in _AGAIN:
                self.exhausted = False
            sender.progress(result.outcome)

    def _ask_whether_paused(self, stopped: Collection[Delivery]) -> None:
        """Stop when another process has paused the issue. Its copies that did not begin are still claimed here."""
        if self.paused is None and (why := self.sender.store.paused(self.issue.id)) is not None:
            self.paused = why
            self.sender.breaker.paused_elsewhere()
            self.queue.extend(stopped)

    def _take_back(self, copies: Sequence[Copy]) -> None:
        """Forget copies whose readers have left or moved, before anything of them goes out."""
        self.exhausted = False  # who has moved is owed a copy at the new address
        for copy in copies:
            self.given.remove(copy)
            self.sender.carrier.take_back(copy)
            self.sender.breaker.withdrawn(copy.delivery)
