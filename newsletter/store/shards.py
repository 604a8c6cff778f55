"""Shards: slices of an issue's deliveries, each sent by the one process that holds its lock.

SQLite has one shard, and the lock of it is `sending_lock`, a file's. On PostgreSQL the lock of a shard is an advisory
lock, held by the very connection that moves its copies, and gone when that connection is: a process that was cut off
moves nothing more, and the next holder knows that what is half done there was left by it.

The table `shards` says where there may be something to do, so that nobody searches millions of rows that were sent.
Only the holder of a shard's lock closes it; whoever owes a copy again opens its shard first (shard_table.reopen).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final

from sqlalchemy import Select, func, or_, select, text, update

from newsletter.errors import StoreAway, StoreError
from newsletter.model import Delivery, Result, State
from newsletter.slots import SlotOrder
from newsletter.store.claims import Held
from newsletter.store.ledger import Ledger
from newsletter.store.locks import SHARD_CLASS
from newsletter.store.schema import HEAD, OPEN_ROWS, deliveries, issues, shards
from newsletter.store.shard_table import due_shards

_ROW: Final = deliveries.c

_RETAKE_EVERY: Final = 0.05  # seconds


_HELD: Final = text(
    "SELECT classid::bigint - :class FROM pg_locks WHERE locktype = 'advisory' AND granted"
    " AND objid::bigint = :issue AND objsubid = 2"
    " AND classid::bigint BETWEEN :class AND :class + 65535"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


class Shards(Ledger):
    """The part of the store that knows who sends which slice of an issue."""

    @property
    def has_shards(self) -> bool:
        """Whether several processes may send, each in shards of its own."""
        return self._db.file is None

    @contextmanager
    def shard(self, issue_id: int, shard: int, *, resend_uncertain: int) -> Iterator[int | None]:
        """Hold the shard's lock while the block runs; gives None, at once, when another process holds it.

        Otherwise gives how many of its copies became uncertain because the last holder was cut off. Claims of the block
        are limited to the shard. `resend_uncertain` is as for `claim`. On SQLite it needs `sending_lock`, and `recover`
        was called by its holder. Raises StoreAway when the connection is cut, and StoreError when another version of
        this program has changed the tables meanwhile.
        """
        if self._db.file is not None:
            yield 0
            return
        if not self._db.pin(_lock(issue_id, shard)):
            yield None
            return
        held = self._held = Held(issue_id, shard)
        try:
            self._check_revision()
            yield self.recover()
        finally:
            with suppress(StoreError):  # the block's own error, if any, is the one to report
                self._look_again(held, resend_uncertain)
                self._conclude()
            self._held = None
            self._db.unpin(select(func.pg_advisory_unlock(*_key(issue_id, shard))))

    def _check_revision(self) -> None:
        with self._db.mine() as connection:
            found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        if found != HEAD:
            raise StoreAway(
                f"{self._db.name}: its tables are of schema {found}, and this process knows {HEAD}; start it again in"
                " the version that made them"
            )

    def _look_again(self, held: Held, resend_uncertain: int) -> None:
        """Note whether the shard has copies that can still move, and from when on; called by its holder.

        The row of `shards` is locked first: a copy that is owed again meanwhile is seen here, or opens the shard after.
        """
        of_shard = (_ROW.issue_id == held.issue_id, _ROW.shard == held.shard)
        again = or_(_ROW.state != State.UNCERTAIN, _ROW.doubts <= resend_uncertain)
        due = func.coalesce(_ROW.not_before, _ROW.due_at, issues.c.frozen_at)
        rows = select(
            func.count(), func.min(due).filter(again), func.min(func.coalesce(_ROW.ends_at, issues.c.expires_at))
        )
        rows = rows.select_from(deliveries).join(issues, issues.c.id == _ROW.issue_id)
        this = (shards.c.issue_id == held.issue_id, shards.c.shard == held.shard)
        with self._db.mine() as connection:
            connection.execute(select(shards.c.open).where(*this).with_for_update())
            number, first, end = connection.execute(rows.where(OPEN_ROWS, *of_shard)).one()
            values = {"open": number > 0, "due_at": first or end}
            connection.execute(update(shards).where(*this).values(values))

    def shards_due(self, issue_id: int, *, first: int | None = None) -> list[int]:
        """The numbers of the issue's shards that may have copies to send now, in order from `first` on, around."""
        if self._db.file is not None:
            return [0]
        query = select(shards.c.shard).where(shards.c.issue_id == issue_id, due_shards(self._now()))
        with self._db.read() as connection:
            found = sorted(connection.execute(query).scalars())
        return [
            *(shard for shard in found if shard >= (first or 0)),
            *(shard for shard in found if shard < (first or 0)),
        ]

    def shard_of(self, issue_id: int, subscriber_id: int) -> int | None:
        """The shard of one reader's copy; None when there is no such copy."""
        query = select(_ROW.shard).where(_ROW.issue_id == issue_id, _ROW.subscriber_id == subscriber_id)
        with self._db.read() as connection:
            found: int | None = connection.execute(query).scalar()
        return found

    def shards_held(self, issue_id: int) -> set[int]:
        """The numbers of the issue's shards that some process is sending at this moment."""
        if self._db.file is not None:
            return set()
        with self._db.read() as connection:
            return set(connection.execute(_HELD, {"class": SHARD_CLASS, "issue": issue_id}).scalars())

    # --- when the connection was cut ---

    def claim(
        self, issue_id: int, limit: int, *, resend_uncertain: int, subscriber_id: int | None = None
    ) -> list[Delivery]:
        """As `Claims.claim`, and the lock is taken once more as in `turn`."""
        claim = partial(super().claim, issue_id, limit, resend_uncertain=resend_uncertain, subscriber_id=subscriber_id)
        try:
            return claim()
        except StoreAway as error:
            self._retake(error)
        return claim()

    def turn(
        self, results: Sequence[Result], begin: Sequence[Delivery], orders: Sequence[SlotOrder] = ()
    ) -> list[Delivery]:
        """As `Ledger.turn`. When the connection that holds a shard was cut, the lock is taken once more.

        Servers have answered meanwhile, and nobody else could record what they said. If another process has the lock,
        its connection is the one that moves the shard's copies; then this raises StoreAway.
        """
        try:
            return super().turn(results, begin, orders)
        except StoreAway as error:
            self._retake(error)
        known = self._found([*(result.delivery.id for result in results), *(each.id for each in begin)])
        left = [result for result in results if known[result.delivery.id] == (result.source, self._holder)]
        started = [each for each in begin if known[each.id] == (State.SENDING, self._holder)]
        rest = [each for each in begin if each not in started]  # committed before the connection was cut
        return super().turn(left, rest, orders)

    def _retake(self, error: StoreAway) -> None:
        """Take the shard's lock again after `error`, as its connection was cut.

        Raises `error` when no shard is held, and StoreAway when the server stays away or another process has the lock.
        """
        held = self._held
        if held is None:
            raise error
        deadline = time.monotonic() + self._db.busy_timeout
        while True:
            try:
                if self._db.pin(_lock(held.issue_id, held.shard)):
                    return
            except StoreAway:
                if time.monotonic() > deadline:
                    raise
            else:
                raise StoreAway(f"{self._db.name}: another process has taken over shard {held.shard}")
            time.sleep(_RETAKE_EVERY)

    def _found(self, ids: Sequence[int]) -> dict[int, tuple[State, str | None]]:
        """The state of each row, and the Store that may move it."""
        with self._db.mine() as connection:
            rows = connection.execute(select(_ROW.id, _ROW.state, _ROW.claimed_by).where(_ROW.id.in_(ids)))
            return {row.id: (row.state, row.claimed_by) for row in rows}


def _key(issue_id: int, shard: int) -> tuple[int, int]:
    return (SHARD_CLASS + shard, issue_id)


def _lock(issue_id: int, shard: int) -> Select[Any]:
    return select(func.pg_try_advisory_lock(*_key(issue_id, shard)))
