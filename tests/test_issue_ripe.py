"""Ripe days: which day a run without a date takes, over weekends, missed runs, changes of the clock and upgrades."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from newsletter.issue.calendar import CALENDARS, day_due, listing_day
from newsletter.model import RunReport, Span, Verdict
from newsletter.schedule import Job, crontab, units
from tests.desk import MONDAY, Desk, desk, entry

__all__ = ["desk"]

HUGGING_FACE, ARXIV = CALENDARS["hugging-face"], CALENDARS["arxiv"]
BERLIN, TOKYO, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Tokyo"), ZoneInfo("America/New_York")
DAY = timedelta(days=1)


def at_eight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(8), zone)


# --- the pure rule ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "settle", "day"),
    [
        ("2026-11-24T23:59+00:00", 24, "2026-11-23"),
        ("2026-11-25T00:00+00:00", 24, "2026-11-24"),  # to the minute
        ("2026-11-24T23:59+00:00", 0, "2026-11-24"),
        ("2026-11-24T07:59+00:00", 32, "2026-11-22"),
        ("2026-11-24T08:00+00:00", 32, "2026-11-23"),
        ("2026-11-24T08:00+01:00", 24, "2026-11-23"),
        ("2026-11-24T08:00+09:00", 24, "2026-11-22"),  # 23 hours after the list of the 23rd began
        ("2026-11-24T08:00+09:00", 20, "2026-11-23"),
        ("2026-11-24T08:00-05:00", 24, "2026-11-23"),
        ("2027-01-01T08:00+00:00", 24, "2026-12-31"),
    ],
)
def test_a_day_is_ripe_so_many_hours_after_it_began(now: str, settle: float, day: str) -> None:
    moment = datetime.fromisoformat(now)
    assert day_due((HUGGING_FACE,), UTC, moment, timedelta(hours=settle)) == date.fromisoformat(day)


def test_a_source_that_cannot_be_asked_for_a_day_is_not_waited_for() -> None:
    now = datetime(2026, 11, 24, 8, tzinfo=UTC)
    for calendars in ((), (ARXIV,)):
        assert day_due(calendars, UTC, now, DAY) == day_due(calendars, UTC, now)
    assert day_due((ARXIV, HUGGING_FACE), UTC, now, DAY) == MONDAY  # all have begun it, and it is ripe


@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK, TOKYO, ZoneInfo("Australia/Lord_Howe"), ZoneInfo("Asia/Kathmandu")])
@pytest.mark.parametrize("settle", [0, 20, 24, 31, 48])
def test_daily_runs_of_a_year_take_each_day_in_order(zone: ZoneInfo, settle: float) -> None:
    """A change of the clock repeats or skips at most one day, never goes back, and is never taken too early."""
    dates = [date(2026, 1, 1) + timedelta(days=number) for number in range(365)]
    runs = [at_eight(day, zone) for day in dates]
    due = [day_due((HUGGING_FACE,), zone, run, timedelta(hours=settle)) for run in runs]
    assert due == sorted(due)
    assert all(later - earlier <= timedelta(days=2) for earlier, later in pairwise(due))
    began = [datetime.combine(day, time(), UTC) for day in due]
    assert all(run - begin >= timedelta(hours=settle) for run, begin in zip(runs, began, strict=True))
    assert all(run - begin < timedelta(hours=settle + 48) for run, begin in zip(runs, began, strict=True))


def test_the_day_before_the_rest() -> None:
    friday, saturday, sunday = (MONDAY - timedelta(days=back) for back in (3, 2, 1))
    found = [listing_day((HUGGING_FACE,), day) for day in (friday, saturday, sunday, MONDAY)]
    assert found == [friday, friday, friday, MONDAY]
    assert listing_day((), sunday) == sunday
    assert listing_day((HUGGING_FACE, ARXIV), sunday) == sunday  # arXiv gives its current list, whatever is asked


# --- runs ------------------------------------------------------------------------------------------------------------


def run(desk: Desk, now: datetime) -> RunReport:
    """What cron runs: without a date."""
    return desk.run(desk.config.due(now), Span(catch_up=True), now)


def eight(number: int) -> datetime:
    """08:00 UTC of the day `number` days after Monday."""
    return at_eight(MONDAY + timedelta(days=number), ZoneInfo("UTC"))


def mailed(desk: Desk) -> list[int]:
    """The numbers of the papers in the mails, once for each mail."""
    return [int(number) for text in desk.told for number in sorted(set(re.findall(r"Paper number (\d+)", text)))]


def publish_week(desk: Desk) -> None:
    """Ten days from Monday on, with a paper of their number on each weekday."""
    for number in range(10):
        day = MONDAY + timedelta(days=number)
        desk.publish(day, *([] if day.weekday() > 4 else [entry(number + 10)]))


def test_a_week_of_runs_mails_each_day_once_on_the_morning_after(desk: Desk) -> None:
    publish_week(desk)
    told = [run(desk, eight(number)) for number in range(1, 9)]
    assert [(report.day, report.verdict) for report in told] == [
        *[(MONDAY + timedelta(days=number), Verdict.NEW_ISSUE) for number in range(5)],  # Tuesday to Saturday
        (MONDAY + timedelta(days=5), Verdict.WEEKEND),
        (MONDAY + timedelta(days=6), Verdict.WEEKEND),
        (MONDAY + timedelta(days=7), Verdict.NEW_ISSUE),
    ]
    assert run(desk, eight(8)).verdict is Verdict.ALREADY_SENT
    assert mailed(desk) == [10, 11, 12, 13, 14, 17]


def test_friday_is_mailed_on_sunday_when_the_machine_was_off_on_saturday(desk: Desk) -> None:
    publish_week(desk)
    run(desk, eight(4))
    report = run(desk, eight(6))
    assert (report.day, report.verdict) == (MONDAY + timedelta(days=4), Verdict.NEW_ISSUE)
    assert run(desk, eight(7)).verdict is Verdict.WEEKEND


def test_days_without_a_run_are_caught_up_when_they_are_ripe(desk: Desk) -> None:
    publish_week(desk)
    run(desk, eight(1))
    assert run(desk, eight(4)).day == MONDAY + timedelta(days=3)
    assert mailed(desk) == [10, 11, 12, 13]


@pytest.mark.parametrize(("before", "after"), [(0, 24), (24, 0), (0, 48), (48, 24)])
def test_a_change_of_settle_sends_no_day_twice_and_skips_none(desk: Desk, before: int, after: int) -> None:
    publish_week(desk)
    for number in range(9):  # the first issue is Monday's
        desk.configure(f"issue:\n  settle: {before if number < 2 else after}\n")
        run(desk, eight(number + before // 24))
    shown = mailed(desk)
    assert len(shown) == len(set(shown))
    assert {10, 11, 12, 13, 14} <= set(shown)


def test_a_settled_day_in_a_zone_that_changes_its_clock_is_neither_lost_nor_sent_twice(desk: Desk) -> None:
    """31 hours are over at eight in winter (07:00 UTC), and not in summer (06:00 UTC)."""
    desk.configure("issue:\n  settle: 31\ntimezone: Europe/Berlin\n")
    start = date(2026, 10, 19)
    for number in range(14):
        day = start + timedelta(days=number)
        desk.publish(day, *([] if day.weekday() > 4 else [entry(number + 10)]))
    for number in range(2, 16):
        run(desk, at_eight(start + timedelta(days=number), BERLIN))
    assert sorted(mailed(desk)) == [10, 11, 12, 13, 14, 17, 18, 19, 20, 21]


def test_a_quiet_friday_makes_the_weekend_no_quiet_day(desk: Desk) -> None:
    publish_week(desk)
    desk.publish(MONDAY + timedelta(days=4))
    verdicts = [run(desk, eight(number)).verdict for number in (5, 6, 7)]
    assert verdicts[1:] == [Verdict.WEEKEND, Verdict.WEEKEND]


# --- the schedule ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("back", "words"),
    [(-1, "issue of the day at"), (1, "issue of the day before at"), (2, "issue of 2 days before at")],
)
def test_the_schedule_says_which_day_its_job_makes(back: int, words: str) -> None:
    zone = ZoneInfo("UTC")
    job = Job(("newsletter",), Path("/srv/config.yaml"), time(8), zone, list_id="a.example", user="ada", back=back)
    assert words in crontab(job, datetime(2026, 11, 24, tzinfo=UTC))
    assert words.removesuffix(" at") in units(job)["newsletter-a.example.service"]
