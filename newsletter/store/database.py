"""One database, SQLite or PostgreSQL, and the kinds of transaction that everything else uses; see engines.py.

Every failure leaves this module as a StoreError, or as a ConfigError when the URL is wrong, never as SQLAlchemy's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    Column,
    Connection,
    Dialect,
    Enum,
    Executable,
    PoolProxiedConnection,
    Select,
    Table,
    UpdateBase,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

from newsletter.errors import StoreAway, StoreError
from newsletter.store import engines, failures

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

Statement = UpdateBase | Select[Any]

_PAGE: Final = 1000  # rows read at a time by `pages`
_AT_ONCE: Final = 500  # rows that the driver gets together


class Database:
    """The database at `url`. `file` is SQLite's file, None for PostgreSQL; `name` is what messages call it."""

    def __init__(self, url: str, busy_timeout: float, *, create: bool = True) -> None:
        """`busy_timeout` in seconds: how long to wait for another process's lock. `create` makes a missing SQLite file.

        Raises StoreError, ConfigError, and MissingExtra for PostgreSQL without psycopg.
        """
        parsed = engines.parse(url)
        self.file = engines.sqlite_file(parsed) if parsed.get_backend_name() == "sqlite" else None
        self.name = str(self.file or parsed.render_as_string(hide_password=True))
        if self.file is not None:
            if create:
                engines.create(self.file)
            elif not self.file.is_file():
                raise engines.wrong(f"there is no store at {self.file}")
            self.engine = engines.sqlite_engine(self.file, busy_timeout)
        else:
            self.engine = engines.postgresql_engine(parsed, busy_timeout)
        self.busy_timeout = busy_timeout
        self._kept: PoolProxiedConnection | None = None
        self._session: Connection | None = None  # PostgreSQL: the kept connection, for statements of SQLAlchemy's
        self._pinned = False
        self._keeping = threading.Lock()  # one thread at a time has the kept connection

    def close(self) -> None:
        """Give every connection back."""
        self._let_go()
        self.engine.pool.dispose()  # and not that of the engine, which makes a new pool

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that reads. Raises StoreError."""
        with self._translating(), self.engine.begin() as connection:
            if self.file is not None:
                engines.begin(connection)
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A transaction that reads the database as it is at one moment, however long that takes. Raises StoreError."""
        with self._translating(), self.engine.connect() as connection:
            if self.file is None:  # SQLite's transactions are like that anyway
                connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                if self.file is not None:
                    engines.begin(connection)
                yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that writes: durable when the block has ended, undone when it raises. Raises StoreError."""
        with self._translating(), self.engine.begin() as connection:
            if self.file is not None:
                engines.begin_to_write(connection, self.file, self.busy_timeout)
            yield connection

    def prepare(self, statement: Statement | Callable[[Database], Statement]) -> Prepared:
        """`statement`, or the one that a function makes for this kind of database, for `quickly`.

        It is made and compiled once: when it is first executed, which many commands never do.
        """
        return Prepared(statement, self)

    @contextmanager
    def quickly(self) -> Iterator[DBAPICursor]:
        """Like `write`, for transactions made thousands of times: a kept connection, and the driver's own cursor.

        In a small transaction SQLAlchemy takes longer than the database. Raises StoreError.
        """
        with self._translating(), self._keeping:
            self._kept = kept = self._kept or self._keep()
            try:
                if self.file is not None:  # psycopg begins by itself
                    engines.begin_writing(kept.dbapi_connection, self.file, self.busy_timeout)
                yield kept.cursor()
                kept.commit()
            except BaseException:
                self._let_go()
                raise

    @contextmanager
    def mine(self) -> Iterator[Connection]:
        """Like `write`; with a lock pinned, over the connection that holds it. Raises StoreError."""
        if not self._pinned:
            with self.write() as connection:
                yield connection
            return
        with self._translating(), self._keeping:
            self._kept = self._kept or self._keep()
            assert self._session is not None
            try:
                with self._session.begin():
                    yield self._session
            except BaseException:
                self._let_go()
                raise

    def pin(self, lock: Select[Any]) -> bool:
        """Take an advisory lock of PostgreSQL's on the kept connection; returns whether it was free.

        From then on `quickly` and `mine` use this one connection and never another, so that who has lost the lock moves
        nothing more: both raise StoreAway once it was cut. They go on when `pin` has succeeded anew. Raises StoreError.
        """
        before, self._pinned = self._pinned, False
        try:
            with self._translating(), self._keeping:
                self._kept = self._kept or self._keep()
                assert self._session is not None
                with self._session.begin():
                    free = bool(self._session.scalar(lock))
        except BaseException:
            self._pinned = before
            self._let_go()
            raise
        self._pinned = before or free
        if before and not free:
            self._let_go()
        return free

    def unpin(self, unlock: Select[Any]) -> None:
        """Give the lock of `pin` back; closing its connection frees it too, but only when the server notices."""
        try:
            if self._kept is not None:
                with self.mine() as connection:
                    connection.execute(unlock)
        except StoreError:
            self._let_go()
        finally:
            self._pinned = False

    def _keep(self) -> PoolProxiedConnection:
        """A connection for `quickly`, which only writes."""
        if self._pinned:
            raise StoreAway(f"{self.name}: the connection that held a lock was cut, so that another may hold it now")
        if self.file is None:
            self._session = self.engine.connect()
            return self._session.connection
        kept = self.engine.raw_connection()
        engines.wait(kept.dbapi_connection, 0.0)
        return kept

    def _let_go(self) -> None:
        """Close the kept connection, which undoes what was not committed; a rollback would fail on a dead one."""
        kept, session, self._kept, self._session = self._kept, self._session, None, None
        if session is not None:
            session.invalidate()
            session.close()
        elif kept is not None:
            kept.invalidate()

    @contextmanager
    def session(self) -> Iterator[Connection]:
        """A connection of its own outside any transaction, really closed in the end. Raises StoreError."""
        with self._translating(), self.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").detach()
            yield connection

    def scalar(self, connection: Connection, statement: Executable, values: Mapping[str, Any]) -> Any:
        """What `statement` gives on a connection of `session`. Raises StoreError."""
        with self._translating():
            return connection.execute(statement, values).scalar()

    def pages(self, query: Select[Any]) -> Iterator[Any]:
        """The rows of `query` in the order of its first column, a unique number, with memory flat.

        Each page is a transaction of its own, so a slow consumer keeps nobody waiting.
        """
        key = query.selected_columns[0]
        last = 0
        while True:
            with self.read() as connection:
                rows = connection.execute(query.where(key > last).order_by(key).limit(_PAGE)).all()
            yield from rows
            if len(rows) < _PAGE:
                return
            last = rows[-1][0]

    def insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """An INSERT with ON CONFLICT, which both databases spell alike and SQLAlchemy's generic one does not have."""
        return _insert(table, in_file=self.file is not None)

    def insert_new(self, table: Table, *key: Column[Any]) -> sqlite.Insert | postgresql.Insert:
        """An INSERT that leaves out each row whose `key`, columns that are unique together, the table has already."""
        return _insert_new(table, key, in_file=self.file is not None)

    def check(self) -> None:
        """Read a whole SQLite file in search of damage: seconds of CPU for a large one. PostgreSQL needs none.

        Raises StoreError when there is any.
        """
        if self.file is None:
            return
        with self.read() as connection:
            found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        if found != "ok":
            raise failures.damaged(self.name)

    def scrub(self, tables: Sequence[Table]) -> None:
        """Leave nothing in the files of `tables` of what was deleted or overwritten before. Raises StoreBusy.

        SQLite keeps such bytes in pages that are free or were split, and in the write-ahead log: the whole file is
        rewritten. PostgreSQL keeps them in dead rows until autovacuum and later rows overwrite them: each table is
        rewritten, which holds back everybody else for that time. Its write-ahead log and its backups keep them.
        """
        if self.file is None:
            with self.session() as connection:
                connection.exec_driver_sql(f"VACUUM (FULL) {', '.join(table.name for table in tables)}")
            return
        with self.session() as connection:
            connection.exec_driver_sql("VACUUM")
            if connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]:
                raise failures.busy(self.name)

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, self.engine.dialect.loaded_dbapi.Error) as error:
            raise failures.translate(error, self.name) from error


def _insert(table: Table, *, in_file: bool) -> sqlite.Insert | postgresql.Insert:
    if in_file:
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # it takes 20 ms

    return postgresql.insert(table)


@cache
def _insert_new(table: Table, key: Sequence[Column[Any]], *, in_file: bool) -> sqlite.Insert | postgresql.Insert:
    statement = _insert(table, in_file=in_file).on_conflict_do_nothing(index_elements=key)
    # PostgreSQL's answer holds the new key instead of the number of rows, unless the number is asked for.
    return statement.execution_options(preserve_rowcount=True)


@dataclass(frozen=True)
class Prepared:
    """A statement that the driver gets without SQLAlchemy, which has compiled it once."""

    statement: Statement | Callable[[Database], Statement]
    database: Database

    def execute(self, cursor: DBAPICursor, rows: Sequence[Mapping[str, Any]]) -> int:
        """Execute it once for each of `rows`; returns how many rows of the table it has changed."""
        compiled = self._compiled
        cursor.executemany(compiled.sql, [compiled.bound(row) for row in rows])
        return cursor.rowcount

    def query(self, cursor: DBAPICursor, row: Mapping[str, Any]) -> list[Any]:
        """The rows of a SELECT as the driver gives them."""
        cursor.execute(self._compiled.sql, self._compiled.bound(row))
        return list(cursor.fetchall())

    @cached_property
    def _compiled(self) -> Compiled:
        return compiled(self.statement, self.database)


def compiled(statement: Statement | Callable[[Database], Statement], database: Database) -> Compiled:
    """A statement as the driver of a database takes it; see `Database.prepare`."""
    return _compiled(statement(database) if callable(statement) else statement, database.engine.dialect)


def _compiled(statement: Statement, dialect: Dialect) -> Compiled:
    done = statement.compile(dialect=dialect)
    assert isinstance(done, SQLCompiler)
    assert done.positiontup is not None
    constants: dict[str, Any] = {}
    conversions: dict[str, Callable[[Any], Any]] = {}
    for name, value in done.params.items():
        convert = done.binds[name].type.dialect_impl(dialect).bind_processor(dialect)
        if value is not None:
            constants[name] = value if convert is None else convert(value)
        elif convert is not None:
            conversions[name] = _converter(done.binds[name].type, convert)
    return Compiled(str(done), _in_order(done.positiontup), constants, conversions)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A statement as the driver takes it: with `constants` for some of its parameters, `conversions` for others."""

    sql: str
    in_order: Callable[[Mapping[str, Any]], tuple[Any, ...]]  # drivers look for parameters by name one at a time
    constants: Mapping[str, Any]
    conversions: Mapping[str, Callable[[Any], Any]]

    def bound(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        """The values of the parameters."""
        bound = {**self.constants, **row}
        for name, convert in self.conversions.items():
            if (value := bound[name]) is not None:  # else it is NULL
                bound[name] = convert(value)
        return self.in_order(bound)


def execute_many(connection: Connection, statement: Statement, rows: Iterable[Mapping[str, Any]]) -> None:
    """Execute `statement` for each of `rows` in the transaction of `connection`, by the driver's own cursor.

    For thousands of small rows: SQLAlchemy takes longer to bind one than the database to keep it.
    """
    waiting = iter(rows)
    if not (some := [*islice(waiting, _AT_ONCE)]):
        return  # a statement is compiled in a millisecond
    done, cursor = _compiled(statement, connection.dialect), connection.connection.cursor()
    while some:
        cursor.executemany(done.sql, list(map(done.bound, some)))
        some = [*islice(waiting, _AT_ONCE)]


def _converter(of: TypeEngine[Any], convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`convert`, which the few values of an enumeration have passed once and for all."""
    if isinstance(of, Enum) and of.enum_class is not None:
        return {value: convert(value) for value in of.enum_class}.__getitem__
    return convert


def _in_order(names: Sequence[str]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """What takes the values of `names` out of a mapping, as a tuple also when there is one."""
    if len(names) == 1:
        return lambda row: (row[names[0]],)
    return itemgetter(*names)


# The keyed hashes of an address (its identity), with the newest secret first.
AddressHasher = Callable[[str], Sequence[str]]


class Part:
    """What every part of the store works with: the database, the clock (UTC), and the hashes of who is forgotten."""

    _hasher: AddressHasher | None = None

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._db = database
        self._now = now
