"""When a copy is due whose reader chose an hour: at the next moment when their clock shows it. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

# How late a mail may be: the schedule starts `send` so often. A run that begins at a reader's hour freezes the issue
# seconds after it, and would else make them wait for a day.
LATE: Final = timedelta(minutes=15)


def due_at(frozen_at: datetime, hour: int, zone: str) -> datetime:
    """The first moment (UTC) at or after `frozen_at` at which it is `hour` o'clock in `zone`, an IANA name.

    It is `frozen_at` itself if the hour began at most LATE before. In a night that leaves the hour out, that is the
    first moment after the gap, and of an hour that comes twice it is the first one. `frozen_at` is an aware datetime.
    """
    place = ZoneInfo(zone)
    day = frozen_at.astimezone(place).date()
    moments = (_moment(day + timedelta(days=more), hour, place) for more in range(-1, 3))  # in their order
    due = next(moment for moment in moments if moment >= frozen_at - LATE)
    return max(due, frozen_at.astimezone(UTC))


def _moment(day: date, hour: int, place: ZoneInfo) -> datetime:
    """When it is `hour` o'clock on `day` (UTC)."""
    wanted = datetime.combine(day, time(hour), place)  # fold=0: the first of two
    moment = wanted.astimezone(UTC)
    if moment.astimezone(place).replace(tzinfo=None) == wanted.replace(tzinfo=None):
        return moment
    # The clocks leap over this time. With fold=0 it is read as if they had not leapt, and with fold=1 as if they had
    # leapt before (PEP 495); the leap is between the two.
    early, late = wanted.replace(fold=1).astimezone(UTC), moment
    while late - early > timedelta(seconds=1):
        middle = early + timedelta(seconds=(late - early) // timedelta(seconds=2))
        if middle.astimezone(place).utcoffset() == late.astimezone(place).utcoffset():
            late = middle
        else:
            early = middle
    return late
