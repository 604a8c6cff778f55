"""What is deleted when it is old: deliveries, which are then counted per issue, reports, runs, feeds' faults, notices.

Issues stay for the archive, and which papers they have shown. SQLite uses the freed pages again, so the file stays as
large as the kept rows need; it needs no VACUUM.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Table, bindparam, delete, exists, func, or_, select

from newsletter.model import OPEN
from newsletter.store.database import Part
from newsletter.store.editions import drop_pieces
from newsletter.store.issues import WAS_ACCEPTED
from newsletter.store.schema import deliveries, delivery_counts, feed_faults, issues, notices, renderings, reports, runs

_BATCH: Final = 1_000  # rows deleted in one transaction: others wait for a few milliseconds

# Rows deleted in one run, so that a store which was never pruned holds up no run for long; the next run goes on.
_MOST: Final = 200_000

_SETTLED: Final = deliveries.c.state.not_in(OPEN)

_DELIVERIES_BEFORE: Final = bindparam("deliveries_before", type_=issues.c.day.type)
_REPORTS_BEFORE: Final = bindparam("reports_before", type_=reports.c.read_at.type)
_RUNS_BEFORE: Final = bindparam("runs_before", type_=runs.c.started_at.type)

# The oldest issue with deliveries to delete, and the runs that nobody counts days from any more.
_HAS_OLD: Final = (
    issues.c.day < _DELIVERIES_BEFORE,
    exists().where(deliveries.c.issue_id == issues.c.id, _SETTLED),
)
_OLDEST: Final = select(issues.c.id).where(*_HAS_OLD).order_by(issues.c.day).limit(1)
_SERVED: Final = select(func.max(issues.c.day)).where(WAS_ACCEPTED).scalar_subquery()
_DONE_RUNS: Final = or_(runs.c.day.is_(None), runs.c.day <= _SERVED)

# Of which tables something is old, asked at once: in most runs of nearly all tables nothing is.
_OLD: Final = select(
    exists().where(*_HAS_OLD).label("deliveries"),
    exists().where(reports.c.read_at < _REPORTS_BEFORE).label("reports"),
    exists().where(runs.c.started_at < _RUNS_BEFORE, _DONE_RUNS).label("runs"),
    exists().where(feed_faults.c.at < _RUNS_BEFORE).label("feed_faults"),
    exists().where(notices.c.made_at < _RUNS_BEFORE).label("notices"),
)


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
        values = {
            "deliveries_before": deliveries_before,
            "reports_before": reports_before,
            "runs_before": runs_before,
        }
        with self._db.read() as connection:
            old = connection.execute(_OLD, values).one()  # nothing is before None
        batches: tuple[tuple[bool, Callable[[], int]], ...] = (
            (old.deliveries, lambda: self._prune_deliveries(deliveries_before)),
            (old.reports, lambda: self._prune_rows(reports, reports.c.digest, reports.c.read_at < reports_before)),
            (old.runs, lambda: self._prune_rows(runs, runs.c.id, runs.c.started_at < runs_before, _DONE_RUNS)),
            (old.feed_faults, lambda: self._prune_small(feed_faults, feed_faults.c.at < runs_before)),
            (old.notices, lambda: self._prune_small(notices, notices.c.made_at < runs_before)),
        )
        deleted = 0
        for is_old, batch in batches:
            while is_old and deleted < _MOST and not stop() and (number := batch()):
                deleted += number
        return deleted

    def _prune_deliveries(self, before: date | None) -> int:
        """Replace up to a batch of the oldest issue's deliveries by their counts; returns how many."""
        with self._db.read() as connection:
            issue = connection.execute(_OLDEST, {"deliveries_before": before}).scalar()
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

    def _prune_small(self, table: Table, old: ColumnElement[bool]) -> int:
        """Delete the old rows of a table that gets a few rows a day; returns how many."""
        with self._db.write() as connection:
            return connection.execute(delete(table).where(old)).rowcount

    def _prune_rows(self, table: Table, key: ColumnElement[Any], *old: ColumnElement[bool]) -> int:
        """Delete up to a batch of the old rows; returns how many."""
        with self._db.read() as connection:
            keys = connection.execute(select(key).where(*old).limit(_BATCH)).scalars().all()
        if keys:
            with self._db.write() as connection:
                connection.execute(delete(table).where(key.in_(keys)))
        return len(keys)
