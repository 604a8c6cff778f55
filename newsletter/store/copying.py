"""Whole copies of a database: into an SQLite file for a backup, and back into either kind of database.

A copy is an SQLite file at this program's schema, whatever database it comes from. No tool of a database is needed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Column, Connection, Table, delete, func, insert, select, text, update

from newsletter import files
from newsletter.errors import StoreBusy, StoreError
from newsletter.store import failures, upgrade
from newsletter.store.database import Database
from newsletter.store.engines import file_of
from newsletter.store.files import copy_file, sqlite_file
from newsletter.store.locks import sending_lock
from newsletter.store.schema import HEAD, engine_migrations, issues, metadata, subscribers

_BATCH: Final = 1_000  # rows
_BUSY_TIMEOUT: Final = 30.0  # seconds
_COUNTS: Final = {
    "subscribers": "SELECT count(*) FROM subscribers",
    "issues": "SELECT count(*) FROM issues",
}


def snapshot(url: str, target: Path) -> None:
    """Copy the database at `url` to the new SQLite file `target` (mode 0600), as it is at one moment.

    Others may write meanwhile. An older schema is upgraded in `url` first, as with any command. Raises StoreError, also
    when the database is damaged, and ConfigError.
    """
    with _opened(url) as source:
        if source.file is not None:
            copy_file(source.file, target)
            return
        with _opened(f"sqlite:///{target}") as copy, source.snapshot() as reading, copy.write() as writing:
            _copy_rows(reading, writing)
    with sqlite_file(target) as alone:
        alone.execute("PRAGMA journal_mode = DELETE")  # all of it in one file
    target.with_name(f"{target.name}.queue").unlink(missing_ok=True)


def check_copy(file: Path) -> None:
    """Raise StoreError unless `file` is a sound SQLite database at this program's schema."""
    with sqlite_file(file) as connection:
        if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise failures.damaged(str(file))
        found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    if found != (HEAD,):
        raise StoreError(f"{file}: its schema is {found[0] if found else 'unknown'}, and this program's is {HEAD}")


def readers_in(url: str) -> int:
    """How many readers and issues there are at `url`; 0 when there is no store yet, and none is made.

    Raises StoreError and ConfigError.
    """
    file = file_of(url)
    if file is not None and (not file.exists() or file.stat().st_size == 0):
        return 0
    if file is not None:  # whatever its schema is
        with sqlite_file(file) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            return sum(connection.execute(query).fetchone()[0] for name, query in _COUNTS.items() if name in tables)
    with _opened(url) as database, database.read() as connection:
        return sum(connection.scalar(select(func.count()).select_from(each)) or 0 for each in (subscribers, issues))


def restore(copy: Path, url: str) -> Path | None:
    """Make the database at `url` what is in `copy`, a file of `snapshot`; returns where an SQLite file of before is.

    What was there is replaced: an SQLite file is kept beside it, the rows of PostgreSQL are deleted in the same
    transaction. Raises StoreBusy while another process sends or has the file open, StoreError and ConfigError.
    """
    file = file_of(url)
    if file is not None:
        kept = _set_aside(file) if file.exists() else None
        new = file.with_name(f"{file.name}.restored")
        new.unlink(missing_ok=True)
        copy_file(copy, new)
        new.replace(file)
        return kept
    with _opened(url) as database, sending_lock(database) as alone:
        if not alone:
            raise StoreBusy(f"{database.name}: another process is sending from it; try again when it has ended")
        with _opened(f"sqlite:///{copy}") as source, source.read() as reading, database.write() as writing:
            _copy_rows(reading, writing)
    return None


def _set_aside(file: Path) -> Path:
    """Rename an SQLite file that no other process has open, with all of its content in it; returns its new name."""
    database = Database(f"sqlite:///{file}", 1.0)
    try:
        with sending_lock(database) as alone:
            if not alone:
                raise StoreBusy(f"{file}: another process is sending from it; try again when it has ended")
    finally:
        database.close()
    with sqlite_file(file) as connection:
        try:  # to leave the write-ahead log, SQLite needs the file for itself
            connection.execute("PRAGMA busy_timeout = 1000")
            connection.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.OperationalError as error:
            words = "another process has it open; stop `newsletter web` and the schedule first"
            raise StoreBusy(f"{file}: {words}") from error
    kept = files.unused(file.with_name(f"{file.name}.before-restore"))
    file.replace(kept)
    return kept


# --- rows ------------------------------------------------------------------------------------------------------------


# What it says holds for one database, and not for what is in it.
_OF_A_DATABASE: Final = frozenset({engine_migrations})


def _copy_rows(source: Connection, target: Connection) -> None:
    """Replace all rows of `target` by those of `source`; both have this program's tables."""
    tables = [table for table in metadata.sorted_tables if table not in _OF_A_DATABASE]
    for table in tables:
        if own := _own_references(table):
            target.execute(update(table).values({column.name: None for column in own}))
    for table in reversed(tables):
        target.execute(delete(table))
    for table in tables:
        _copy_table(table, source, target)
        _go_on_counting(table, target)


def _copy_table(table: Table, source: Connection, target: Connection) -> None:
    """Copy a table's rows. References to rows of the same table are set when all rows are there."""
    own = _own_references(table)
    later: list[dict[str, Any]] = []
    rows = source.execution_options(yield_per=_BATCH).execute(select(table)).mappings()
    for part in rows.partitions(_BATCH):
        values = [dict(row) for row in part]
        for row in values:
            named = {column.name: row[column.name] for column in own if row[column.name] is not None}
            if named:
                later.append({"row": row["id"], **named})
                row.update(dict.fromkeys(named))
        target.execute(insert(table), values)
    for row in later:
        target.execute(update(table).where(table.c.id == row.pop("row")).values(row))


def _own_references(table: Table) -> list[Column[Any]]:
    return [column for column in table.c if any(key.column.table is table for key in column.foreign_keys)]


def _go_on_counting(table: Table, target: Connection) -> None:
    """Let PostgreSQL give the next row a number that is free; SQLite looks for one itself."""
    column = table.autoincrement_column
    if target.dialect.name != "postgresql" or column is None:
        return
    sequence = target.scalar(
        text("SELECT pg_get_serial_sequence(:table, :column)"), {"table": table.name, "column": column.name}
    )
    if sequence is not None:
        highest = target.scalar(select(func.max(column)))
        target.execute(
            text("SELECT setval(:name, :value, :used)"),
            {"name": sequence, "value": highest or 1, "used": highest is not None},
        )


# --- opening ---------------------------------------------------------------------------------------------------------


@contextmanager
def _opened(url: str) -> Iterator[Database]:
    """A database at this program's schema."""
    database = Database(url, _BUSY_TIMEOUT)
    try:
        upgrade.to_head(database)
        yield database
    finally:
        database.close()
