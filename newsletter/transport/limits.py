"""What a mail server's provider allows, kept by this process: when its next message may leave, and rests.

The moments are slots, which are granted for all processes together (newsletter/slots.py); here they are used.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from newsletter.slots import AT_ONCE, LONGEST_LEAD, MARGIN, Grant, SlotOrder, Told, block_of, held_for

# How long a server that refuses this sender is left alone, the first time and the next times within a day, when it does
# not say itself how long. A quota often counts the last hour or day, so that some of it is free again before long.
RESTS: Final = (300.0, 900.0, 1_800.0, 3_600.0)  # seconds

# A 4xx of that kind may be over in a moment, as with a rate per second: the server first gets these breaks, within the
# run. Any copy that it accepts begins the row anew.
BREAKS: Final = (1.0, 3.0)  # seconds

# The time that a copy takes from its offer until its message may be written: a commit, and a round trip to the server.
# Its mean and deviation are measured; these are the guesses before the first one.
_FIRST_TOOK: Final = 0.01  # seconds
_FIRST_DEVIATION: Final = 0.002  # seconds
_MARGIN: Final = 0.002  # seconds

# A copy that takes longer than this to be ready gets its slot so early that what happened to the last message of the
# permit is not known in time.
_SLOW: Final = 0.3  # seconds

# The quickest of so many replies is known to be quick; until then a message may have arrived as late as its reply.
_SURE: Final = 8

# What has become of a slot is told with the next order, at the latest after this time.
_TELL_WITHIN: Final = 0.1  # seconds

# A message takes at most so long to the server, whatever half of the quickest reply is: the rest is the server's work.
_LONGEST_WAY: Final = 0.15  # seconds

# A process that was granted less than it asked for asks again after a gap, and within these times.
_ASK_AGAIN: Final = (0.01, 0.25)  # seconds

# Two clocks of computers drift apart by at most this share.
_DRIFT: Final = 1e-4


@dataclass(frozen=True, slots=True)
class Lateness:
    """How late messages may be, in seconds. One that is late delays only the next message of its permit.

    The server has a message when it replies, at the latest. Whenever it counts it, at its arrival, at its reply or
    between them, the next one of the permit comes a window later; but a reply that is later than the quickest one by
    more than `reply` counts as if it were not.
    """

    leaving: float  # after its slot
    reply: float


_PROMPT: Final = Lateness(leaving=0.5, reply=0.3)
_OF_SLOW: Final = Lateness(leaving=0.02, reply=0.1)  # every message counts as if it had been so late


@dataclass(frozen=True, slots=True)
class Rest:
    """A server that refused this sender: it is left alone for `seconds` more, after `times` rests within a day."""

    seconds: float
    times: int


class StoreClock:
    """The store's clock as seen from this process. It was read between two moments of our clock, several times.

    Each reading bounds the difference of the two clocks; the bounds are narrowed by further ones, and widened as time
    goes by. When they contradict each other, the store's clock was set, and the latest reading alone counts.
    """

    def __init__(self) -> None:
        self._low, self._high, self._at = -math.inf, math.inf, 0.0

    def read(self, clock: float, asked: float, answered: float) -> bool:
        """Take in that the store's clock was `clock` between `asked` and `answered`; False if it must have been set."""
        drift = _DRIFT * max(0.0, answered - self._at)
        low, high = max(self._low - drift, clock - answered), min(self._high + drift, clock - asked)
        agrees = low <= high
        self._low, self._high = (low, high) if agrees else (clock - answered, clock - asked)
        self._at = answered
        return agrees

    def here(self, clock: float) -> float:
        """The moment of our clock when the store's is `clock`: as late as it may be, but for what is kept free."""
        return clock - self._difference + self._doubt

    def there(self, moment: float) -> float:
        """The moment of the store's clock when ours is `moment`: as late as it may be, but for what is kept free."""
        return moment + self._difference + self._doubt

    @property
    def _difference(self) -> float:
        return (self._low + self._high) / 2

    @property
    def _doubt(self) -> float:
        """Half of the quickest round trip, less a third of what each window keeps free."""
        return max(0.0, (self._high - self._low) / 2 - MARGIN / 3)


@dataclass(eq=False, slots=True)
class Place:
    """A slot of this process, in seconds of its own clock."""

    at: float  # from when on its message may leave
    until: float  # up to when
    permit: int
    free: float  # by the store's clock: from when on the permit is free if the slot is not used
    day: int
    left: float = 0.0  # when its message left


class Pace:
    """The slots of one server that this process was granted: free ones, and those booked for copies on their way.

    A copy books a slot when it is offered, shortly before it, so that its message may be written in time. Slots belong
    to no copy in particular: the message that is ready first leaves first. Pure: the caller brings the time, in seconds
    of a monotonic clock.
    """

    def __init__(self, server: str, rate: float | None, per_day: int | None) -> None:
        self._server, self._per_day = server, per_day
        self._rate = rate or 0.0
        self._block = block_of(self._rate)
        self._held = held_for(self._rate) if self._rate else 0.0
        self._free: deque[Place] = deque()
        self._booked: deque[Place] = deque()
        self._short = 0  # copies on their way whose slot was missed
        self._took, self._deviation, self._lateness = _FIRST_TOOK, _FIRST_DEVIATION, _PROMPT
        self._leaving: dict[Place, None] = {}  # whose message has left and has no reply, oldest first
        self._quickest, self._replies = math.inf, 0
        self._told: list[Told] = []
        self._tell_at = math.inf
        self._unused: list[int] = []
        self._asked = False
        self._ask_at = -math.inf
        self._clock = StoreClock()
        self.full_until = -math.inf  # the day is used up until then

    # --- copies ---

    def allowed_at(self, now: float) -> float:
        """When the next copy may be offered, `now` or later; for ever when a slot must be ordered first."""
        self._drop_missed(now)
        return max(now, self._free[0].at - self._lead) if self._free else math.inf

    def book(self) -> None:
        """A copy is offered; only when `allowed_at` says so."""
        self._booked.append(self._free.popleft())

    def give_back(self) -> None:
        """Undo the last `book`: nothing of that copy goes out."""
        if self._booked:
            self._free.appendleft(self._booked.pop())
        else:
            self._short -= 1

    def leaves_at(self, now: float) -> float:
        """When the next message that is ready may leave, `now` or later; for ever when a slot must be ordered first."""
        if not self._rate:
            return now
        while self._booked and self._booked[0].until < now:
            self._lose(self._booked.popleft(), now)
            self._short += 1
        self._drop_missed(now)
        slots = self._booked or self._free
        return max(now, slots[0].at) if slots else math.inf

    def leave(self, now: float, took: float) -> Place:
        """A message leaves now, when `leaves_at` allows it; it was ready `took` seconds after its offer."""
        self._deviation += (abs(took - self._took) - self._deviation) / 4
        self._took += (took - self._took) / 8
        if not self._booked:
            self._short -= 1
        place = (self._booked or self._free).popleft()
        place.left = now
        if self._rate:
            self._leaving[place] = None
        return place

    def ended(self, place: Place, now: float, *, replied: bool) -> None:
        """The server has replied to the message of `place`, or its connection was lost."""
        delay = now - place.left
        if replied:
            self._quickest, self._replies = min(self._quickest, delay), self._replies + 1
        if place in self._leaving:
            self._arrived(place, delay, now)

    def spoil(self, now: float) -> None:
        """A copy has ended without its message. The server has heard of it, so its slot counts as used."""
        if self._booked:
            self._tell(self._booked.popleft(), self._clock.there(now) + self._held, now)
        elif self._short:
            self._short -= 1

    def starved(self, now: float) -> bool:
        """Whether a message that is ready waits for a slot that must be ordered first."""
        return self.leaves_at(now) == math.inf

    # --- slots ---

    def full_for(self, now: float) -> float:
        """Seconds until the server takes messages again, when it has used up its day; else 0."""
        return 0.0 if self._free or self._booked else max(0.0, self.full_until - now)

    def ask_at(self) -> float:
        """When slots may be ordered; in vain before."""
        return max(self._ask_at, self.full_until)

    def order(self, now: float, most: int, *, ready: bool) -> SlotOrder | None:
        """What to ask of the store now, if anything. At most `most` copies are left; `ready`: one could be offered."""
        self._drop_missed(now)
        self._wait_no_longer(now)
        ready = ready or (self._per_day is not None and not self._asked)  # whether the day allows any
        wanted = min(self._block if self._asked else 1, most) if ready and len(self._free) <= self._block // 2 else 0
        number = wanted + max(0, self._short - len(self._free)) if now >= self.ask_at() else 0
        return self._ordered(number) if number or now >= self._tell_at or self._unused else None

    def _ordered(self, number: int) -> SlotOrder:
        self._lateness = _OF_SLOW if self._took > _SLOW and self._sure else _PROMPT
        order = SlotOrder(
            self._server,
            number,
            self._rate,
            self._per_day,
            self._took if self._lateness is _PROMPT else self._lead,
            self._lateness.leaving + self._lateness.reply,
            self._told,
            self._unused,
        )
        self._told, self._unused, self._tell_at, self._asked = [], [], math.inf, True
        return order

    def take(self, order: SlotOrder) -> None:
        """Take in what was granted."""
        grant = order.grant
        if grant is None:
            return
        if not self._clock.read(grant.clock, grant.asked, grant.answered):
            self._unused += [place.day for place in self._free] if self._per_day is not None else []
            self._free.clear()  # moments of a clock that has been set
        self.full_until = -math.inf if grant.full_for is None else grant.answered + grant.full_for
        if len(grant.slots) < order.number:
            shortest, longest = _ASK_AGAIN
            self._ask_at = grant.answered + min(max(1 / self._rate if self._rate else 0.0, shortest), longest)
        self._free.extend(self._places(grant))

    def last(self) -> SlotOrder | None:
        """What to tell the store when nothing more is sent."""
        for place in (*self._booked, *self._free):
            self._lose(place, math.inf)
        self._booked.clear()
        self._free.clear()
        self._short = 0
        self._wait_no_longer(math.inf)
        return self._ordered(0) if self._told or self._unused else None

    def _places(self, grant: Grant) -> Iterator[Place]:
        longest = self._lateness.leaving if self._rate else AT_ONCE
        for slot in grant.slots:
            at = self._clock.here(slot.at) - self._way
            yield Place(at, at + longest, slot.permit, slot.at, slot.day)

    @property
    def _lead(self) -> float:
        """How long before its slot a copy sets out, in seconds."""
        return min(self._took + 4 * self._deviation + _MARGIN, LONGEST_LEAD)

    @property
    def _way(self) -> float:
        """How long a message takes to the server at least, in seconds: half of the quickest reply; 0 if not known."""
        return min(self._quickest / 2, _LONGEST_WAY) if self._sure else 0.0

    @property
    def _sure(self) -> bool:
        """Whether it is known how quick a reply can be."""
        return self._replies >= _SURE

    def _drop_missed(self, now: float) -> None:
        """Lose the free slots for which a copy that sets out now would be too late."""
        took = 0.0 if self._short or not self._rate else self._took
        while self._free and self._free[0].until < now + took:
            self._lose(self._free.popleft(), now)

    def _lose(self, place: Place, now: float) -> None:
        """Nothing has left at this slot."""
        if self._per_day is not None:
            self._unused.append(place.day)
        self._tell(place, place.free, now)

    def _arrived(self, place: Place, delay: float, now: float) -> None:
        """Tell that a message has arrived, `delay` seconds after it left and its reply on its way back, at the latest.

        The quickest reply was on its way all the time, in half of that to the server. What others took longer may have
        been before the message arrived.
        """
        del self._leaving[place]
        if self._sure:
            longer = self._way + min(max(0.0, delay - self._quickest), self._lateness.reply)
        else:
            longer = min(delay, self._lateness.reply)
        self._tell(place, self._clock.there(place.left + longer) + self._held, now)

    def _wait_no_longer(self, now: float) -> None:
        """Tell of messages whose reply takes long."""
        for place in tuple(self._leaving):
            if now - place.left < self._lateness.reply + (self._quickest if self._sure else 0.0):
                break
            self._arrived(place, math.inf, now)

    def _tell(self, place: Place, free: float, now: float) -> None:
        if self._rate:
            self._told.append(Told(place.permit, free))
            self._tell_at = min(self._tell_at, now + _TELL_WITHIN)
