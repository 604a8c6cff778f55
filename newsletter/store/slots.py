"""Slots of servers with a limit, granted to all processes that send to them; newsletter/slots.py says how.

A grant is a few rows in a commit that is made anyway. It reads the row of the server, which on PostgreSQL it locks
until that commit, so that two processes never get the same slot, and one of two that ask for the last message of a day
gets it. Time is that of the store: the clock of the PostgreSQL server, or of the machine whose processes share a file.
The clocks of other machines do not matter.

What a slot counts for the day is recorded when it is granted, and taken back when it was not used. A process that is
killed leaves the day a few messages short.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
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

from newsletter.slots import Grant, Granting, SlotOrder, days_of, granted
from newsletter.store.database import Database, Part
from newsletter.store.schema import send_slots, server_use

_DAY: Final = 86_400  # seconds
_MICRO: Final = 1_000_000

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
    .values({name: bindparam(f"new_{name}") for name in ("until", "late", "since")})
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
        self._until = database.prepare(_until(database))
        self._first = database.prepare(_first(database))
        self._more = database.prepare(_more_use(database))
        self._used, self._less, self._none, self._move = (
            database.prepare(each) for each in (_USED, _LESS, _NONE, _MOVE)
        )

    def fill(self, cursor: DBAPICursor, orders: Sequence[SlotOrder]) -> None:
        """Grant what can be granted. It counts only when the transaction of `cursor` is committed."""
        for order in sorted(orders, key=lambda order: order.server):  # in one order, so that no two wait for each other
            self._fill(cursor, order)

    def _fill(self, cursor: DBAPICursor, order: SlotOrder) -> None:
        granting, clock, asked, answered = self._read(cursor, order.server)
        for day, number in Counter(order.unused).items():
            row = {"name": order.server, "day": day, "number": number}
            if not self._less.execute(cursor, [row]):
                self._none.execute(cursor, [{"name": order.server, "day": day}])
        allowed, full_for = self._day(cursor, order)
        number, start, after = granted(granting, clock, replace(order, number=min(order.number, allowed)))
        if after != granting:
            kept = {f"new_{name}": round(value * _MICRO) for name, value in asdict(after).items()}
            self._move.execute(cursor, [{"name": order.server, **kept}])
        days: tuple[int, ...] = ()
        if order.per_day is not None:
            days = days_of(number, self._now().timestamp() + start - clock, order.gap)
            counted = Counter(days)
            rows = [{"server": order.server, "second": day, "messages": counted[day]} for day in counted]
            if rows:
                self._more.execute(cursor, rows)
        order.grant = Grant(number, start, clock, asked, answered, days, full_for)

    def _read(self, cursor: DBAPICursor, server: str) -> tuple[Granting, float, float, float]:
        """How the granting for `server` stands, the store's clock, and our own before and after."""
        asked = self._monotonic()
        if not (rows := self._until.query(cursor, {"name": server})):
            self._first.execute(cursor, [{"server": server}])
            asked = self._monotonic()
            rows = self._until.query(cursor, {"name": server})
        clock = self._clock() if self._own_clock else rows[0][3] / _MICRO
        return Granting(*(value / _MICRO for value in rows[0][:3])), clock, asked, self._monotonic()

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
    query: Select[Any] = select(send_slots.c.until, send_slots.c.late, send_slots.c.since).where(
        send_slots.c.server == bindparam("name")
    )
    if database.file is None:
        # It may be read before the lock is waited for; then the slots begin a moment ago, unless some were granted.
        query = query.add_columns(cast(extract("epoch", func.clock_timestamp()) * _MICRO, BigInteger))
    return query.with_for_update()


def _first(database: Database) -> UpdateBase:
    return (
        database.insert(send_slots)
        .values(server=bindparam("server"), until=0, late=0, since=0)
        .on_conflict_do_nothing()
    )


def _more_use(database: Database) -> UpdateBase:
    """The statement that adds messages to those which a server has got in a second."""
    statement = database.insert(server_use).values({column.name: bindparam(column.name) for column in server_use.c})
    return statement.on_conflict_do_update(
        index_elements=[server_use.c.server, server_use.c.second],
        set_={"messages": server_use.c.messages + statement.excluded.messages},
    )
