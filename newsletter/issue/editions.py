"""Make the editions of a day's issue: what each reader chose, picked from the day's papers. Pure, deterministic.

Readers who chose the same and were shown the same share an edition. Who chose nothing has the main edition, and so have
those whose edition would be equal to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from newsletter.issue.choice import Choice
from newsletter.issue.matching import Frequencies
from newsletter.issue.picking import Candidates, Pick, every, unwanted
from newsletter.issue.selector import Selector
from newsletter.model import Issue, LateRiser, Paper


@dataclass(frozen=True, slots=True)
class Wish:
    """What the subscriber of id `reader` chose, and which of the papers at hand they were shown before (Paper.key).

    `rests` is True for who gets no mail with this issue, because they get one a week and have had it.
    """

    reader: int
    choice: Choice
    seen: frozenset[str] = frozenset()
    rests: bool = False


@dataclass(frozen=True, slots=True)
class Day:
    """The main edition of a day, the issue with all papers of the day that passed the filters, and those of the week.

    The late risers of `candidates` can be picked too. `week` has the papers of the past issues and of this one, each
    once, most votes first. `frequencies` are those of the papers listed lately; None for those of the day.
    """

    main: Issue
    candidates: Issue
    week: Issue | None = None
    frequencies: Frequencies | None = None


@dataclass(frozen=True, slots=True)
class Edition:
    """An edition, and the ids of the subscribers who get it. An issue without papers says that nothing fits."""

    issue: Issue
    readers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Planned:
    """The editions beside the main one, and who gets no mail: for want of a fitting paper, or because they rest."""

    editions: tuple[Edition, ...] = ()
    unfitting: tuple[int, ...] = ()
    resting: tuple[int, ...] = ()


_Group = tuple[tuple[Selector | None, bool, bool], frozenset[str], bool]


@dataclass
class _Groups:
    """Readers by what they get: the choice, what they have seen, and whether they want to hear of nothing."""

    readers: dict[_Group, list[int]] = field(default_factory=dict)
    choices: dict[_Group, Choice] = field(default_factory=dict)

    def add(self, wish: Wish) -> None:
        """Sort in one reader."""
        key = (wish.choice.of_papers, wish.seen, wish.choice.say_nothing)
        self.readers.setdefault(key, []).append(wish.reader)
        self.choices.setdefault(key, wish.choice)


def plan(day: Day, wishes: Iterable[Wish]) -> Planned:
    """The editions of all who chose something; readers of the main edition are not named."""
    groups = _Groups()
    resting = []
    for wish in wishes:
        if wish.rests:
            resting.append(wish.reader)
        elif not wish.choice.is_main or wish.seen:
            groups.add(wish)
    pools: dict[bool, Candidates] = {}
    editions: list[Edition] = []
    unfitting: list[int] = []
    for key, readers in groups.readers.items():
        choice, seen = groups.choices[key], key[1]
        weekly = choice.weekly and day.week is not None
        if weekly not in pools:
            pools[weekly] = _pool(day, weekly=weekly)
        made = edition(day, choice, pools[weekly], seen)
        if not made.papers and choice.say_nothing:
            unfitting += readers
        elif (made.papers, made.rising) != (day.main.papers, day.main.rising):
            editions.append(Edition(made, tuple(readers)))
    return Planned(tuple(editions), tuple(unfitting), tuple(resting))


def week(days: Sequence[Issue], main: Issue) -> Issue:
    """The papers of several days' candidates as one issue, each paper once and as the newest day has it.

    `days` has the newest first. Most votes come first; equal ones keep the order of the days.
    """
    papers: dict[str, Paper] = {}
    for each in days:
        for paper in (*each.papers, *(rising.paper for rising in each.rising)):
            papers.setdefault(paper.key, paper)
    ranked = sorted(papers.values(), key=lambda paper: paper.upvotes or 0, reverse=True)
    first = min((each.since or each.day for each in days), default=main.day)
    return replace(main, papers=tuple(ranked), rising=(), by_source=False, pinned={}, gains={}, since=first)


def edition(day: Day, choice: Choice, pool: Candidates, seen: frozenset[str] = frozenset()) -> Issue:
    """The edition of a reader with `choice` who was shown the papers `seen`; without papers if none fits.

    `pool` holds the papers to pick from: those of the day, or of the week.
    """
    refused = seen | _never(choice, pool)
    fitting = (each for each in picks_of(choice, pool) if each.paper.key not in refused)
    picks = list(islice(fitting, choice.selector.papers if choice.selector else None))
    rest, rising = _rest(day, choice, refused | {each.paper.key for each in picks}, pool)
    main = day.week if choice.weekly and day.week is not None else day.main
    papers = (*(each.paper for each in picks), *rest)
    return replace(
        main,
        papers=papers,
        by_source=day.main.by_source and not picks and not choice.weekly,
        left_out=max(0, main.left_out + len(main.papers) - len(papers)) if rest else len(pool.papers) - len(papers),
        pinned={key: why for key, why in main.pinned.items() if any(key == paper.key for paper in rest)},
        reasons={each.paper.key: each.reason for each in picks if each.reason},
        rising=rising,
        notes=(),
        own=not choice.is_main,
    )


def _pool(day: Day, *, weekly: bool) -> Candidates:
    if weekly and day.week is not None:
        return Candidates.of(day.week.papers, day.frequencies)
    risen = (rising.paper for rising in day.candidates.rising)
    return Candidates.of((*day.candidates.papers, *risen), day.frequencies)


def picks_of(choice: Choice, pool: Candidates) -> Iterable[Pick]:
    """What the reader asked for, the best first, uncut.

    Who says only what they never want to see gets the main edition without it, or all papers of the day without it. On
    top of that main edition is what they want more of.
    """
    selector = choice.selector
    if selector is None:
        return ()
    picks = every(selector, pool) if selector.asks or selector.more or not choice.on_top else ()
    return picks if selector.asks or not choice.on_top else (each for each in picks if each.reason)


def _never(choice: Choice, pool: Candidates) -> frozenset[str]:
    """The papers that mention what the reader never wants to see."""
    found: set[int] = set()
    for words in choice.selector.never if choice.selector else ():
        found |= pool.saying(words)
    return frozenset(pool.papers[at].key for at in found)


def _rest(
    day: Day, choice: Choice, refused: frozenset[str], pool: Candidates
) -> tuple[tuple[Paper, ...], tuple[LateRiser, ...]]:
    """The papers of the main edition below what the reader asked for, and its late risers.

    What the reader wants less of comes last, within its section if there are sections.
    """
    if choice.selector is not None and not choice.on_top:
        return (), ()
    weekly = choice.weekly and day.week is not None
    main = day.week if weekly and day.week is not None else day.main
    kept = _less_last([paper for paper in main.papers if paper.key not in refused], main, choice, pool)
    if weekly:
        return kept[: len(day.main.papers)], ()
    return kept, tuple(each for each in day.main.rising if each.paper.key not in refused)


def _less_last(papers: Sequence[Paper], main: Issue, choice: Choice, pool: Candidates) -> tuple[Paper, ...]:
    if choice.selector is None or not choice.selector.less:
        return tuple(papers)
    last = {pool.papers[at].key for at in unwanted(choice.selector, pool)}
    names = dict.fromkeys(paper.source for paper in papers) if main.by_source else {}
    sections = {source: place for place, source in enumerate(names)}
    return tuple(sorted(papers, key=lambda paper: (sections.get(paper.source, 0), paper.key in last)))
