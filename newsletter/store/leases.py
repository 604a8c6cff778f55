"""Connections to a mail server, counted over all processes: a process takes a number for each that it opens.

A number is a lock that ends with its holder, like those of locks.py: an advisory lock of PostgreSQL on a connection of
its own, or a lock on a file beside an SQLite database. By a lock each process also says that it is there, and by
another one that it waits, since it has fewer than its share; transport/numbers.py says what follows.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections import defaultdict
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, TextClause, text

from newsletter.errors import StoreAway, StoreError
from newsletter.slots import Leases
from newsletter.store.database import Database, Part

_WAITING: Final = 0  # the number of the lock that is shared by those who wait
_PROCESS: Final = 1_000_000  # that of the lock that says a process is there; in files the first of several


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

    def processes(self, server: str) -> int:
        number = _PROCESS
        if not any(name == server and held >= _PROCESS for name, held in self._held):
            while not self._lock(server, number, fcntl.LOCK_EX):
                number += 1
        found, number = 0, _PROCESS
        while self._path(server, number).exists():
            found += self._taken(server, number)
            number += 1
        return found

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

    def _taken(self, server: str, number: int) -> bool:
        """Whether a process is there that has this number."""
        if (server, number) in self._held:
            return True
        free = self._lock(server, number, fcntl.LOCK_SH)  # shared: another process may be counting, too
        self.give(server, number)
        return not free

    def _path(self, server: str, number: int) -> Path:
        return self._folder / f"{hashlib.sha256(server.encode()).hexdigest()[:16]}.{number}"

    def _lock(self, server: str, number: int, kind: int) -> bool:
        path = self._path(server, number)
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
_AGAIN: Final = text("SELECT pg_try_advisory_lock(:key, :number)")
_GIVE: Final = text("SELECT pg_advisory_unlock(:key, :number)")
_BE_THERE: Final = text("SELECT pg_try_advisory_lock_shared(:key, :process)")
_THERE: Final = text(  # each holder of a shared lock has a row; a key of 32 bits is shown without its sign
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND classid = CAST(CAST(:key AS bigint) & 4294967295 AS oid) AND objid = CAST(:process AS oid)"
)
_WAIT: Final = text("SELECT pg_try_advisory_lock_shared(:key, 0)")
_WAIT_NO_MORE: Final = text("SELECT pg_advisory_unlock_shared(:key, 0)")
_WANTED: Final = text(
    "SELECT CASE WHEN pg_try_advisory_lock(:key, 0) THEN NOT pg_advisory_unlock(:key, 0) ELSE true END"
)


class _Advisory:
    """Advisory locks of PostgreSQL, all on one connection.

    When that is cut, the numbers are locked again over a new one as soon as there is one. The connections to the mail
    server stay open meanwhile, so that another process may open a few more than are allowed.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stack = ExitStack()
        self._opened: Connection | None = None
        self._held: defaultdict[str, set[int]] = defaultdict(set)
        self._waits: set[str] = set()
        self._there: set[str] = set()

    def take(self, server: str, most: int) -> int | None:
        number: int | None = self._ask(_TAKE, server, most=most, held=list(self._held[server]))
        if number is not None:
            self._held[server].add(number)
        return number

    def give(self, server: str, number: int) -> None:
        self._held[server].discard(number)
        self._ask(_GIVE, server, number=number)

    def processes(self, server: str) -> int:
        if server not in self._there and self._ask(_BE_THERE, server, process=_PROCESS):
            self._there.add(server)
        return int(self._ask(_THERE, server, process=_PROCESS) or 1)

    def wait(self, server: str, *, waiting: bool) -> None:
        if waiting != (server in self._waits) and self._ask(_WAIT if waiting else _WAIT_NO_MORE, server):
            self._waits ^= {server}

    def wanted(self, server: str) -> bool:
        return bool(self._ask(_WANTED, server))

    def close(self) -> None:
        with suppress(StoreError):  # the server has noticed before us
            self._stack.close()

    def _ask(self, statement: TextClause, server: str, **values: object) -> Any:
        """What the database says; None while it is away."""
        try:
            connection = self._opened or self._open()
            return self._database.scalar(connection, statement, {"key": _key(server), **values})
        except StoreAway:
            self.close()
            self._opened, self._waits, self._there = None, set(), set()
            return None

    def _open(self) -> Connection:
        self._opened = connection = self._stack.enter_context(self._database.session())
        for server, numbers in self._held.items():
            for number in numbers:
                self._database.scalar(connection, _AGAIN, {"key": _key(server), "number": number})
        return connection


def _key(server: str) -> int:
    """The first number of a server's advisory locks; the second is the connection's."""
    return int.from_bytes(hashlib.sha256(f"connections {server}".encode()).digest()[:4], "big", signed=True)
