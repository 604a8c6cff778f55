"""The PostgreSQL databases that tests get one after another: what one test did, the next does not see."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from newsletter.store import HEAD, Store
from newsletter.store.schema import metadata
from tests.postgres import Lending

CUT_ALL = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE pid <> pg_backend_pid() AND datname = current_database()"
)


@pytest.fixture(params=["postgresql"])
def lending(postgres_databases: Lending) -> Lending:
    return postgres_databases


def content(url: str) -> dict[str, list[Any]]:
    with Store.open(url) as store, store._db.read() as connection:
        return {table.name: list(connection.execute(select(table))) for table in metadata.sorted_tables}


@pytest.mark.parametrize("readers", [1, 3000])
def test_a_database_that_is_lent_again_is_as_it_was(lending: Lending, readers: int) -> None:
    import psycopg

    with lending.lend() as first:
        before = content(first)
        with Store.open(first) as store:
            store.add_all([f"r{number}@example.org" for number in range(readers)], revive=False)
        left = psycopg.connect(first)
        left.execute("UPDATE store_identity SET id = 'another'")
        with psycopg.connect(first) as other:
            other.execute("UPDATE alembic_version SET version_num = '9999'")
            other.execute("SELECT pg_advisory_lock(1)")
    with lending.lend() as second, pytest.raises(psycopg.OperationalError):
        left.execute("SELECT 1")
    assert second == first
    with lending.lend() as third:
        assert content(third) == before
        with Store.open(third) as store, psycopg.connect(third) as other:
            assert other.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]
            assert other.execute("SELECT pg_try_advisory_lock(1)").fetchone() == (True,)
            store.add("ada@example.org")
            (ada,) = store.subscribers()
            assert ada.id == 1


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE more (id INTEGER)",
        "DROP TABLE runs",
        "ALTER TABLE runs ADD COLUMN more TEXT",
        "DROP INDEX ix_deliveries_shard",
        CUT_ALL,
    ],
)
def test_a_database_whose_tables_were_changed_is_not_lent_again(lending: Lending, change: str) -> None:
    import psycopg

    with lending.lend() as first:
        before = content(first)
        with psycopg.connect(first) as other:
            other.execute(change)
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(first)
    with lending.lend() as second:
        assert content(second) == before
