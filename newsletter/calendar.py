"""The sources' own calendars: which day an issue belongs to, when nothing is due, and when a feed has gone stale. Pure.

A public holiday is in no table here: the source then answers with an empty day, which is a quiet day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

_WORKWEEK: Final = timedelta(days=5)
_FIRST_MONDAY: Final = datetime(1, 1, 1, tzinfo=UTC)
_WEEKEND: Final = frozenset({5, 6})  # of date.weekday()


@dataclass(frozen=True, slots=True)
class Calendar:
    """How a source counts its days.

    A day begins at midnight in `zone`, or at `evening` of the day before, where that is given. On the weekdays in
    `rest` (0 is Monday) nothing is listed. Where the last list `stands`, Friday's is the current one until Monday's;
    elsewhere Saturday and Sunday are days of their own, and empty.
    """

    zone: tzinfo
    evening: time | None = None
    stands: bool = False
    rest: frozenset[int] = _WEEKEND


# Asked for by date, as `/api/daily_papers?date=`; Saturdays and Sundays answer an empty list.
HUGGING_FACE: Final = Calendar(zone=UTC)
# arXiv announces at 20:00 Eastern Time, Sunday to Thursday (info.arxiv.org/help/availability.html). The list of Sunday
# evening bears Monday's date.
ARXIV: Final = Calendar(zone=ZoneInfo("America/New_York"), evening=time(20), stands=True)


def issue_day(calendar: Calendar, now: datetime) -> date:
    """The day, as its source dates it, of the list that is current at `now` (aware)."""
    local = now.astimezone(calendar.zone)
    begun = calendar.evening is not None and local.time() >= calendar.evening
    day = local.date() + timedelta(days=begun)
    while calendar.stands and is_rest_day(calendar, day):
        day -= timedelta(days=1)
    return day


def is_rest_day(calendar: Calendar, day: date) -> bool:
    """Whether the source lists nothing on that day of the week."""
    return day.weekday() in calendar.rest


def missed_days(last: date, today: date, calendar: Calendar) -> tuple[date, ...]:
    """The days with a list after the `last` issue's and before `today`, the oldest first."""
    between = (last + timedelta(days=number) for number in range(1, (today - last).days))
    return tuple(day for day in between if not is_rest_day(calendar, day))


def is_stale(newest: date | datetime | None, now: datetime, rhythm: timedelta) -> bool:
    """Whether a feed's newest entry is older than its `rhythm` allows, Saturdays and Sundays (in UTC) not counted.

    Datetimes are aware; a date counts from its end, as nobody knows the hour. Without a date there is nothing to judge
    by, and the answer is no.
    """
    if newest is None:
        return False
    if not isinstance(newest, datetime):
        newest = datetime.combine(newest, time.max, UTC)
    return _worked(now) - _worked(newest) > rhythm


def _worked(moment: datetime) -> timedelta:
    """The time since the Monday that the calendar begins with, weekends left out."""
    weeks, part = divmod(moment - _FIRST_MONDAY, timedelta(weeks=1))
    return weeks * _WORKWEEK + min(part, _WORKWEEK)
