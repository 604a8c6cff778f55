"""The list: who is subscribed, who has left, and who must not be mailed."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Select, Update, bindparam, exists, func, select, update

from newsletter.addresses import identity
from newsletter.errors import StoreError
from newsletter.model import NewSubscriber, Subscriber, SubscriberStatus
from newsletter.store.choices import set_choice
from newsletter.store.database import AddressHasher, Database, Part
from newsletter.store.locks import status_change
from newsletter.store.schema import storable, subscribers

_CHUNK: Final = 500  # addresses looked up together

# Whom an import does not bring back.
_STAYING: Final = frozenset({SubscriberStatus.UNSUBSCRIBED, SubscriberStatus.SUPPRESSED, SubscriberStatus.FORGOTTEN})

_ROW: Final = subscribers.c

_SUBSCRIBER: Final[Select[Any]] = select(
    _ROW.id,
    _ROW.ref,
    _ROW.address,
    _ROW.status,
    _ROW.created_at,
    _ROW.status_at,
    _ROW.days,
    _ROW.paused_until,
    _ROW.consent,
    _ROW.reason,
)

# Statements that are executed often are made once: to make one takes SQLAlchemy as long as to execute it.
_ANY_OF_KEYS: Final = _ROW.identity.in_(bindparam("keys", expanding=True))
_STORED: Final = select(_ROW.identity).where(_ANY_OF_KEYS)
_KNOWN: Final = select(_ROW.identity, _ROW.id, _ROW.status, _ROW.status_at).where(_ANY_OF_KEYS)
_BY_KEYS: Final = _SUBSCRIBER.where(_ANY_OF_KEYS)
_BY_REF: Final = _SUBSCRIBER.where(_ROW.ref == bindparam("ref"))
_FORGOTTEN: Final = select(exists().where(_ROW.status == SubscriberStatus.FORGOTTEN))

# What is set for a reader who joins, or joins again; it also answers a request that waited. A reader who was forgotten
# has an address again.
_BACK: Final = (
    update(subscribers)
    .where(_ROW.id == bindparam("row"))
    .values(
        address=bindparam("address"),
        identity=bindparam("identity"),
        status=bindparam("status"),
        status_at=bindparam("status_at"),
        consent=bindparam("consent"),
        reason="",
        asked_at=None,
        moved_to=None,
    )
)
_LEAVES: Final = (
    update(subscribers)
    .where(_ROW.status == SubscriberStatus.ACTIVE)
    .values(status=SubscriberStatus.UNSUBSCRIBED, status_at=bindparam("now"))
)
_LEAVES_BY_REF: Final = _LEAVES.where(_ROW.ref == bindparam("who"))
_OFF: Final = (
    update(subscribers)
    .where(_ROW.id == bindparam("row"))
    .values(status=bindparam("status"), status_at=bindparam("status_at"), reason=bindparam("reason"))
)


class Added(StrEnum):
    """What became of an address that was to be added."""

    NEW = "new"
    ALREADY = "already"
    BACK = "back"  # had left, or was suppressed or forgotten, is subscribed again
    LEFT = "left"  # has left, or is suppressed or forgotten, and stays off the list
    OFF = "off"  # was on the list, and has left as the import says


@dataclass(frozen=True, slots=True)
class Known:
    """What the list has about an address already."""

    id: int
    status: SubscriberStatus
    status_at: datetime


class Subscribers(Part):
    """The part of the store that keeps the list. Addresses that come in are normalised."""

    def add(self, address: str, *, consent: str = "") -> Added:
        """Subscribe `address`, also when it had left, was suppressed or forgotten: this is for a person's own wish."""
        (became,) = self.merge([NewSubscriber(address, consent=consent)], revive=True)
        return became

    def add_all(self, addresses: Iterable[str], *, revive: bool) -> Counter[Added]:
        """`merge` for addresses without further data."""
        return self.merge(map(NewSubscriber, addresses), revive=revive)

    def merge(self, readers: Iterable[NewSubscriber], *, revive: bool = False) -> Counter[Added]:
        """Add all to the list in one transaction, and count what became of them.

        Without `revive`, who has left stays out: a list that is imported again must not undo an unsubscription. Readers
        who have left where the list comes from are recorded as having left; for those on the list here, the later of
        both counts.
        """
        waiting = list(readers)  # before the lock is taken: they may come from a pipe
        became: Counter[Added] = Counter()
        if not waiting:
            return became
        with status_change(self._db) as connection:
            hasher = recognising(connection, self._db, self._hasher)
            for start in range(0, len(waiting), _CHUNK):
                became.update(self._merge_chunk(connection, waiting[start : start + _CHUNK], hasher, revive=revive))
        return became

    def foresee(self, readers: Iterable[NewSubscriber]) -> Counter[Added]:
        """Count what `merge` would make of `readers`; writes nothing. Raises StoreError."""
        waiting = list(readers)
        keys = [identity(reader.address) for reader in waiting]
        known: dict[str, Known] = {}
        with self._db.read() as connection:
            hasher = recognising(connection, self._db, self._hasher)
            for start in range(0, len(keys), _CHUNK):
                known |= look_up(connection, keys[start : start + _CHUNK], hasher)
        return Counter(_judge(keys, waiting, known, self._now(), revive=False)[0])

    def _merge_chunk(
        self, connection: Connection, readers: Sequence[NewSubscriber], hasher: AddressHasher, *, revive: bool
    ) -> list[Added]:
        keys = [identity(reader.address) for reader in readers]
        known = look_up(connection, keys, hasher)
        became, writes = _judge(keys, readers, known, self._now(), revive=revive)
        self._insert(connection, {key: reader for key, reader in writes.items() if key not in known})
        self._alter(connection, {known[key].id: (key, reader) for key, reader in writes.items() if key in known})
        if chosen := {key: reader.choice for key, reader in writes.items() if reader.choice}:
            for row in connection.execute(select(_ROW.id, _ROW.identity).where(_ROW.identity.in_(chosen))).all():
                set_choice(connection, row.id, chosen[row.identity])
        return became

    def _insert(self, connection: Connection, new: Mapping[str, NewSubscriber]) -> None:
        now = self._now()
        rows = [
            {
                "ref": secrets.token_hex(8),
                "address": reader.address,
                "identity": key,
                "status": reader.status,
                "created_at": min(reader.created_at or now, now),
                "status_at": min(reader.status_at or now, now),
                "days": reader.days,
                "paused_until": reader.paused_until,
                "consent": storable(reader.consent),
                "reason": storable(reader.reason),
            }
            for key, reader in new.items()
        ]
        if rows:  # on conflict: another process added it since we looked, which is as good
            statement = self._db.insert_new(subscribers, _ROW.identity)
            connection.execute(statement, rows)

    def _alter(self, connection: Connection, changes: Mapping[int, tuple[str, NewSubscriber]]) -> None:
        now = self._now()
        back, off = [], []
        for row, (key, reader) in changes.items():
            values = {"row": row, "status": reader.status}
            if reader.status is SubscriberStatus.ACTIVE:
                own = {"address": reader.address, "identity": key, "consent": storable(reader.consent)}
                back.append(values | own | {"status_at": now})
            else:
                at = min(reader.status_at or now, now)
                off.append(values | {"status_at": at, "reason": storable(reader.reason)})
        if back:
            connection.execute(_BACK, back)
        if off:
            connection.execute(_OFF, off)

    def suppress(self, address: str, reason: str) -> SubscriberStatus | None:
        """Keep `address` off the list until it confirms anew or is added again, whatever is imported.

        A request of its own that waits for a confirmation is void. Gives the status it had, None when it was unknown;
        who was forgotten stays so.
        """
        key = identity(address)
        reader = NewSubscriber(address, SubscriberStatus.SUPPRESSED, reason=reason)
        with status_change(self._db) as connection:
            known = look_up(connection, [key], recognising(connection, self._db, self._hasher)).get(key)
            if known is None:
                self._insert(connection, {key: reader})
                return None
            if known.status is not SubscriberStatus.FORGOTTEN:
                self._alter(connection, {known.id: (key, reader)})
                void = update(subscribers).where(_ROW.id == known.id)
                connection.execute(void.values(asked_at=None))
            return known.status

    def unsubscribe(self, address: str) -> bool:
        """Take `address` off the list; False when it is not on it."""
        return self._leave(_LEAVES.where(_ROW.identity == bindparam("who")), identity(address))

    def unsubscribe_ref(self, ref: str) -> bool:
        """Take the subscriber of this `ref` off the list; False when none is on it."""
        return self._leave(_LEAVES_BY_REF, ref)

    def _leave(self, change: Update, who: str) -> bool:
        with status_change(self._db) as connection:
            return connection.execute(change, {"who": who, "now": self._now()}).rowcount > 0

    def prefer(self, ref: str, *, days: int, paused_until: date | None) -> None:
        """Let the reader `ref` have issues on the weekdays `days` (bit 0 is Monday), and none before `paused_until`."""
        change = update(subscribers).where(_ROW.ref == ref)
        with status_change(self._db) as connection:
            connection.execute(change.values(days=days, paused_until=paused_until))

    def find(self, address: str) -> Subscriber | None:
        """The subscriber of `address`, active or not; also a forgotten one, when the store has a hasher."""
        key = identity(address)
        return self._subscriber(_BY_KEYS, {"keys": [key, *(self._hasher(key) if self._hasher else ())]})

    def by_ref(self, ref: str) -> Subscriber | None:
        """The subscriber of the `ref` that a link carries."""
        return self._subscriber(_BY_REF, {"ref": ref})

    def _subscriber(self, query: Select[Any], values: Mapping[str, Any]) -> Subscriber | None:
        with self._db.read() as connection:
            row = connection.execute(query, values).one_or_none()
        return None if row is None else Subscriber(*row)

    def subscribers(self, status: SubscriberStatus | None = None) -> Iterator[Subscriber]:
        """All who are not forgotten, or those of one status, oldest first; memory use does not grow with the list."""
        which = _ROW.status != SubscriberStatus.FORGOTTEN if status is None else _ROW.status == status
        return (Subscriber(*row) for row in self._db.pages(_SUBSCRIBER.where(which)))

    def count_subscribers(self) -> dict[SubscriberStatus, int]:
        """How many there are of each status, zeros included."""
        query = select(_ROW.status, func.count()).group_by(_ROW.status)
        with self._db.read() as connection:
            found = {row[0]: row[1] for row in connection.execute(query)}
        return {status: found.get(status, 0) for status in SubscriberStatus}


def recognising(connection: Connection, database: Database, hasher: AddressHasher | None) -> AddressHasher:
    """The hasher that recognises forgotten addresses; one that recognises none while none is forgotten.

    Raises StoreError when it is needed.
    """
    if hasher is not None:
        return hasher
    if connection.execute(_FORGOTTEN).scalar():
        raise StoreError(
            f"{database.name}: some readers are forgotten, and only the secret recognises them; set secret"
        )
    return lambda key: ()


def look_up(connection: Connection, keys: Sequence[str], hasher: AddressHasher) -> dict[str, Known]:
    """What is known of the addresses of these `keys` (their identity), by key; `hasher` is that of `recognising`."""
    stored = {key: key for key in keys} | {hashed: key for key in keys for hashed in hasher(key)}
    return {stored[row[0]]: Known(*row[1:]) for row in connection.execute(_KNOWN, {"keys": list(stored)})}


def stored_key(connection: Connection, key: str, hasher: AddressHasher) -> str:
    """The stored `identity` of the address of this `key`: the key itself, or its hash when it was forgotten."""
    return connection.execute(_STORED, {"keys": [key, *hasher(key)]}).scalar() or key


def _judge(
    keys: Sequence[str], readers: Sequence[NewSubscriber], known: Mapping[str, Known], now: datetime, *, revive: bool
) -> tuple[list[Added], dict[str, NewSubscriber]]:
    """What becomes of each of `readers`, and whom to write, by key; `keys` are their identities, `now` is UTC."""
    standing = {key: (row.status, row.status_at) for key, row in known.items()}
    became: list[Added] = []
    writes: dict[str, NewSubscriber] = {}
    for key, reader in zip(keys, readers, strict=True):
        what, changes = _becomes(standing.get(key), reader, revive=revive)
        became.append(what)
        if changes:
            standing[key] = (reader.status, reader.status_at or now)
            writes[key] = reader
    return became, writes


def _becomes(
    standing: tuple[SubscriberStatus, datetime] | None, reader: NewSubscriber, *, revive: bool
) -> tuple[Added, bool]:
    """What becomes of `reader`, and whether that changes the list.

    `standing` is the status of the address here, and since when (UTC). Who is PENDING elsewhere has agreed to nothing;
    who is PENDING here and ACTIVE elsewhere has.
    """
    status, since = standing or (None, None)
    if reader.status is SubscriberStatus.PENDING:
        return (Added.ALREADY if status is SubscriberStatus.ACTIVE else Added.LEFT), False
    if status in _STAYING:
        back = revive and reader.status is SubscriberStatus.ACTIVE
        return (Added.BACK if back else Added.LEFT), back
    if reader.status is SubscriberStatus.ACTIVE:
        return (Added.ALREADY, False) if status is SubscriberStatus.ACTIVE else (Added.NEW, True)
    if status is not SubscriberStatus.ACTIVE or since is None:
        return Added.LEFT, True
    outdated = reader.status_at is not None and reader.status_at < since
    return (Added.ALREADY, False) if outdated else (Added.OFF, True)
