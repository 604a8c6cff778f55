"""Late risers: papers of the past days that are above the cut now and were never shown. Pure.

An issue is made before the last votes of its day are cast. Each run therefore ranks the past days again and takes the
papers that would be in those issues today. A paper that any issue has shown is not shown again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True, slots=True)
class Candidate:
    """A paper of a past day with its present `upvotes`, and `then`, its upvotes when that day's issue was made.

    `then` is None for a paper that was listed later. Papers that the list's filters drop are not candidates. `section`
    is the source's name if issues have a section per source, each with its own cut, else empty.
    """

    key: str
    upvotes: int
    then: int | None = None
    section: str = ""


@dataclass(frozen=True, slots=True)
class Riser:
    """A paper to show now: the day of its listing, its upvotes, and how many of them it gained since that issue."""

    key: str
    day: date
    gained: int
    upvotes: int


@dataclass(frozen=True, slots=True)
class Rule:
    """How far to look back, in calendar days, and how many late risers one issue may have.

    The values come from replaying real days (`python -m tests.simulate`). An issue that is mailed a day after its list
    began reaches with six days back what was listed a week ago. A paper needs no margin over the cut: a margin of three
    votes would drop one card in thirty, papers of the day's top among them.
    """

    look_back: int = 6
    max_cards: int = 5


def cards_for(max_papers: int) -> int:
    """How many late risers an issue of `max_papers` may have by default: a quarter as many, and at least three.

    A larger cut has more papers near it, so more of them cross it later.
    """
    return max(3, max_papers // 4)


def select(
    days: Mapping[date, Sequence[Candidate]],
    shown: Collection[str],
    today: date,
    max_papers: int,
    rule: Rule | None = None,
) -> tuple[Riser, ...]:
    """Choose the late risers of today's issue: papers among the first `max_papers` of a past day that were never shown.

    `days` maps each past day to all its papers in the order of their feed, which decides between equal upvotes as in
    `compose`. `shown` holds the keys of all papers that any issue has shown, today's included. The result begins with
    the oldest day, whose papers leave the window soonest, and is by rank within a day. A paper that two days list
    counts for the older one.
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
    """The papers that the issues of the past `look_back` days would have if made now, the oldest day first."""
    oldest = today - timedelta(days=look_back)
    for day in sorted(day for day in days if oldest <= day < today):
        above: Counter[str] = Counter()
        for candidate in sorted(days[day], key=lambda each: each.upvotes, reverse=True):  # stable, as in compose.py
            above[candidate.section] += 1
            if above[candidate.section] <= max_papers:
                yield Riser(candidate.key, day, candidate.upvotes - (candidate.then or 0), candidate.upvotes)
