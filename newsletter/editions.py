"""Pick and render the editions of a prepared issue: what each reader chose instead of the main edition.

Nothing that a reader chose is printed or logged here, and no edition but the main one is in the archive.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import chain, islice
from typing import Final

from newsletter.config import Config
from newsletter.issue import editions as planning
from newsletter.issue.editions import Day, Planned, Wish
from newsletter.issue.matching import Frequencies
from newsletter.mail.lint import Level, lint
from newsletter.mail.render import Renderer
from newsletter.model import Editions, Issue, Paper, RenderedEdition, RenderedIssue
from newsletter.prepare import Prepared, renderer
from newsletter.runtime import Runtime
from newsletter.store import Store
from newsletter.text import count

_WEEK: Final = 7  # days
_LATELY: Final = 21  # days whose papers tell how frequent words are
_COUNTED: Final = 1000  # papers of them, the newest


def make(
    config: Config, prepared: Prepared, store: Store, runtime: Runtime, *, again: bool, replaces: int | None
) -> Editions:
    """The editions of all readers who chose something, and the operator's, if there are notes.

    With `again` the issue may repeat papers of earlier ones, and so may its editions. `replaces` is the id of an issue
    that this one is put in place of. The reader at `sending.canary` gets the mail at once, whatever they chose. Raises
    TemplateError.
    """
    issue = prepared.issue
    wishes = store.wishes(issue.day, _at_hand(prepared, store), besides=replaces)
    if again:
        wishes = [replace(wish, seen=frozenset()) for wish in wishes]
    canary, operator = _id(store, config.sending.canary), _operator(config, store)
    wishes = [replace(wish, rests=wish.rests and wish.reader != canary) for wish in wishes]
    planned = planning.plan(_day(prepared, store, wishes), wishes) if wishes else Planned()
    noted = operator if prepared.noted != prepared.rendered else None
    made = _rendered(_Task(renderer(config), prepared, noted, runtime), planned)
    return Editions(
        made,
        unfitting=frozenset(planned.unfitting) - {canary},
        resting=frozenset(planned.resting),
        hours={
            wish.reader: (wish.choice.hour, wish.choice.zone or config.timezone.key)
            for wish in wishes
            if wish.choice.hour is not None and wish.reader != canary
        },
    )


def _id(store: Store, address: str | None) -> int | None:
    reader = store.find(address) if address else None
    return reader.id if reader else None


def _operator(config: Config, store: Store) -> int | None:
    """The reader whose copy has the notes: the one at `alerts.address`, else at `sending.canary`."""
    return _id(store, config.alerts.address or config.sending.canary)


def _at_hand(prepared: Prepared, store: Store) -> list[Paper]:
    """All papers that any edition of this issue may show."""
    return [*_papers(prepared.candidates), *chain.from_iterable(map(_papers, _week(prepared, store)))]


def _week(prepared: Prepared, store: Store) -> list[Issue]:
    """The candidates of the issues of the six days before, newest first."""
    day = prepared.issue.day
    return [issue for on, issue in store.recent_candidates(_WEEK) if day - timedelta(days=_WEEK) < on < day]


def _papers(issue: Issue) -> Sequence[Paper]:
    return (*issue.papers, *(rising.paper for rising in issue.rising))


def _day(prepared: Prepared, store: Store, wishes: Sequence[Wish]) -> Day:
    """What the editions are picked from; only what these wishes need is looked up."""
    week = None
    if any(wish.choice.weekly for wish in wishes):
        week = planning.week([prepared.candidates, *_week(prepared, store)], prepared.issue)
    lately = None
    if any(_matches(wish) for wish in wishes):
        recent = chain.from_iterable(_papers(issue) for _, issue in store.recent_candidates(_LATELY))
        lately = Frequencies.of(islice(_once((*_papers(prepared.candidates), *recent)), _COUNTED))
    return Day(prepared.issue, prepared.candidates, week, lately)


def _matches(wish: Wish) -> bool:
    selector = wish.choice.selector
    return selector is not None and bool(selector.topics or selector.more or selector.less)


def _once(papers: Iterable[Paper]) -> Iterable[Paper]:
    return {paper.key: paper for paper in papers}.values()


@dataclass(frozen=True)
class _Task:
    """What renders the editions, and whose copy has the notes; None if there are none."""

    renderer: Renderer
    prepared: Prepared
    operator: int | None
    runtime: Runtime


def _rendered(task: _Task, planned: Planned) -> tuple[RenderedEdition, ...]:
    """The editions as mails; one that fails the checks of a mail is left out, and its readers get the main edition."""
    made: list[RenderedEdition] = []
    failed = 0
    for each in planned.editions:
        issue = replace(each.issue, notes=task.prepared.issue.notes if task.operator in each.readers else ())
        plain, noted = _mails(task, issue)
        if any(finding.level is Level.ERROR for finding in lint(plain)):
            failed += 1
            continue
        keys = tuple(paper.key for paper in _papers(issue))
        readers = tuple(reader for reader in each.readers if reader != task.operator or noted is plain)
        made += [RenderedEdition(plain, keys, readers)] if readers else []
        made += [RenderedEdition(noted, keys, (task.operator,))] if task.operator and noted is not plain else []
    if failed:
        task.runtime.warn(f"{count(failed, 'edition')} failed the checks of a mail; their readers get the main edition")
    return (*made, *_noted(task, made))


def _mails(task: _Task, issue: Issue) -> tuple[RenderedIssue, RenderedIssue]:
    """The mail without and with the notes."""
    if issue.papers:
        return task.renderer.noted(issue)
    nothing = task.renderer.nothing(task.prepared.issue)
    return nothing, nothing


def _noted(task: _Task, made: Sequence[RenderedEdition]) -> tuple[RenderedEdition, ...]:
    """The main edition with the notes, for an operator who has no edition of their own."""
    if task.operator is None or any(task.operator in each.readers for each in made):
        return ()
    keys = tuple(paper.key for paper in task.prepared.shown)
    return (RenderedEdition(task.prepared.noted, keys, (task.operator,)),)
