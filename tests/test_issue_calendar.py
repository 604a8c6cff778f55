"""Which day an issue belongs to, in the source's calendar: zones, summer time, weekends, year ends, clock jumps."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from newsletter.issue.calendar import (
    CALENDARS,
    Calendar,
    calendar_of,
    day_due,
    holiday,
    is_rest_day,
    is_stale,
    issue_day,
    missed_days,
    why_empty,
)

HUGGING_FACE, ARXIV = CALENDARS["hugging-face"], CALENDARS["arxiv"]
NEW_YORK = ZoneInfo("America/New_York")
BERLIN = ZoneInfo("Europe/Berlin")
TOKYO = ZoneInfo("Asia/Tokyo")
FRIDAY = date(2026, 11, 20)
MONDAY = date(2026, 11, 23)


def utc(text: str) -> datetime:
    """A moment, UTC unless it says otherwise."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


# --- the day of the issue --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "day"),
    [
        (datetime(2026, 11, 24, 0, 30, tzinfo=BERLIN), "2026-11-23"),  # still Monday in UTC
        (datetime(2026, 11, 24, 7, 0, tzinfo=BERLIN), "2026-11-24"),
        (datetime(2026, 11, 24, 8, 59, tzinfo=TOKYO), "2026-11-23"),
        (datetime(2026, 11, 23, 18, 0, tzinfo=ZoneInfo("America/Los_Angeles")), "2026-11-24"),
        (datetime(2026, 12, 31, 23, 59, tzinfo=UTC), "2026-12-31"),
        (datetime(2027, 1, 1, 0, 0, tzinfo=UTC), "2027-01-01"),
        (datetime(2026, 11, 21, 12, 0, tzinfo=UTC), "2026-11-21"),  # a Saturday is asked for, and empty
    ],
)
def test_hugging_face_has_the_date_it_is_asked_for(now: datetime, day: str) -> None:
    assert issue_day(HUGGING_FACE, now) == date.fromisoformat(day)


@pytest.mark.parametrize(
    ("local", "day"),
    [
        ("2026-11-22T19:59", "2026-11-22"),
        ("2026-11-22T20:00", "2026-11-23"),  # and now Monday's is out
        ("2026-11-23T19:59", "2026-11-23"),
        ("2026-11-23T20:00", "2026-11-24"),
        ("2026-11-26T20:00", "2026-11-27"),  # Thursday: the last one of the week
        ("2026-11-27T20:00", "2026-11-28"),  # Friday evening: a Saturday, and nothing is listed
        ("2026-11-28T12:00", "2026-11-28"),
        ("2026-12-31T19:59", "2026-12-31"),
        ("2026-12-31T20:00", "2027-01-01"),  # a Thursday
    ],
)
def test_arxiv_announces_in_the_evening_before_sunday_to_thursday(local: str, day: str) -> None:
    assert issue_day(ARXIV, datetime.fromisoformat(local).replace(tzinfo=NEW_YORK)) == date.fromisoformat(day)


@pytest.mark.parametrize(
    ("before", "after", "day"),
    [
        ("2026-03-05T00:59", "2026-03-05T01:00", "2026-03-05"),  # 20:00 EST is 01:00 UTC
        ("2026-03-08T23:59", "2026-03-09T00:00", "2026-03-09"),  # the Sunday on which EDT begins: 00:00 UTC
        ("2026-10-29T23:59", "2026-10-30T00:00", "2026-10-30"),
        ("2026-11-02T00:59", "2026-11-02T01:00", "2026-11-02"),  # the Sunday on which EST begins
    ],
)
def test_the_announcement_follows_new_yorks_summer_time(before: str, after: str, day: str) -> None:
    assert issue_day(ARXIV, utc(before)) < date.fromisoformat(day)
    assert issue_day(ARXIV, utc(after)) == date.fromisoformat(day)


@pytest.mark.parametrize("calendar", [ARXIV, HUGGING_FACE])
def test_the_day_never_goes_back_while_time_goes_on(calendar: Calendar) -> None:
    moments = [utc("2026-01-01T00:00") + timedelta(minutes=30 * number) for number in range(2 * 24 * 400)]
    days = [issue_day(calendar, moment) for moment in moments]
    assert days == sorted(days)
    assert len({day for day in days if not is_rest_day(calendar, day)}) >= 285


def test_a_clock_set_back_gives_the_same_day_again() -> None:
    now = utc("2026-11-24T01:30")
    assert issue_day(ARXIV, now - timedelta(hours=20)) == MONDAY
    assert issue_day(ARXIV, now) == date(2026, 11, 24)


@pytest.mark.parametrize(
    ("url", "calendar"),
    [
        ("https://huggingface.co/api/daily_papers?date={date}&limit=100", HUGGING_FACE),
        ("/srv/papers/{date}.json", HUGGING_FACE),
        ("https://rss.arxiv.org/atom/cs.AI", ARXIV),
        ("https://arxiv.org/list/cs.LG", ARXIV),
        ("https://notarxiv.org/feed", None),
        ("https://blog.example/feed?of=arxiv.org", None),
        ("/srv/papers/arxiv.org.xml", None),
    ],
)
def test_a_feed_s_calendar_is_known_by_its_address(url: str, calendar: Calendar | None) -> None:
    assert calendar_of(url) == calendar


@pytest.mark.parametrize(
    ("calendars", "zone", "now", "day"),
    [
        # In Tokyo a morning is still the evening before where the lists are made.
        ((HUGGING_FACE,), TOKYO, "2026-11-24T07:00+09:00", "2026-11-23"),
        ((HUGGING_FACE,), TOKYO, "2026-11-24T09:30+09:00", "2026-11-24"),
        # In New York the operator's evening belongs to the list that has filled all day.
        ((HUGGING_FACE,), NEW_YORK, "2026-11-24T21:00-05:00", "2026-11-24"),
        ((ARXIV,), NEW_YORK, "2026-11-24T21:00-05:00", "2026-11-25"),
        ((ARXIV,), BERLIN, "2026-11-24T01:30+01:00", "2026-11-23"),
        ((ARXIV,), BERLIN, "2026-11-24T07:00+01:00", "2026-11-24"),
        ((HUGGING_FACE, ARXIV), NEW_YORK, "2026-11-24T21:00-05:00", "2026-11-24"),
        ((HUGGING_FACE, ARXIV), BERLIN, "2027-01-01T01:30+01:00", "2026-12-31"),
        ((), TOKYO, "2026-11-24T07:00+09:00", "2026-11-24"),
        # The night on which Berlin's clocks go back, and the one on which they go forward.
        ((HUGGING_FACE,), BERLIN, "2026-10-25T02:30+02:00", "2026-10-25"),
        ((HUGGING_FACE,), BERLIN, "2026-10-25T02:30+01:00", "2026-10-25"),
        ((HUGGING_FACE,), BERLIN, "2026-03-29T03:00+02:00", "2026-03-29"),
    ],
)
def test_the_day_that_is_due(calendars: tuple[Calendar, ...], zone: ZoneInfo, now: str, day: str) -> None:
    assert day_due(calendars, zone, datetime.fromisoformat(now)) == date.fromisoformat(day)


# --- days without a list ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("calendar", [ARXIV, HUGGING_FACE])
def test_saturday_and_sunday_are_rest_days(calendar: Calendar) -> None:
    week = [MONDAY + timedelta(days=number) for number in range(7)]
    assert [is_rest_day(calendar, day) for day in week] == [False] * 5 + [True] * 2


@pytest.mark.parametrize(
    ("day", "name"),
    [
        ("2026-01-01", "New Year's Day"),
        ("2023-01-16", "Martin Luther King Day"),
        ("2026-01-20", None),
        ("2026-05-25", "Memorial Day"),
        ("2026-05-18", None),
        ("2023-05-29", "Memorial Day"),
        ("2023-06-19", "Juneteenth"),
        ("2026-07-03", "Independence Day"),  # the Friday before a Saturday
        ("2027-07-05", "Independence Day"),  # the Monday after a Sunday
        ("2026-07-02", None),
        ("2026-09-07", "Labor Day"),
        ("2026-09-14", None),
        ("2026-11-26", "Thanksgiving"),
        ("2026-11-19", None),
        ("2026-12-25", "Christmas Day"),
        ("2027-12-31", "New Year's Day"),
    ],
)
def test_holidays(day: str, name: str | None) -> None:
    assert holiday(date.fromisoformat(day)) == name


@pytest.mark.parametrize("calendar", [ARXIV, HUGGING_FACE])
def test_an_empty_day_has_a_reason_on_weekends_and_holidays_alone(calendar: Calendar) -> None:
    days = ("2026-11-21", "2026-11-26", "2026-11-24")
    assert [why_empty(calendar, date.fromisoformat(day)) for day in days] == ["a Saturday", "Thanksgiving", None]


# --- catching up -----------------------------------------------------------------------------------------------------


def test_the_day_after_misses_nothing() -> None:
    assert missed_days(MONDAY, date(2026, 11, 24), HUGGING_FACE) == ()
    assert missed_days(FRIDAY, MONDAY, HUGGING_FACE) == ()


def test_missed_days_leave_out_weekends_and_today() -> None:
    missed = missed_days(date(2026, 11, 18), date(2026, 11, 24), ARXIV)
    assert missed == (date(2026, 11, 19), FRIDAY, MONDAY)


def test_missed_days_reach_over_a_year_end_and_a_leap_day() -> None:
    assert missed_days(date(2026, 12, 30), date(2027, 1, 4), ARXIV) == (date(2026, 12, 31), date(2027, 1, 1))
    assert date(2028, 2, 29) in missed_days(date(2028, 2, 28), date(2028, 3, 2), ARXIV)


def test_an_issue_from_the_future_misses_nothing() -> None:
    assert missed_days(date(2027, 1, 1), MONDAY, ARXIV) == ()


# --- stale feeds -----------------------------------------------------------------------------------------------------

DAILY = timedelta(days=1)


@pytest.mark.parametrize(
    ("newest", "now", "stale"),
    [
        ("2026-11-23T08:00", "2026-11-24T08:00", False),
        ("2026-11-23T08:00", "2026-11-24T08:01", True),
        ("2026-11-20T08:00", "2026-11-23T08:00", False),  # Friday to Monday is one day
        ("2026-11-20T08:00", "2026-11-23T08:01", True),
        ("2026-11-19T23:00", "2026-11-22T12:00", True),  # on Sunday Thursday's entry is 25 hours old
        ("2026-11-20T08:00", "2026-11-22T12:00", False),
        ("2026-11-21T08:00", "2026-11-23T23:59", False),  # an entry of a Saturday counts from Monday
        ("2026-12-31T12:00", "2027-01-01T12:00", False),
        ("2026-11-25T08:00", "2026-11-24T08:00", False),  # an entry of the future is not old
        ("0001-01-01T00:00", "2026-11-24T08:00", True),
        ("2026-11-23T01:00+09:00", "2026-11-23T16:00", False),
    ],
)
def test_a_feed_is_stale_when_its_newest_entry_is_older_than_its_rhythm(newest: str, now: str, stale: bool) -> None:
    assert is_stale(utc(newest), utc(now), DAILY) is stale


def test_a_change_to_summer_time_makes_no_day_longer() -> None:
    friday = datetime(2026, 3, 27, 20, 0, tzinfo=BERLIN)
    assert not is_stale(friday, datetime(2026, 3, 30, 20, 0, tzinfo=BERLIN), DAILY)


@pytest.mark.parametrize(("now", "stale"), [("2026-11-24T23:59", False), ("2026-11-25T00:01", True)])
def test_a_date_without_an_hour_counts_from_its_end(now: str, stale: bool) -> None:
    assert is_stale(MONDAY, utc(now), DAILY) is stale


def test_a_date_at_the_end_of_time_is_only_not_stale() -> None:
    assert not is_stale(date.max, utc("2026-11-24T08:00"), DAILY)


def test_a_slower_rhythm_allows_more() -> None:
    assert not is_stale(MONDAY, utc("2026-11-30T12:00"), timedelta(days=5))


def test_a_feed_without_dates_cannot_be_called_stale() -> None:
    assert not is_stale(None, utc("2026-11-24T08:00"), DAILY)
