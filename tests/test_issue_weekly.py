"""One issue a week: on the reader's days, later rather than never, and with all that was listed since the last one."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, time, timedelta

import pytest

from newsletter.issue.weekly import Weekly

MONDAY = date(2026, 11, 23)
LONG_AGO = date(2026, 1, 1)
MON, TUE, WED, THU, FRI, SAT, SUN = (1 << weekday for weekday in range(7))
EVERY = 0b1111111


def at(age: int) -> date:
    """The day `age` days after the Monday of this test."""
    return MONDAY + timedelta(days=age)


def weekly(days: int, *mails: int) -> Weekly:
    return Weekly(days, LONG_AGO, [at(age) for age in mails])


def frozen(*made: int) -> dict[date, datetime]:
    """When the issues were frozen: all of the last 40 days on their day, those of `made` one after another."""
    midnight = datetime(2026, 11, 23, tzinfo=UTC)
    days = {at(age): midnight + timedelta(days=age) for age in range(-40, 0)}
    return days | {at(age): midnight + timedelta(hours=number) for number, age in enumerate(made)}


@pytest.mark.parametrize(
    ("days", "mails", "issues", "day", "due"),
    [
        pytest.param(EVERY, (-7,), (), 0, True, id="the first issue of the week"),
        pytest.param(EVERY, (0,), (0,), 1, False, id="one a week"),
        *(pytest.param(0, (-7,), (), day, False, id=f"never for who wants none, {day}") for day in (0, 4)),
        pytest.param(EVERY, (0,), (0, 1, 2, 3, 4), 7, True, id="again the next week"),
        pytest.param(WED, (-5,), (0, 1), 1, False, id="not before its day"),
        pytest.param(WED, (-5,), (0, 1), 2, True, id="on its day"),
        pytest.param(MON, (-7,), (-7,), 1, True, id="the next issue when its day has none"),
        pytest.param(MON, (-7,), (-7, 0), 2, True, id="when nothing fitted on its day, or a pause was not over"),
        pytest.param(MON | FRI, (-7,), (0,), 2, False, id="the next of its days, if there is one"),
        pytest.param(TUE | THU, (-6,), (0, 1), 3, True, id="the second of its days"),
        pytest.param(FRI, (-3,), (-3, 0, 1, 2, 3), 4, True, id="on Friday"),
        pytest.param(FRI, (-3,), (0, 1, 2, 3), 7, True, id="on the Monday after a Friday without an issue"),
        pytest.param(FRI, (-3, 7), (7,), 8, False, id="which was the one of that week"),
        pytest.param(FRI, (-3, 7), (7,), 11, False, id="so that its Friday brings no second one"),
        pytest.param(FRI, (-3,), (0, 4), 7, False, id="not on Monday when Friday had an issue that did not fit"),
        pytest.param(FRI, (-3,), (0, 7), 8, False, id="nor on Tuesday after a Monday that did not fit"),
        pytest.param(FRI, (2,), (0, 2), 7, False, id="nor on Monday when the week before had one, on another day"),
        pytest.param(FRI, (2,), (2,), 7, True, id="but when that one was late for the week before it"),
        pytest.param(FRI, (0,), (0, 1), 4, False, id="from Monday to Friday: not twice"),
        pytest.param(MON, (-3,), (-3, 0, 1), 2, True, id="from Friday to Monday, on Tuesday: this week is not skipped"),
        pytest.param(MON, (-3,), (-3,), 0, True, id="from Friday to Monday, at the weekend"),
        pytest.param(WED, (4,), (4,), 2, False, id="an issue that is made late, of a week that had one"),
    ],
)
def test_when_the_issue_of_a_week_is_due(
    days: int, mails: tuple[int, ...], issues: tuple[int, ...], day: int, *, due: bool
) -> None:
    assert weekly(days, *mails).is_due(at(day), [at(age) for age in issues]) is due


def test_who_has_just_joined_waits_for_their_day() -> None:
    assert Weekly(FRI, at(-3)).is_due(at(0), [])
    assert not Weekly(FRI, at(-2)).is_due(at(0), [])
    assert Weekly(FRI, at(-2)).is_due(at(4), [])


def test_the_first_week_is_that_in_which_they_joined() -> None:
    """Who joins on a Monday, when Friday's issue is sent, does not get two mails on two days."""
    reader = Weekly(EVERY, at(0))
    assert [reader.is_due(at(age), [at(-3)]) for age in (-3, 0, 1)] == [False, True, True]
    assert Weekly(EVERY, at(6)).is_due(at(4), [])


@pytest.mark.parametrize("days", [SAT, SUN, SAT | SUN])
def test_who_chose_a_day_on_which_the_list_has_no_issues_gets_one_each_week(days: int) -> None:
    issues = [at(7 * week + weekday) for week in range(-4, 8) for weekday in range(5)]
    mails: list[date] = []
    for day in (each for each in issues if each >= MONDAY):
        if Weekly(days, LONG_AGO, mails).is_due(day, [each for each in issues if each < day]):
            mails.append(day)
    assert mails == [at(7 * week) for week in range(8)]


@pytest.mark.parametrize(
    ("reader", "known", "since"),
    [
        pytest.param(weekly(MON, -7), -99, -7, id="the last one"),
        pytest.param(weekly(MON, -14, -9, 3), -99, -9, id="the last one before this day"),
        pytest.param(weekly(MON, -29), -99, -28, id="four weeks at most"),
        pytest.param(weekly(MON), -99, -28, id="the same when nothing is known of the last one"),
        pytest.param(Weekly(MON, at(-2)), -99, -7, id="a week for who has just joined"),
        pytest.param(Weekly(MON, at(-12)), -99, -12, id="since they joined"),
        pytest.param(weekly(MON, -14), -10, -10, id="nothing of which nobody knows who was shown it"),
    ],
)
def test_since_when_the_papers_of_a_weekly_issue_are(reader: Weekly, known: int, since: int) -> None:
    assert reader.since(MONDAY, at(known), frozen()) == at(since)


@pytest.mark.parametrize(
    ("made", "since"),
    [
        pytest.param((-3, -5), -6, id="an earlier day"),
        pytest.param((-3, -5, -4), -6, id="two"),
        pytest.param((-5, -3), -3, id="not one that was made before"),
        pytest.param((-3, -7), -3, id="nor one that they got"),
        pytest.param((-3, -30), -28, id="four weeks at most"),
    ],
)
def test_an_issue_that_was_made_after_their_last_one_is_news(made: tuple[int, ...], since: int) -> None:
    assert weekly(MON, -7, -3).since(MONDAY, at(-99), frozen(-7, *made)) == at(since)


def test_no_week_has_two_none_is_skipped_and_no_day_is_left_out() -> None:
    """Two years with holes, of readers who change their days again and again."""
    for seed in range(60):
        chance = random.Random(seed)
        mails: list[date] = []
        issues: list[date] = []
        left = set[date]()  # days whose papers they were not offered yet
        days = EVERY
        for week in range(100):
            days = chance.choice((MON, WED, FRI, TUE | FRI, SUN, EVERY)) if week % 5 == 0 else days
            before, taken = len(mails), False
            for weekday in range(7):
                day = at(7 * week + weekday)
                if chance.random() < (0.15 if weekday < 5 else 0.9):
                    continue  # no issue
                reader = Weekly(days, LONG_AGO, mails[-5:])
                frozen_on = {each: datetime.combine(each, time.min) for each in issues[-30:]}
                left.add(day)
                if reader.is_due(day, issues[-30:]):
                    left -= {each for each in left if each > reader.since(day, LONG_AGO, frozen_on)}
                    assert not left
                    mails.append(day)
                issues.append(day)
                taken |= bool(days >> weekday & 1) or days >> weekday == 0
            assert len(mails) - before in ((1,) if taken else (0, 1))
