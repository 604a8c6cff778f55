"""Moves a whole list from one database to another, SQLite or PostgreSQL: `newsletter store move`.

    source, locked -> every table, in the order of foreign keys -> target, marked as unfinished, in several commits
    both compared row for row -> the mark is removed: from then on the target can be opened

A move that is cut off goes on where it stopped: the target notes how many rows of each table it has, in the transaction
that inserts them, and rows are read in one order. The mark stands where the revision of the tables is, so that no
version of this program opens an unfinished target. Nobody writes to the source meanwhile, and nothing in it is changed;
what was changed in it between two attempts is found when both are compared. Slots and senders stay behind: they are of
this moment and this clock.
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

from sqlalchemy import (
    Column,
    Connection,
    Integer,
    MetaData,
    Row,
    Table,
    Text,
    bindparam,
    func,
    insert,
    or_,
    select,
    text,
    update,
)

from newsletter.errors import ConfigError, StoreBusy, StoreError
from newsletter.store import upgrade
from newsletter.store.database import Database
from newsletter.store.locks import SHARD_CLASS, confirmations_lock, sending_lock
from newsletter.store.provenance import Mark, write_witness
from newsletter.store.schema import HEAD, Packed, engine_migrations, metadata, send_slots, senders, store_identity

_BUSY_TIMEOUT: Final = 10.0  # seconds
_BATCH: Final = 1000  # rows
_TOGETHER: Final = 20  # batches in one transaction
_LEFT_BEHIND: Final = frozenset({send_slots, senders, engine_migrations})
_TABLES: Final = tuple(table for table in metadata.sorted_tables if table not in _LEFT_BEHIND)

# In an unfinished target: how many rows of each table it has, and from which store (`store_identity.id`) they come.
_notes = Table(
    "unfinished_move",
    MetaData(),
    Column("name", Text, primary_key=True),
    Column("rows", Integer, nullable=False),
    Column("source", Text, nullable=False),
)

_Row = TypeVar("_Row")

# Stands as the revision of an unfinished target's tables.
_UNFINISHED: Final = f"{upgrade.UNFINISHED}{HEAD}"
_MARK: Final = text("UPDATE alembic_version SET version_num = :revision")

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
    found: int = 0  # rows that an earlier move, which was cut off, had brought


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
        _prepare_target(target)
        for database in (source, target):
            stack.enter_context(_alone(database))
        reading = stack.enter_context(_held(source))
        _nobody_works(source, reading)
        move = _Move(source, target, reading, told)
        identity = move.run()
    if (path := witness(target.file)) is not None and identity.sendings:
        write_witness(path, Mark(identity.id, identity.sendings, identity.sent_at))
    return move.moved


class _Move:
    """One move, or the rest of one that was cut off."""

    def __init__(
        self, source: Database, target: Database, reading: Connection, told: Callable[[str, int], None]
    ) -> None:
        self._source, self._target, self._reading, self._told = source, target, reading, told
        self.moved = Moved()
        self._digests: dict[Table, Digest] = {}

    def run(self) -> Row[Any]:
        """Copy, compare and finish; returns the row of store_identity."""
        there = self._begin()
        for table in _TABLES:
            self._copy(table, there.get(table.name, 0))
            self._told(table.name, self.moved.rows[table.name])
        with self._target.write() as writing:
            different = next((name for name, digest in self._digests.items() if _digest(writing, name) != digest), None)
            if different is None:
                return self._finish(writing)
        raise StoreError(
            f"{self._target.name}: the table {different.name} differs from that of {self._source.name}"
            + ("; it was written to since it was moved" if self.moved.again else self._dropped())
        )

    def _begin(self) -> dict[str, int]:
        """How many rows of each table are there; an empty target is marked. Raises StoreError for any other."""
        here = self._reading.execute(select(store_identity.c.id)).scalar()
        if here is None:
            raise StoreError(f"{self._source.name}: there is no store to move")
        with self._target.write() as writing:
            if _revision(writing) == _UNFINISHED:
                notes = writing.execute(select(_notes)).all()
                if any(note.source != here for note in notes):
                    raise StoreError(f"{self._target.name}: holds a part of another list; give an empty database")
                self.moved.found = sum(note.rows for note in notes)
                return {note.name: note.rows for note in notes}
            self.moved.again = _is_same_list(self._target, writing, here)
            if not self.moved.again:
                writing.execute(store_identity.delete())  # the random one of a new store
                _notes.create(writing)
                writing.execute(_MARK, {"revision": _UNFINISHED})
            return {}

    def _copy(self, table: Table, there: int) -> None:
        """Copy the rows of a table after the first `there`, and take in the digest of all."""
        digest = self._digests[table] = Digest()
        waiting: list[list[tuple[Any, ...]]] = []
        for rows in _batches(_rows(self._reading, table)):
            kept = [_storable(table, row, self.moved) if self._target.file is None else row for row in rows]
            for row in kept:
                digest.add(row)
            if not self.moved.again and digest.rows > there:
                waiting.append(kept[there - digest.rows :] if digest.rows - there < len(kept) else kept)
            if len(waiting) == _TOGETHER:
                self._insert(table, waiting, digest.rows)
                waiting = []
        if waiting:
            self._insert(table, waiting, digest.rows)
        if not self.moved.again and _own_references(table):
            with self._target.write() as writing:
                _link(self._reading, writing, table)
        self.moved.rows[table.name] = digest.rows

    def _insert(self, table: Table, batches: Sequence[Sequence[Sequence[Any]]], number: int) -> None:
        """Insert rows, and note that there are `number` now."""
        with self._target.write() as writing:
            for rows in batches:
                _insert(writing, table, rows)
            changed = writing.execute(update(_notes).where(_notes.c.name == table.name).values(rows=number)).rowcount
            if not changed:
                source = self._reading.execute(select(store_identity.c.id)).scalar_one()
                writing.execute(insert(_notes).values(name=table.name, rows=number, source=source))

    def _finish(self, writing: Connection) -> Row[Any]:
        """Let the target be opened from now on: it is the same, row for row."""
        if self._target.file is None:
            _set_sequences(writing)
        if not self.moved.again:
            _notes.drop(writing)
            writing.execute(_MARK, {"revision": HEAD})
        return writing.execute(select(store_identity)).one()

    def _dropped(self) -> str:
        """Empty a target that is not the same; returns what to say."""
        with self._target.write() as writing:
            for table in _TABLES:
                if own := _own_references(table):
                    writing.execute(update(table).values({column.name: None for column in own}))
            for table in (*reversed(_TABLES), _notes):
                writing.execute(table.delete())
        changed = ", which has changed since the move began" if self.moved.found else ""
        return f"{changed}; the copy was emptied: give the command once more"


# --- before ----------------------------------------------------------------------------------------------------------


def _opened(stack: ExitStack, url: str, *, create: bool) -> Database:
    database = Database(url, _BUSY_TIMEOUT, create=create)
    stack.callback(database.close)
    return database


def _revision(connection: Connection) -> str | None:
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _check_source(database: Database) -> None:
    """Whether there is a list of this version; a move must not change the source, so it does not upgrade it either."""
    found = upgrade.revision(database)
    if found is not None and found.startswith(upgrade.UNFINISHED):
        raise upgrade.unfinished(database.name)
    if found is None:
        raise StoreError(f"{database.name}: there is no store to move")
    if found != HEAD:
        raise StoreError(
            f"{database.name}: its tables are of another version (schema {found}, here {HEAD}); `newsletter status`"
            " upgrades older ones"
        )


def _prepare_target(database: Database) -> None:
    """Create or upgrade the tables, unless the rest of a move is to come."""
    found = upgrade.revision(database)
    if found is not None and found.startswith(upgrade.UNFINISHED):
        if found != _UNFINISHED:
            raise StoreError(f"{database.name}: another version began to move a list into it; give an empty database")
        return
    upgrade.to_head(database)


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


def _is_same_list(target: Database, writing: Connection, here: str) -> bool:
    """Whether the target holds what was moved before from the source of the id `here`; False when it is empty.

    Raises StoreError when it holds anything else.
    """
    there = writing.execute(select(store_identity)).one_or_none()
    if there is not None and there.id == here:
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
