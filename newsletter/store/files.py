"""An SQLite file by itself, without SQLAlchemy: copied as a whole, and opened for a question or two."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from newsletter.store import failures

_BUSY_TIMEOUT: Final = 30.0  # seconds


def copy_file(source: Path, target: Path) -> None:
    """Copy an SQLite file to the new file `target` (mode 0600) by SQLite's online backup. Raises StoreError."""
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with sqlite_file(source) as reading, sqlite_file(target) as writing:
        reading.backup(writing)
        writing.execute("PRAGMA journal_mode = DELETE")
        if writing.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise failures.damaged(str(source))


@contextmanager
def sqlite_file(file: Path) -> Iterator[sqlite3.Connection]:
    """A connection outside any transaction. Errors in the block leave it as StoreError."""
    try:
        with closing(sqlite3.connect(file, timeout=_BUSY_TIMEOUT, isolation_level=None)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise failures.translate(error, str(file)) from error
