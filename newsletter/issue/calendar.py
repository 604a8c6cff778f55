"""Calendars of the sources: which day an issue has, when a source lists nothing, when a feed is stale. Pure."""

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
_NO_TIME: Final = timedelta()


@dataclass(frozen=True, slots=True)
class Calendar:
    """How a source dates its papers.

    A day begins at midnight in `zone`, or at the time `evening` of the day before if that is given. On the weekdays in
    `rest` (0 is Monday) the source lists nothing. A source that is `asked` takes the day in its URL and answers for any
    day that has begun; other sources give their current list, so their days cannot be waited for.
    """

    zone: tzinfo
    evening: time | None = None
    asked: bool = False
    rest: frozenset[int] = _WEEKEND


# Known calendars, by the name that the configuration uses.
CALENDARS: Final[Mapping[str, Calendar]] = {
    # The URL has the date (`/api/daily_papers?date=`). The list of a Saturday or Sunday is empty.
    "hugging-face": Calendar(zone=UTC, asked=True),
    # arXiv announces at 20:00 Eastern Time, Sunday to Thursday (info.arxiv.org/help/availability.html). The list of
    # Sunday evening is dated Monday.
    "arxiv": Calendar(zone=ZoneInfo("America/New_York"), evening=time(20)),
}


def calendar_of(url: str) -> Calendar | None:
    """The calendar of the feed at `url`; None if unknown. A URL with ``{date}`` gets the calendar of Hugging Face."""
    host = (urlsplit(url).hostname or "") if "://" in url else ""
    if host == "arxiv.org" or host.endswith(".arxiv.org"):
        return CALENDARS["arxiv"]
    return CALENDARS["hugging-face"] if "{date}" in url else None


def issue_day(calendar: Calendar, now: datetime) -> date:
    """The latest day of the source's calendar that has begun at `now` (aware)."""
    local = now.astimezone(calendar.zone)
    begun = calendar.evening is not None and local.time() >= calendar.evening
    return local.date() + begun * _DAY


def day_due(calendars: tuple[Calendar, ...], zone: tzinfo, now: datetime, settle: timedelta = _NO_TIME) -> date:
    """The newest ripe day at `now` (aware) for an operator in time zone `zone`: the day of the issue that is due.

    A day of a source that takes the day in its URL is ripe when `settle` has passed since the day began; it is never
    after the operator's date. Any other source gives the day of its calendar, whatever `settle` is. If the sources
    disagree, the earliest day counts, since it is ripe for all of them. Rest days count as days.
    """
    local = now.astimezone(zone).date()
    then = now.astimezone(UTC) - settle  # in UTC, because a difference of local times ignores a change of the clock
    days = [_ripe(each, now, then, local) for each in calendars]
    return min(days, default=local)


def _ripe(calendar: Calendar, now: datetime, then: datetime, local: date) -> date:
    if not calendar.asked:
        return issue_day(calendar, now)
    begun = issue_day(calendar, then)
    return begun if calendar.evening is not None else min(local, begun)


def listing_day(calendars: tuple[Calendar, ...], day: date) -> date:
    """`day`, or the day before the rest days that `day` ends: Friday for a Sunday.

    It is `day` itself if a source cannot be asked for an earlier day, or if none has a calendar.
    """
    while calendars and all(each.asked and is_rest_day(each, day) for each in calendars):
        day -= _DAY
    return day


def is_rest_day(calendar: Calendar, day: date) -> bool:
    """Whether `day` is a weekday on which the source lists nothing."""
    return day.weekday() in calendar.rest


def why_empty(calendar: Calendar, day: date) -> str | None:
    """Why a source may list nothing on `day`, such as ``a Saturday`` or ``Thanksgiving``; None if it should list some.

    A holiday explains an empty list but does not predict one: Hugging Face lists papers on most holidays, and arXiv
    announces each year which ones it observes.
    """
    return f"a {day:%A}" if is_rest_day(calendar, day) else holiday(day)


def holiday(day: date) -> str | None:
    """The name of the US federal holiday on `day` (5 USC 6103), if it is one that arXiv has observed; else None."""
    if day.month == 5 and day.weekday() == 0 and day.day > 24:
        return "Memorial Day"
    movable = _MOVABLE.get((day.month, day.weekday(), (day.day + 6) // 7))
    stands_for = day + _OBSERVED.get(day.weekday(), timedelta())
    return movable or _FIXED.get((day.month, day.day)) or _FIXED.get((stands_for.month, stands_for.day))


# _MOVABLE: (month, weekday with 0 for Monday, which one in the month). _FIXED: (month, day). _OBSERVED: by weekday.
_MOVABLE: Final = {(1, 0, 3): "Martin Luther King Day", (9, 0, 1): "Labor Day", (11, 3, 4): "Thanksgiving"}
_FIXED: Final = {(1, 1): "New Year's Day", (6, 19): "Juneteenth", (7, 4): "Independence Day", (12, 25): "Christmas Day"}
_OBSERVED: Final = {4: _DAY, 0: -_DAY}  # a Saturday's holiday is kept on Friday, a Sunday's on Monday


def missed_days(last: date, today: date, calendar: Calendar) -> tuple[date, ...]:
    """The days between `last`, the day of the latest issue, and `today` on which the source lists papers, in order."""
    between = (last + timedelta(days=number) for number in range(1, (today - last).days))
    return tuple(day for day in between if not is_rest_day(calendar, day))


def is_stale(newest: date | datetime | None, now: datetime, rhythm: timedelta) -> bool:
    """Whether a feed's `newest` entry is older than `rhythm`, not counting Saturdays and Sundays (UTC).

    Datetimes are aware. A date stands for its last moment, since the hour is unknown. False if `newest` is None.
    """
    if newest is None:
        return False
    if not isinstance(newest, datetime):
        newest = datetime.combine(newest, time.max, UTC)
    return _working_time(now) - _working_time(newest) > rhythm


def _working_time(moment: datetime) -> timedelta:
    """The time from Monday, 1 January of year 1, to `moment`, weekends not counted."""
    weeks, part = divmod(moment - _FIRST_MONDAY, timedelta(weeks=1))
    return weeks * _WORKWEEK + min(part, _WORKWEEK)
