"""Late risers: papers of the past week's days that now stand above the cut and have never been shown. Pure.

An issue is made in the morning, when a day's votes have hardly come in. Each run therefore ranks the past days again
and takes what should have been in their issues. What has been shown stays shown: nothing is ever repeated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True, slots=True)
class Candidate:
    """A paper of a past day, as it stands now. `then` is its upvotes when that day's issue was made.

    `then` is None for a paper that was listed only later. A paper that the list's filters leave out is no candidate.
    Where an issue has sections, each has a cut of its own.
    """

    key: str
    upvotes: int
    then: int | None = None
    section: str = ""


@dataclass(frozen=True, slots=True)
class Riser:
    """A paper to show now: the day it was listed on, its upvotes, and how many of them came since that day's issue."""

    key: str
    day: date
    gained: int
    upvotes: int


@dataclass(frozen=True, slots=True)
class Rule:
    """How far to look back, in calendar days, and how many risers one issue may carry.

    The figures come from replaying real days (`python -m tests.simulate`). Seven days: each day less loses about one
    of a hundred papers, and after a week the rest is not news. Three cards: a section stays short on every day, and few
    runs find more; those wait for the next run. There is no margin over the cut: asking for a lead of three votes
    saves one card in thirty and loses papers that belong to the day's top.
    """

    look_back: int = 7
    max_cards: int = 3


def select(
    days: Mapping[date, Sequence[Candidate]],
    shown: Collection[str],
    today: date,
    max_papers: int,
    rule: Rule | None = None,
) -> tuple[Riser, ...]:
    """Choose the risers of today's issue: of each past day's first `max_papers`, those that were never shown.

    `days` holds whole days in the order of their feed, which decides between equal upvotes, as in the issue itself.
    `shown` holds the keys of every paper that any issue has shown, today's included. The oldest day comes first, as
    its papers are about to leave the window, and within a day the better rank; a paper listed on two days is taken
    from the older.
    """
    rule = rule or Rule()
    chosen: dict[str, Riser] = {}
    for riser in _above_the_cut(days, today, max_papers, rule.look_back):
        if len(chosen) >= rule.max_cards:
            break
        if riser.key not in shown:
            chosen.setdefault(riser.key, riser)
    return tuple(chosen.values())


def _above_the_cut(
    days: Mapping[date, Sequence[Candidate]], today: date, max_papers: int, look_back: int
) -> Iterator[Riser]:
    """The papers that would be in the issues of the past `look_back` days, were these made now; oldest day first."""
    oldest = today - timedelta(days=look_back)
    for day in sorted(day for day in days if oldest <= day < today):
        above: Counter[str] = Counter()
        for candidate in sorted(days[day], key=lambda each: each.upvotes, reverse=True):  # stable, as in issue.py
            above[candidate.section] += 1
            if above[candidate.section] <= max_papers:
                yield Riser(candidate.key, day, candidate.upvotes - (candidate.then or 0), candidate.upvotes)
