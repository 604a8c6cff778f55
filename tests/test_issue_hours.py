"""The hour that a reader chose, by their own clock, over both nights on which the clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from newsletter.issue.hours import due_at

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "hour", "frozen", "due"),
    [
        ("Europe/Berlin", 7, "2026-11-24 05:00", "2026-11-24 06:00"),
        ("Europe/Berlin", 7, "2026-11-24 06:00", "2026-11-24 06:00"),
        # A run that begins at the hour freezes after it. What is later than a mail may be waits for the next day.
        ("Europe/Berlin", 7, "2026-11-24 06:01", "2026-11-24 06:01"),
        ("Europe/Berlin", 7, "2026-11-24 06:15", "2026-11-24 06:15"),
        ("Europe/Berlin", 7, "2026-11-24 06:16", "2026-11-25 06:00"),
        ("Asia/Kathmandu", 7, "2026-11-24 01:16", "2026-11-24 01:16"),  # five hours and three quarters ahead
        ("Asia/Kathmandu", 7, "2026-11-24 01:31", "2026-11-25 01:15"),
        # Spring: Berlin has no 02:00 on 29 March, New York none on 8 March; Lord Howe leaps by half an hour at 02:00.
        ("Europe/Berlin", 2, "2026-03-28 12:00", "2026-03-29 01:00"),
        ("Europe/Berlin", 3, "2026-03-28 12:00", "2026-03-29 01:00"),
        ("America/New_York", 2, "2026-03-07 12:00", "2026-03-08 07:00"),
        ("Australia/Lord_Howe", 2, "2026-10-03 12:00", "2026-10-03 15:30"),
        # Autumn: Berlin has 02:00 twice on 25 October, New York 01:00 on 1 November; Lord Howe 01:30 on 5 April.
        ("Europe/Berlin", 2, "2026-10-24 12:00", "2026-10-25 00:00"),
        ("America/New_York", 1, "2026-10-31 12:00", "2026-11-01 05:00"),
        ("America/New_York", 1, "2026-11-01 05:10", "2026-11-01 05:10"),
        ("America/New_York", 1, "2026-11-01 06:00", "2026-11-02 06:00"),  # the second 01:00
        ("Australia/Lord_Howe", 1, "2026-04-04 12:00", "2026-04-04 14:00"),
        ("Australia/Lord_Howe", 2, "2026-04-04 12:00", "2026-04-04 15:30"),
        # Zones that leap over midnight, and over a whole day.
        ("America/Santiago", 0, "2026-09-05 12:00", "2026-09-06 04:00"),
        ("Pacific/Apia", 7, "2011-12-29 18:00", "2011-12-30 10:00"),
        # Chatham leaps at 02:45, Troll by two hours, and Casablanca goes back for Ramadan.
        ("Pacific/Chatham", 3, "2026-09-26 12:00", "2026-09-26 14:00"),
        ("Pacific/Chatham", 3, "2027-04-03 12:00", "2027-04-03 13:15"),
        ("Antarctica/Troll", 1, "2026-03-28 12:00", "2026-03-29 01:00"),
        ("Antarctica/Troll", 2, "2026-03-28 12:00", "2026-03-29 01:00"),
        ("Antarctica/Troll", 2, "2026-10-24 12:00", "2026-10-25 00:00"),
        ("Africa/Casablanca", 2, "2026-02-14 12:00", "2026-02-15 01:00"),
        ("Africa/Casablanca", 2, "2026-03-21 12:00", "2026-03-22 02:00"),
    ],
)
def test_a_copy_is_due_when_the_clock_shows_the_hour(zone: str, hour: int, frozen: str, due: str) -> None:
    found = due_at(utc(frozen), hour, zone)
    assert found == utc(due)
    assert found.tzinfo is UTC


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("hour", range(24))
def test_each_day_of_a_year_has_its_mail_once(zone: str, hour: int) -> None:
    """An issue frozen at 06:00 UTC each day is due within 25 hours, and after the one before, whatever the clocks do.

    When the clocks go back, an hour that was just before the freezing comes to be just after it: the issues of two days
    are then due on one day.
    """
    first = utc("2026-01-01 06:00")
    frozen = [first + timedelta(days=number) for number in range(365)]
    due = [due_at(moment, hour, zone) for moment in frozen]
    assert all(timedelta(0) <= at - moment <= timedelta(hours=25) for at, moment in zip(due, frozen, strict=True))
    shown = [at.astimezone(ZoneInfo(zone)) for at in due]
    assert due == sorted(due)
    assert len(shown) - len({at.date() for at in shown}) <= 1
    clocks = {f"{at:%H:%M}" for at in shown}
    assert len(clocks) <= 2  # the other one is the first moment after the gap
    assert f"{hour:02}:00" in clocks
