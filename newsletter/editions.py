"""Pick and render the editions of a prepared issue: what each reader chose instead of the main edition.

Nothing that a reader chose is printed or logged here, and no edition but the main one is in the archive.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import chain, islice
from typing import Final

from newsletter.config import Config
from newsletter.issue import editions as planning
from newsletter.issue.choice import Wish
from newsletter.issue.editions import Day, Edition, Planned, Week
from newsletter.issue.matching import Frequencies
from newsletter.issue.weekly import LONGEST
from newsletter.mail.cutting import CannotCut
from newsletter.mail.joining import joined
from newsletter.mail.lint import Level, lint
from newsletter.mail.pieces import Pieces
from newsletter.mail.render import Renderer
from newsletter.model import Editions, Issue, Paper, Piece, RenderedEdition, RenderedIssue
from newsletter.prepare import Prepared, renderer
from newsletter.runtime import Runtime
from newsletter.store import Store
from newsletter.text import count

_LATELY: Final = timedelta(days=21)  # before the last issue: whose papers tell how frequent words are
_COUNTED: Final = 1000  # papers of them, the newest

_AT_ONCE: Final = 2000  # editions that are laid out together
_COMPARED: Final = 3  # joined editions that are compared with the same rendered as a whole
_LINTED: Final = 5  # joined editions that are linted


@contextmanager
def _without_collections() -> Iterator[None]:
    """Let no cycles be looked for, nor later among what was made here: millions of values without cycles.

    Each search would read them all again. Without references they are freed as ever.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


@_without_collections()
def make(
    config: Config, prepared: Prepared, store: Store, runtime: Runtime, *, again: bool, replaces: int | None
) -> Editions:
    """The editions of all readers who chose something, and the operator's, if there are notes.

    With `again` the issue may repeat papers of earlier ones, and so may its editions. `replaces` is the id of an issue
    that this one is put in place of. The reader at `sending.canary` gets the mail at once, whatever they chose. Raises
    TemplateError.
    """
    wishes = store.wishes(prepared.issue.day, besides=replaces)
    canary, operator = _id(store, config.sending.canary), _operator(config, store)
    wishes = [replace(wish, rests=False) if wish.reader == canary else wish for wish in wishes]
    wide = any(_matches(wish) or wish.since is not None for wish in wishes if not wish.rests)
    recent = store.recent_candidates(max(LONGEST, _LATELY).days, before=prepared.issue.day) if wide else []
    day = _day(prepared, recent, wishes, max(config.issue.max_papers, len(prepared.issue.papers)))
    if wishes and not again:
        seen = store.seen(day.papers, besides=replaces)
        if day.week is not None:
            seen |= store.seen(day.week.issue.papers, besides=replaces, weekly=True)
        wishes = [replace(wish, seen=seen[wish.reader]) if wish.reader in seen else wish for wish in wishes]
    planned = planning.plan(day, wishes) if wishes else Planned()
    noted = operator if prepared.noted != prepared.rendered else None
    made, pieces = _rendered(_Task(renderer(config), prepared, noted, runtime), planned)
    return Editions(
        made,
        pieces,
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


def _papers(issue: Issue) -> Sequence[Paper]:
    return (*issue.papers, *(rising.paper for rising in issue.rising))


def _day(prepared: Prepared, recent: Sequence[tuple[date, Issue]], wishes: Sequence[Wish], most: int) -> Day:
    """What the editions are picked from; only what these wishes need is made.

    `recent` are candidates of the days before, newest first; the main edition of a week has `most` papers.
    """
    weekly = [wish.since for wish in wishes if wish.since is not None and not wish.rests]
    week = None
    if weekly:
        days = [issue for on, issue in recent if on > min(weekly)]
        week = Week.of([prepared.candidates, *days], prepared.issue, most)
    lately = None
    if any(_matches(wish) for wish in wishes):
        papers = chain.from_iterable(_papers(issue) for on, issue in recent if on > recent[0][0] - _LATELY)
        lately = Frequencies.of(islice(_once((*_papers(prepared.candidates), *papers)), _COUNTED))
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


def _rendered(task: _Task, planned: Planned) -> tuple[tuple[RenderedEdition, ...], tuple[Piece, ...]]:
    """The editions as mails, and their pieces.

    An edition that fails the checks of a mail is left out, and its readers get the main edition.
    """
    fitting = [each for each in planned.editions if each.issue.papers]
    plain = [each for each in fitting if task.operator not in each.readers]
    theirs = [each for each in fitting if task.operator in each.readers]
    unfitting: dict[date | None, list[int]] = {}  # readers by the first day of what was picked from
    for each in planned.editions:
        if not each.issue.papers:
            unfitting.setdefault(each.issue.since, []).extend(each.readers)
    made, pieces = _joined(task, plain) or (_whole(task, plain), [])
    made = [*made, *_whole(task, theirs, notes=True)]
    for since, readers in unfitting.items():
        said = task.renderer.nothing(replace(task.prepared.issue, since=since))
        made.append(RenderedEdition(said, (), tuple(readers)))
    linted = _linted(task, made, pieces)
    return (*linted, *_noted(task, linted)), tuple(pieces)


def _joined(task: _Task, editions: Sequence[Edition]) -> tuple[list[RenderedEdition], list[Piece]] | None:
    """The editions as numbers of pieces; None, with a warning, if the templates do not allow that."""
    pieces = Pieces(task.renderer)
    made: list[RenderedEdition] = []
    try:
        for start in range(0, len(editions), _AT_ONCE):
            some = editions[start : start + _AT_ONCE]
            for each, edition in zip(some, pieces.editions([each.issue for each in some]), strict=True):
                if len(made) < _COMPARED:
                    _compare(task.renderer, each.issue, joined(edition, pieces.made, each.issue.day))
                made.append(RenderedEdition(edition, _keys(each.issue), each.readers))
    except CannotCut:
        task.runtime.warn(
            "each edition is rendered as a whole, which takes a hundred times as long: the mails of the folder"
            " `templates` cannot be joined from pieces; templates/README.md says what they need"
        )
        return None
    return made, pieces.made


def _compare(renderer: Renderer, issue: Issue, made: RenderedIssue) -> None:
    """Raise CannotCut if an edition that is joined differs from the same rendered as a whole."""
    if made != renderer.issue(issue):
        raise CannotCut


def _whole(task: _Task, editions: Iterable[Edition], *, notes: bool = False) -> list[RenderedEdition]:
    """The editions rendered one by one; with `notes` the operator's copy has those for the operator."""
    made = []
    for each in editions:
        shown = replace(each.issue, notes=task.prepared.issue.notes if notes else ())
        plain, noted = task.renderer.noted(shown)
        readers = tuple(reader for reader in each.readers if not notes or reader != task.operator or noted is plain)
        made += [RenderedEdition(plain, _keys(shown), readers)] if readers else []
        if notes and task.operator is not None and noted is not plain:
            made.append(RenderedEdition(noted, _keys(shown), (task.operator,)))
    return made


def _keys(issue: Issue) -> tuple[str, ...]:
    return tuple([paper.key for paper in issue.papers] + [rising.paper.key for rising in issue.rising])


def _linted(task: _Task, made: Sequence[RenderedEdition], pieces: Sequence[Piece]) -> list[RenderedEdition]:
    """Those that pass the checks of a mail. Of joined ones a sample is checked, and all if one of it fails."""
    day = task.prepared.issue.day

    def passes(edition: RenderedEdition) -> bool:
        whole = edition.rendered
        rendered = whole if isinstance(whole, RenderedIssue) else joined(whole, pieces, day)
        return not any(finding.level is Level.ERROR for finding in lint(rendered))

    checked = [each for each in made if isinstance(each.rendered, RenderedIssue)]
    sample = _sample([each for each in made if not isinstance(each.rendered, RenderedIssue)])
    failed = [each for each in (*checked, *sample) if not passes(each)]
    if any(each in sample for each in failed):
        failed = [each for each in made if not passes(each)]
    if failed:
        left_out = count(len(failed), "edition")
        task.runtime.warn(f"{left_out} failed the checks of a mail; their readers get the main edition")
    wrong = set(map(id, failed))
    return [each for each in made if id(each) not in wrong]


def _sample(made: Iterable[RenderedEdition]) -> list[RenderedEdition]:
    """A few editions that together show as many papers as possible."""
    shown: set[str] = set()
    sample: list[RenderedEdition] = []
    for each in made:
        if len(sample) < _LINTED and not shown.issuperset(each.papers):
            shown.update(each.papers)
            sample.append(each)
    return sample


def _noted(task: _Task, made: Sequence[RenderedEdition]) -> tuple[RenderedEdition, ...]:
    """The main edition with the notes, for an operator who has no edition of their own."""
    if task.operator is None or any(task.operator in each.readers for each in made):
        return ()
    keys = tuple(paper.key for paper in task.prepared.shown)
    return (RenderedEdition(task.prepared.noted, keys, (task.operator,)),)
