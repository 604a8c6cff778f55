"""The sender's lock: one process sends, whatever cron starts. It dies with its process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import func, select

from newsletter.errors import StoreError
from newsletter.store.database import Database

# PostgreSQL's advisory locks are two numbers, known to one database: "news" in ASCII, and which lock.
SENDER_KEY: Final = (0x6E657773, 1)
UPGRADE_KEY: Final = (0x6E657773, 2)


@contextmanager
def sole_sender(database: Database) -> Iterator[bool]:
    """Hold the lock while the block runs; gives False, at once, when another holds it. Raises StoreError."""
    if database.file is not None:
        with _file_lock(database.file.with_name(f"{database.file.name}.lock")) as held:
            yield held
    else:
        with database.session() as connection:
            yield bool(connection.scalar(select(func.pg_try_advisory_lock(*SENDER_KEY))))


@contextmanager
def _file_lock(path: Path) -> Iterator[bool]:
    """An flock on a file beside the database; the file stays, for a lock on a removed file keeps nobody out."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{path}: the sender's lock cannot be made: {error.strerror}") from error
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
        raise StoreError(f"{path}: the sender's lock cannot be taken: {error.strerror}") from error
    return True
