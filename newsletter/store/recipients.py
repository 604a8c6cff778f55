"""Who gets an issue that is being frozen: one row of `deliveries` for each copy, with its edition and its due time.

    readers who chose nothing: the main edition, in the order of the list
    the others: their editions one after the other, those with a due time last

A claim takes rows in their order, so that copies which are not due yet stand behind the others, and copies of one
edition are made one after the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, bindparam, exists, func, insert, literal, not_, select, update

from newsletter.issue.hours import due_at
from newsletter.model import Editions, State
from newsletter.store.choices import wanting
from newsletter.store.database import execute_many
from newsletter.store.jobs import Jobs
from newsletter.store.schema import choices, deliveries, issues, shards, subscribers
from newsletter.store.shard_table import divide, number_of_shards

NEW_COPY: Final = ("issue_id", "rendering_id", "subscriber_id", "address", "state", "shard")

_OWN: Final = ("rendering_id", "subscriber_id", "address", "due_at", "ends_at", "shard")  # columns of OwnCopy.row

_BATCH: Final = 1000  # rows read together

_CHOSE: Final = exists().where(choices.c.subscriber_id == subscribers.c.id)


@dataclass(frozen=True, slots=True)
class NewIssue:
    """An issue that is being frozen: its rows of `issues` and `renderings`, its day, and how long its copies live."""

    id: int
    main: int  # the rendering
    day: date
    frozen_at: datetime
    lifetime: timedelta


@dataclass(frozen=True, slots=True)
class OwnCopy:
    """The copy of a reader who chose something: when it is due (UTC; None: at once), its edition, and whose it is."""

    due_at: datetime | None
    rendering: int
    reader: int
    address: str

    def row(self, issue: NewIssue, shard: int) -> dict[str, Any]:
        """What is its own in the row of `deliveries`."""
        return {
            "rendering_id": self.rendering,
            "subscriber_id": self.reader,
            "address": self.address,
            "due_at": self.due_at,
            "ends_at": None if self.due_at is None else self.due_at + issue.lifetime,
            "shard": shard,
        }


class Recipients(Jobs):
    """The part of the store that makes the copies of a new issue."""

    def _insert_deliveries(
        self, connection: Connection, issue: NewIssue, editions: Editions, renderings: Sequence[int]
    ) -> None:
        """One row for each reader who wants it; `renderings` has that of each of `editions.made`.

        The rows of who chose nothing are made inside the database: 100,000 readers need no round trip each. On
        PostgreSQL the rows are divided into shards, each of neighbours: a claim then reads few pages.
        """
        plain = (*wanting(issue.day), not_(_CHOSE))
        own = self._own_copies(connection, issue, editions, renderings)
        number, size, before = 1, 1, 0
        shard: ColumnElement[int] = literal(0)
        if self._db.file is None:
            count = select(func.count()).select_from(subscribers)
            before = connection.execute(count.where(*plain)).scalar_one()
            number = number_of_shards(before + len(own))
            size = max(1, math.ceil((before + len(own)) / number))
            shard = func.least((func.row_number().over(order_by=subscribers.c.id) - 1) // size, number - 1)
            connection.execute(update(issues).where(issues.c.id == issue.id).values(shards=number))
        copies = new_copies(issue.id, issue.main, shard).where(*plain).order_by(subscribers.c.id)
        connection.execute(insert(deliveries).from_select(NEW_COPY, copies))
        rows = [(min((before + at) // size, number - 1), each) for at, each in enumerate(own)]
        values = {name: bindparam(name) for name in _OWN} | {"issue_id": issue.id, "state": State.PENDING}
        own_rows = (copy.row(issue, shard) for shard, copy in rows)
        execute_many(connection, insert(deliveries).values(values), own_rows)
        self._change_editions(connection, issue, editions, renderings, {each.reader for each in own})
        divide(connection, issue.id, number)
        _put_off_shards(connection, issue.id, rows, before // size)
        self._defer_new(connection)

    def _own_copies(
        self, connection: Connection, issue: NewIssue, editions: Editions, renderings: Sequence[int]
    ) -> list[OwnCopy]:
        """The copies of the readers who chose something, in order; without those who get none.

        They are the only rows of an issue that take memory here: 0.3 KB each.
        """
        theirs = _renderings_by_reader(editions, renderings)
        due = {hour: due_at(issue.frozen_at, *hour) for hour in set(editions.hours.values())}
        query = select(subscribers.c.id, subscribers.c.address).where(*wanting(issue.day), _CHOSE)
        without = editions.unfitting | editions.resting
        own = []
        for reader, address in connection.execute(query.execution_options(yield_per=_BATCH)):
            if reader not in without:
                hour = editions.hours.get(reader)
                at = None if hour is None else due[hour]
                own.append(OwnCopy(at, theirs.get(reader, issue.main), reader, address))
        own.sort(key=lambda each: (each.due_at or issue.frozen_at, each.rendering, each.reader))
        return own

    def _change_editions(
        self,
        connection: Connection,
        issue: NewIssue,
        editions: Editions,
        renderings: Sequence[int],
        done: set[int],
    ) -> None:
        """Give editions to those who chose nothing: the operator, whose copy has the notes."""
        for reader, rendering in _renderings_by_reader(editions, renderings).items():
            if reader not in done:
                this = (deliveries.c.issue_id == issue.id, deliveries.c.subscriber_id == reader)
                connection.execute(update(deliveries).where(*this).values(rendering_id=rendering))


def new_copies(issue_id: int, rendering_id: int, shard: ColumnElement[int]) -> Select[Any]:
    """One row of `deliveries` for each reader, with the columns of NEW_COPY."""
    return select(
        literal(issue_id),
        literal(rendering_id),
        subscribers.c.id,
        subscribers.c.address,
        literal(State.PENDING, deliveries.c.state.type),
        shard,
    )


def _renderings_by_reader(editions: Editions, renderings: Sequence[int]) -> Mapping[int, int]:
    return {
        reader: rendering for made, rendering in zip(editions.made, renderings, strict=True) for reader in made.readers
    }


def _put_off_shards(connection: Connection, issue_id: int, rows: Sequence[tuple[int, OwnCopy]], mixed: int) -> None:
    """Let nobody look into shards before the first of their copies is due; shards up to `mixed` have others, too."""
    due: dict[int, list[datetime | None]] = {}
    for shard, copy in rows:
        due.setdefault(shard, []).append(copy.due_at)
    for shard, moments in due.items():
        times = [moment for moment in moments if moment is not None]
        if shard > mixed and len(times) == len(moments):
            this = (shards.c.issue_id == issue_id, shards.c.shard == shard)
            connection.execute(update(shards).where(*this).values(due_at=min(times)))
