"""Turns errors of SQLAlchemy and the drivers into one line for the operator, by a table."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Final

from newsletter.errors import StoreAway, StoreBusy, StoreError, StoreForbidden, StoreFull

_BUSY: Final = "another process kept it locked for too long; try again"
_DAMAGED: Final = (
    "the file is damaged; restore it from a backup, or keep it and let `sqlite3 FILE .recover` save the rest"
)

_PERMISSIONS: Final = "check the permissions of the file and of its folder, or run this as the user who owns them"

# By SQLite's primary result code (sqlite.org/rescode.html).
_SQLITE: Final[Mapping[int, tuple[type[StoreError], str]]] = {
    sqlite3.SQLITE_BUSY: (StoreBusy, _BUSY),
    sqlite3.SQLITE_LOCKED: (StoreBusy, _BUSY),
    sqlite3.SQLITE_FULL: (StoreFull, "the disk is full; nothing more is sent until there is room"),
    sqlite3.SQLITE_READONLY: (StoreForbidden, f"it cannot be written; {_PERMISSIONS}"),
    sqlite3.SQLITE_CANTOPEN: (StoreForbidden, f"it cannot be opened; {_PERMISSIONS}"),
    sqlite3.SQLITE_PERM: (StoreForbidden, f"it cannot be opened; {_PERMISSIONS}"),
    sqlite3.SQLITE_IOERR: (StoreError, "the disk failed to read or write; see the system's log"),
    sqlite3.SQLITE_NOTADB: (StoreError, "this file is not an SQLite database; check `store` in the configuration"),
    sqlite3.SQLITE_CORRUPT: (StoreError, _DAMAGED),
}

# By SQLSTATE (PostgreSQL, appendix A): lock_not_available, deadlock_detected, serialization_failure.
_POSTGRES_BUSY: Final = frozenset({"55P03", "40P01", "40001"})

# The same, by class: connection exceptions, insufficient resources, shutting or starting.
_POSTGRES_AWAY: Final = ("08", "53", "57P")


def damaged(where: str) -> StoreError:
    """The error for a file whose content fails SQLite's own check."""
    return StoreError(f"{where}: {_DAMAGED}")


def busy(where: str) -> StoreBusy:
    """The error for a lock that another process holds for too long."""
    return StoreBusy(f"{where}: {_BUSY}")


def translate(error: Exception, where: str) -> StoreError:
    """The StoreError for what SQLAlchemy or the driver raised; `where` names the database, without its password."""
    cause = getattr(error, "orig", None) or error
    code = getattr(cause, "sqlite_errorcode", None)
    if code is not None and code & 0xFF in _SQLITE:
        kind, reason = _SQLITE[code & 0xFF]
        return kind(f"{where}: {reason}")
    if getattr(cause, "sqlstate", None) in _POSTGRES_BUSY:
        return StoreBusy(f"{where}: {_BUSY}")
    return (StoreAway if _is_away(cause) else StoreError)(f"{where}: {_first_line(cause)}")


def _is_away(cause: BaseException) -> bool:
    """Whether PostgreSQL is unavailable or cannot be reached; psycopg need not be installed."""
    kind, state = type(cause), getattr(cause, "sqlstate", None)
    if state is None:
        return (kind.__module__.partition(".")[0], kind.__name__) == ("psycopg", "OperationalError")
    return str(state).startswith(_POSTGRES_AWAY)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__
