"""Make the editions of a day's issue: what each reader chose, picked from the day's papers. Pure, deterministic.

Readers who chose the same and were shown the same share an edition. Who chose nothing has the main edition, and so have
those whose edition would be equal to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
from itertools import islice
from typing import Final, NamedTuple

from newsletter.issue.choice import Choice, Wish
from newsletter.issue.matching import Frequencies
from newsletter.issue.picking import Candidates, Pick, every, unwanted
from newsletter.issue.selector import Selector
from newsletter.model import Issue, LateRiser, Paper, Reason, ReasonKind

# Reasons whose words are those of a choice, with its kind; the others name what stands on the paper.
_CHOSEN: Final = {ReasonKind.TOPIC: "topics", ReasonKind.CATEGORY: "categories", ReasonKind.MORE: "more"}


@dataclass(frozen=True, slots=True)
class Week:
    """The papers of several issues as one issue, most votes first; `listed` says on which day each was listed last.

    `days` are the days of these issues, each with the first one that it takes in. `most` is how many papers the main
    edition shows.
    """

    issue: Issue
    listed: Mapping[str, date]
    days: Sequence[tuple[date, date]]
    most: int

    @classmethod
    def of(cls, days: Sequence[Issue], main: Issue, most: int) -> Week:
        """From several days' candidates, newest first; each paper once and as the newest day has it.

        A paper that feeds list under different keys is one paper (`Paper.names`). Of papers with equal votes, or with
        none, those that stand higher in the list of their day come first, so that a week without votes is not its last
        day.
        """
        papers: dict[str, Paper] = {}
        listed: dict[str, date] = {}
        places: dict[str, int] = {}
        names: set[str] = set()
        for each in days:
            for place, paper in enumerate((*each.papers, *(rising.paper for rising in each.rising))):
                if names.isdisjoint(paper.lookup_keys):
                    papers[paper.key], listed[paper.key], places[paper.key] = paper, each.day, place
                    names.update(paper.names)
        ranked = sorted(papers.values(), key=lambda paper: (-(paper.upvotes or 0), places[paper.key]))
        issue = replace(main, papers=tuple(ranked), rising=(), by_source=False, pinned={}, gains={})
        return cls(issue, listed, [(each.day, each.since or each.day) for each in days], most)

    def since(self, day: date) -> Week:
        """Those that were listed after `day`."""
        papers = tuple(paper for paper in self.issue.papers if self.listed[paper.key] > day)
        first = min((first for on, first in self.days if on > day), default=self.issue.day)
        since = first if first < self.issue.day else None
        return replace(self, issue=replace(self.issue, papers=papers, since=since))


@dataclass(frozen=True, slots=True)
class Day:
    """The main edition of a day, the issue with all papers of the day that passed the filters, and those of the week.

    The late risers of `candidates` can be picked too. `week` has the papers of this issue and of past ones, for weekly
    readers. `frequencies` are those of the papers listed lately; None for those of the day.
    """

    main: Issue
    candidates: Issue
    week: Week | None = None
    frequencies: Frequencies | None = None

    @property
    def papers(self) -> tuple[Paper, ...]:
        """All papers of the day that its editions may show."""
        return (*self.candidates.papers, *(rising.paper for rising in self.candidates.rising))


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


class _Group(NamedTuple):
    """What readers of one edition have alike, as in Wish; `papers` is Choice.of_papers, `spelled` as in Selector."""

    papers: tuple[Selector | None, bool, bool]
    spelled: tuple[tuple[str, ...], ...]
    seen: frozenset[str]
    say_nothing: bool
    since: date | None


@dataclass
class _Groups:
    """Readers by what they get."""

    found: dict[_Group, tuple[Choice, list[int]]] = field(default_factory=dict)

    def add(self, wish: Wish) -> None:
        """Sort in one reader."""
        choice = wish.choice
        spelled = choice.selector.spelled if choice.selector else ()
        key = _Group(choice.of_papers, spelled, wish.seen, choice.say_nothing, wish.since)
        self.found.setdefault(key, (choice, []))[1].append(wish.reader)


def plan(day: Day, wishes: Iterable[Wish]) -> Planned:
    """The editions of all who chose something; readers of the main edition are not named."""
    groups = _Groups()
    resting = []
    for wish in wishes:
        if wish.rests:
            resting.append(wish.reader)
        elif not wish.choice.is_main or wish.seen:
            groups.add(wish)
    offers: dict[date | None, _Offer] = {}
    editions: list[Edition] = []
    unfitting: list[int] = []
    for (*_, seen, _, since), (choice, readers) in groups.found.items():
        if since not in offers:
            offers[since] = _offer(day, since, offers.values())
        made = edition(offers[since].day, choice, offers[since].pool, seen | offers[since].old)
        if not made.papers and choice.say_nothing:
            unfitting += readers
        elif not _shows_the_same(made, day.main):
            editions.append(Edition(made, tuple(readers)))
    return Planned(tuple(editions), tuple(unfitting), tuple(resting))


def _shows_the_same(one: Issue, other: Issue) -> bool:
    """Whether two issues have the same papers. Nearly all differ in their first, and a paper has many fields."""
    if [paper.key for paper in one.papers[:1]] != [paper.key for paper in other.papers[:1]]:
        return False
    return (one.papers, one.rising) == (other.papers, other.rising)


@dataclass(frozen=True, slots=True)
class _Offer:
    """What readers with the same `since` can be shown: the pool of papers, without the `old` ones (Paper.key)."""

    day: Day
    pool: Candidates
    old: frozenset[str] = frozenset()


def _offer(day: Day, since: date | None, others: Iterable[_Offer]) -> _Offer:
    """The offer of weekly readers, whose papers are prepared once for all of them, or of the others."""
    if since is None or day.week is None:
        risen = (rising.paper for rising in day.candidates.rising)
        today = replace(day, week=None)
        return _Offer(today, Candidates.of((*day.candidates.papers, *risen), day.frequencies))
    week = day.week.since(since)
    made = (each.pool for each in others if each.day.week is not None)
    pool = next(made, None) or Candidates.of(day.week.issue.papers, day.frequencies)
    old = {paper.key for paper in day.week.issue.papers} - {paper.key for paper in week.issue.papers}
    return _Offer(replace(day, week=week), pool, frozenset(old))


def edition(day: Day, choice: Choice, pool: Candidates, seen: frozenset[str] = frozenset()) -> Issue:
    """The edition of a reader with `choice` who was shown the papers `seen`; without papers if none fits.

    `pool` holds the papers to pick from: those of the day, or of the week. For a weekly reader `day.week` has the
    papers that the edition may show, and `seen` those of the pool that it may not.
    """
    picks: Iterable[Pick] = picks_of(choice, pool)
    if seen:
        picks = (each for each in picks if each.paper.key not in seen)
    picks = list(islice(picks, choice.selector.papers if choice.selector else None))
    rest, rising = _rest(day, choice, seen.union([each.paper.key for each in picks]), pool)
    main, offered = (day.week.issue, day.week.issue.papers) if day.week is not None else (day.main, pool.papers)
    papers = (*[each.paper for each in picks], *rest)
    left_out = max(0, main.left_out + len(main.papers) - len(papers)) if rest else len(offered) - len(papers)
    return Issue(  # `replace` takes twice as long as all the rest
        day=main.day,
        papers=papers,
        ranked_by_votes=main.ranked_by_votes,
        by_source=main.by_source and not picks,
        left_out=left_out,
        skipped=main.skipped,
        seen=main.seen,
        pinned={key: why for key, why in main.pinned.items() if any(key == paper.key for paper in rest)},
        reasons={each.paper.key: each.reason for each in picks if each.reason},
        rising=rising,
        since=main.since,
        gains=main.gains,
        own=not choice.is_main,
        feedback=main.feedback,
    )


def picks_of(choice: Choice, pool: Candidates) -> Iterable[Pick]:
    """What the reader asked for, the best first, uncut.

    Who says only what they never want to see gets the main edition without it, or all papers of the day without it. On
    top of that main edition is what they want more of. The reasons are in the reader's own spelling.
    """
    selector = choice.selector
    if selector is None:
        return ()
    picks = every(selector, pool) if selector.asks or selector.more or not choice.on_top else ()
    picks = picks if selector.asks or not choice.on_top else (each for each in picks if each.reason)
    return _spelled(picks, selector) if selector.spelled else picks


def _spelled(picks: Iterable[Pick], selector: Selector) -> Iterator[Pick]:
    own = {
        reason: dict(zip(getattr(selector, kind), selector.own(kind), strict=True))
        for reason, kind in _CHOSEN.items()
        if getattr(selector, kind)
    }
    for each in picks:
        why = each.reason
        if why is None or why.kind not in own or (written := own[why.kind][why.words]) == why.words:
            yield each
        else:
            yield Pick(each.paper, _reason(why.kind, written), each.match)


@lru_cache(maxsize=4096)
def _reason(kind: ReasonKind, words: str) -> Reason:
    """The same reason for all who write it so: what a mail says of it is then made once."""
    return Reason(kind, words)


def _never(choice: Choice, pool: Candidates) -> set[str]:
    """The papers that mention what the reader never wants to see."""
    never = choice.selector.never if choice.selector else ()
    return {pool.papers[at].key for words in never for at in pool.saying(words)}


def _rest(
    day: Day, choice: Choice, done: frozenset[str], pool: Candidates
) -> tuple[tuple[Paper, ...], tuple[LateRiser, ...]]:
    """The papers of the main edition below what the reader asked for, and its late risers; without those in `done`.

    What the reader wants less of comes last, within its section if there are sections.
    """
    if choice.selector is not None and not choice.on_top:
        return (), ()
    refused = done | _never(choice, pool)
    main = day.week.issue if day.week is not None else day.main
    kept = _less_last([paper for paper in main.papers if paper.key not in refused], main, choice, pool)
    if day.week is not None:
        return kept[: day.week.most], ()
    return kept, tuple(each for each in day.main.rising if each.paper.key not in refused)


def _less_last(papers: Sequence[Paper], main: Issue, choice: Choice, pool: Candidates) -> tuple[Paper, ...]:
    if choice.selector is None or not choice.selector.less:
        return tuple(papers)
    last = {pool.papers[at].key for at in unwanted(choice.selector, pool)}
    names = dict.fromkeys(paper.source for paper in papers) if main.by_source else {}
    sections = {source: place for place, source in enumerate(names)}
    return tuple(sorted(papers, key=lambda paper: (sections.get(paper.source, 0), paper.key in last)))
