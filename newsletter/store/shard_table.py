"""The table `shards`: which slices of an issue's deliveries may have copies that can still move, and from when on."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, exists, insert, not_, or_, select, update

from newsletter.store.database import Database
from newsletter.store.schema import OPEN_ROWS, deliveries, shards

_MOST_SHARDS: Final = 256

# Whether a shard has copies that can still move; a condition in a query of `shards`.
_HAS_OPEN_ROWS: Final = (
    exists()
    .where(deliveries.c.issue_id == shards.c.issue_id, deliveries.c.shard == shards.c.shard, OPEN_ROWS)
    .correlate(shards)
)


def number_of_shards(copies: int) -> int:
    """How many shards an issue of so many copies has: half the square root, so that their number and size grow alike.

    10 of 40 copies for 400, 70 of 286 for 20,000; from 262,144 on there are 256.
    """
    return max(1, min(_MOST_SHARDS, math.isqrt(copies) // 2))


def due_shards(now: datetime) -> ColumnElement[bool]:
    """The condition of shards that may have copies to send at `now` (UTC)."""
    return and_(shards.c.open, or_(shards.c.due_at.is_(None), shards.c.due_at <= now))


def divide(connection: Connection, issue_id: int, number: int) -> None:
    """Note the shards of a new issue."""
    connection.execute(insert(shards), [{"issue_id": issue_id, "shard": shard} for shard in range(number)])


def reopen(connection: Connection, issue_id: int, shard: int | None = None) -> None:
    """Before copies of an issue are owed again or added: let every shard, or this one, be looked through once more."""
    change = update(shards).where(shards.c.issue_id == issue_id)
    if shard is not None:
        change = change.where(shards.c.shard == shard)
    connection.execute(change.values(open=True, due_at=None))


def close_finished(connection: Connection, issue_id: int) -> None:
    """After copies of an issue were given up: note which shards have none left that can move.

    The shards are locked by a statement of its own, so that a copy which somebody owes again is seen by the second.
    """
    of_issue = shards.c.issue_id == issue_id
    connection.execute(update(shards).where(of_issue, shards.c.open).values(due_at=None))
    connection.execute(update(shards).where(of_issue, shards.c.open, not_(_HAS_OPEN_ROWS)).values(open=False))


def has_open_rows(database: Database, issue_id: Any) -> ColumnElement[bool]:
    """The condition that an issue has copies which can still move; `issue_id` is a column of the query around it.

    SQLite has an index of such copies, and PostgreSQL looks into the shards that may have some.
    """
    if database.file is not None:
        return issue_id.in_(select(deliveries.c.issue_id).where(OPEN_ROWS))  # type: ignore[no-any-return]
    return issue_id.in_(select(shards.c.issue_id).where(shards.c.open, _HAS_OPEN_ROWS))  # type: ignore[no-any-return]


def may_have_open_rows(database: Database, issue_id: Any) -> ColumnElement[bool]:
    """As `has_open_rows`, without a look into the shards."""
    if database.file is not None:
        return has_open_rows(database, issue_id)
    return issue_id.in_(select(shards.c.issue_id).where(shards.c.open))  # type: ignore[no-any-return]
