"""`newsletter store move`: everything arrives as it was, on either database, and nothing changes where it came from."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date, datetime, timedelta, timezone
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Boolean, Column, Date, Enum, Integer, LargeBinary, Table, Update, insert, select, update
from sqlalchemy.types import JSON

from newsletter.cli.store import move
from newsletter.config import Config, load
from newsletter.errors import ConfigError, NewsletterError, StoreBusy, StoreError, StoreOutdated
from newsletter.store import Added, Store
from newsletter.store.database import Database
from newsletter.store.schema import Packed, Utc, deliveries, metadata, moves, send_slots, store_identity, subscribers
from newsletter.store.transfer import Moved, transfer
from tests import program
from tests.conftest import ROOT
from tests.migrated import store_file
from tests.postgres import new_database

# The tables that are moved before the deliveries.
EARLIER = {table.name for table in takewhile(lambda table: table is not deliveries, metadata.sorted_tables)} - {
    "send_slots",
    "senders",
    "engine_migrations",
}

WORDS = "Zoë 🦉 שלום 日本 O'Neil %s {x} \\ \t\n"


def some(column: Column[Any], number: int, parents: dict[Table, list[Any]]) -> Any:
    """A value that tells one row of a table from another."""
    kind = column.type
    for key in column.foreign_keys:
        known = parents.get(key.column.table, [])
        return known[number % len(known)] if known else None
    if isinstance(kind, Enum):
        return list(kind.enum_class or kind.enums)[number % len(kind.enums)]
    if column.nullable and number % 3 == 0:
        return None
    values: tuple[tuple[type, Any], ...] = (
        (Utc, datetime(2026, 3, 29, 2, 30, 0, 123456 + number, tzinfo=timezone(timedelta(hours=5, minutes=45)))),
        (Packed, f"{WORDS}\0{number}" * 50),
        (Boolean, number % 2 == 0),
        (Date, date(2026, 2, 28) + timedelta(days=number)),
        (Integer, number + 7),
        (JSON, {"title": f"{WORDS}{number}", "none": None, "numbers": [1, 2.5, True]}),
        (LargeBinary, bytes(range(256)) + bytes([number % 256])),
    )
    for of, value in values:
        if isinstance(kind, of):
            return value
    text = f"{number} {WORDS}"
    length: int | None = getattr(kind, "length", None)
    return text[:length]


def fill(url: str, rows: int = 40) -> None:
    """Write rows into every table."""
    database = Database(url, 5)
    parents: dict[Table, list[Any]] = {}
    with database.write() as connection:
        for table in metadata.sorted_tables:
            if table.name != "store_identity":
                made = [{each.name: some(each, number, parents) for each in table.columns} for number in range(rows)]
                connection.execute(insert(table), made)
            key = next(iter(table.primary_key.columns))
            parents[table] = list(connection.execute(select(key)).scalars())
        # References to rows that come later, as when an old address was subscribed after the new one.
        first, last = min(parents[subscribers]), max(parents[subscribers])
        connection.execute(update(subscribers).where(subscribers.c.id == first).values(moved_to=last))
    database.close()


def content(url: str) -> dict[str, list[tuple[Any, ...]]]:
    database = Database(url, 5)
    try:
        with database.read() as connection:
            return {
                table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
                for table in metadata.sorted_tables
                if table.name not in ("send_slots", "senders", "engine_migrations")
            }
    finally:
        database.close()


def moved(source: str, target: str, **how: Any) -> Moved:
    return transfer(source, target, lambda file: None, **how)


@pytest.fixture
def there(request: pytest.FixtureRequest, postgres: str) -> Iterator[Callable[[], str]]:
    """Makes empty PostgreSQL databases."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(new_database(postgres))


def test_everything_arrives_and_comes_back_as_it_was(tmp_path: Path, there: Callable[[], str]) -> None:
    here, away, back = store_file(tmp_path / "a.db"), there(), f"sqlite:///{tmp_path / 'b.db'}"
    fill(here)
    before, file = content(here), (tmp_path / "a.db").read_bytes()
    first = moved(here, away)
    assert first.rows["deliveries"] == 40
    assert not first.replaced
    assert content(away) == before
    moved(away, back)
    assert content(back) == content(away) == before
    assert (tmp_path / "a.db").read_bytes() == file
    assert (tmp_path / "b.db").stat().st_mode & 0o777 == 0o600
    for url in (away, back):
        database = Database(url, 5)
        with database.read() as connection:
            assert not connection.execute(select(send_slots)).all()  # of another clock
        database.close()


def test_new_rows_are_numbered_after_those_that_came(tmp_path: Path, there: Callable[[], str]) -> None:
    here, away = store_file(tmp_path / "a.db"), there()
    with Store.open(here) as store:
        store.add_all([f"r{n}@example.org" for n in range(5)], revive=True)
    moved(here, away)
    with Store.open(away) as store:
        assert store.add("new@example.org") is Added.NEW
        found = store.find("new@example.org")
        assert found is not None
        assert found.id == 6


def test_text_that_postgresql_cannot_keep_becomes_what_it_can(tmp_path: Path, there: Callable[[], str]) -> None:
    here, away = store_file(tmp_path / "a.db"), there()
    fill(here, 3)
    database = Database(here, 5)
    with database.write() as connection:
        connection.execute(update(deliveries).where(deliveries.c.id == 8).values(reply_text="a\0b\0"))
    database.close()
    assert moved(here, away).replaced == 2
    assert [row for row in content(away)["deliveries"] if "a b " in row]


def test_a_second_move_finds_everything_there_and_says_if_it_does_not(tmp_path: Path, there: Callable[[], str]) -> None:
    here, away = store_file(tmp_path / "a.db"), there()
    with Store.open(here) as store:
        store.add("early@example.org")
    assert not moved(here, away).again
    assert moved(here, away).again
    with Store.open(here) as store:
        store.add("later@example.org")
    with pytest.raises(StoreError, match=r"the table subscribers differs .* written to since it was moved"):
        moved(here, away)


def test_a_database_of_another_list_is_left_alone(tmp_path: Path, there: Callable[[], str]) -> None:
    here, away = store_file(tmp_path / "a.db"), there()
    fill(here, 2)
    with Store.open(away) as store:
        store.add("theirs@example.org")
    before = content(away)
    with pytest.raises(StoreError, match="holds another list"):
        moved(here, away)
    assert content(away) == before


def test_what_is_at_work_on_either_side_is_waited_for(tmp_path: Path, there: Callable[[], str]) -> None:
    here, away = store_file(tmp_path / "a.db"), there()
    fill(here, 2)
    Store.open(away).close()
    for url in (here, away):
        with Store.open(url) as store:
            for lock, words in ((store.sending_lock, "a run is sending"), (store.confirmations_lock, "newsletter web")):
                with lock(), pytest.raises(StoreBusy, match=words) as caught:
                    moved(here, away)
                assert caught.value.exit_code == 75
    assert not moved(here, away).again


def test_a_worker_that_sends_a_shard_is_waited_for(tmp_path: Path, there: Callable[[], str]) -> None:
    away = there()
    Store.open(away).close()
    fill(away, 2)
    with Store.open(away) as store, store.shard(8, 0, resend_uncertain=0) as held:
        assert held is not None
        with pytest.raises(StoreBusy, match="a worker is sending"):
            moved(away, f"sqlite:///{tmp_path / 'b.db'}")


@pytest.mark.parametrize("url", ["sqlite:///{}/none.db", "sqlite:///{}/empty.db"])
def test_where_there_is_no_store_none_is_made(tmp_path: Path, url: str) -> None:
    (tmp_path / "empty.db").touch()
    with pytest.raises(NewsletterError, match="there is no store"):
        moved(url.format(tmp_path), f"sqlite:///{tmp_path / 'b.db'}")
    assert not (tmp_path / "none.db").exists()
    assert not (tmp_path / "b.db").exists()


def test_a_store_of_another_version_is_not_upgraded_by_a_move(tmp_path: Path) -> None:
    here = store_file(tmp_path / "a.db")
    database = Database(here, 5)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0010'")
    database.close()
    with pytest.raises(StoreError, match="schema 0010"):
        moved(here, f"sqlite:///{tmp_path / 'b.db'}")


def test_the_same_store_is_no_target(tmp_path: Path) -> None:
    here = store_file(tmp_path / "a.db")
    with pytest.raises(StoreError, match="in use already"):
        moved(here, here)


KILLED = """
import os, signal, sys
from newsletter.store import transfer
transfer._BATCH, transfer._TOGETHER = 5, 2
insert = transfer._insert
def insert_some(connection, table, rows):
    insert(connection, table, rows)
    if table.name == "deliveries" and any(row[0] == 32 for row in rows):  # the third of four transactions
        os.kill(os.getpid(), signal.SIGKILL)
transfer._insert = insert_some
transfer.transfer(sys.argv[1], sys.argv[2], lambda file: None)
"""


def operate(url: str, statement: Update) -> None:
    database = Database(url, 5)
    with database.write() as connection:
        connection.execute(statement)
    database.close()


def killed(here: str, away: str) -> None:
    """Begin a move and kill it among the deliveries, of which 20 are there."""
    done = program.run([sys.executable, "-c", KILLED, here, away], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.fixture
def direction(request: pytest.FixtureRequest, tmp_path: Path, there: Callable[[], str]) -> tuple[str, str]:
    """A store with rows in every table, and where it is to move."""
    file = store_file(tmp_path / "a.db")
    fill(file)
    if request.param == "to postgresql":
        return file, there()
    away = there()
    moved(file, away)
    return away, f"sqlite:///{tmp_path / 'b.db'}"


@pytest.mark.parametrize("direction", ["to postgresql", "from postgresql"], indirect=True)
def test_a_move_that_is_killed_goes_on_where_it_stopped(direction: tuple[str, str]) -> None:
    here, away = direction
    before = content(here)
    killed(here, away)
    with pytest.raises(ConfigError, match="a move into it has not ended"):
        Store.open(away)
    with pytest.raises(ConfigError, match="a move into it has not ended"):
        moved(away, here)
    assert content(here) == before
    done = moved(here, away)
    assert done.found == sum(
        20 if name == "deliveries" else len(rows)
        for name, rows in before.items()
        if name in EARLIER or name == "deliveries"
    )
    assert not done.again
    assert content(away) == before
    Store.open(away).close()
    assert moved(here, away).again


def test_a_source_that_changes_between_two_attempts_is_noticed(tmp_path: Path) -> None:
    here, away = store_file(tmp_path / "a.db"), f"sqlite:///{tmp_path / 'b.db'}"
    fill(here)
    killed(here, away)
    operate(other := store_file(tmp_path / "c.db"), store_identity.update().values(id="another"))
    with pytest.raises(StoreError, match="a part of another list"):
        moved(other, away)
    operate(here, update(subscribers).where(subscribers.c.id == 8).values(reason="left meanwhile"))
    with pytest.raises(StoreError, match=r"subscribers differs .* has changed since .* give the command once more"):
        moved(here, away)
    with pytest.raises(ConfigError, match="a move into it has not ended"):
        Store.open(away)
    assert moved(here, away).found == 0
    assert content(away) == content(here)


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "config.yaml"
    path.write_text(
        "sender: digest@news.example.org\npostal_address: 1 Example Street\nlist_id: papers.news.example.org\n"
        f"secret: the secret of a test\nfeeds:\n  - url: day.json\nstore: sqlite:///{tmp_path / 'a.db'}\n",
        "utf-8",
    )
    path.chmod(0o600)
    store_file(tmp_path / "a.db")
    return load(path, {})


def test_the_command_says_which_line_to_change_and_the_witness_goes_along(
    config: Config, there: Callable[[], str], capsys: pytest.CaptureFixture[str]
) -> None:
    fill(config.store, 4)
    database = Database(config.store, 5)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE store_identity SET sendings = 3")
        connection.execute(moves.delete())
    database.close()
    away = there()
    move(config, away)
    said = capsys.readouterr().out.splitlines()
    assert said[-2:] == [f"Now let {config.path}:7 say:", f"store: {away}"]
    assert "each compared with its original" in said[-3]
    witness = config.path.with_name("config.yaml.witness")
    with Store.open(away, witness=witness) as store:
        store.check_provenance()
    witness.write_text(witness.read_text().replace('"sendings": 3', '"sendings": 4'))
    with Store.open(away, witness=witness) as store, pytest.raises(StoreOutdated):
        store.check_provenance()


@pytest.mark.parametrize("to", ["mysql://x/y", "nonsense", "sqlite:////no/such/folder/x.db"])
def test_a_wrong_target_is_a_wrong_usage(config: Config, to: str) -> None:
    command = [*program.COMMAND, "-c", str(config.path), "store", "move", "--to", to]
    done = program.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 2
    assert "--to" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_password_is_not_shown(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    from newsletter.cli.store import _conclusion

    lines = _conclusion(config, "postgresql://mia:s3cret@db.example/news", Moved({"runs": 1}))
    assert lines[-1] == "store: postgresql://mia:***@db.example/news"
