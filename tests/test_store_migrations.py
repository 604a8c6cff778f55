"""Migrations: a store opens at this program's schema, whoever opens it first, wherever the program is installed."""

from __future__ import annotations

import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, ForeignKeyConstraint, Index, make_url, text

import newsletter
from newsletter.errors import StoreError
from newsletter.model import SubscriberStatus
from newsletter.store import Added, ConfirmationState, Store
from newsletter.store.database import Database
from newsletter.store.schema import HEAD, metadata
from newsletter.store.upgrade import alembic_config, known_revisions
from tests.postgres import new_database


@pytest.fixture(scope="module", autouse=True)
def loaded_once() -> Iterator[None]:
    """Have Alembic load the migrations once: it loads all of them for each upgrade, which takes longer than most."""
    load, made = ScriptDirectory.from_config, list[ScriptDirectory]()

    def loaded(config: Config) -> ScriptDirectory:
        made[:] = made or [load(config)]
        return made[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", loaded)
        yield


@pytest.fixture
def database_url(empty_database_url: str) -> str:
    """In this file every database is migrated for real."""
    return empty_database_url


def meant_for(dialect: str) -> Callable[..., bool]:
    """Alembic's filter: leaves out the indexes and foreign keys that only the other database has."""
    tables = metadata.tables.values()
    found: list[Index | ForeignKeyConstraint] = [each for table in tables for each in table.indexes]
    found += [each for table in tables for each in table.foreign_key_constraints]
    others = {each.name for each in found if each._ddl_if is not None and each._ddl_if.dialect != dialect}
    return lambda _object, name, kind, reflected, _other: (
        not str(name).startswith("paper_index")  # the search's, of another kind in each database
        and (kind not in ("index", "foreign_key_constraint") or reflected or name not in others)
    )


def test_the_migrations_lead_to_the_tables_the_code_works_with(database_url: str) -> None:
    Store.open(database_url).close()
    database = Database(database_url, 1)
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": meant_for(connection.dialect.name)})
        assert compare_metadata(context, metadata) == []
        scripts = ScriptDirectory.from_config(alembic_config(connection))
        assert scripts.get_current_head() == HEAD
        assert {script.revision for script in scripts.walk_revisions()} == known_revisions()
    database.close()


REVISIONS = sorted(known_revisions())


def migrate(connection: Connection, revision: str) -> None:
    """Make the tables as they were at `revision`, and nothing in them, whatever there was before."""
    names = [table.name for table in reversed(metadata.sorted_tables)]
    for name in (*names, "alembic_version"):
        connection.execute(text(f"DROP TABLE IF EXISTS {name}"))
    command.upgrade(alembic_config(connection), revision)


def at_revision(url: str, revision: str) -> None:
    """Make the database at `url` what it was at `revision`, with an issue and a reader of it from the first one on."""
    database = Database(url, 1)
    with database.write() as connection:
        migrate(connection, REVISIONS[0])
        for row in OLD_ROWS:
            connection.execute(text(row))
        command.upgrade(alembic_config(connection), revision)
    database.close()


class Ladder:
    """A database that goes from one revision to the next, and can be copied at each. On PostgreSQL by its `server`."""

    def __init__(self, url: str, server: str = "") -> None:
        self._url, self._server, self._revision = url, server, ""

    @contextmanager
    def copy(self, revision: str, folder: Path) -> Iterator[str]:
        """A copy as at_revision makes it, an SQLite one in `folder`; gives its URL."""
        self._climb(revision)
        if self._server:
            with new_database(self._server, template=str(make_url(self._url).database)) as url:
                yield url
        else:
            yield f"sqlite:///{shutil.copy(make_url(self._url).database or '', folder / 'test.db')}"

    def _climb(self, revision: str) -> None:
        if not self._revision or revision < self._revision:
            at_revision(self._url, revision)
        elif revision > self._revision:
            database = Database(self._url, 1)
            with database.write() as connection:
                command.upgrade(alembic_config(connection), revision)
            database.close()
        self._revision = revision


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def ladder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ladder]:
    """A database for the tests of all revisions, which would take twice as long if each began at the first one."""
    if request.param == "sqlite":
        yield Ladder(f"sqlite:///{tmp_path_factory.mktemp('ladder') / 'old.db'}")
    else:
        server = request.getfixturevalue("postgres")
        with new_database(server) as url:
            yield Ladder(url, server)


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_store_of_every_schema_that_ever_was_goes_on(
    ladder: Ladder, revision: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Its copy is still owed. An SQLite file is copied first, and a line says so; one of today is left alone."""
    with ladder.copy(revision, tmp_path) as url:
        capsys.readouterr()
        goes_on(url, revision, capsys, tmp_path)


def goes_on(database_url: str, revision: str, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    with Store.open(database_url, now=lambda: datetime(2026, 11, 24, 8, tzinfo=UTC)) as store:
        (issue,) = store.unfinished()
        (delivery,) = store.claim(issue.id, 10, resend_uncertain=0)
    assert (issue.rendered.html, delivery.address) == ("<p>x", "ada@example.org")
    said = capsys.readouterr().err
    copies = sorted(folder.glob("*.schema-*"))
    if revision == HEAD:
        assert (said, copies) == ("", [])
    elif database_url.startswith("postgresql"):
        assert f"from schema {revision} to {HEAD}; no copy was kept; `newsletter backup` makes one" in said
    else:
        (copy,) = copies
        kept = f"what was there before is kept as {copy}"
        assert said.splitlines() == [
            f"newsletter: upgraded {folder / 'test.db'} from schema {revision} to {HEAD}; {kept}"
        ]
        assert copy.name == f"test.db.schema-{revision}"
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        with closing(sqlite3.connect(copy)) as old:
            assert old.execute("SELECT version_num FROM alembic_version").fetchone() == (revision,)
            assert old.execute("SELECT address FROM deliveries").fetchall() == [("ada@example.org",)]


def test_the_copies_of_before_upgrades_do_not_pile_up(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    (tmp_path / "test.db.schema-notes").write_text("not a copy", "utf-8")
    for revision in REVISIONS[:5]:
        at_revision(url, revision)
        Store.open(url).close()
    names = sorted(path.name for path in tmp_path.glob("*.schema-*"))
    assert names == [*(f"test.db.schema-{revision}" for revision in REVISIONS[2:5]), "test.db.schema-notes"]


def test_without_room_for_a_copy_there_is_no_upgrade(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    at_revision(url, REVISIONS[0])
    (tmp_path / f"test.db.schema-{REVISIONS[0]}.new").mkdir()  # where the copy would be written
    with pytest.raises(StoreError, match="no copy can be made before the upgrade"):
        Store.open(url)
    with closing(sqlite3.connect(tmp_path / "test.db")) as old:
        assert old.execute("SELECT version_num FROM alembic_version").fetchone() == (REVISIONS[0],)


def test_reports_of_before_count_by_their_codes(database_url: str) -> None:
    """Revision 0008 judges what is there by the code alone; words of servers are judged when they are read."""
    database = Database(database_url, 1)
    kept = {"5.1.1": "hard", "5.2.2": "soft", "4.4.1": "soft", "5.7.1": "none", "5.1.90": "none", "": "none"}
    with database.write() as connection:
        scripts = ScriptDirectory.from_config(alembic_config(connection))
        before = scripts.get_revision("0008").down_revision
        assert isinstance(before, str)
        migrate(connection, before)
        for status in kept:
            values = f"'{status:0<64}', '2026-11-24 07:00:00', 'permanent', '{status}'"
            connection.execute(text(f"INSERT INTO reports (digest, read_at, kind, status) VALUES ({values})"))
    database.close()
    Store.open(database_url).close()
    database = Database(database_url, 1)
    with database.read() as connection:
        rows = connection.execute(text("SELECT status, weight FROM reports")).all()
    assert {row.status: row.weight for row in rows} == kept
    database.close()


def test_a_reader_who_was_about_to_move_still_may(database_url: str) -> None:
    """Before revision 0010 the new address was a row of the list that named the old one."""
    database = Database(database_url, 1)
    asked = datetime(2026, 11, 24, 7, tzinfo=UTC)
    columns = "id, ref, address, identity, status, created_at, status_at, days, asked_at, mailed_at, replaces"
    at = "'2026-11-24 07:00:00.000000'"
    with database.write() as connection:
        migrate(connection, "0009")
        for row in (
            f"101, '{'1' * 16}', 'ada@example.org', 'ada@example.org', 'active', {at}, {at}, 4, NULL, NULL, NULL",
            f"102, '{'2' * 16}', 'New@example.org', 'new@example.org', 'pending', {at}, {at}, 127, {at}, {at}, 101",
            f"103, '{'3' * 16}', 'eve@example.org', 'eve@example.org', 'active', {at}, {at}, 127, {at}, {at}, 101",
        ):
            connection.execute(text(f"INSERT INTO subscribers ({columns}) VALUES ({row})"))
    database.close()
    with Store.open(database_url, now=lambda: asked + timedelta(hours=1)) as store:
        assert store.find("new@example.org") is None
        assert store.due_sign_ups(9) == []
        assert store.standing("3" * 16, asked) is ConfirmationState.OPEN
        assert store.confirm("2" * 16, asked, "pressed") is ConfirmationState.CONFIRMED
        old, new = store.find("ada@example.org"), store.find("New@example.org")
    assert old is not None
    assert new is not None
    assert (old.status, new.status, new.days) == (SubscriberStatus.UNSUBSCRIBED, SubscriberStatus.ACTIVE, 4)


# As the first revision kept an issue and a reader of it.
OLD_ROWS = (
    (
        "INSERT INTO subscribers (id, ref, address, identity, status, created_at, status_at) VALUES"
        " (1, '00', 'ada@example.org', 'ada@example.org', 'active', '2026-11-24 07:00:00', '2026-11-24 07:00:00')"
    ),
    (
        "INSERT INTO issues (id, day, frozen_at, expires_at) VALUES"
        " (1, '2026-11-24', '2026-11-24 07:00:00', '2026-11-25 07:00:00')"
    ),
    (
        "INSERT INTO renderings (id, issue_id, subject, html, text, publication) VALUES (1, 1, 's', '<p>x', 'x', "
        """'{"title": "T", "sender": "a@example.org", "bounce_address": "a@example.org", "postal_address": "P","""
        """ "list_id": "l.example.org"}')"""
    ),
    (
        "INSERT INTO deliveries (id, issue_id, rendering_id, subscriber_id, address, state) VALUES"
        " (1, 1, 1, 1, 'ada@example.org', 'pending')"
    ),
)


def test_first_runs_at_the_same_time_make_one_store(database_url: str) -> None:
    start, became = threading.Barrier(6), []

    def work(name: str) -> None:
        start.wait()
        with Store.open(database_url) as store:
            became.append(store.add(f"{name}@example.org"))

    workers = [threading.Thread(target=work, args=(f"r{n}",)) for n in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert became == [Added.NEW] * 6


def test_a_first_run_waits_for_another_that_holds_the_new_file(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "test.db", isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.1, other.rollback)
        release.start()
        with Store.open(f"sqlite:///{tmp_path / 'test.db'}", busy_timeout=20) as store:
            assert store.add("ada@example.org") is Added.NEW
        release.join()


def test_a_store_of_a_newer_version_is_refused_and_left_alone(database_url: str) -> None:
    Store.open(database_url).close()
    database = Database(database_url, 1)
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="made by a newer version of this program"):
        Store.open(database_url)
    with database.read() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "9999"
    database.close()


def test_a_migration_that_fails_leaves_no_half_made_store(database_url: str) -> None:
    database = Database(database_url, 1)
    with database.write() as connection:
        connection.execute(text("CREATE TABLE runs (id INTEGER)"))
    with pytest.raises(StoreError, match="runs"):
        Store.open(database_url)
    with database.write() as connection:
        connection.execute(text("DROP TABLE runs"))
    database.close()
    with Store.open(database_url) as store:
        assert store.add("ada@example.org") is Added.NEW


PROBE = """
import sys
sys.path.insert(0, sys.argv[1])
from newsletter.store import Store
for _ in range(2):
    Store.open(sys.argv[2]).close()
    print(sys.modules["newsletter"].__file__, "alembic" in sys.modules)
"""


def probe(site: Path, folder: Path) -> list[str]:
    """What a fresh interpreter prints that knows the package from `site` only and runs in `folder`."""
    command = [sys.executable, "-I", "-c", PROBE, str(site), f"sqlite:///{folder / 'test.db'}"]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.splitlines()


def test_migrations_are_found_through_the_installed_package(tmp_path: Path) -> None:
    site, folder = tmp_path / "100% site", tmp_path / "elsewhere"
    folder.mkdir()
    source = Path(newsletter.__file__).parent
    shutil.copytree(source, site / "newsletter", ignore=shutil.ignore_patterns("__pycache__"))
    (line, _) = probe(site, folder)
    assert line == f"{site / 'newsletter' / '__init__.py'} True"


def test_alembic_is_not_loaded_when_the_store_is_up_to_date(tmp_path: Path) -> None:
    Store.open(f"sqlite:///{tmp_path / 'test.db'}").close()
    assert [line.split()[-1] for line in probe(Path(newsletter.__file__).parents[1], tmp_path)] == ["False", "False"]
