"""How a database is opened: SQLAlchemy's engines for an SQLite file and for PostgreSQL, and who writes to a file next.

SQLite has one writer at a time. A writer takes its lock at the start of a transaction, in the order in which they came.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import SQLAlchemyError

from newsletter.errors import ConfigError, StoreError
from newsletter.extras import needed
from newsletter.store import failures

_BEGIN_WRITING: Final = "BEGIN IMMEDIATE"  # SQLite's

# Prepared statements that a connection of SQLite keeps; sqlite3's default is 128. A claim is another statement for each
# number of copies, and each takes some 50 KB. A send of 50,000 copies needs no more CPU with 16, and 6 MB less.
_STATEMENTS: Final = 16

# FULL: a commit is on the disk when it returns, so a row that was begun is still begun after a power cut. With WAL,
# NORMAL keeps the file consistent but may lose the last commits. fullfsync asks macOS for the same.
_PRAGMAS: Final = (
    "PRAGMA synchronous = FULL",
    "PRAGMA fullfsync = ON",
    "PRAGMA foreign_keys = ON",
)

_LOOK_EVERY: Final = 0.001  # seconds between attempts at the writer's lock

# Seconds until PostgreSQL looks whether a silent client is still there, between looks, and the number of looks. A
# machine that loses power closes no connection, and its locks are held until the server notices: in 2 hours by default.
_KEEPALIVE: Final = {"tcp_keepalives_idle": 20, "tcp_keepalives_interval": 10, "tcp_keepalives_count": 3}


def wrong(message: str) -> ConfigError:
    """The key `store` is wrong, or names something that does not exist: trying again will not help."""
    return ConfigError(message, key="store")


def parse(url: str) -> URL:
    """The URL in parts, with the driver that is used. Raises ConfigError."""
    try:
        parsed = make_url(url)
    except (SQLAlchemyError, ValueError) as error:  # ValueError: the port is no number
        raise wrong("not a database URL; expected sqlite:///FILE or postgresql://USER@HOST/NAME") from error
    if parsed.drivername in ("postgresql", "postgres"):  # libpq knows both names
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in ("sqlite", "postgresql+psycopg"):
        raise wrong(f"{parsed.drivername}: expected sqlite:///FILE or postgresql://USER@HOST/NAME")
    return parsed


def file_of(url: str) -> Path | None:
    """The file of an SQLite URL, with symbolic links followed; None for PostgreSQL. Raises ConfigError."""
    parsed = parse(url)
    return sqlite_file(parsed) if parsed.get_backend_name() == "sqlite" else None


def sqlite_file(url: URL) -> Path:
    """SQLite's file, with symbolic links followed, so that two names of one file have one lock."""
    if not url.database or url.database == ":memory:":
        raise wrong("a database in memory forgets who got their copy; expected sqlite:///FILE")
    return Path(url.database).resolve()


def create(path: Path) -> None:
    """Make the file, for its owner only; SQLite gives -wal and -shm the same mode.

    A file that exists is left alone, even unopened: closing it would drop the locks that another Store of this process
    holds on it (sqlite.org/howtocorrupt.html section 2.2).
    """
    if path.exists():
        return
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return  # another process was quicker
    except FileNotFoundError as error:
        raise wrong(f"the folder {path.parent} does not exist; create it first") from error
    except OSError as error:
        raise StoreError(f"{path}: cannot be created: {error.strerror}") from error


def sqlite_engine(path: Path, busy_timeout: float) -> Engine:
    """The engine for a file. It begins no transaction by itself: see `begin` and `begin_writing`."""
    url = URL.create("sqlite", database=str(path))
    engine = create_engine(url, connect_args={"timeout": busy_timeout, "cached_statements": _STATEMENTS})

    def prepare(connection: sqlite3.Connection, record: object) -> None:
        connection.isolation_level = None  # the sqlite3 module begins no transaction by itself
        try:
            _use_wal(connection, busy_timeout)
            for pragma in _PRAGMAS:
                connection.execute(pragma)
        except BaseException:
            connection.close()
            raise

    event.listen(engine, "connect", prepare)
    return engine


def _use_wal(connection: sqlite3.Connection, busy_timeout: float) -> None:
    """Turn on write-ahead logging, with which readers do not wait for the writer; the file remembers it.

    Of two first runs that do it at once one gets BUSY, since SQLite lets neither of them wait for the other.
    """
    deadline = time.monotonic() + busy_timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def begin(connection: Connection) -> None:
    """Begin a transaction that reads an SQLite file, on a connection of SQLAlchemy's, which thinks it has begun.

    SQLAlchemy recommends to do so when it begins, by an event. But for an engine that has events it goes through all
    kinds of them at each statement, which takes a third of the time of a small transaction.
    """
    _driver(connection).execute("BEGIN")  # by SQLAlchemy it takes ten times as long


def begin_to_write(connection: Connection, path: Path, busy_timeout: float) -> None:
    """Begin one that writes: see `begin` and `begin_writing`."""
    driver = _driver(connection)
    wait(driver, 0.0)
    try:
        begin_writing(driver, path, busy_timeout)
    finally:
        wait(driver, busy_timeout)


def _driver(connection: Connection) -> Any:
    return connection.connection.dbapi_connection


def wait(driver: Any, seconds: float) -> None:
    """How long SQLite itself waits for a lock."""
    driver.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")


def begin_writing(driver: Any, path: Path, busy_timeout: float) -> None:
    """Take the writer's lock at the start: a transaction that had read first would fail where another has written.

    SQLite lets those who wait sleep up to 100 ms between attempts, and whoever comes meanwhile goes first: while an
    issue is being sent, a reader who unsubscribes would wait for a second. So writers queue at a lock of the system's,
    and the first of them looks every millisecond; SQLite itself must not wait meanwhile. Both together take no longer
    than `busy_timeout` seconds. Raises StoreBusy, and sqlite3's errors.
    """
    deadline = time.monotonic() + busy_timeout
    with _queue(path, deadline):
        while not _taken(driver) and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY)
        if not driver.in_transaction:
            driver.execute(_BEGIN_WRITING)  # once more, for the error


@contextmanager
def _queue(path: Path, deadline: float) -> Iterator[None]:
    """Serialise writers: only the holder of this lock polls SQLite's on `path`. Waits until `deadline` (monotonic)."""
    try:
        descriptor = os.open(f"{path}.queue", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{path}.queue cannot be opened: {error.strerror}; run it as the user who owns it") from error
    try:
        while not _is_first(descriptor):
            if time.monotonic() >= deadline:
                raise failures.busy(str(path))
            time.sleep(_LOOK_EVERY)
        yield
    finally:
        os.close(descriptor)


def _is_first(descriptor: int) -> bool:
    """Whether the queue's lock was free, and is ours now. flock itself waits for ever or not at all."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _taken(driver: sqlite3.Connection) -> bool:
    """Whether the lock was free, and is ours now; any error but a lock that is not free counts as the latter."""
    try:
        driver.execute(_BEGIN_WRITING)
    except sqlite3.OperationalError as error:
        return error.sqlite_errorcode != sqlite3.SQLITE_BUSY
    return True


def postgresql_engine(url: URL, busy_timeout: float) -> Engine:
    """The engine for PostgreSQL; `busy_timeout` is in seconds. Raises ConfigError, and MissingExtra without psycopg."""
    try:
        with needed("postgres", "store: postgresql://"):  # SQLAlchemy imports psycopg here
            engine = create_engine(url, paramstyle="format")  # by position, as SQLite's
    except SQLAlchemyError as error:
        raise wrong(str(failures.translate(error, url.render_as_string()))) from error

    def prepare(connection: Any, record: object) -> None:
        settings = {"lock_timeout": round(busy_timeout * 1000), **_KEEPALIVE}
        connection.execute("; ".join(f"SET {name} = {value}" for name, value in settings.items()))  # one round trip
        connection.commit()

    event.listen(engine, "connect", prepare)
    return engine
