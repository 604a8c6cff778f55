"""Locks: one process sends issues, whatever cron starts, and one sends confirmations. They die with their process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from newsletter.errors import StoreError
from newsletter.store.database import Database

# PostgreSQL's advisory locks are two numbers, known to one database: "news" in ASCII, and which lock.
SENDER_KEY: Final = (0x6E657773, 1)
UPGRADE_KEY: Final = (0x6E657773, 2)
CONFIRMATIONS_KEY: Final = (0x6E657773, 3)


def sending_lock(database: Database) -> AbstractContextManager[bool]:
    """Hold the lock of who sends issues while the block runs; gives False, at once, when another holds it.

    Raises StoreError.
    """
    return _lock(database, "lock", SENDER_KEY)


def confirmations_lock(database: Database) -> AbstractContextManager[bool]:
    """The same for who sends confirmations."""
    return _lock(database, "courier.lock", CONFIRMATIONS_KEY)


@contextmanager
def _lock(database: Database, suffix: str, key: tuple[int, int]) -> Iterator[bool]:
    if database.file is not None:
        with _file_lock(database.file.with_name(f"{database.file.name}.{suffix}")) as held:
            yield held
    else:
        with database.session() as connection:
            held = bool(connection.scalar(select(func.pg_try_advisory_lock(*key))))
            yield held
            if held:  # to close the connection frees the lock too, but only when the server has noticed
                with suppress(SQLAlchemyError):  # a connection that was cut holds no lock
                    connection.execute(select(func.pg_advisory_unlock(*key)))


@contextmanager
def _file_lock(path: Path) -> Iterator[bool]:
    """An flock on a file beside the database; the file stays, for a lock on a removed file keeps nobody out."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        advice = "; run this as the user who owns the database" if isinstance(error, PermissionError) else ""
        raise StoreError(f"{path}: the lock cannot be made: {error.strerror}{advice}") from error
    try:
        yield _try_flock(descriptor, path)
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
