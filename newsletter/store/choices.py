"""What readers chose beside the main edition, and the papers that it was or would have been picked from."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, case, delete, func, insert, or_, select, union, update

from newsletter.issue.choice import Choice, ChoiceError, Wish
from newsletter.issue.selector import SelectorError
from newsletter.issue.weekly import LONGEST, Weekly
from newsletter.model import Issue, Paper, State, SubscriberStatus
from newsletter.store import contents
from newsletter.store.database import Part
from newsletter.store.locks import status_change
from newsletter.store.same_papers import keys_before
from newsletter.store.schema import (
    choices,
    deliveries,
    delivery_counts,
    issues,
    listed,
    renderings,
    storable,
    subscribers,
)

CANDIDATES_FOR: Final = timedelta(days=60)  # how long the candidates of an issue are kept

_CHUNK: Final = 500  # keys looked up together
_BATCH: Final = 1000  # rows read together
_LISTED_IN: Final = 7  # issues from a paper's first day on, of which one can show it

_ROW: Final = choices.c

# In a row of who wants one issue a week. A text that a reader chose has its quotation marks escaped.
_WEEKLY: Final = '"weekly":true'

_READERS: Final = select(_ROW.subscriber_id)
_WEEKLY_READERS: Final = _READERS.where(_ROW.choice.contains(_WEEKLY))

# Copies that were read, or may be yet.
_SHOWN: Final = deliveries.c.state.not_in((State.WITHDRAWN, State.REFUSED, State.EXPIRED))


class Choices(Part):
    """The part of the store that knows what readers chose."""

    def choice_of(self, ref: str) -> Choice:
        """What the subscriber `ref` chose; the default when they chose nothing, or are not known."""
        query = select(_ROW.choice).join_from(choices, subscribers).where(subscribers.c.ref == ref)
        with self._db.read() as connection:
            kept: str | None = connection.execute(query).scalar()
        return Choice() if kept is None else read(kept)

    def choose(self, ref: str, choice: Choice) -> bool:
        """Note what the reader `ref` chose; the next issue follows it. Returns False if they are not on the list."""
        reader = select(subscribers.c.id).where(
            subscribers.c.ref == ref, subscribers.c.status == SubscriberStatus.ACTIVE
        )
        with status_change(self._db) as connection:
            row: int | None = connection.execute(reader).scalar()
            if row is not None:
                set_choice(connection, row, choice.written)
        return row is not None

    def change_choice(self, ref: str, change: Callable[[Choice], Choice]) -> bool:
        """Note what `change` makes of the reader's choice, as `choose` does. If `change` raises, nothing changes."""
        query = select(subscribers.c.id, _ROW.choice).outerjoin_from(subscribers, choices)
        reader = query.where(subscribers.c.ref == ref, subscribers.c.status == SubscriberStatus.ACTIVE)
        with status_change(self._db) as connection:
            row = connection.execute(reader).first()
            if row is not None:
                set_choice(connection, row.id, change(read(row.choice) if row.choice else Choice()).written)
        return row is not None

    def choices(self) -> Iterator[tuple[int, Choice]]:
        """Every subscriber who chose something, by id, oldest first; memory use does not grow with the list."""
        rows = self._db.pages(select(_ROW.subscriber_id, _ROW.choice))
        return ((row.subscriber_id, read(row.choice)) for row in rows)

    def wishes(self, day: date, *, besides: int | None = None) -> list[Wish]:
        """What the readers who want an issue of `day` chose; `seen` is empty, see there.

        Copies that were withdrawn, refused or expired were not shown, nor are those of the issue of the id `besides`,
        which is being made anew. When weekly readers rest, and since when their papers are, says `issue.weekly`.
        """
        joined = case((_ROW.choice.contains(_WEEKLY), subscribers.c.status_at))  # a moment takes long to convert
        columns = (_ROW.subscriber_id, _ROW.choice, subscribers.c.days, joined)
        query = select(*columns).join_from(choices, subscribers).where(*wanting(day)).order_by(_ROW.subscriber_id)
        with self._db.read() as connection:
            found = [(reader, read(kept), days, joined) for reader, kept, days, joined in connection.execute(query)]
            weeks = _Weeks.of(connection, day, besides) if any(choice.weekly for _, choice, _, _ in found) else None
        return [
            weeks.wish(reader, choice, days, joined.date())
            if weeks and choice.weekly and joined
            else Wish(reader, choice, rests=not days >> day.weekday() & 1)  # a weekly row that cannot be read
            for reader, choice, days, joined in found
        ]

    def seen(
        self, papers: Collection[Paper], *, besides: int | None = None, weekly: bool = False
    ) -> dict[int, frozenset[str]]:
        """Which of `papers` each reader who chose something was shown before (Paper.key); see `wishes`.

        With `weekly` only the readers who want one issue a week.
        """
        with self._db.read() as connection:
            same = keys_before(connection, papers, besides)
            found = _seen(connection, same, _WEEKLY_READERS if weekly else _READERS, besides)
        return {reader: frozenset(keys) for reader, keys in found.items()}

    def recent_candidates(self, days: int, *, before: date | None = None) -> list[tuple[date, Issue]]:
        """The papers from which editions of the latest issue's day and the `days` - 1 before could be picked.

        With `before`, the latest issue is the latest one of a day before that. Each issue has all papers that passed
        the list's filters, before the cut, and its late risers; newest day first. Issues that were frozen by an earlier
        version have none.
        """
        latest = select(func.max(issues.c.day))
        query = select(issues.c.day, renderings.c.candidates).join_from(issues, renderings)
        if before is not None:
            latest, query = latest.where(issues.c.day < before), query.where(issues.c.day < before)
        with self._db.read() as connection:
            last: date | None = connection.execute(latest).scalar()
            if last is None:
                return []
            some = query.where(issues.c.day > last - timedelta(days=days), renderings.c.candidates.is_not(None))
            rows = connection.execute(some.order_by(issues.c.day.desc())).all()
        return [(row.day, contents.loaded(row.candidates)) for row in rows]

    def listed_paper(self, key: str) -> Paper | None:
        """The paper `key` (any text), as the first issue that could show it had it; None if none of 60 days could."""
        first = select(func.min(listed.c.day)).where(listed.c.key == storable(key))
        query = select(renderings.c.candidates).join_from(renderings, issues).order_by(issues.c.day)
        with self._db.read() as connection:
            day: date | None = connection.execute(first).scalar()
            if day is None:
                return None
            late = query.where(issues.c.day >= day, renderings.c.candidates.is_not(None)).limit(_LISTED_IN)
            for kept in connection.execute(late).scalars():
                issue = contents.loaded(kept)
                for paper in (*issue.papers, *(rising.paper for rising in issue.rising)):
                    if paper.key == key:
                        return paper
        return None


def _seen(
    connection: Connection, same: Mapping[str, Collection[str]], readers: Select[int], besides: int | None
) -> dict[int, set[str]]:
    """Which papers each of `readers` (a query for their ids) was shown, by the editions that they got.

    `same` has the keys that the papers in question had then, each with those of the same paper now.
    """
    first: date | None = None
    asked = sorted(map(storable, same))
    for start in range(0, len(asked), _CHUNK):
        oldest = select(func.min(listed.c.day)).where(listed.c.key.in_(asked[start : start + _CHUNK]))
        listed_on: date | None = connection.execute(oldest).scalar()
        first = min(filter(None, (first, listed_on)), default=None)
    if first is None:
        return {}
    late = and_(issues.c.day >= first, issues.c.id != (besides or 0))
    query = select(renderings.c.id, renderings.c.papers).join_from(renderings, issues)
    shown: dict[int, set[str]] = {}
    for row in connection.execute(query.where(late, renderings.c.papers.is_not(None)).execution_options(yield_per=500)):
        if known := {now for key in json.loads(row.papers) if key in same for now in same[key]}:
            shown[row.id] = known
    found: dict[int, set[str]] = {}
    if shown:
        of_issues = deliveries.c.issue_id.in_(select(issues.c.id).where(late))
        for reader, row in _copies(connection, readers, of_issues):
            if known := shown.get(row.rendering_id, set()):
                found.setdefault(reader, set()).update(known)
    return found


def _moved(connection: Connection, readers: Select[int]) -> dict[int, int]:
    """The rows of `readers` (a query for their ids) at the addresses that they moved from, each with their row now."""
    query = select(subscribers.c.id, subscribers.c.moved_to).where(subscribers.c.moved_to.is_not(None))
    later = {row.id: row.moved_to for row in connection.execute(query)}
    if not later:
        return {}
    theirs = set(connection.execute(readers).scalars())
    found = {}
    for old in later:
        now, moves = old, len(later)
        while now in later and moves:  # not for ever
            now, moves = later[now], moves - 1
        if now in theirs:
            found[old] = now
    return found


def _copies(connection: Connection, readers: Select[int], *which: ColumnElement[bool]) -> Iterator[tuple[int, Any]]:
    """The copies that `readers` (a query for their ids) got, or may get yet; each with the id of its reader.

    What they got at an address from which they moved is among them.
    """
    moved = _moved(connection, readers)
    old = select(subscribers.c.id).where(subscribers.c.id.in_(moved))
    theirs = (union(readers, old) if moved else readers).subquery()
    columns = (deliveries.c.subscriber_id, deliveries.c.rendering_id, deliveries.c.issue_id)
    query = select(*columns).join_from(theirs, deliveries, deliveries.c.subscriber_id == theirs.c.subscriber_id)
    for row in connection.execute(query.where(*which, _SHOWN).execution_options(yield_per=_BATCH)):
        yield moved.get(row.subscriber_id, row.subscriber_id), row


@dataclass(frozen=True, slots=True)
class _Weeks:
    """What is known of weekly readers: their `mails` by reader, and when the list's `issues` were frozen, by day.

    Both are of the issue's week and of the weeks that one of theirs may cover. `known` as in `Weekly.since`.
    """

    day: date
    mails: Mapping[int, Sequence[date]]
    issues: Mapping[date, datetime]
    known: date

    @classmethod
    def of(cls, connection: Connection, day: date, besides: int | None) -> _Weeks:
        """Look it up for the issue of `day`; the issue of the id `besides` is being made anew."""
        others = issues.c.id != (besides or 0)
        sunday = day + timedelta(days=6 - day.weekday())
        columns = select(issues.c.id, issues.c.day, issues.c.frozen_at)
        rows = connection.execute(columns.where(others, issues.c.day >= day - LONGEST, issues.c.day <= sunday)).all()
        days = {row.id: row.day for row in rows}
        mails: dict[int, list[date]] = {}
        for reader, row in _copies(connection, _WEEKLY_READERS, deliveries.c.issue_id.in_(days)):
            mails.setdefault(reader, []).append(days[row.issue_id])
        counted = select(func.max(issues.c.day)).join_from(delivery_counts, issues).where(issues.c.day < day)
        frozen = {row.day: row.frozen_at for row in rows}
        return cls(day, mails, frozen, connection.execute(counted).scalar() or date.min)

    def wish(self, reader: int, choice: Choice, days: int, joined: date) -> Wish:
        """The wish of a weekly reader; `days` and `joined` are as in `Weekly`."""
        weekly = Weekly(days, joined, self.mails.get(reader, ()))
        due, since = weekly.is_due(self.day, self.issues), weekly.since(self.day, self.known, self.issues)
        return Wish(reader, choice, rests=not due, since=since)


def read(kept: str) -> Choice:
    """The choice of a row, without an hour if its zone is no longer known on this machine."""
    try:
        return Choice.loaded(kept)
    except SelectorError:
        return Choice()
    except ChoiceError as error:
        if error.field != "zone":
            return Choice()
        known = json.loads(kept)
        return read(json.dumps({name: value for name, value in known.items() if name not in ("hour", "zone")}))


@lru_cache(maxsize=4)  # a run asks for its day some times, and SQLAlchemy takes longer to make it than to ask
def wanting(day: date) -> tuple[ColumnElement[bool], ...]:
    """The readers who want an issue of `day`: active, on that weekday, not paused.

    Who wants one a week may get it on another weekday: `Choices.wishes` says who rests.
    """
    theirs = choices.alias()  # not the table of a query that this is a part of
    weekly = subscribers.c.id.in_(select(theirs.c.subscriber_id).where(theirs.c.choice.contains(_WEEKLY)))
    return (
        subscribers.c.status == SubscriberStatus.ACTIVE,
        or_(of_weekday(day), and_(subscribers.c.days != 0, weekly)),
        or_(subscribers.c.paused_until.is_(None), subscribers.c.paused_until <= day),
    )


def of_weekday(day: date) -> ColumnElement[bool]:
    """The readers who chose the weekday of `day`."""
    return subscribers.c.days.bitwise_and(1 << day.weekday()) != 0


def set_choice(connection: Connection, subscriber_id: int, written: str) -> None:
    """Write a reader's row anew; none for the default."""
    connection.execute(delete(choices).where(_ROW.subscriber_id == subscriber_id))
    if written != Choice().written:
        connection.execute(insert(choices).values(subscriber_id=subscriber_id, choice=written))


def copy_choice(connection: Connection, old: int, new: int) -> None:
    """Let the reader of row `new` have what the one of row `old` chose."""
    kept: str | None = connection.execute(select(_ROW.choice).where(_ROW.subscriber_id == old)).scalar()
    set_choice(connection, new, kept or Choice().written)


def keep_candidates(connection: Connection, rendering_id: int, candidates: Issue) -> None:
    """Keep what editions of an issue that is being frozen were picked from, and drop what is too old."""
    kept = contents.dumped(candidates)
    connection.execute(update(renderings).where(renderings.c.id == rendering_id).values(candidates=kept))
    old = select(issues.c.id).where(issues.c.day < candidates.day - CANDIDATES_FOR)
    late = update(renderings).where(renderings.c.issue_id.in_(old), renderings.c.candidates.is_not(None))
    connection.execute(late.values(candidates=None))
