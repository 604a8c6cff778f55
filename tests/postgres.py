"""A private PostgreSQL server for the tests, and the fixture that runs a test on SQLite and on PostgreSQL.

Use it with ``pytest_plugins = ["tests.postgres"]``. Each test session has its own server, which listens on a socket in
its own folder and on no port, and ends with the tests. Without PostgreSQL the tests on it are skipped; with CI=true
they fail.
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
from contextlib import contextmanager
from pathlib import Path

import pytest

# The data need not survive a crash of the machine, so the server does not sync to disk.
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=60")


def _binaries() -> Path | None:
    """The folder of the server's programs, from Debian's package `postgresql` or else from PATH; None if not found."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if folders:
        return folders[-1]
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def _missing(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must test on PostgreSQL: {reason}")
    pytest.skip(f"not tested on PostgreSQL: {reason}")


def _as_server_user(user: str) -> list[str]:
    """A command prefix that runs the server as `user`, since it refuses root, and kills it when the session ends."""
    become = [f"--reuid={user}", f"--regid={user}", "--clear-groups"] if os.geteuid() == 0 else []
    return ["setpriv", "--pdeathsig", "KILL", *become]


@contextmanager
def _server(binaries: Path, folder: Path) -> Iterator[str]:
    """Run a server whose files and socket are in `folder`; yields the URL of its first database, without a name."""
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    if os.geteuid() == 0:
        shutil.chown(folder, user, user)
    prefix = _as_server_user(user)
    data = str(folder / "data")
    made = [str(binaries / "initdb"), "-D", data, "-U", "postgres", "--auth=trust", "--no-locale", "-E", "UTF8", "-N"]
    subprocess.run([*prefix, *made], check=True, capture_output=True, cwd=folder)
    settings = [word for setting in _FAST for word in ("-c", setting)]
    command = [str(binaries / "postgres"), "-D", data, "-k", str(folder), "-c", "listen_addresses=", *settings]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([*prefix, *command], stdout=log, stderr=log, cwd=folder)
    try:
        _wait(binaries, folder, server)
        yield f"postgresql://postgres@/%s?host={folder}"
    finally:
        server.send_signal(signal.SIGQUIT)
        server.wait(30)


def _wait(binaries: Path, folder: Path, server: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        ready = subprocess.run([binaries / "pg_isready", "-q", "-h", folder], check=False)
        if ready.returncode == 0:
            return
        if server.poll() is not None:
            break
        time.sleep(0.1)
    pytest.fail((folder / "log").read_text())


@contextmanager
def running() -> Iterator[str]:
    """A server for as long as the block runs; gives its URL, with %s for the database's name."""
    binaries = _binaries()
    if binaries is None:
        _missing("Debian's package postgresql is not installed")
    if importlib.util.find_spec("psycopg") is None:
        _missing("psycopg is not installed")
    assert binaries is not None
    folder = Path(tempfile.mkdtemp(prefix="newsletter-pg-"))
    try:
        with _server(binaries, folder) as url:
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def empty_database(server: str) -> Iterator[str]:
    """A new database on a `running` server; gives its URL."""
    import psycopg

    name = f"test_{secrets.token_hex(4)}"
    with psycopg.connect(server % "postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield server % name
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a running server, with %s for the database's name."""
    with running() as url:
        yield url


@pytest.fixture
def postgres_url(postgres: str) -> Iterator[str]:
    """The URL of an empty database."""
    with empty_database(postgres) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database: the test runs once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url
