"""A store notices that it is older than what was sent, and says so of no other; both databases, with their files."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, select, text

from newsletter.errors import StoreOutdated, WitnessUnreadable
from newsletter.model import RenderedIssue, Result, State
from newsletter.store import Store
from newsletter.store.schema import deliveries, issues, renderings, shards, store_identity, subscribers
from tests.conftest import PUBLICATION
from tests.disk import small_disk
from tests.fakes import ACCEPTED, Crash, FakeClock

pytest_plugins = ["tests.postgres"]


class Machine:
    """A machine with a store: its database, and the witness beside it."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.clock = url, FakeClock()
        self.witness = folder / "witness"
        self.day = date(2026, 11, 24)
        with self.open() as store:
            store.add_all([f"r{n}@example.org" for n in range(3)], revive=False)

    def open(self) -> Store:
        return Store.open(self.url, now=self.clock.now, witness=self.witness)

    def send(self, *, trust: bool = False, crash: Callable[[], None] = lambda: None) -> int:
        """One run for a new day, a copy to each reader; `crash` may end it between two of them. Returns how many."""
        self.day += timedelta(days=1)
        sent = 0
        with self.open() as store, store.sending_lock() as alone:
            assert alone
            if trust:
                store.trust()
            store.check_provenance()
            rendered = RenderedIssue(self.day, "Papers", "<p>", "text")
            issue = store.freeze(rendered, PUBLICATION, lifetime=timedelta(hours=24))
            while claimed := store.claim(issue.id, 1, resend_uncertain=1):
                store.turn([], claimed)
                crash()
                store.turn([Result(copy, State.SENDING, ACCEPTED) for copy in claimed], [])
                sent += len(claimed)
        return sent

    def refused(self) -> str:
        """The one line that a run ends with; nothing was sent, and nothing is frozen."""
        with pytest.raises(StoreOutdated) as caught:
            self.send()
        assert caught.value.exit_code == 1
        assert "\n" not in str(caught.value)
        assert "newsletter send --trust-store" in str(caught.value)
        with self.open() as store:
            assert store.issue(self.day) is None
        return str(caught.value)


TABLES = (subscribers, issues, shards, renderings, deliveries, store_identity)


def snapshot(store: Store) -> list[list[dict[str, object]]]:
    """The rows of the tables that tell who was sent what, as a backup keeps them."""
    with store._db.read() as connection:
        return [[dict(row) for row in connection.execute(select(table)).mappings()] for table in TABLES]


def restore(store: Store, saved: list[list[dict[str, object]]]) -> None:
    """Put a backup in the place of what the tables hold."""
    with store._db.write() as connection:
        for table in reversed(TABLES):
            connection.execute(delete(table))
        for table, rows in zip(TABLES, saved, strict=True):
            if rows:
                connection.execute(insert(table), rows)


@pytest.fixture
def machine(database_url: str, tmp_path: Path) -> Machine:
    return Machine(database_url, tmp_path)


@pytest.fixture
def laptop(tmp_path: Path) -> Machine:
    """A machine with an SQLite file."""
    return Machine(f"sqlite:///{tmp_path / 'test.db'}", tmp_path)


# --- it notices ------------------------------------------------------------------------------------------------------


def test_a_restored_backup_sends_nothing_until_the_operator_decides(machine: Machine) -> None:
    machine.send()
    with machine.open() as store:
        saved = snapshot(store)
    machine.send()
    with machine.open() as store:
        restore(store, saved)
    said = machine.refused()
    assert "is older than what was sent" in said
    assert str(machine.witness) in said
    assert machine.send(trust=True) == 3
    assert machine.send() == 3
    with machine.open() as store:
        restore(store, saved)
    assert "is not the store that sent last" in machine.refused()  # what was trusted is another store from then on


def test_a_backup_that_was_taken_during_the_last_run_is_older_too(machine: Machine) -> None:
    saved = []

    def back_up() -> None:
        with machine.open() as store:
            saved.append(snapshot(store))

    machine.send(crash=back_up)
    for each in saved:
        with machine.open() as store:
            restore(store, each)
            with pytest.raises(StoreOutdated):
                store.check_provenance()


def test_copies_are_not_claimed_either_without_the_check(machine: Machine) -> None:
    with machine.open() as store:
        saved = snapshot(store)
    machine.send()
    with machine.open() as store:
        restore(store, saved)
        issue = store.freeze(RenderedIssue(machine.day, "s", "<p>", "t"), PUBLICATION, lifetime=timedelta(hours=24))
        with pytest.raises(StoreOutdated):
            store.claim(issue.id, 1, resend_uncertain=1)
        assert store.counts(issue.id)[State.PENDING] == 3


def test_a_database_that_was_copied_to_another_machine_is_noticed(laptop: Machine, tmp_path: Path) -> None:
    laptop.send()
    (tmp_path / "other").mkdir()
    shutil.copy(tmp_path / "test.db", tmp_path / "other" / "test.db")
    with Store.open(f"sqlite:///{tmp_path / 'other' / 'test.db'}") as copy:
        with pytest.raises(StoreOutdated, match=r"its witness .*test\.db\.witness is missing"):
            copy.check_provenance()
        copy.trust()
        copy.check_provenance()


def test_a_store_that_was_made_anew_is_not_the_one_that_sent(laptop: Machine, tmp_path: Path) -> None:
    laptop.send()
    for file in tmp_path.glob("test.db*"):
        file.unlink()
    assert "is not the store that sent last" in laptop.refused()


# --- no false alarm --------------------------------------------------------------------------------------------------


def test_runs_checks_and_copies_of_the_whole_folder_raise_no_alarm(laptop: Machine, tmp_path: Path) -> None:
    with laptop.open() as store:
        store.check_provenance()  # as a dry run does
    assert not laptop.witness.exists()
    laptop.send()
    laptop.send()
    moved = tmp_path.parent / f"{tmp_path.name}-moved"
    shutil.copytree(tmp_path, moved)
    laptop.url, laptop.witness = f"sqlite:///{moved / 'test.db'}", moved / "witness"
    assert laptop.send() == 3


def test_a_store_of_before_the_witness_is_taken_as_it_is(machine: Machine) -> None:
    machine.send()
    with machine.open() as store, store._db.write() as connection:  # as the migration leaves one that has sent
        connection.execute(text("UPDATE store_identity SET sendings = 0, sent_at = NULL"))
    machine.witness.unlink()
    assert machine.send() == 3
    assert machine.send() == 3


@pytest.mark.parametrize("before_the_first", [True, False])
def test_a_crash_at_any_point_raises_no_alarm(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, before_the_first: bool
) -> None:
    """The process dies at each step of a sending in turn: before, between and after its commit and its witness."""
    with machine.open() as store:
        store.unsubscribe("r2@example.org")  # of two copies, too, there is a time between them
    if not before_the_first:
        machine.send()
    steps = [0]
    for limit in range(1, 40):
        steps[0] = 0

        def step(limit: int = limit) -> None:
            steps[0] += 1
            if steps[0] == limit:
                raise Crash

        with monkeypatch.context() as dying:
            for name in ("fsync", "open", "unlink", "rename", "replace"):
                real = getattr(os, name)

                def spy(*args: object, real: Callable[..., object] = real, **more: object) -> object:
                    if any(str(machine.witness) in str(argument) for argument in args) or real is os.fsync:
                        step()
                    return real(*args, **more)

                dying.setattr(os, name, spy)
            with suppress(Crash):
                machine.send()
        with machine.open() as store:
            store.check_provenance()
        if steps[0] < limit:
            break
    else:
        pytest.fail("the run never came to its end")
    assert limit > 10
    assert machine.send() == 2


def test_a_crash_in_the_middle_of_a_batch_raises_no_alarm(machine: Machine) -> None:
    def crash() -> None:
        raise Crash

    with pytest.raises(Crash):
        machine.send(crash=crash)
    assert machine.send() == 3


def test_a_witness_that_is_torn_or_older_is_written_anew(machine: Machine) -> None:
    machine.send()
    old = machine.witness.read_text()
    machine.send()
    machine.witness.write_text(old)
    assert machine.send() == 3
    assert json.loads(machine.witness.read_text())["sendings"] == 12


def test_machines_that_share_a_postgresql_database_each_have_a_witness(postgres_url: str, tmp_path: Path) -> None:
    first = Machine(postgres_url, tmp_path)
    first.send()
    second = Machine(postgres_url, tmp_path / "second")
    second.day = first.day
    (tmp_path / "second").mkdir()
    assert second.send() == 3
    first.day = second.day
    assert first.send() == 3
    second.day = first.day
    assert second.send() == 3


# --- the file --------------------------------------------------------------------------------------------------------


def test_any_user_may_read_the_witness_whatever_the_umask(laptop: Machine) -> None:
    before = os.umask(0o077)
    try:
        laptop.send()
    finally:
        os.umask(before)
    assert stat.S_IMODE(laptop.witness.stat().st_mode) == 0o644


def test_a_witness_that_cannot_be_written_is_said_and_stops_no_mail(machine: Machine, tmp_path: Path) -> None:
    machine.witness = tmp_path / "none" / "witness"
    assert machine.send() == 3
    with machine.open() as store, store.sending_lock():
        issue = store.latest_issue()
        assert issue is not None
        assert store.claim(issue.id, 1, resend_uncertain=1) == []
        assert "No such file or directory" in str(store.witness_error)
        assert "set `witness`" in str(store.witness_error)
    assert machine.send() == 3
    machine.witness.parent.mkdir()
    assert machine.send() == 3  # and now it can
    assert machine.witness.exists()


def test_a_witness_that_cannot_be_read_is_said(laptop: Machine) -> None:
    laptop.witness.mkdir()
    with pytest.raises(WitnessUnreadable, match="the witness cannot be read: Is a directory") as caught:
        laptop.send()
    assert caught.value.path == laptop.witness


def test_a_disk_that_is_full_stops_no_mail_and_raises_no_alarm(machine: Machine, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "64k") as disk:
        machine.witness = disk / "witness"
        assert machine.send() == 3
        filler = disk / "filler"
        with suppress(OSError), filler.open("wb") as stream:
            while stream.write(b"x" * 1024):
                stream.flush()
        assert machine.send() == 3
        filler.unlink()
        assert machine.send() == 3
        assert json.loads(machine.witness.read_text())["sendings"] >= 8
