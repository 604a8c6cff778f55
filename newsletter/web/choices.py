"""Read the preferences form: weekdays and pause. Pure; it knows nothing of HTTP."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

LONGEST_PAUSE: Final = timedelta(days=366)

_WEEKDAYS: Final = {str(number): 1 << number for number in range(7)}
_WEEKS: Final = {"0": 0, "1": 1, "2": 2, "4": 4}


class Unclear(ValueError):
    """The form's values are not valid. `str(error)` is the value of `problem` in templates/web/preferences.html."""


@dataclass(frozen=True, slots=True)
class Choices:
    """A bit mask of weekdays (bit 0 is Monday), and the first day with an issue after a pause; None for no pause."""

    days: int
    paused_until: date | None


def read(days: Collection[str], pause: str, until: str, today: date) -> Choices:
    """Read the values of the form. Raises Unclear if no valid day is chosen or the date is not valid.

    `days` are numbers from 0 for Monday as text; `pause` is a number of weeks or ``until``, and then `until` is a date
    as YYYY-MM-DD, at most 366 days after `today`.
    """
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
