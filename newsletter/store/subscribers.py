"""The list: who is on it, who left it."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, func, select, update

from newsletter.addresses import identity
from newsletter.model import Subscriber, SubscriberStatus
from newsletter.store.database import Part
from newsletter.store.schema import subscribers

_CHUNK: Final = 500  # addresses looked up together

# Whom an import does not bring back.
_STAYING: Final = frozenset({SubscriberStatus.UNSUBSCRIBED, SubscriberStatus.SUPPRESSED, SubscriberStatus.FORGOTTEN})

_SUBSCRIBER: Final[Select[Any]] = select(
    subscribers.c.id,
    subscribers.c.ref,
    subscribers.c.address,
    subscribers.c.status,
    subscribers.c.created_at,
    subscribers.c.status_at,
    subscribers.c.days,
    subscribers.c.paused_until,
    subscribers.c.consent,
    subscribers.c.reason,
)


class Added(StrEnum):
    """What became of an address that was to be added."""

    NEW = "new"
    ALREADY = "already"
    BACK = "back"  # had left or was suppressed, is subscribed again
    LEFT = "left"  # has left or is suppressed, and stays so


class Subscribers(Part):
    """The part of the store that keeps the list. Addresses that come in are normalised."""

    def add(self, address: str) -> Added:
        """Subscribe `address`, also when it had left: this is for a person's own wish."""
        (became,) = self.add_all([address], revive=True)
        return became

    def add_all(self, addresses: Iterable[str], *, revive: bool) -> Counter[Added]:
        """Subscribe all in one transaction, and count what became of them.

        Without `revive`, who has left stays out: a list that is imported again must not undo an unsubscription.
        """
        waiting = list(addresses)  # before the lock is taken: they may come from a pipe
        became: Counter[Added] = Counter()
        if not waiting:
            return became
        with self._db.write() as connection:
            for start in range(0, len(waiting), _CHUNK):
                became.update(self._add_chunk(connection, waiting[start : start + _CHUNK], revive=revive))
        return became

    def _add_chunk(self, connection: Connection, addresses: Sequence[str], *, revive: bool) -> list[Added]:
        keys = [identity(address) for address in addresses]
        asked = select(subscribers.c.identity, subscribers.c.status).where(subscribers.c.identity.in_(keys))
        known = {row.identity: row.status for row in connection.execute(asked)}
        became = [_became(known, key, revive=revive) for key in keys]
        new = [(address, key) for address, key, what in zip(addresses, keys, became, strict=True) if what is Added.NEW]
        back = [key for key, what in zip(keys, became, strict=True) if what is Added.BACK]
        self._insert(connection, new)
        if back:
            self._revive(connection, back)
        return became

    def _insert(self, connection: Connection, new: Sequence[tuple[str, str]]) -> None:
        now = self._now()
        rows = [
            {
                "ref": secrets.token_hex(8),
                "address": address,
                "identity": key,
                "status": SubscriberStatus.ACTIVE,
                "created_at": now,
                "status_at": now,
            }
            for address, key in new
        ]
        if rows:  # on conflict: another process added it since we looked, which is as good
            statement = self._db.insert(subscribers).on_conflict_do_nothing(index_elements=[subscribers.c.identity])
            connection.execute(statement, rows)

    def _revive(self, connection: Connection, keys: Sequence[str]) -> None:
        change = update(subscribers).where(subscribers.c.identity.in_(keys))
        connection.execute(change.values(status=SubscriberStatus.ACTIVE, status_at=self._now()))

    def unsubscribe(self, address: str) -> bool:
        """Take `address` off the list; False when it is not on it."""
        return self._unsubscribe(subscribers.c.identity == identity(address))

    def unsubscribe_ref(self, ref: str) -> bool:
        """Take the subscriber of this `ref` off the list; False when none is on it."""
        return self._unsubscribe(subscribers.c.ref == ref)

    def _unsubscribe(self, who: ColumnElement[bool]) -> bool:
        change = update(subscribers).where(who, subscribers.c.status == SubscriberStatus.ACTIVE)
        with self._db.write() as connection:
            done = connection.execute(change.values(status=SubscriberStatus.UNSUBSCRIBED, status_at=self._now()))
            return done.rowcount > 0

    def prefer(self, ref: str, *, days: int, paused_until: date | None) -> None:
        """Let the reader `ref` have issues on the weekdays `days` (bit 0 is Monday), and none before `paused_until`."""
        change = update(subscribers).where(subscribers.c.ref == ref)
        with self._db.write() as connection:
            connection.execute(change.values(days=days, paused_until=paused_until))

    def find(self, address: str) -> Subscriber | None:
        """The subscriber at `address`, on the list or not."""
        return self._subscriber_where(subscribers.c.identity == identity(address))

    def by_ref(self, ref: str) -> Subscriber | None:
        """The subscriber whose `ref` stands in a link."""
        return self._subscriber_where(subscribers.c.ref == ref)

    def _subscriber_where(self, who: ColumnElement[bool]) -> Subscriber | None:
        with self._db.read() as connection:
            row = connection.execute(_SUBSCRIBER.where(who)).one_or_none()
        return None if row is None else Subscriber(*row)

    def subscribers(self, status: SubscriberStatus | None = None) -> Iterator[Subscriber]:
        """Everyone, or those of one status, oldest first, with memory flat."""
        query = _SUBSCRIBER if status is None else _SUBSCRIBER.where(subscribers.c.status == status)
        return (Subscriber(*row) for row in self._db.pages(query))

    def count_subscribers(self) -> dict[SubscriberStatus, int]:
        """How many there are of each status, also of one that nobody has."""
        query = select(subscribers.c.status, func.count()).group_by(subscribers.c.status)
        with self._db.read() as connection:
            found = {row[0]: row[1] for row in connection.execute(query)}
        return {status: found.get(status, 0) for status in SubscriberStatus}


def _became(known: dict[str, SubscriberStatus], key: str, *, revive: bool) -> Added:
    """What becomes of the address of this key; `known` is told, for the key may come twice."""
    status = known.get(key)
    if status in _STAYING and not revive:
        return Added.LEFT
    known[key] = SubscriberStatus.ACTIVE
    return {None: Added.NEW, SubscriberStatus.ACTIVE: Added.ALREADY}.get(status, Added.BACK)
