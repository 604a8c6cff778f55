"""First copies: those that new readers were given of an issue that was frozen before they joined (issues.add_copy)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from sqlalchemy import ColumnElement, Connection, select

from newsletter.model import State
from newsletter.store.database import Part
from newsletter.store.issues import WAS_ACCEPTED
from newsletter.store.schema import OPEN_ROWS, deliveries, issues, shards, subscribers


class FirstCopies(Part):
    """The part of the store that knows which copies new readers wait for."""

    def first_copies(self) -> Mapping[date, list[int]]:
        """The first copies that nobody has tried to send: ids of subscribers, oldest copy first, by the issue's day.

        Only of issues that somebody has got already, and that are neither paused nor expired. An issue of which no copy
        was accepted may still be corrected; its first copies go out with the others.
        """
        live = select(issues.c.id, issues.c.day).where(
            issues.c.paused.is_(None), issues.c.expires_at > self._now(), WAS_ACCEPTED
        )
        waiting = select(deliveries.c.subscriber_id).where(
            OPEN_ROWS,
            deliveries.c.state == State.PENDING,
            deliveries.c.added_at.is_not(None),
            deliveries.c.not_before.is_(None),
        )
        found: dict[date, list[int]] = {}
        with self._db.read() as connection:
            for issue in connection.execute(live.order_by(issues.c.day)).all():
                theirs = waiting.where(deliveries.c.issue_id == issue.id, self._among_the_last(connection, issue.id))
                if readers := list(connection.execute(theirs.order_by(deliveries.c.id)).scalars()):
                    found[issue.day] = readers
        return found

    def _among_the_last(self, connection: Connection, issue_id: int) -> ColumnElement[bool]:
        """Where the first copies of an issue are, since each sign-up asks for them: they were added after all others.

        SQLite has an index of the open copies by their ids, and reads it from its end rather than all copies of an
        issue that is being sent. PostgreSQL reads the shards that may have open copies.
        """
        if self._db.file is None:
            return deliveries.c.shard.in_(select(shards.c.shard).where(shards.c.issue_id == issue_id, shards.c.open))
        frozen = select(deliveries.c.id).where(
            OPEN_ROWS, deliveries.c.issue_id == issue_id, deliveries.c.added_at.is_(None)
        )
        last = connection.execute(frozen.order_by(deliveries.c.id.desc()).limit(1)).scalar()
        return deliveries.c.id > (last or 0)

    def has_first_copy(self, ref: str) -> bool:
        """Whether the subscriber `ref` was given a first copy that has not been withdrawn or has expired."""
        query = (
            select(deliveries.c.id)
            .join_from(deliveries, subscribers)
            .where(
                deliveries.c.issue_id.in_(select(issues.c.id)),  # the ledger's index begins with the issue
                subscribers.c.ref == ref,
                deliveries.c.added_at >= subscribers.c.status_at,  # not one of an earlier subscription
                deliveries.c.state.not_in((State.WITHDRAWN, State.EXPIRED, State.REFUSED)),
            )
        )
        with self._db.read() as connection:
            return connection.execute(query.limit(1)).scalar() is not None
