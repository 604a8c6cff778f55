"""What a reader's form says about weekdays and pause, decided without a web server."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

LONGEST_PAUSE: Final = timedelta(days=366)

_WEEKDAYS: Final = {str(number): 1 << number for number in range(7)}
_WEEKS: Final = {"0": 0, "1": 1, "2": 2, "4": 4}


class Unclear(ValueError):
    """The form cannot be taken as it is; `str` is the word that templates/web/preferences.html knows."""


@dataclass(frozen=True, slots=True)
class Choices:
    """Weekdays (bit 0 is Monday), and the day before which no issue comes."""

    days: int
    paused_until: date | None


def read(days: Collection[str], pause: str, until: str, today: date) -> Choices:
    """The choices of a form: `days` are numbers from 0, `pause` is weeks or ``until``. Raises Unclear."""
    chosen = sum(_WEEKDAYS.get(day, 0) for day in set(days))
    if not chosen:
        raise Unclear("no-days")
    if pause in _WEEKS:
        weeks = _WEEKS[pause]
        return Choices(chosen, today + timedelta(weeks=weeks) if weeks else None)
    try:
        day = date.fromisoformat(until)
    except ValueError as error:
        raise Unclear("no-date") from error
    if not today < day <= today + LONGEST_PAUSE:
        raise Unclear("out-of-range")
    return Choices(chosen, day)
