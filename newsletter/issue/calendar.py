"""The sources' own calendars: which day an issue belongs to, when nothing is due, when a feed has gone stale. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

_WORKWEEK: Final = timedelta(days=5)
_FIRST_MONDAY: Final = datetime(1, 1, 1, tzinfo=UTC)
_WEEKEND: Final = frozenset({5, 6})  # of date.weekday()
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Calendar:
    """How a source counts its days.

    A day begins at midnight in `zone`, or at `evening` of the day before, where that is given. On the weekdays in
    `rest` (0 is Monday) nothing is listed. A source that is `asked` for a day may be asked for any that has begun;
    others give what is current.
    """

    zone: tzinfo
    evening: time | None = None
    asked: bool = False
    rest: frozenset[int] = _WEEKEND


# By the names they have in the config.
CALENDARS: Final[Mapping[str, Calendar]] = {
    # Asked for by date, as `/api/daily_papers?date=`; Saturdays and Sundays answer an empty list.
    "hugging-face": Calendar(zone=UTC, asked=True),
    # Announced at 20:00 Eastern Time, Sunday to Thursday (info.arxiv.org/help/availability.html). The list of Sunday
    # evening bears Monday's date.
    "arxiv": Calendar(zone=ZoneInfo("America/New_York"), evening=time(20)),
}


def calendar_of(url: str) -> Calendar | None:
    """The calendar of a feed by its address; a feed that is asked for a day is taken for one of Hugging Face's kind."""
    host = (urlsplit(url).hostname or "") if "://" in url else ""
    if host == "arxiv.org" or host.endswith(".arxiv.org"):
        return CALENDARS["arxiv"]
    return CALENDARS["hugging-face"] if "{date}" in url else None


def issue_day(calendar: Calendar, now: datetime) -> date:
    """The latest day, as its source dates it, that has begun at `now` (aware)."""
    local = now.astimezone(calendar.zone)
    begun = calendar.evening is not None and local.time() >= calendar.evening
    return local.date() + begun * _DAY


def day_due(calendars: tuple[Calendar, ...], zone: tzinfo, now: datetime) -> date:
    """The day of the issue that is due at `now` (aware) where the operator's `zone` is.

    A source that is asked for a day is asked for the operator's, but for none that it has not begun; another's list
    has its day from the source. Of several that disagree the earliest counts: it has begun everywhere.
    """
    local = now.astimezone(zone).date()
    days = [min(local, issue_day(each, now)) if each.asked else issue_day(each, now) for each in calendars]
    return min(days, default=local)


def is_rest_day(calendar: Calendar, day: date) -> bool:
    """Whether the source lists nothing on that day of the week."""
    return day.weekday() in calendar.rest


def why_empty(calendar: Calendar, day: date) -> str | None:
    """The reason why a source may have nothing on `day`, such as ``a Saturday`` or ``Thanksgiving``; None: no reason.

    A holiday explains an empty day and does not foretell one: Hugging Face lists papers on most, and arXiv announces
    which it keeps only from year to year.
    """
    return f"a {day:%A}" if is_rest_day(calendar, day) else holiday(day)


def holiday(day: date) -> str | None:
    """The federal holiday that the United States keep on `day` (5 USC 6103), of those that arXiv has kept too."""
    if day.month == 5 and day.weekday() == 0 and day.day > 24:
        return "Memorial Day"
    movable = _MOVABLE.get((day.month, day.weekday(), (day.day + 6) // 7))
    stands_for = day + _OBSERVED.get(day.weekday(), timedelta())
    return movable or _FIXED.get((day.month, day.day)) or _FIXED.get((stands_for.month, stands_for.day))


# By month, weekday (0 is Monday) and how many of them the month has had; and by month and day.
_MOVABLE: Final = {(1, 0, 3): "Martin Luther King Day", (9, 0, 1): "Labor Day", (11, 3, 4): "Thanksgiving"}
_FIXED: Final = {(1, 1): "New Year's Day", (6, 19): "Juneteenth", (7, 4): "Independence Day", (12, 25): "Christmas Day"}
_OBSERVED: Final = {4: _DAY, 0: -_DAY}  # on Friday for Saturday's, on Monday for Sunday's


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
