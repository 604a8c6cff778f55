"""Slots of servers with a limit, granted to all processes that send to them; newsletter/slots.py says how.

A grant is a few rows in a commit that is made anyway. It reads the row of the server, which on PostgreSQL it locks
until that commit, so that two processes never get the same slot, and one of two that ask for the last message of a day
gets it. Time is that of the store: the clock of the PostgreSQL server, or of the machine whose processes share a file.
The clocks of other machines do not matter.

What a slot counts for the day is recorded when it is granted, and taken back when it was not used. A process that is
killed leaves the day a few messages short.
"""

from __future__ import annotations

import struct
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    LargeBinary,
    Select,
    UpdateBase,
    bindparam,
    cast,
    delete,
    extract,
    func,
    select,
    update,
)
from sqlalchemy.engine.interfaces import DBAPICursor

from newsletter.slots import AT_ONCE, MICRO, Grant, Permits, SlotOrder, day_of, granted
from newsletter.store.database import Database, Part
from newsletter.store.schema import send_slots, server_use

_DAY: Final = 86_400  # seconds

_SERVER: Final = server_use.c.server == bindparam("name")
_USED: Final = (
    select(server_use.c.second, server_use.c.messages)
    .where(_SERVER, server_use.c.second > bindparam("after"), server_use.c.messages > 0)
    .order_by(server_use.c.second)
)
_OF_SECOND: Final = (_SERVER, server_use.c.second == bindparam("day"))
_LESS: Final = (
    update(server_use)
    .where(*_OF_SECOND, server_use.c.messages > bindparam("number"))
    .values(messages=server_use.c.messages - bindparam("number"))
)
_NONE: Final = delete(server_use).where(*_OF_SECOND, server_use.c.messages > 0)  # a row of 0 is a rest
_MOVE: Final = (
    update(send_slots)
    .where(send_slots.c.server == bindparam("name"))
    .values(last=bindparam("new_last"), free=bindparam("new_free", type_=LargeBinary))
)


class SlotDesk:
    """Fills in orders within a transaction. `now` is the clock by which days are counted (UTC)."""

    def __init__(
        self,
        database: Database,
        now: Callable[[], datetime],
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now, self._clock, self._monotonic = now, clock, monotonic
        self._own_clock = database.file is not None
        self._until = database.prepare(_until)
        self._first = database.prepare(_first)
        self._more = database.prepare(_more_use)
        self._used, self._less, self._none, self._move = (
            database.prepare(each) for each in (_USED, _LESS, _NONE, _MOVE)
        )

    def fill(self, cursor: DBAPICursor, orders: Sequence[SlotOrder]) -> None:
        """Grant what can be granted. It counts only when the transaction of `cursor` is committed."""
        for order in sorted(orders, key=lambda order: order.server):  # in one order, so that no two wait for each other
            self._fill(cursor, order)

    def _fill(self, cursor: DBAPICursor, order: SlotOrder) -> None:
        permits, clock, asked, answered = self._read(cursor, order.server)
        for day, number in Counter(order.unused).items():
            row = {"name": order.server, "day": day, "number": number}
            if not self._less.execute(cursor, [row]):
                self._none.execute(cursor, [{"name": order.server, "day": day}])
        allowed, full_for = self._day(cursor, order)
        slots, after = granted(permits, clock, replace(order, number=min(order.number, allowed)))
        if after != permits:
            kept = {"new_last": after.last, "new_free": _packed(after.free)}
            self._move.execute(cursor, [{"name": order.server, **kept}])
        if order.per_day is not None and slots:
            ahead, patience = self._now().timestamp() - clock, order.patience if order.rate else AT_ONCE
            slots = tuple(replace(slot, day=day_of(slot.at + ahead, patience)) for slot in slots)
            counted = Counter(slot.day for slot in slots)
            rows = [{"server": order.server, "second": day, "messages": counted[day]} for day in counted]
            self._more.execute(cursor, rows)
        order.grant = Grant(slots, clock, asked, answered, full_for)

    def _read(self, cursor: DBAPICursor, server: str) -> tuple[Permits, float, float, float]:
        """The permits of `server`, the store's clock, and our own before and after."""
        asked = self._monotonic()
        if not (rows := self._until.query(cursor, {"name": server})):
            self._first.execute(cursor, [{"server": server}])
            asked = self._monotonic()
            rows = self._until.query(cursor, {"name": server})
        clock = self._clock() if self._own_clock else rows[0][2] / MICRO
        return Permits(rows[0][0], _unpacked(rows[0][1])), clock, asked, self._monotonic()

    def _day(self, cursor: DBAPICursor, order: SlotOrder) -> tuple[int, float | None]:
        """How many messages the day of a server allows, and in how many seconds it allows one if it allows none now."""
        if order.per_day is None:
            return order.number, None
        now = self._now().timestamp()
        rows = self._used.query(cursor, {"name": order.server, "after": int(now) - _DAY - 1})
        over = sum(messages for _, messages in rows) - order.per_day
        if over < 0:
            return -over, None
        for second, messages in rows:
            over -= messages
            if over < 0:
                return 0, second + _DAY + 1 - now
        return 0, float(_DAY)


class Slots(Part):
    """The part of the store that grants slots where no other commit is made."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        super().__init__(database, now)
        self._slots = SlotDesk(database, now)

    def reserve(self, orders: Sequence[SlotOrder]) -> None:
        """Grant what `orders` ask for, and take in what they give back. Raises StoreError."""
        if orders:
            with self._db.quickly() as cursor:
                self._slots.fill(cursor, orders)

    def used(self) -> dict[str, int]:
        """How many messages each server with a limit per day was given within 24 hours."""
        query = (
            select(server_use.c.server, func.sum(server_use.c.messages))
            .where(server_use.c.second > int(self._now().timestamp()) - _DAY - 1, server_use.c.messages > 0)
            .group_by(server_use.c.server)
        )
        with self._db.read() as connection:
            return {server: int(messages) for server, messages in connection.execute(query)}

    def forget_old_use(self) -> None:
        """Delete what counts for no day any more, and rests that are as old."""
        with self._db.write() as connection:
            connection.execute(delete(server_use).where(server_use.c.second < int(self._now().timestamp()) - _DAY - 1))


def _until(database: Database) -> Select[Any]:
    """Ask for the row of a server. PostgreSQL locks it, and reads its clock."""
    query: Select[Any] = select(send_slots.c.last, send_slots.c.free).where(send_slots.c.server == bindparam("name"))
    if database.file is None:
        # It may be read before the lock is waited for; then the slots begin a moment ago, unless some were granted.
        query = query.add_columns(cast(extract("epoch", func.clock_timestamp()) * MICRO, BigInteger))
    return query.with_for_update()


def _packed(moments: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(moments)}q", *moments)


def _unpacked(packed: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(packed) // 8}q", packed)


def _first(database: Database) -> UpdateBase:
    return database.insert(send_slots).values(server=bindparam("server"), last=0, free=b"").on_conflict_do_nothing()


def _more_use(database: Database) -> UpdateBase:
    """The statement that adds messages to those which a server has got in a second."""
    statement = database.insert(server_use).values({column.name: bindparam(column.name) for column in server_use.c})
    return statement.on_conflict_do_update(
        index_elements=[server_use.c.server, server_use.c.second],
        set_={"messages": server_use.c.messages + statement.excluded.messages},
    )
