"""Locks: one process sends issues, whatever cron starts, and one sends confirmations. They end with their process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, func, select
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import SQLAlchemyError

from newsletter.errors import StoreError
from newsletter.store.database import Database

# PostgreSQL's advisory locks are two numbers, known to one database: "news" in ASCII, and which lock.
SENDER_KEY: Final = (0x6E657773, 1)
UPGRADE_KEY: Final = (0x6E657773, 2)
CONFIRMATIONS_KEY: Final = (0x6E657773, 3)
STATUS_KEY: Final = (0x6E657773, 4)
SWEEP_KEY: Final = (0x6E657773, 5)

# The lock of a shard is (this number + the shard, the issue's id): "nx" in ASCII, and room for 65,536 shards.
SHARD_CLASS: Final = 0x6E780000

_CHANGE_STATUSES: Final = select(func.pg_advisory_xact_lock(*STATUS_KEY))
_HOLD_AND_ASK: Final = (
    "SELECT pg_advisory_xact_lock_shared(%s, %s), EXISTS (SELECT 1 FROM issues WHERE id = %s AND paused IS NOT NULL)"
)


@contextmanager
def sending_lock(database: Database) -> Iterator[bool]:
    """Hold the lock of who sends issues while the block runs; gives False, at once, when another holds it.

    The lock's file is empty unless a process holds it, or one was cut off; after that an SQLite file is checked for
    damage. Raises StoreError.
    """
    if database.file is None:
        with _advisory_lock(database, SENDER_KEY) as alone:
            yield alone
        return
    with _file_lock(database.file.with_name(f"{database.file.name}.lock")) as descriptor:
        if descriptor is None:
            yield False
            return
        if os.fstat(descriptor).st_size:
            database.check()
        with suppress(OSError):  # a full disk: nothing will be sent either
            os.pwrite(descriptor, b"in use\n", 0)
            os.fsync(descriptor)
        try:
            yield True
        finally:
            os.ftruncate(descriptor, 0)


@contextmanager
def confirmations_lock(database: Database) -> Iterator[bool]:
    """The same for who sends confirmations, without the check."""
    if database.file is None:
        with _advisory_lock(database, CONFIRMATIONS_KEY) as alone:
            yield alone
        return
    with _file_lock(database.file.with_name(f"{database.file.name}.courier.lock")) as descriptor:
        yield descriptor is not None


@contextmanager
def status_change(database: Database) -> Iterator[Connection]:
    """A transaction that writes and may take readers off the list: once it has ended, no copy of theirs begins.

    SQLite has one writer at a time. On PostgreSQL a statement that begins a copy may read the reader's status before
    this transaction commits, and commit after it; so the two exclude each other. Raises StoreError.
    """
    with database.mine() as connection:
        if database.file is None:
            connection.execute(_CHANGE_STATUSES)
        yield connection


def hold_statuses(database: Database, cursor: DBAPICursor, issue_id: int | None = None) -> bool:
    """Keep every reader's status as it is until the transaction of `cursor` ends.

    Returns whether the issue of that id is paused at this moment, asked in the same round trip; False for None, and on
    SQLite, whose only sender is the one that pauses. Raises the driver's errors.
    """
    if database.file is not None:
        return False
    cursor.execute(_HOLD_AND_ASK, (*STATUS_KEY, issue_id))
    row = cursor.fetchone()
    return row is not None and bool(row[1])


@contextmanager
def _advisory_lock(database: Database, key: tuple[int, int]) -> Iterator[bool]:
    with database.session() as connection:
        held = bool(connection.scalar(select(func.pg_try_advisory_lock(*key))))
        yield held
        if held:  # closing the connection frees the lock too, but only when the server notices
            with suppress(SQLAlchemyError):  # a connection that was cut holds no lock
                connection.execute(select(func.pg_advisory_unlock(*key)))


@contextmanager
def _file_lock(path: Path) -> Iterator[int | None]:
    """An flock on a file beside the database: gives its descriptor, or None when another holds the lock.

    The file stays, because a lock on a removed file keeps nobody out.
    """
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        advice = "; run this as the user who owns the database" if isinstance(error, PermissionError) else ""
        raise StoreError(f"{path}: the lock cannot be made: {error.strerror}{advice}") from error
    try:
        yield descriptor if _try_flock(descriptor, path) else None
    finally:
        os.close(descriptor)


def _try_flock(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise StoreError(f"{path}: the lock cannot be taken: {error.strerror}") from error
    return True
