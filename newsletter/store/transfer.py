"""Moves a whole list from one database to another, SQLite or PostgreSQL: `newsletter store move`.

    source, locked -> every table, in the order of foreign keys -> target: one transaction, committed if it is the same

A move that is cut off leaves nothing in the target but empty tables, so it is simply begun again. Nobody writes to the
source meanwhile, and nothing in it is changed. Slots and senders stay behind: they are of this moment and this clock.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import Column, Connection, Integer, Table, bindparam, func, insert, or_, select, text, update

from newsletter.errors import ConfigError, StoreBusy, StoreError
from newsletter.store import upgrade
from newsletter.store.database import Database
from newsletter.store.locks import SHARD_CLASS, confirmations_lock, sending_lock
from newsletter.store.provenance import Mark, write_witness
from newsletter.store.schema import HEAD, Packed, engine_migrations, metadata, send_slots, senders, store_identity

_BUSY_TIMEOUT: Final = 10.0  # seconds
_BATCH: Final = 1000  # rows
_LEFT_BEHIND: Final = frozenset({send_slots, senders, engine_migrations})
_TABLES: Final = tuple(table for table in metadata.sorted_tables if table not in _LEFT_BEHIND)

_Row = TypeVar("_Row")

_WORKING: Final = text(
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2"
    " AND classid::bigint BETWEEN :class AND :class + 65535"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@dataclass
class Digest:
    """How many rows a table has, and a sum over all of them, in whatever order they come."""

    rows: int = 0
    sum: int = 0

    def add(self, row: Sequence[Any]) -> None:
        """Take in the values of one row, as Python has them whatever the database."""
        words = json.dumps([_plain(value) for value in row], ensure_ascii=True, sort_keys=True)
        self.sum = (self.sum + int.from_bytes(hashlib.sha256(words.encode()).digest(), "big")) % (1 << 256)
        self.rows += 1


@dataclass
class Moved:
    """What a move did: the rows of each table by name, and how many characters the target cannot keep."""

    rows: dict[str, int] = field(default_factory=dict)
    replaced: int = 0  # NUL characters in text, which PostgreSQL does not have: a space stands there
    again: bool = False  # the target had everything already


def transfer(
    source_url: str,
    target_url: str,
    witness: Callable[[Path | None], Path | None],
    told: Callable[[str, int], None] = lambda table, rows: None,
) -> Moved:
    """Copy the list at `source_url` into the empty database at `target_url`, and check it row for row.

    `witness` gives the target's witness, for its SQLite file or None; `told` is called with each table's name and
    number of rows. Raises StoreBusy while a run, worker or `newsletter web` uses either of them, ConfigError for a
    wrong URL, and StoreError: no list at the source, tables of another version, or a target that is not empty.
    """
    with ExitStack() as stack:
        source = _opened(stack, source_url, create=False)
        _check_source(source)
        try:
            target = _opened(stack, target_url, create=True)
        except ConfigError as error:
            raise ConfigError(error.message, key="--to") from error
        if source.name == target.name:
            raise StoreError(f"{target.name}: is the store that is in use already")
        upgrade.to_head(target)
        for database in (source, target):
            stack.enter_context(_alone(database))
        reading = stack.enter_context(_held(source))
        writing = stack.enter_context(target.write())
        _nobody_works(source, reading)
        moved = _move(source, target, reading, writing, told)
        identity = writing.execute(select(store_identity)).one()
    if (path := witness(target.file)) is not None and identity.sendings:
        write_witness(path, Mark(identity.id, identity.sendings, identity.sent_at))
    return moved


def _move(
    source: Database, target: Database, reading: Connection, writing: Connection, told: Callable[[str, int], None]
) -> Moved:
    moved = Moved(again=_is_same_list(source, target, reading, writing))
    digests: dict[Table, Digest] = {}
    if not moved.again:
        writing.execute(store_identity.delete())  # the random one of a new store
    for table in _TABLES:
        digests[table] = Digest()
        for rows in _batches(_rows(reading, table)):
            kept = [_storable(table, row, moved) if target.file is None else row for row in rows]
            for row in kept:
                digests[table].add(row)
            if not moved.again:
                _insert(writing, table, kept)
        if not moved.again:
            _link(reading, writing, table)
        moved.rows[table.name] = digests[table].rows
        told(table.name, digests[table].rows)
    for table, digest in digests.items():
        if _digest(writing, table) != digest:
            raise StoreError(
                f"{target.name}: the table {table.name} differs from that of {source.name}"
                + ("; it was written to since it was moved" if moved.again else "; nothing was moved")
            )
    if target.file is None:
        _set_sequences(writing)
    return moved


# --- before ----------------------------------------------------------------------------------------------------------


def _opened(stack: ExitStack, url: str, *, create: bool) -> Database:
    database = Database(url, _BUSY_TIMEOUT, create=create)
    stack.callback(database.close)
    return database


def _check_source(database: Database) -> None:
    """Whether there is a list of this version; a move must not change the source, so it does not upgrade it either."""
    found = upgrade.revision(database)
    if found is None:
        raise StoreError(f"{database.name}: there is no store to move")
    if found != HEAD:
        raise StoreError(
            f"{database.name}: its tables are of another version (schema {found}, here {HEAD}); `newsletter status`"
            " upgrades older ones"
        )


@contextmanager
def _alone(database: Database) -> Iterator[None]:
    """Keep runs and `newsletter web` away while the block runs. Raises StoreBusy when one of them is there."""
    with sending_lock(database) as sends, confirmations_lock(database) as confirms:
        if not sends:
            raise StoreBusy(f"{database.name}: a run is sending; wait for its end, and stop the schedule")
        if not confirms:
            raise StoreBusy(f"{database.name}: `newsletter web` is running; stop it first")
        yield


@contextmanager
def _held(database: Database) -> Iterator[Connection]:
    """A transaction on the source during which nobody writes to it. It changes nothing."""
    with database.write() as connection:
        if database.file is None:
            names = ", ".join(table.name for table in _TABLES)
            connection.execute(text(f"LOCK TABLE {names} IN SHARE MODE"))
        yield connection


def _nobody_works(database: Database, connection: Connection) -> None:
    """Raise StoreBusy when workers hold shards, whose locks are no tables'."""
    if database.file is None and connection.execute(_WORKING, {"class": SHARD_CLASS}).scalar():
        raise StoreBusy(f"{database.name}: a worker is sending; stop all workers first")


def _is_same_list(source: Database, target: Database, reading: Connection, writing: Connection) -> bool:
    """Whether the target holds what was moved from this source before; False when it is empty.

    Raises StoreError when it holds anything else.
    """
    here, there = (connection.execute(select(store_identity)).one_or_none() for connection in (reading, writing))
    if here is None:
        raise StoreError(f"{source.name}: there is no store to move")
    if there is not None and there.id == here.id:
        return True
    for table in _TABLES:
        if table is not store_identity and writing.execute(select(func.count()).select_from(table)).scalar():
            whose = f"another list, {there.list_id}" if there is not None and there.list_id else "another list"
            raise StoreError(f"{target.name}: holds {whose} already (table {table.name}); give an empty database")
    return False


def _batches(rows: Iterable[_Row]) -> Iterator[list[_Row]]:
    iterator = iter(rows)
    while batch := list(islice(iterator, _BATCH)):
        yield batch


# --- rows ------------------------------------------------------------------------------------------------------------


def _rows(connection: Connection, table: Table) -> Iterator[tuple[Any, ...]]:
    """All rows of a table, with memory flat."""
    query = select(table).order_by(*table.primary_key.columns).execution_options(yield_per=_BATCH)
    for row in connection.execute(query):
        yield tuple(row)


def _digest(connection: Connection, table: Table) -> Digest:
    digest = Digest()
    for row in _rows(connection, table):
        digest.add(row)
    return digest


def _insert(connection: Connection, table: Table, rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows, still without references to rows of the same table, which may come later."""
    own = {column.name for column in _own_references(table)}
    names = [column.name for column in table.columns]
    values = [{name: None if name in own else value for name, value in zip(names, row, strict=True)} for row in rows]
    connection.execute(insert(table), values)


def _link(reading: Connection, writing: Connection, table: Table) -> None:
    """Fill in the references to rows of the same table."""
    own = _own_references(table)
    if not own:
        return
    (key,) = table.primary_key.columns
    query = select(key, *own).where(or_(*(column.is_not(None) for column in own))).execution_options(yield_per=_BATCH)
    change = update(table).where(key == bindparam("row"))
    change = change.values({column.name: bindparam(f"to_{column.name}") for column in own})
    for rows in _batches(reading.execute(query)):
        found = [{"row": row[0], **{f"to_{column.name}": row[n] for n, column in enumerate(own, 1)}} for row in rows]
        writing.execute(change, found)


def _own_references(table: Table) -> list[Column[Any]]:
    return [column for column in table.columns if any(key.column.table is table for key in column.foreign_keys)]


def _storable(table: Table, row: tuple[Any, ...], moved: Moved) -> tuple[Any, ...]:
    """The row as PostgreSQL can keep it: its text has no NUL. Packed text is bytes there."""
    if not any(isinstance(value, str) and "\0" in value for value in row):
        return row
    kept = []
    for column, value in zip(table.columns, row, strict=True):
        if isinstance(value, str) and not isinstance(column.type, Packed):
            moved.replaced += value.count("\0")
            kept.append(value.replace("\0", " "))
        else:
            kept.append(value)
    return tuple(kept)


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, datetime | date):
        return {"time": value.isoformat()}
    return value


def _set_sequences(connection: Connection) -> None:
    """Let PostgreSQL number new rows after those that were moved."""
    for table in _TABLES:
        key = [column for column in table.primary_key.columns if isinstance(column.type, Integer)]
        if len(table.primary_key.columns) == 1 and key and table.autoincrement_column is not None:
            last = select(func.max(key[0])).scalar_subquery()
            sequence = func.pg_get_serial_sequence(table.name, key[0].name)
            connection.execute(select(func.setval(sequence, func.coalesce(last, 1), last.is_not(None))))
