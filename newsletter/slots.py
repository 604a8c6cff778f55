"""Slots: the moments at which messages may leave to a server with a limit, for all processes together. Pure.

Whoever grants slots keeps, for each server, the moment up to which they are granted. A grant of n slots begins there,
or now if that has passed, and moves it on by n gaps. So no two slots of a server are closer than a gap, whichever
processes got them, and one that is not used is lost: it never adds to a later one.

    rate 200: a gap of 5.045 ms   |----|----|----|----|----|----|
                                  run  run  run  web  run  run

The gap is a little longer than 1 / rate, so that `rate` gaps last a second and SLACK. That leaves room for a message
which leaves or arrives late by up to SLACK more than the one after a second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final, Protocol

# Of each window, so much is kept free for messages that leave or arrive late, and for the error in reading the store's
# clock (half a round trip to it). The rate that is reached is lower by this share.
SLACK: Final = 0.009

# Slots are granted in blocks of so many seconds, so that the store is asked 20 times a second at most.
BLOCK: Final = 0.05

# Slots are granted this far ahead, at most; at less than four a second so many slots.
AHEAD: Final = 0.5  # seconds
_SLOTS_AHEAD: Final = 64

# Messages that were late within this time move later slots together. It and AHEAD leave some of the second for the time
# until a late message is told of.
_HELD: Final = 0.2  # seconds

# Missed slots cost more than moving the later ones by this much.
_WORTH: Final = 0.02  # seconds

# The longest time before its slot that a copy may set out.
LONGEST_LEAD: Final = 5.0  # seconds

# A permission of a server that has a limit per day and no rate is for a message that sets out within this time.
AT_ONCE: Final = 1.0  # seconds
_PERMISSIONS: Final = 32


class Leases(Protocol):
    """The numbers of one process. A server's name is ``host:port``. Its methods raise StoreError."""

    def take(self, server: str, most: int) -> int | None:
        """A number up to `most` that nobody has, or None."""

    def give(self, server: str, number: int) -> None:
        """Let others have this number."""

    def wait(self, server: str, *, waiting: bool) -> None:
        """Say whether this process has no connection and would like one."""

    def wanted(self, server: str) -> bool:
        """Whether another process waits; only while this one does not."""

    def close(self) -> None:
        """Give all back."""


@dataclass(frozen=True, slots=True)
class Granting:
    """What is kept for a server, in seconds of the granter's clock.

    Slots are granted up to `until`. A message has left `late`, beyond what is free, and those to be granted are not
    moved on yet; the first of such messages was told of at `since`.
    """

    until: float = 0.0
    late: float = 0.0
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class Grant:
    """What was granted. Times are in seconds; the store's clock is compared with the asker's own, monotonic one."""

    number: int  # of slots
    start: float  # of the first slot, by the store's clock
    clock: float  # the store's clock, read between `asked` and `answered`
    asked: float  # the asker's clock
    answered: float
    days: tuple[int, ...] = ()  # the seconds at which the slots count for the day, one for each
    full_for: float | None = None  # seconds until the day of the server allows a message, if it allows none now


@dataclass(slots=True)
class SlotOrder:
    """What a process asks for, and gives back, in one commit; `grant` is filled in by whoever grants."""

    server: str  # host:port
    number: int  # of slots
    gap: float  # seconds from one slot to the next; 0: the server has no rate
    per_day: int | None
    lead: float = 0.0  # seconds before which no slot is of use
    late: float = 0.0  # seconds by which messages left later than is free; slots to be granted are moved by as much
    unused: tuple[int, ...] = ()  # of `Grant.days`: slots that were not used
    grant: Grant | None = field(default=None)


def gap_of(rate: float) -> float:
    """Seconds from one slot to the next at `rate` messages a second, which may be a fraction.

    The limit is on windows of one second, or on longer ones for a fraction: 1.5 a second are 2 in 1.33 seconds.
    """
    return (1 + SLACK) / rate


def block_of(gap: float) -> int:
    """How many slots are granted at once, at most; without a rate (gap 0) how many permissions for the day."""
    return max(1, int(BLOCK / gap)) if gap > 0 else _PERMISSIONS


def granted(granting: Granting, now: float, order: SlotOrder) -> tuple[int, float, Granting]:
    """How many slots `order` gets, when the first of them begins, and how the granting stands after it.

    When the clock was set back, `until` may be far ahead. Every slot that was granted lies within the longest lead and
    `_ahead` of the moment of its grant, so after that time none of them is left, whatever the clock said.
    """
    if order.gap <= 0:
        return order.number, now, granting
    ahead, lead = _ahead(order.gap), min(order.lead, LONGEST_LEAD)
    until, late, since = granting.until, max(granting.late, order.late), granting.since if granting.late else now
    if late and not 0 <= now - since < _HELD:
        until, late = until + late, 0.0
    until = min(until, now + LONGEST_LEAD + ahead)
    begin = max(until, now + lead)
    number = max(0, min(order.number, math.floor((now + lead + ahead - begin) / order.gap + 1e-9)))
    return number, begin, Granting(begin + number * order.gap if number else until, late, since if late else 0.0)


def _ahead(gap: float) -> float:
    return AHEAD if made_up_for(gap) else _SLOTS_AHEAD * gap


def days_of(number: int, first: float, gap: float) -> tuple[int, ...]:
    """The second at which each of `number` slots counts for the day: none of their messages leaves after it has ended.

    `first` is the moment of the first slot, in seconds of the clock by which days are counted.
    """
    valid = AT_ONCE if gap <= 0 else late_by(gap)
    return tuple(math.floor(first + slot * gap + valid) for slot in range(number))


def late_by(gap: float) -> float:
    """How late a message may leave after its slot, in seconds: what is free, and what can be made up for."""
    return free_of_charge(gap) + (max(gap, _WORTH) if made_up_for(gap) else 0.0)


def free_of_charge(gap: float) -> float:
    """How late a message may leave without moving other slots, in seconds: a third of what is kept free."""
    return SLACK / 3 * max(1.0, gap)


def made_up_for(gap: float) -> bool:
    """Whether a message that is later may still leave, because the slots a second after it are not granted yet.

    Then those are moved on (`SlotOrder.late`). One move is enough for all messages of the second before it, so the
    largest of some tenths of a second is waited for.
    """
    return gap <= AHEAD / 2
