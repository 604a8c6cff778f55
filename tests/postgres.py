"""A private PostgreSQL server for the tests, and the fixture that runs a test on SQLite and on PostgreSQL.

The server belongs to this run of pytest: it listens on a socket in its own folder and on no port, and ends with the
tests. Without PostgreSQL the tests on it are skipped; with CI=true they fail.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from newsletter.store import Store
from tests.migrated import store_file
from tests.needs import memory, unmet

if TYPE_CHECKING:
    import psycopg

# The data need not survive a crash of the machine.
_SETTINGS = (
    *("fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off", "jit=off"),
    *("wal_level=minimal", "max_wal_senders=0", "max_wal_size=64MB", "max_connections=90", "listen_addresses="),
)

_ROOM = 512 * 1024 * 1024  # bytes; the server and its write-ahead log take about 120 MiB


def _binaries() -> Path | None:
    """The folder of the server's programs, from Debian's package `postgresql` or else from PATH; None if not found."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if folders:
        return folders[-1]
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def _as_server_user(user: str) -> list[str]:
    """A command prefix that runs the server as `user`, since it refuses root, and kills it when the session ends."""
    become = [f"--reuid={user}", f"--regid={user}", "--clear-groups"] if os.geteuid() == 0 else []
    return ["setpriv", "--pdeathsig", "KILL", *become]


@dataclass
class Server:
    """A running server: the URL of its databases, with %s for their name, and how to start it."""

    url: str
    command: list[str]
    binaries: Path
    folder: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, cwd=self.folder)
        _wait(self.binaries, self.folder, self.process)

    def restart(self) -> None:
        """Stop it, which cuts every connection, and start it again."""
        _let_go(self.url)
        self.process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
        self.process.wait(60)
        self.start()


@contextmanager
def _server(binaries: Path, folder: Path) -> Iterator[Server]:
    """Run a server whose files and socket are in `folder`."""
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    if os.geteuid() == 0:
        shutil.chown(folder, user, user)
    prefix = _as_server_user(user)
    data = str(folder / "data")
    made = [str(binaries / "initdb"), "-D", data, "-U", "postgres", "--auth=trust", "--no-locale", "-E", "UTF8", "-N"]
    subprocess.run([*prefix, *made], check=True, capture_output=True, cwd=folder)
    settings = [word for setting in _SETTINGS for word in ("-c", setting)]
    command = [str(binaries / "postgres"), "-D", data, "-k", str(folder), *settings]
    server = Server(f"postgresql://postgres@/%s?host={folder}", [*prefix, *command], binaries, folder)
    server.start()
    try:
        yield server
    finally:
        _let_go(server.url)
        server.process.send_signal(signal.SIGQUIT)
        server.process.wait(30)


def _wait(binaries: Path, folder: Path, server: subprocess.Popen[bytes]) -> None:
    """Return when the server answers; the test fails with its log when it has ended, or after 30 seconds."""
    for _ in range(1000):
        ready = subprocess.run([binaries / "pg_isready", "-q", "-h", folder], check=False)
        if ready.returncode == 0:
            return
        if server.poll() is not None:
            break
        time.sleep(0.03)  # the server tells nobody but systemd that it is ready
    pytest.fail((folder / "log").read_text())


@contextmanager
def running() -> Iterator[str]:
    """A server for as long as the block runs; gives its URL, with %s for the database's name."""
    with server() as started:
        yield started.url


@contextmanager
def server() -> Iterator[Server]:
    """The same, for those who restart it."""
    binaries = _binaries()
    if binaries is None:
        unmet("PostgreSQL is not installed (Debian's postgresql)")
    if importlib.util.find_spec("psycopg") is None:
        unmet("psycopg is not installed (the extra [postgres])")
    folder = Path(tempfile.mkdtemp(prefix="newsletter-pg-", dir=memory(_ROOM)))
    try:
        with _server(binaries, folder) as started:
            yield started
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def new_database(server: str, template: str = "template1") -> Iterator[str]:
    """A new database on a `running` server, a copy of the database `template`; gives its URL."""
    name = _make(server, template)
    yield server % name
    _drop(server, name)


def _make(server: str, template: str) -> str:
    """Make a copy of the database `template`; returns its name.

    To copy the files of a small template is twice as fast as PostgreSQL's usual way, its write-ahead log.
    """
    name = f"test_{secrets.token_hex(4)}"
    _operator(server).execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    return name


def _drop(server: str, name: str) -> None:
    """Drop a database, which cuts its connections."""
    _operator(server).execute(f"DROP DATABASE {name} WITH (FORCE)")


# Cuts the other connections, such as that of a process which the test has killed, and counts them.
_OTHERS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""

# The tables, indexes and sequences with their columns, in few bytes.
_SHAPE = """
SELECT md5(string_agg(concat_ws(' ', relnamespace, relname, relkind, attname, atttypid, attnotnull), ','
    ORDER BY relnamespace, relname, attnum))
FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid WHERE pg_class.oid >= 16384 AND relkind <> 't'
"""

_TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"

# Tables that it takes less time to truncate than to delete their rows, and what is left of rows that were deleted.
_LARGE = f"{_TABLES} AND pg_total_relation_size(oid) > 500000"

_SEQUENCES = "SELECT setval(seqrelid::regclass, seqstart, false) FROM pg_sequence"


class Lending:
    """Lends copies of the database `template`, and empties what a test gives back for the next one.

    To drop a database and to make another takes PostgreSQL five times as long. It is done after a test that has changed
    the tables, or cut every connection: ours is kept, since in a new one each statement takes five times as long too.
    """

    def __init__(self, server: str, template: str) -> None:
        import psycopg

        self.server, self.template = server, template
        self._free: list[tuple[str, psycopg.Connection[Any]]] = []
        with psycopg.connect(server % template, autocommit=True) as connection:
            self._shape = connection.execute(_SHAPE).fetchone()
            tables = [name for (name,) in connection.execute(_TABLES)]
            rows = [_rows(connection, name) for name in tables]
        # Without the triggers of foreign keys, the order of the tables does not matter.
        begin = "BEGIN; SET LOCAL session_replication_role = replica"
        self._empty = "; ".join(
            [begin, *(f"DELETE FROM {name}" for name in tables), *filter(None, rows), _SEQUENCES, "COMMIT"]
        )

    @contextmanager
    def lend(self) -> Iterator[str]:
        """A database that is like the template for as long as the block runs; gives its URL."""
        import psycopg

        if self._free:
            name, connection = self._free.pop()
        else:
            name = _make(self.server, self.template)
            connection = psycopg.connect(self.server % name, autocommit=True)
        yield self.server % name
        try:
            as_before = self._emptied(connection)
        except psycopg.OperationalError:
            as_before = False
        if as_before:
            self._free.append((name, connection))
        else:
            connection.close()
            _drop(self.server, name)

    def _emptied(self, connection: psycopg.Connection[Any]) -> bool:
        """Empty a database; returns whether it is like the template again."""
        alone = any(connection.execute(_OTHERS).fetchone() == (0,) for _ in range(10_000))  # they end after a moment
        if not alone or connection.execute(_SHAPE).fetchone() != self._shape:
            return False
        for (table,) in connection.execute(_LARGE).fetchall():
            connection.execute(f"TRUNCATE {table} CASCADE")
        connection.execute(self._empty)
        return True

    def close(self) -> None:
        """Close the connections."""
        for _, connection in self._free:
            connection.close()


def _rows(connection: psycopg.Connection[Any], table: str) -> str:
    """The statement that inserts the rows of a table anew; empty when it has none."""
    from psycopg.sql import Literal

    ((rows,),) = connection.execute(f"SELECT json_agg({table})::text FROM {table}").fetchall()
    values = f"json_populate_recordset(NULL::{table}, {Literal(rows).as_string(connection)})"
    return f"INSERT INTO {table} SELECT * FROM {values}" if rows else ""


_operators: dict[str, psycopg.Connection[Any]] = {}


def _operator(server: str) -> psycopg.Connection[Any]:
    """A connection to a running server that makes databases; it is kept, since to connect takes as long as that."""
    import psycopg

    if server not in _operators:
        _operators[server] = psycopg.connect(server % "postgres", autocommit=True)
    return _operators[server]


def _let_go(server: str) -> None:
    """Close that connection."""
    if server in _operators:
        _operators.pop(server).close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a running server, with %s for the database's name."""
    with running() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_databases(postgres: str) -> Iterator[Lending]:
    """Databases that have the tables of this program, made by its migrations."""
    import psycopg

    with psycopg.connect(postgres % "postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE migrated")
    Store.open(postgres % "migrated").close()
    with closing(Lending(postgres, "migrated")) as lending:
        yield lending


@pytest.fixture
def postgres_database(postgres_databases: Lending) -> Iterator[str]:
    """The URL of a database that has its tables, and nothing in them."""
    with postgres_databases.lend() as url:
        yield url


@pytest.fixture(params=["postgresql"])
def postgres_url(postgres_database: str) -> str:
    """The same, for tests that run on PostgreSQL only; their names say so, see tests/kinds.py."""
    return postgres_database


@pytest.fixture(params=["postgresql"])
def new_postgres_url(postgres_databases: Lending) -> Iterator[str]:
    """The same, of a database that never had anything in its tables."""
    with new_database(postgres_databases.server, postgres_databases.template) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database that has its tables, and nothing in them: the test runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        return store_file(tmp_path / "test.db")
    url: str = request.getfixturevalue("postgres_database")
    return url


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The same for all tests of a module, which only read what a fixture has written."""
    if request.param == "sqlite":
        yield store_file(tmp_path_factory.mktemp("shared") / "test.db")
    else:
        databases: Lending = request.getfixturevalue("postgres_databases")
        with databases.lend() as url:
            yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The same without tables: opening the store migrates it."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'test.db'}"
    else:
        with new_database(request.getfixturevalue("postgres")) as url:
            yield url
