"""Send slots: the moments at which messages may reach a server with a limit, for all processes together. Pure.

A server that takes N messages in a window has N permits. A permit serves one message, and is free again a window after
that message has reached the server. So no window holds more than N messages, however late some of them were, and a
message that is late delays only the next one of its permit.

    permit 1   |-m=============================|m==============
    permit 2       |m=============================|----m=======     m: its message has reached the server
    permit 3           |-m=============================|m======     =: a window

The store keeps for each server from when on each permit is free. Whoever asks gets those that are free first, each with
its slot: the moment from which on its message may be there. Until the process tells when the message was there, it
counts as late as it may be. A process that was killed costs the server its permits for about a second.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

MICRO: Final = 1_000_000

# A permit is free so much later than a window after its message: for the error in reading the store's clock (half a
# round trip to it), and for messages that were quicker than any before.
MARGIN: Final = 0.003  # seconds

# Slots are granted in blocks of so many seconds, so that the store is asked 20 times a second at most.
BLOCK: Final = 0.05

# Slots are granted this far ahead, at most.
AHEAD: Final = 0.3  # seconds

# Slots follow one another at a gap of 1 / rate where permits lay free for this time, so that a server which has rested
# gets no burst. Else half of that gap is kept, and what processes missed a moment ago is made up for.
_RESTED: Final = 0.3  # seconds

# The longest time before its slot that a copy may set out, and after it that a message may reach the server.
LONGEST_LEAD: Final = 5.0  # seconds
LONGEST_PATIENCE: Final = 1.0  # seconds

# A permission of a server that has a limit per day and no rate is for a message that sets out within this time.
AT_ONCE: Final = 1.0  # seconds
_PERMISSIONS: Final = 32


class Leases(Protocol):
    """The numbers of one process. A server's name is ``host:port``. Its methods raise StoreError."""

    def take(self, server: str, most: int) -> int | None:
        """A number up to `most` that nobody has, or None."""

    def give(self, server: str, number: int) -> None:
        """Let others have this number."""

    def processes(self, server: str) -> int:
        """How many processes have or want numbers, with this one, which counts from now on."""

    def wait(self, server: str, *, waiting: bool) -> None:
        """Say whether this process has fewer numbers than its share and would like more."""

    def wanted(self, server: str) -> bool:
        """Whether another process waits; only while this one does not."""

    def close(self) -> None:
        """Give all back."""


@dataclass(frozen=True, slots=True)
class Permits:
    """What is kept for a server, in microseconds of the granter's clock.

    `free` is from when on each permit is free, in no order; permits are alike. `last` is the latest slot.
    """

    last: int = 0
    free: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SendSlot:
    """The use of a permit for one message. Times are in seconds of the granter's clock."""

    at: float  # from when on the message may reach the server
    permit: int = 0  # from when on the permit is free if nothing is told, in microseconds
    day: int = 0  # the second at which it counts for the day


@dataclass(frozen=True, slots=True)
class Told:
    """What has become of a slot: from when on its permit is free, in seconds of the granter's clock."""

    permit: int  # of the slot
    free: float


@dataclass(frozen=True, slots=True)
class Grant:
    """What was granted. The store's clock is compared with the asker's own, monotonic one; both are in seconds."""

    slots: tuple[SendSlot, ...]
    clock: float  # the store's clock, read between `asked` and `answered`
    asked: float  # the asker's clock
    answered: float
    full_for: float | None = None  # seconds until the day of the server allows a message, if it allows none now


@dataclass(slots=True)
class SlotOrder:
    """What a process asks for, and tells, in one commit; `grant` is filled in by whoever grants."""

    server: str  # host:port
    number: int  # of slots
    rate: float  # messages a second; 0: the server has no rate
    per_day: int | None
    lead: float = 0.0  # seconds before which no slot is of use
    patience: float = 0.0  # seconds after its slot within which a message reaches the server, or does not leave
    told: Sequence[Told] = ()
    unused: Sequence[int] = ()  # of `SendSlot.day`: slots that were not used
    grant: Grant | None = field(default=None)


def window_of(rate: float) -> float:
    """The seconds of a window at `rate` messages a second: one, or longer for a fraction (1.5 are 2 in 1.33 s)."""
    return math.ceil(rate) / rate


def held_for(rate: float) -> float:
    """Seconds from a message's arrival until its permit is free again."""
    return window_of(rate) + MARGIN


def block_of(rate: float) -> int:
    """How many slots are granted at once, at most; without a rate (0) how many permissions for the day."""
    return max(1, int(BLOCK * rate)) if rate else _PERMISSIONS


def granted(permits: Permits, now: float, order: SlotOrder) -> tuple[tuple[SendSlot, ...], Permits]:
    """The slots that `order` gets, and the permits after it. `now` is in seconds of the granter's clock."""
    if not order.rate:
        return tuple(SendSlot(now) for _ in range(order.number)), permits
    lead, patience = min(order.lead, LONGEST_LEAD), min(order.patience, LONGEST_PATIENCE)
    horizon, first = _micro(now + lead + AHEAD), _micro(now + lead)
    taken, rested = _micro(patience + held_for(order.rate)), _micro(now - _RESTED)
    gap = _micro(1 / order.rate)
    free, last = _brought_up_to_date(permits, now, order)
    slots: list[SendSlot] = []
    while len(slots) < order.number:
        at = max(free[0], first, last + (gap if free[0] < rested else gap // 2))
        if at > horizon:
            break
        heapq.heapreplace(free, at + taken)
        slots.append(SendSlot(at / MICRO, at + taken))
        last = at
    return tuple(slots), Permits(last, tuple(free))


def _brought_up_to_date(permits: Permits, now: float, order: SlotOrder) -> tuple[list[int], int]:
    """From when on each permit is free (a heap), and the latest slot, after what `order` tells.

    When the clock was set back, permits may be taken for long. Every slot that was granted has passed within `longest`,
    and its message is then out of every window, whatever the clock said.
    """
    held = held_for(order.rate)
    longest = _micro(now + LONGEST_LEAD + AHEAD + LONGEST_PATIENCE + held)
    told = {each.permit: _micro(each.free) for each in order.told}
    free = sorted(min(told.pop(permit, permit), longest) for permit in permits.free)
    number = math.ceil(order.rate)
    if not free:
        free = [0] * number  # a server that nobody has used
    # When the rate was changed: of too many those that are taken longest stay, and further ones begin in a window.
    free = free[-number:] + [_micro(now + held)] * (number - len(free))
    heapq.heapify(free)
    return free, min(permits.last, longest)


def _micro(seconds: float) -> int:
    return round(seconds * MICRO)


def day_of(at: float, patience: float) -> int:
    """The second at which a message counts for the day: it does not reach the server after it has ended.

    `at` is the moment of its slot, in seconds of the clock by which days are counted.
    """
    return math.floor(at + patience)
