"""What an operator may take back: an issue that is withdrawn or made anew, a wait that is cut short."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, delete, func, select, update

from newsletter.model import TRANSITIONS, State
from newsletter.store.database import Part
from newsletter.store.locks import status_change
from newsletter.store.schema import (
    OPEN_ROWS,
    deliveries,
    delivery_counts,
    issue_papers,
    issues,
    listed,
    renderings,
    reports,
    shards,
    shown,
)
from newsletter.store.shard_table import close_finished, reopen

# Copies in these states may be in somebody's inbox.
_ARRIVED: Final = (State.ACCEPTED, State.SENDING, State.UNCERTAIN)

_WITHDRAWABLE: Final = tuple(source for source, targets in TRANSITIONS.items() if State.WITHDRAWN in targets)


class Corrections(Part):
    """The part of the store that takes back what was decided about an issue."""

    def may_have_arrived(self, issue_id: int) -> int:
        """How many copies of the issue were accepted, are being sent, or are uncertain."""
        with self._db.read() as connection:
            return may_have_arrived(connection, issue_id)

    def withdraw(self, issue_id: int) -> int:
        """Send nothing more of the issue, also when another process is sending it; returns how many copies stay unsent.

        No reader who joins later gets it either. Copies that are being sent at this moment are finished. When no copy
        may have arrived, later issues may show the papers of this one.
        """
        unsent = (deliveries.c.issue_id == issue_id, deliveries.c.state.in_(_WITHDRAWABLE))
        change = update(deliveries).where(OPEN_ROWS, *unsent)
        with status_change(self._db) as connection:  # no copy begins meanwhile
            number = connection.execute(change.values(state=State.WITHDRAWN, claimed_by=None)).rowcount
            close_finished(connection, issue_id)
            connection.execute(update(issues).where(issues.c.id == issue_id).values(withdrawn_at=self._now()))
            if may_have_arrived(connection, issue_id) == 0:
                connection.execute(delete(shown).where(shown.c.issue_id == issue_id))
        return number

    def due_now(self, issue_id: int) -> None:
        """Let the copies that were put off be tried at once: the operator has decided so."""
        now = self._now()
        waiting = (
            deliveries.c.issue_id == issue_id,
            deliveries.c.state == State.DEFERRED,
            deliveries.c.not_before > now,
        )
        with self._db.write() as connection:
            reopen(connection, issue_id)
            connection.execute(update(deliveries).where(OPEN_ROWS, *waiting).values(not_before=now))


def may_have_arrived(connection: Connection, issue_id: int) -> int:
    """How many copies of the issue may be in somebody's inbox."""
    rows = select(func.count()).where(deliveries.c.issue_id == issue_id, deliveries.c.state.in_(_ARRIVED))
    pruned = select(func.coalesce(func.sum(delivery_counts.c.copies), 0)).where(
        delivery_counts.c.issue_id == issue_id, delivery_counts.c.state.in_(_ARRIVED)
    )
    return sum(int(connection.execute(query).scalar_one()) for query in (rows, pruned))


def discard(connection: Connection, issue_id: int) -> None:
    """Delete the issue with all that was noted for it: it is being made anew."""
    day = select(issues.c.day).where(issues.c.id == issue_id).scalar_subquery()
    connection.execute(delete(listed).where(listed.c.day == day))
    connection.execute(update(reports).where(reports.c.issue_id == issue_id).values(issue_id=None))
    for table in (deliveries, delivery_counts, shown, issue_papers, renderings, shards):
        connection.execute(delete(table).where(table.c.issue_id == issue_id))
    connection.execute(delete(issues).where(issues.c.id == issue_id))
