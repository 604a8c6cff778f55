"""Shards: each has one sender, which is known by a lock that ends with its connection."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any

import pytest

from newsletter.errors import ConfigError, StoreAway, StoreNewer
from newsletter.model import Delivery, FrozenIssue, Outcome, OutcomeKind, RenderedIssue, Result, State
from newsletter.store import Store
from newsletter.store.shard_table import number_of_shards
from tests.conftest import PUBLICATION
from tests.fakes import FakeClock

RENDERED = RenderedIssue(date(2026, 11, 24), "Daily Papers", "<p>papers</p>", "papers")
ACCEPTED = Outcome(OutcomeKind.ACCEPTED, 250, "2.0.0 queued")


class Machines:
    """Two machines with one PostgreSQL database, and an issue for `readers` readers."""

    def __init__(self, url: str, readers: int) -> None:
        self.clock = FakeClock()
        self.url = url
        self.one = Store.open(url, now=self.clock.now, busy_timeout=0.2)
        self.two = Store.open(url, now=self.clock.now, busy_timeout=0.2)
        self.one.add_all((f"r{number}@example.org" for number in range(readers)), revive=False)
        self.issue: FrozenIssue = self.one.freeze(RENDERED, PUBLICATION, lifetime=timedelta(hours=24))

    def claim(self, store: Store, limit: int = 1000) -> list[Delivery]:
        return store.claim(self.issue.id, limit, resend_uncertain=1)

    @contextmanager
    def shard(self, store: Store, number: int = 0) -> Iterator[int | None]:
        with store.shard(self.issue.id, number, resend_uncertain=1) as uncertain:
            yield uncertain

    @property
    def counts(self) -> dict[str, int]:
        return {str(state): number for state, number in self.one.counts(self.issue.id).items() if number}

    def operate(self, statement: str) -> list[Any]:
        """Execute a statement as the database's operator."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as operator:
            return operator.execute(statement).fetchall()

    def cut(self) -> None:
        """Cut the connections that hold a shard's lock."""
        held = "locktype = 'advisory' AND classid BETWEEN 1853358080 AND 1853423615"
        found = self.operate(
            f"SELECT pg_terminate_backend(pid, 5000), pg_blocking_pids(pid) FROM pg_locks WHERE {held}"
        )
        assert found


@pytest.fixture
def machines(postgres_url: str) -> Iterator[Machines]:
    made = Machines(postgres_url, 40)
    yield made
    for store in (made.one, made.two):
        store.close()


def accepted(copies: list[Delivery]) -> list[Result]:
    return [Result(copy, State.SENDING, ACCEPTED) for copy in copies]


@pytest.mark.parametrize(
    ("copies", "shards"), [(0, 1), (1, 1), (15, 1), (16, 2), (400, 10), (20_000, 70), (10**6, 256), (10**8, 256)]
)
def test_an_issue_has_few_shards_however_many_copies(copies: int, shards: int) -> None:
    assert number_of_shards(copies) == shards


def test_every_copy_is_in_one_shard_and_shards_are_about_as_large(machines: Machines) -> None:
    found = machines.operate("SELECT shard, count(*), max(id) - min(id) FROM deliveries GROUP BY shard ORDER BY shard")
    assert [row[0] for row in found] == [0, 1, 2]
    assert [row[1] for row in found] == [14, 14, 12]
    assert all(row[2] == row[1] - 1 for row in found)  # neighbours, so that a claim reads few pages


def test_an_issue_is_frozen_and_sent_when_two_billion_copies_were_made_before(machines: Machines) -> None:
    machines.operate(f"SELECT setval('deliveries_id_seq', {2**31})")
    later = RenderedIssue(date(2026, 11, 25), "Daily Papers", "<p>papers</p>", "papers")
    issue = machines.one.freeze(later, PUBLICATION, lifetime=timedelta(hours=24))
    with machines.one.shard(issue.id, 0, resend_uncertain=1):
        copies = machines.one.claim(issue.id, 5, resend_uncertain=1)
        assert copies[0].id == 2**31 + 1
        machines.one.turn([], copies)
        machines.one.turn(accepted(copies), [])
    assert machines.one.counts(issue.id)[State.ACCEPTED] == 5


def test_an_issue_is_frozen_while_somebody_changes_a_reader(machines: Machines) -> None:
    """Rows of readers are read and not locked, which also keeps PostgreSQL from writing to each of them."""
    import psycopg

    later = RenderedIssue(date(2026, 11, 25), "Daily Papers", "<p>papers</p>", "papers")
    with psycopg.connect(machines.url) as other:
        other.execute("SELECT id FROM subscribers FOR UPDATE")
        issue = machines.one.freeze(later, PUBLICATION, lifetime=timedelta(hours=24))
    assert machines.one.counts(issue.id)[State.PENDING] == 40


def test_a_shard_has_one_sender_and_another_shard_another(machines: Machines) -> None:
    with machines.shard(machines.one) as mine, machines.shard(machines.two) as theirs:
        assert (mine, theirs) == (0, None)
        assert machines.two.shards_held(machines.issue.id) == {0}
    with machines.shard(machines.one, 1), machines.shard(machines.two, 2):
        one, two = machines.claim(machines.one), machines.claim(machines.two)
        assert len(one) == 14
        assert len(two) == 12
        assert {copy.id for copy in one}.isdisjoint(copy.id for copy in two)
        machines.one.release(one)
        machines.two.release(two)
    assert machines.two.shards_held(machines.issue.id) == set()


def test_who_takes_a_shard_recovers_what_is_half_done_there_and_nowhere_else(machines: Machines) -> None:
    with machines.shard(machines.one, 1):
        under_way = machines.claim(machines.one)
        machines.one.turn([], under_way)
        with machines.shard(machines.two, 0):
            copies = machines.claim(machines.two)
            machines.two.turn([], copies[:3])
            machines.cut()  # and here both died
    with Store.open(machines.url, now=machines.clock.now) as third, machines.shard(third, 0) as uncertain:
        assert uncertain == 3
        assert machines.counts == {"pending": 23, "sending": 14, "uncertain": 3}


def test_a_sender_whose_connection_is_cut_takes_its_lock_again_and_records_what_the_servers_said(
    machines: Machines,
) -> None:
    with machines.shard(machines.one):
        copies = machines.claim(machines.one)
        machines.one.turn([], copies[:2])
        machines.cut()
        machines.one.turn(accepted(copies[:2]), copies[2:4])
        machines.one.turn(accepted(copies[2:4]), [])
        machines.one.release(copies[4:])
    assert machines.counts == {"accepted": 4, "pending": 36}


def test_a_sender_that_was_cut_off_moves_nothing_once_another_has_taken_over(machines: Machines) -> None:
    with machines.shard(machines.one):
        copies = machines.claim(machines.one)
        machines.one.turn([], copies[:2])
        machines.cut()
        with machines.shard(machines.two) as uncertain:
            assert uncertain == 2
            before = machines.counts
            for act in (
                lambda: machines.one.turn([], copies[2:4]),
                lambda: machines.one.turn(accepted(copies[:2]), []),
                lambda: machines.claim(machines.one),
                lambda: machines.one.release(copies[2:]),
                lambda: machines.one.recover(),
            ):
                with pytest.raises(StoreAway):
                    act()
                assert machines.counts == before
            again = machines.claim(machines.two)
            machines.two.turn([], again)
            machines.two.turn(accepted(again), [])
    assert machines.counts == {"accepted": 12, "uncertain": 2, "pending": 26}


def test_a_commit_whose_answer_was_lost_is_not_made_twice(machines: Machines) -> None:
    """The connection is cut after the server has committed and before this process knows."""
    with machines.shard(machines.one):
        copies = machines.claim(machines.one)
        machines.one.turn([], copies[:3])
        machines.operate(
            "WITH moved AS (UPDATE deliveries SET state = 'accepted', claimed_by = NULL, attempts = 1"
            f" WHERE id = {copies[0].id} RETURNING id) SELECT * FROM moved"
        )
        machines.cut()
        machines.one.turn(accepted(copies[:3]), [])
        machines.one.release(copies[3:])
    assert machines.counts == {"accepted": 3, "pending": 37}


def test_a_pause_stops_the_other_machine_before_its_next_copy_and_costs_none(machines: Machines) -> None:
    with machines.shard(machines.one, 1):
        copies = machines.claim(machines.one)
        assert machines.one.turn([], copies[:2]) == []
        machines.two.pause(machines.issue.id, "all refused", [])
        assert machines.one.turn(accepted(copies[:2]), copies[2:5]) == copies[2:5]
        assert machines.one.paused(machines.issue.id) == "all refused"
        machines.one.release(copies[2:])
    assert machines.counts == {"accepted": 2, "pending": 38}


def test_what_was_claimed_first_does_not_keep_later_ones_from_being_found(machines: Machines) -> None:
    """The cursor goes on after the last row; what became due behind it is found all the same."""
    with machines.shard(machines.one):
        first = machines.claim(machines.one, 3)
        machines.one.turn([], first)
        not_sent = Outcome(OutcomeKind.NOT_SENT, None, "connection lost")
        seen = [copy.id for copy in machines.claim(machines.one, 5)]
        again = [Result(copy, State.SENDING, not_sent, machines.issue.frozen_at) for copy in first]
        machines.one.turn(again, [])
        while claimed := machines.claim(machines.one, 5):
            seen += [copy.id for copy in claimed]
    assert sorted(seen) == list(range(1, 15))
    assert seen[-3:] == [1, 2, 3]


def test_a_finished_shard_is_closed_and_what_is_owed_again_opens_it(machines: Machines) -> None:
    store, issue = machines.one, machines.issue.id
    for number in store.shards_due(issue):
        with machines.shard(store, number):
            copies = machines.claim(store)
            store.turn([], copies)
            refused = Outcome(OutcomeKind.REFUSED, 550, "5.7.1 not you")
            store.turn([Result(copy, State.SENDING, refused) for copy in copies], [])
    assert store.shards_due(issue) == []
    assert store.unfinished() == []
    store.pause(issue, "all refused", copies)
    store.resume(issue)
    assert store.shards_due(issue) == [0, 1, 2]
    assert [each.id for each in store.unfinished()] == [issue]


def test_a_shard_of_deferred_copies_is_due_when_the_first_of_them_is(machines: Machines) -> None:
    store = machines.one
    later = machines.clock.now() + timedelta(minutes=10)
    with machines.shard(store):
        copies = machines.claim(store)
        store.turn([], copies)
        deferred = Outcome(OutcomeKind.DEFERRED, 451, "4.7.1 greylisted")
        store.turn([Result(copy, State.SENDING, deferred, later) for copy in copies], [])
    assert store.shards_due(machines.issue.id) == [1, 2]
    machines.clock.move(minutes=11)
    assert store.shards_due(machines.issue.id, first=1) == [1, 2, 0]


def test_an_expired_issue_leaves_no_shard_open(machines: Machines) -> None:
    machines.clock.move(hours=25)
    assert machines.one.expire() == {machines.issue.rendered.day: 40}
    assert machines.one.shards_due(machines.issue.id) == []


def test_a_copy_that_is_owed_again_while_its_shard_is_closed_is_not_forgotten(machines: Machines) -> None:
    """Whoever opens the shard and whoever closes it wait for each other, whichever comes first."""
    store, issue = machines.one, machines.issue.id
    with machines.shard(store):
        copies = machines.claim(store)
        store.turn([], copies)
        refused = Outcome(OutcomeKind.REFUSED, 550, "5.7.1 not you")
        store.turn([Result(copy, State.SENDING, refused) for copy in copies], [])
        other = threading.Thread(target=lambda: machines.two.pause(issue, "all refused", copies))
        other.start()
    other.join()
    assert 0 in store.shards_due(issue)


def test_a_process_of_another_version_takes_no_shard_and_opens_no_newer_database(machines: Machines) -> None:
    machines.operate("UPDATE alembic_version SET version_num = '9999' RETURNING 1")
    with pytest.raises(StoreAway, match="9999") as running, machines.shard(machines.one):
        pass
    with pytest.raises(StoreNewer, match="newer version") as opening:
        Store.open(machines.url)
    assert (running.value.exit_code, opening.value.exit_code) == (75, 78)
    assert machines.counts == {"pending": 40}


def test_two_lists_in_one_database_are_refused_by_name(machines: Machines) -> None:
    machines.one.check_list("papers.example.org")
    machines.two.check_list("papers.example.org")
    with pytest.raises(ConfigError, match=r"papers\.example\.org, and this one is other\.example\.org"):
        machines.two.check_list("other.example.org")
    machines.two.check_list("other.example.org", adopt=True)  # the list was renamed
    machines.one.check_list("other.example.org")


# --- jobs ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def engine(machines: Machines) -> Machines:
    pytest.importorskip("procrastinate")
    from newsletter.worker import engine_schema

    machines.one.upgrade_engine(*engine_schema())
    return machines


def jobs(machines: Machines) -> list[tuple[int, str]]:
    return machines.operate("SELECT (args->>'shard')::int, status FROM procrastinate_jobs ORDER BY id")


def test_an_issue_and_its_jobs_are_frozen_together_and_each_shard_has_one(engine: Machines) -> None:
    later = RenderedIssue(RENDERED.day + timedelta(days=1), "Later", "<p>x", "x")
    engine.one.defer_jobs()
    made = engine.one.freeze(later, PUBLICATION, lifetime=timedelta(hours=24))
    assert engine.one.defer_jobs() == 0
    assert jobs(engine) == [(shard, "todo") for shard in (0, 1, 2)] * 2
    assert engine.one.shards_due(made.id) == [0, 1, 2]


def test_a_shard_that_is_being_sent_or_is_done_or_paused_gets_no_job(engine: Machines) -> None:
    with engine.shard(engine.two, 1):
        assert engine.one.defer_jobs() == 2
    assert [shard for shard, _ in jobs(engine)] == [0, 2]
    engine.operate("DELETE FROM procrastinate_jobs RETURNING 1")
    engine.one.pause(engine.issue.id, "all refused", [])
    assert engine.one.defer_jobs() == 0


def test_jobs_of_dead_workers_and_of_finished_shards_are_deleted(engine: Machines) -> None:
    engine.one.defer_jobs()
    engine.operate("UPDATE procrastinate_jobs SET status = 'doing' WHERE (args->>'shard')::int = 0 RETURNING 1")
    engine.one.withdraw(engine.issue.id)
    engine.one.defer_jobs()
    assert jobs(engine) == []


def test_the_engine_s_tables_are_upgraded_in_steps_and_never_when_they_are_another_s(engine: Machines) -> None:
    from newsletter.worker import engine_schema

    schema, migrations = engine_schema()
    engine.one.upgrade_engine(schema, {**migrations, "99.00.00_01_pre_new.sql": "CREATE TABLE new_one (a text)"})
    assert engine.operate("SELECT count(*) FROM new_one") == [(0,)]
    with pytest.raises(StoreNewer, match="newer Procrastinate"):
        engine.one.upgrade_engine(schema, migrations)
    engine.operate("DELETE FROM engine_migrations RETURNING 1")
    with pytest.raises(ConfigError, match="another program's"):
        engine.one.upgrade_engine(schema, migrations)
