"""What a mail server's provider allows, kept by this process: when its next message may leave, and rests.

The moments are slots, which are granted for all processes together (newsletter/slots.py); here they are used.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from newsletter.slots import (
    AT_ONCE,
    LONGEST_LEAD,
    Grant,
    SlotOrder,
    block_of,
    free_of_charge,
    gap_of,
    late_by,
    made_up_for,
)

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

# After so many orders without a missed slot one more is asked for at once.
_CLEAN: Final = 8

# With a longer lead, slots of the next second may be granted before a late message is known.
_LEAD_MADE_UP_FOR: Final = 0.2  # seconds

# Two clocks of computers drift apart by at most this share.
_DRIFT: Final = 1e-4


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
        """The moment of our clock when the store's is `clock`: exact to half of the quickest round trip."""
        return clock - (self._low + self._high) / 2


class Pace:
    """The slots of one server that this process was granted: free ones, and those booked for copies on their way.

    A copy books a slot when it is offered, shortly before it, so that its message may be written in time. Slots belong
    to no copy in particular: the message that is ready first leaves first. A slot that was missed is lost, and the copy
    needs another. Pure: the caller brings the time, in seconds of a monotonic clock.
    """

    def __init__(self, server: str, rate: float | None, per_day: int | None) -> None:
        self._server, self._per_day = server, per_day
        self._gap = gap_of(rate) if rate is not None else 0.0
        self._most = self._block = block_of(self._gap)
        self._free: deque[tuple[float, int]] = deque()  # the moment, and the second in which it counts for the day
        self._booked: deque[tuple[float, int]] = deque()
        self._short = 0  # copies on their way whose slot was missed
        self._took, self._deviation = _FIRST_TOOK, _FIRST_DEVIATION
        self._late = 0.0
        self._unused: list[int] = []
        self._missed = False  # a slot, since the last order
        self._clean = 0  # orders in a row without a miss
        self._asked = False
        self._ask_at = -math.inf
        self._clock = StoreClock()
        self.full_until = -math.inf  # the day is used up until then

    # --- copies ---

    def allowed_at(self, now: float) -> float:
        """When the next copy may be offered, `now` or later; for ever when a slot must be ordered first."""
        self._drop_missed(now)
        return max(now, self._free[0][0] - self._lead) if self._free else math.inf

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
        if not self._gap:
            return now
        while self._booked and self._booked[0][0] + self._grace < now:
            self._lose(self._booked.popleft())
            self._short += 1
        self._drop_missed(now)
        slots = self._booked or self._free
        return max(now, slots[0][0]) if slots else math.inf

    def leave(self, now: float, took: float) -> None:
        """A message leaves now, when `leaves_at` allows it; it was ready `took` seconds after its offer."""
        self._deviation += (abs(took - self._took) - self._deviation) / 4
        self._took += (took - self._took) / 8
        if not self._booked:
            self._short -= 1
        slot, _ = (self._booked or self._free).popleft()
        if self._gap:
            self._late = max(self._late, now - slot - free_of_charge(self._gap))

    def spoil(self) -> None:
        """A copy has ended without its message. The server has heard of it, so its slot is not used again."""
        if self._booked:
            self._booked.popleft()
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
        ready = ready or (self._per_day is not None and not self._asked)  # whether the day allows any
        wanted = min(self._block if self._asked else 1, most) if ready and len(self._free) <= self._block // 2 else 0
        number = wanted + max(0, self._short - len(self._free)) if now >= self.ask_at() else 0
        if not (number or self._late > 0 or self._unused):
            return None
        order = SlotOrder(
            self._server, number, self._gap, self._per_day, self._lead, max(0.0, self._late), tuple(self._unused)
        )
        self._late, self._unused, self._asked = 0.0, [], True
        self._learn(starved=not self._free)
        return order

    def _learn(self, *, starved: bool) -> None:
        """Ask for fewer slots at once while some are missed, and for more when none is: slowly, unless all are used."""
        self._clean = 0 if self._missed else self._clean + 1
        if self._missed:
            self._block = max(1, self._block - max(1, self._block // 4))
        elif starved or self._clean % _CLEAN == 0:
            self._block = min(self._most, self._block + 1)
        self._missed = False

    def take(self, order: SlotOrder) -> None:
        """Take in what was granted."""
        grant = order.grant
        if grant is None:
            return
        if not self._clock.read(grant.clock, grant.asked, grant.answered):
            self._unused += [day for _, day in self._free]
            self._free.clear()  # moments of a clock that has been set
        self.full_until = -math.inf if grant.full_for is None else grant.answered + grant.full_for
        if grant.number < order.number:
            self._ask_at = grant.answered + max(self._gap, _FIRST_TOOK)
        self._free.extend(self._slots(grant))

    def last(self) -> SlotOrder | None:
        """What to tell the store when nothing more is sent: what was not used, and how late messages were."""
        self._unused += [day for _, day in (*self._booked, *self._free)] if self._per_day is not None else []
        self._booked.clear()
        self._free.clear()
        self._short = 0
        return self.order(-math.inf, 0, ready=False)

    def _slots(self, grant: Grant) -> Iterable[tuple[float, int]]:
        first = self._clock.here(grant.start)
        days = grant.days or (0,) * grant.number
        return ((first + slot * self._gap, days[slot]) for slot in range(grant.number))

    @property
    def _lead(self) -> float:
        """How long before its slot a copy sets out, in seconds."""
        return min(self._took + 4 * self._deviation + _MARGIN, LONGEST_LEAD)

    @property
    def _grace(self) -> float:
        """How late after its slot a message may leave, in seconds."""
        if self._lead > _LEAD_MADE_UP_FOR or not made_up_for(self._gap):
            return free_of_charge(self._gap)
        return late_by(self._gap)

    def _drop_missed(self, now: float) -> None:
        """Lose the free slots for which a copy that sets out now would be too late."""
        took, grace = (0.0 if self._short else self._took, self._grace) if self._gap else (0.0, AT_ONCE)
        while self._free and self._free[0][0] + grace < now + took:
            self._lose(self._free.popleft())

    def _lose(self, slot: tuple[float, int]) -> None:
        self._missed = True
        if self._per_day is not None:
            self._unused.append(slot[1])
