"""What readers chose beside the main edition, and the papers that it was or would have been picked from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Final

from sqlalchemy import Connection, delete, func, insert, select, update

from newsletter.issue.choice import Choice, ChoiceError
from newsletter.issue.selector import SelectorError
from newsletter.model import Issue, SubscriberStatus
from newsletter.store import contents
from newsletter.store.database import Part
from newsletter.store.locks import status_change
from newsletter.store.schema import choices, issues, renderings, subscribers

CANDIDATES_FOR: Final = timedelta(days=60)  # how long the candidates of an issue are kept

_ROW: Final = choices.c


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
                set_choice(connection, row, choice.canonical)
        return row is not None

    def choices(self) -> Iterator[tuple[int, Choice]]:
        """Every subscriber who chose something, by id, oldest first; memory use does not grow with the list."""
        rows = self._db.pages(select(_ROW.subscriber_id, _ROW.choice))
        return ((row.subscriber_id, read(row.choice)) for row in rows)

    def recent_candidates(self, days: int) -> list[tuple[date, Issue]]:
        """The papers from which editions of the latest issue's day and the `days` - 1 before could be picked.

        Each issue has all papers that passed the list's filters, before the cut, and its late risers; newest day first.
        Issues that were frozen by an earlier version have none.
        """
        latest = select(func.max(issues.c.day))
        query = select(issues.c.day, renderings.c.candidates).join_from(issues, renderings)
        with self._db.read() as connection:
            last: date | None = connection.execute(latest).scalar()
            if last is None:
                return []
            some = query.where(issues.c.day > last - timedelta(days=days), renderings.c.candidates.is_not(None))
            rows = connection.execute(some.order_by(issues.c.day.desc())).all()
        return [(row.day, contents.loaded(row.candidates)) for row in rows]


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


def set_choice(connection: Connection, subscriber_id: int, canonical: str) -> None:
    """Write a reader's row anew; none for the default."""
    connection.execute(delete(choices).where(_ROW.subscriber_id == subscriber_id))
    if canonical != Choice().canonical:
        connection.execute(insert(choices).values(subscriber_id=subscriber_id, choice=canonical))


def copy_choice(connection: Connection, old: int, new: int) -> None:
    """Let the reader of row `new` have what the one of row `old` chose."""
    kept: str | None = connection.execute(select(_ROW.choice).where(_ROW.subscriber_id == old)).scalar()
    set_choice(connection, new, kept or Choice().canonical)


def keep_candidates(connection: Connection, rendering_id: int, candidates: Issue) -> None:
    """Keep what editions of an issue that is being frozen were picked from, and drop what is too old."""
    kept = contents.dumped(candidates)
    connection.execute(update(renderings).where(renderings.c.id == rendering_id).values(candidates=kept))
    old = select(issues.c.id).where(issues.c.day < candidates.day - CANDIDATES_FOR)
    late = update(renderings).where(renderings.c.issue_id.in_(old), renderings.c.candidates.is_not(None))
    connection.execute(late.values(candidates=None))
