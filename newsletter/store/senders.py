"""The processes that send: each tells every few seconds, in a commit that is made anyway, how far it has come."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import UpdateBase, bindparam, delete, func, select
from sqlalchemy.engine.interfaces import DBAPICursor

from newsletter.store.database import Database, Part
from newsletter.store.schema import senders, shards

_TELL_EVERY: Final = 5.0  # seconds
_GONE_AFTER: Final = timedelta(seconds=20)  # a process that has told nothing for so long does not count


@dataclass(frozen=True, slots=True)
class ActiveSender:
    """A process that sends, or one of a worker's shards: since when, how many copies, and how many a minute lately."""

    host: str
    pid: int
    started_at: datetime  # UTC
    accepted: int
    per_minute: int


@dataclass(frozen=True, slots=True)
class ShardCounts:
    """The shards of an issue: all, those that may have copies to send, and those that somebody is sending now."""

    all: int
    open: int
    held: int


class SenderDesk:
    """Notes how far the process `holder` has come. `now` is in UTC."""

    def __init__(
        self,
        database: Database,
        holder: str,
        now: Callable[[], datetime],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._holder, self._now, self._monotonic = holder, now, monotonic
        self._tell = database.prepare(_tell)
        self._started: datetime | None = None
        self._told, self._told_accepted, self._accepted = 0.0, 0, 0

    def note(self, cursor: DBAPICursor, accepted: int) -> None:
        """Note that so many more copies were accepted. It is written every few seconds."""
        self._accepted += accepted
        now = self._monotonic()
        if self._started is not None and now - self._told < _TELL_EVERY:
            return
        minutes = (now - self._told) / 60 if self._started is not None else 0.0
        rate = round((self._accepted - self._told_accepted) / minutes) if minutes else 0
        self._started = self._started or self._now()
        self._told, self._told_accepted = now, self._accepted
        row = {"id": self._holder, "host": socket.gethostname(), "pid": os.getpid(), "started_at": self._started}
        counts = {"seen_at": self._now(), "accepted": self._accepted, "per_minute": rate}
        self._tell.execute(cursor, [row | counts])

    def end(self) -> bool:
        """Begin anew with the next `note`; whether there was one."""
        noted, self._started = self._started is not None, None
        self._told, self._told_accepted, self._accepted = 0.0, 0, 0
        return noted


class Senders(Part):
    """The part of the store that knows which processes send."""

    def active_senders(self, most: int | None = None) -> list[ActiveSender]:
        """Those that have told of themselves lately, longest first; the `most` who told last, if there are more."""
        rows = select(
            senders.c.host, senders.c.pid, senders.c.started_at, senders.c.accepted, senders.c.per_minute
        ).where(senders.c.seen_at > self._now() - _GONE_AFTER)
        with self._db.read() as connection:
            found = connection.execute(rows.order_by(senders.c.seen_at.desc()).limit(most))
            return sorted((ActiveSender(*row) for row in found), key=lambda sender: sender.started_at)

    def shard_counts(self, issue_id: int, held: int) -> ShardCounts:
        """The shards of an issue, of which `held` are being sent."""
        query = select(func.count(), func.count().filter(shards.c.open)).where(shards.c.issue_id == issue_id)
        with self._db.read() as connection:
            number, opened = connection.execute(query).one()
        return ShardCounts(number, opened, held)

    def _forget_sender(self, holder: str) -> None:
        old = (senders.c.id == holder) | (senders.c.seen_at < self._now() - timedelta(days=1))
        with self._db.mine() as connection:
            connection.execute(delete(senders).where(old))


def _tell(database: Database) -> UpdateBase:
    statement = database.insert(senders).values({column.name: bindparam(column.name) for column in senders.c})
    changed = {name: getattr(statement.excluded, name) for name in ("seen_at", "accepted", "per_minute")}
    return statement.on_conflict_do_update(index_elements=[senders.c.id], set_=changed)
