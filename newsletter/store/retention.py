"""What is deleted when it is old: deliveries, which are then counted per issue, reports, runs, feeds' faults, notices.

Issues stay for the archive, and which papers they have shown. SQLite uses the freed pages again, so the file stays as
large as the kept rows need; it needs no VACUUM.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Table, delete, exists, func, or_, select

from newsletter.model import OPEN
from newsletter.store.database import Part
from newsletter.store.editions import drop_pieces
from newsletter.store.issues import WAS_ACCEPTED
from newsletter.store.schema import deliveries, delivery_counts, feed_faults, issues, notices, renderings, reports, runs

_BATCH: Final = 1_000  # rows deleted in one transaction: others wait for a few milliseconds

# Rows deleted in one run, so that a store which was never pruned holds up no run for long; the next run goes on.
_MOST: Final = 200_000

_SETTLED: Final = deliveries.c.state.not_in(OPEN)


class Retention(Part):
    """The part of the store that deletes what is old. Needs `sending_lock`. Raises StoreError."""

    def prune(
        self,
        *,
        deliveries_before: date | None,
        reports_before: datetime | None,
        runs_before: datetime | None,
        stop: Callable[[], bool] = lambda: False,
    ) -> int:
        """Delete settled deliveries of issues before a day, and reports and runs before a moment (UTC); None keeps all.

        Counts per issue stay right at every moment. Runs for days after the last issue that somebody got are kept,
        because days without an issue are counted from them. `stop` is asked between batches. Returns how many rows were
        deleted, 200,000 at most.
        """
        served = select(func.max(issues.c.day)).where(WAS_ACCEPTED).scalar_subquery()
        settled = or_(runs.c.day.is_(None), runs.c.day <= served)
        batches: tuple[Callable[[], int], ...] = (
            lambda: self._prune_deliveries(deliveries_before),
            lambda: self._prune_rows(reports, reports.c.digest, reports.c.read_at, reports_before),
            lambda: self._prune_rows(runs, runs.c.id, runs.c.started_at, runs_before, settled),
            lambda: self._prune_small(feed_faults, feed_faults.c.at, runs_before),
            lambda: self._prune_small(notices, notices.c.made_at, runs_before),
        )
        deleted = 0
        for batch in batches:
            while deleted < _MOST and not stop() and (number := batch()):
                deleted += number
        return deleted

    def _prune_deliveries(self, before: date | None) -> int:
        """Replace up to a batch of the oldest issue's deliveries by their counts; returns how many."""
        if before is None:
            return 0
        some = exists().where(deliveries.c.issue_id == issues.c.id, _SETTLED)
        oldest = select(issues.c.id).where(issues.c.day < before, some).order_by(issues.c.day).limit(1)
        with self._db.read() as connection:
            issue = connection.execute(oldest).scalar()
        if issue is None:
            return 0
        query = select(deliveries.c.id, deliveries.c.state).where(deliveries.c.issue_id == issue, _SETTLED)
        with self._db.write() as connection:
            rows = connection.execute(query.limit(_BATCH).with_for_update()).all()  # another may prune, too
            self._add_counts(connection, issue, Counter(row.state for row in rows))
            connection.execute(delete(deliveries).where(deliveries.c.id.in_([row.id for row in rows])))
            if len(rows) < _BATCH:  # none of the issue is left, but copies that can still move
                left = select(deliveries.c.rendering_id).where(deliveries.c.issue_id == issue)
                own = (renderings.c.issue_id == issue, renderings.c.edition.is_not(None))
                connection.execute(delete(renderings).where(*own, renderings.c.id.not_in(left)))
                drop_pieces(connection, issue)
        return len(rows)

    def _add_counts(self, connection: Connection, issue: int, copies: Counter[Any]) -> None:
        statement = self._db.insert(delivery_counts)
        added = statement.on_conflict_do_update(
            index_elements=[delivery_counts.c.issue_id, delivery_counts.c.state],
            set_={"copies": delivery_counts.c.copies + statement.excluded.copies},
        )
        values = [{"issue_id": issue, "state": state, "copies": number} for state, number in copies.items()]
        connection.execute(added, values)

    def _prune_small(self, table: Table, moment: ColumnElement[Any], before: datetime | None) -> int:
        """Delete the rows of before that moment from a table that gets a few rows a day; returns how many."""
        if before is None:
            return 0
        with self._db.read() as connection:
            old: int = connection.execute(select(func.count()).where(moment < before)).scalar_one()
        if old:
            with self._db.write() as connection:
                connection.execute(delete(table).where(moment < before))
        return old

    def _prune_rows(
        self,
        table: Table,
        key: ColumnElement[Any],
        moment: ColumnElement[Any],
        before: datetime | None,
        *which: ColumnElement[bool],
    ) -> int:
        """Delete up to a batch of the rows of before that moment; returns how many."""
        if before is None:
            return 0
        old = select(key).where(moment < before, *which).limit(_BATCH)
        with self._db.read() as connection:
            keys = connection.execute(old).scalars().all()
        if keys:
            with self._db.write() as connection:
                connection.execute(delete(table).where(key.in_(keys)))
        return len(keys)
