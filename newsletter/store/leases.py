"""Connections to a mail server, counted over all processes: a process takes a number for each that it opens.

A number is a lock that ends with its holder, like those of locks.py: an advisory lock of PostgreSQL on a connection of
its own, or a lock on a file beside an SQLite database. A process that gets none says that it waits, by another lock;
whoever has some looks for that, and closes one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, TextClause, text

from newsletter.errors import StoreError
from newsletter.slots import Leases
from newsletter.store.database import Database, Part

_WAITING: Final = 0  # the number of the lock that is shared by those who wait


class Connections(Part):
    """The part of the store that counts connections."""

    def leases(self) -> Leases:
        """The numbers of a pool of connections, which closes them. Opens nothing before the first is taken."""
        return _Files(self._db.file) if self._db.file is not None else _Advisory(self._db)


class _Files:
    """Locks on files. The files stay, because a lock on a removed file keeps nobody out."""

    def __init__(self, database: Path) -> None:
        self._folder = database.with_name(f"{database.name}.connections")
        self._held: dict[tuple[str, int], int] = {}  # descriptors

    def take(self, server: str, most: int) -> int | None:
        for number in range(1, most + 1):
            if (server, number) not in self._held and self._lock(server, number, fcntl.LOCK_EX):
                return number
        return None

    def give(self, server: str, number: int) -> None:
        if (descriptor := self._held.pop((server, number), None)) is not None:
            os.close(descriptor)

    def wait(self, server: str, *, waiting: bool) -> None:
        if not waiting:
            self.give(server, _WAITING)
        elif (server, _WAITING) not in self._held:
            self._lock(server, _WAITING, fcntl.LOCK_SH)

    def wanted(self, server: str) -> bool:
        free = self._lock(server, _WAITING, fcntl.LOCK_EX)
        self.give(server, _WAITING)
        return not free

    def close(self) -> None:
        while self._held:
            os.close(self._held.popitem()[1])

    def _lock(self, server: str, number: int, kind: int) -> bool:
        path = self._folder / f"{hashlib.sha256(server.encode()).hexdigest()[:16]}.{number}"
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            advice = "; run this as the user who owns the database" if isinstance(error, PermissionError) else ""
            raise StoreError(f"{path}: the lock cannot be made: {error.strerror}{advice}") from error
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._held[server, number] = descriptor
        return True


# CASE keeps the lock from being tried where this connection has it already, which would succeed.
_TAKE: Final = text(
    "SELECT n FROM generate_series(1, :most) AS n"
    " WHERE CASE WHEN n = ANY(:held) THEN false ELSE pg_try_advisory_lock(:key, n) END LIMIT 1"
)
_GIVE: Final = text("SELECT pg_advisory_unlock(:key, :number)")
_WAIT: Final = text("SELECT pg_try_advisory_lock_shared(:key, 0)")
_WAIT_NO_MORE: Final = text("SELECT pg_advisory_unlock_shared(:key, 0)")
_WANTED: Final = text(
    "SELECT CASE WHEN pg_try_advisory_lock(:key, 0) THEN NOT pg_advisory_unlock(:key, 0) ELSE true END"
)


class _Advisory:
    """Advisory locks of PostgreSQL, all on one connection."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stack = ExitStack()
        self._opened: Connection | None = None
        self._held: defaultdict[str, set[int]] = defaultdict(set)
        self._waits: set[str] = set()

    def take(self, server: str, most: int) -> int | None:
        asked = {"most": most, "held": list(self._held[server]), "key": _key(server)}
        number: int | None = self._ask(_TAKE, asked)
        if number is not None:
            self._held[server].add(number)
        return number

    def give(self, server: str, number: int) -> None:
        self._held[server].discard(number)
        self._ask(_GIVE, {"key": _key(server), "number": number})

    def wait(self, server: str, *, waiting: bool) -> None:
        if waiting != (server in self._waits):
            self._ask(_WAIT if waiting else _WAIT_NO_MORE, {"key": _key(server)})
            self._waits ^= {server}

    def wanted(self, server: str) -> bool:
        return bool(self._ask(_WANTED, {"key": _key(server)}))

    def close(self) -> None:
        self._stack.close()

    def _ask(self, statement: TextClause, values: dict[str, Any]) -> Any:
        if self._opened is None:
            self._opened = self._stack.enter_context(self._database.session())
        return self._database.scalar(self._opened, statement, values)


def _key(server: str) -> int:
    """The first number of a server's advisory locks; the second is the connection's."""
    return int.from_bytes(hashlib.sha256(f"connections {server}".encode()).digest()[:4], "big", signed=True)
