"""Looks at a store without changing it: no file is made, no table upgraded. For `newsletter check`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text

from newsletter.store.database import Database
from newsletter.store.schema import HEAD
from newsletter.store.upgrade import known_revisions

_NOTHING: Final = text("UPDATE alembic_version SET version_num = version_num")


class StoreState(StrEnum):
    """How a store stands to this program."""

    ABSENT = "absent"  # there is no file yet
    EMPTY = "empty"  # a file of 0 bytes
    UNUSED = "unused"  # a database without our tables
    FOREIGN = "foreign"  # an SQLite file with the tables of another program; a server's database may be shared
    OLDER = "older"
    CURRENT = "current"
    NEWER = "newer"


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found: the state, SQLite's file (None for PostgreSQL), and the schema's revision."""

    state: StoreState
    file: Path | None
    revision: str | None = None


def survey(url: str, *, busy_timeout: float) -> Survey:
    """Look at the database at `url`, and try a write that changes nothing and is undone.

    The owner of a file alone tries to write: anybody else would leave a queue beside it that the owner cannot open.

    Raises StoreError, StoreBusy after `busy_timeout` seconds, StoreAway, and ConfigError for a wrong `url`.
    """
    file = sqlite_file(url)
    if file is not None and not file.exists():
        return Survey(StoreState.ABSENT, file)
    if file is not None and file.stat().st_size == 0:
        return Survey(StoreState.EMPTY, file)
    database = Database(url, busy_timeout)
    try:
        with database.read() as connection:
            revision = _revision(connection)
            others = file is not None and bool(inspect(connection).get_table_names())
        if revision is None:
            return Survey(StoreState.FOREIGN if others else StoreState.UNUSED, file)
        if file is None or file.stat().st_uid == os.geteuid():
            _try_write(database)
        return Survey(_state(revision), file, revision)
    finally:
        database.close()


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite database, with symbolic links followed; None for a server's."""
    return Path(url.removeprefix("sqlite:///")).resolve() if url.startswith("sqlite:///") else None


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar())


def _state(revision: str) -> StoreState:
    if revision == HEAD:
        return StoreState.CURRENT
    return StoreState.OLDER if revision in known_revisions() else StoreState.NEWER


def _try_write(database: Database) -> None:
    with database.write() as connection:
        connection.execute(_NOTHING)
        connection.rollback()
