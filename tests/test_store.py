"""The store, on both databases: the list, frozen issues, runs, feeds' answers; and what it says when it is unusable."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from newsletter.errors import ConfigError, NewsletterError, StoreBusy, StoreError, StoreFull
from newsletter.model import (
    EVERY_DAY,
    CachedResponse,
    IssuePapers,
    RenderedIssue,
    RunReport,
    State,
    Subscriber,
    SubscriberStatus,
    Verdict,
    title_key,
)
from newsletter.slots import SlotOrder
from newsletter.store import Added, Store
from tests import program
from tests.conftest import PUBLICATION, paper
from tests.disk import small_disk
from tests.fakes import FakeClock
from tests.migrated import store_file

DAY = date(2026, 11, 24)
RENDERED = RenderedIssue(day=DAY, subject="Papers – 24 November", html="<p>π</p>", text="π\n")
LIFETIME = timedelta(hours=24)


def readers(number: int) -> list[str]:
    return [f"reader{n}@example.org" for n in range(number)]


# --- the list --------------------------------------------------------------------------------------------------------


def test_a_subscriber_has_an_opaque_reference_and_the_times_of_joining_and_leaving(
    store: Store, clock: FakeClock
) -> None:
    joined = clock.now()
    store.add("Ada@example.org")
    clock.move(hours=1)
    store.unsubscribe("Ada@example.org")
    found = store.find("Ada@example.org")
    assert found is not None
    assert found == Subscriber(
        found.id, found.ref, "Ada@example.org", SubscriberStatus.UNSUBSCRIBED, joined, clock.now()
    )
    assert len(bytes.fromhex(found.ref)) == 8
    assert store.by_ref(found.ref) == found
    assert store.by_ref("0" * 16) is None


def test_an_address_is_one_reader_whatever_its_case(store: Store) -> None:
    assert store.add("Ada@example.org") is Added.NEW
    assert store.add("ada@example.org") is Added.ALREADY
    assert [reader.address for reader in store.subscribers()] == ["Ada@example.org"]
    assert store.unsubscribe("ADA@example.org")


def test_leaving_counts_once_and_a_person_may_come_back(store: Store) -> None:
    store.add("ada@example.org")
    assert store.unsubscribe("ada@example.org")
    assert not store.unsubscribe("ada@example.org")
    assert not store.unsubscribe("nobody@example.org")
    assert Counter(store.count_subscribers()) == Counter({SubscriberStatus.UNSUBSCRIBED: 1})
    assert store.add("ada@example.org") is Added.BACK
    assert Counter(store.count_subscribers()) == Counter({SubscriberStatus.ACTIVE: 1})


def test_the_reference_in_a_link_unsubscribes_its_reader_only(store: Store) -> None:
    store.add("ada@example.org")
    store.add("emmy@example.org")
    ada = store.find("ada@example.org")
    assert ada is not None
    assert store.unsubscribe_ref(ada.ref)
    assert not store.unsubscribe_ref(ada.ref)
    assert [reader.address for reader in store.subscribers(SubscriberStatus.ACTIVE)] == ["emmy@example.org"]


def test_an_import_counts_every_row_and_does_not_bring_back_who_left(store: Store) -> None:
    store.add("ada@example.org")
    store.add("emmy@example.org")
    store.unsubscribe("emmy@example.org")
    listed = ["ada@example.org", "emmy@example.org", "kurt@example.org", "KURT@example.org", "emmy@example.org"]
    assert store.add_all(listed, revive=False) == Counter({Added.ALREADY: 2, Added.LEFT: 2, Added.NEW: 1})
    assert [reader.address for reader in store.subscribers(SubscriberStatus.ACTIVE)] == [
        "ada@example.org",
        "kurt@example.org",
    ]
    assert store.add_all(listed, revive=True) == Counter({Added.ALREADY: 4, Added.BACK: 1})
    assert store.add_all([], revive=True) == Counter()


def test_an_import_that_breaks_off_leaves_nothing(store: Store) -> None:
    def broken() -> Iterator[str]:
        yield from readers(1200)
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "not text")

    with pytest.raises(UnicodeDecodeError):
        store.add_all(broken(), revive=False)
    assert store.count_subscribers()[SubscriberStatus.ACTIVE] == 0


def test_the_list_is_streamed_in_the_order_of_joining_while_others_join(store: Store) -> None:
    store.add_all(readers(2500), revive=False)
    streamed = store.subscribers()
    first = next(streamed)
    store.unsubscribe("reader7@example.org")
    store.add("late@example.org")
    addresses = [first.address, *(reader.address for reader in streamed)]
    assert addresses == [*readers(2500), "late@example.org"]


@pytest.mark.slow
def test_more_readers_than_a_statement_takes_values_are_imported_frozen_and_streamed(tmp_path: Path) -> None:
    """SQLite takes 32,766 values in a statement (sqlite.org/limits.html, point 9), and here a tenth of that."""
    many = 3_300
    with Store.open(store_file(tmp_path / "test.db")) as store:
        store._db.engine.dispose()  # who opened it has another limit

        def limit(connection: sqlite3.Connection, record: object) -> None:
            connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 3_276)

        event.listen(store._db.engine, "connect", limit)
        assert store.add_all(readers(many), revive=False)[Added.NEW] == many
        issue = store.freeze(RENDERED, PUBLICATION, lifetime=LIFETIME)
        assert store.counts(issue.id)[State.PENDING] == many
        assert sum(1 for _ in store.subscribers()) == many
        assert len(store.claim(issue.id, 50, resend_uncertain=1)) == 50
        with pytest.raises(StoreError, match="too many SQL variables"), store._db.read() as connection:
            connection.exec_driver_sql(f"SELECT {', '.join('?' * many)}", tuple(range(many)))


# --- frozen issues ---------------------------------------------------------------------------------------------------


def test_an_issue_goes_to_those_who_want_one_that_day(store: Store) -> None:
    tuesday, wednesday = 1 << DAY.weekday(), 1 << (DAY.weekday() + 1)
    for name, days, paused_until in (
        ("ada", tuesday | wednesday, None),
        ("emmy", wednesday, None),
        ("kurt", tuesday, DAY + timedelta(1)),
        ("sofia", tuesday, DAY),
        ("alan", EVERY_DAY, None),
    ):
        store.add(f"{name}@example.org")
        found = store.find(f"{name}@example.org")
        assert found is not None
        store.prefer(found.ref, days=days, paused_until=paused_until)
        changed = store.by_ref(found.ref)
        assert changed is not None
        assert (changed.days, changed.paused_until) == (days, paused_until)
    issue = store.freeze(RENDERED, PUBLICATION, lifetime=LIFETIME)
    due = store.claim(issue.id, 10, resend_uncertain=1)
    assert [copy.address.partition("@")[0] for copy in due] == ["ada", "sofia", "alan"]


def test_a_frozen_issue_comes_back_as_it_was_made(store: Store, clock: FakeClock) -> None:
    publication = replace(PUBLICATION, base_url=None, title="Δελτίο")
    frozen = store.freeze(RENDERED, publication, lifetime=LIFETIME)
    assert (frozen.rendered, frozen.publication) == (RENDERED, publication)
    assert (frozen.frozen_at, frozen.expires_at) == (clock.now(), clock.now() + LIFETIME)
    assert frozen.frozen_at.tzinfo is UTC
    assert store.issue(DAY) == store.latest_issue() == frozen
    assert store.issue(date(2026, 11, 23)) is None


def test_a_day_has_one_issue_and_the_first_one_stays(store: Store, clock: FakeClock) -> None:
    store.add("ada@example.org")
    first = store.freeze(RENDERED, PUBLICATION, lifetime=LIFETIME)
    clock.move(hours=1)
    store.add("late@example.org")
    again = store.freeze(replace(RENDERED, subject="Other"), PUBLICATION, lifetime=timedelta(hours=1))
    assert again == first
    assert store.counts(first.id)[State.PENDING] == 1


def test_an_issue_is_for_those_who_were_active_and_keeps_their_addresses(store: Store) -> None:
    store.add_all(["Ada@example.org", "emmy@example.org"], revive=False)
    store.unsubscribe("emmy@example.org")
    issue = store.freeze(RENDERED, PUBLICATION, lifetime=LIFETIME)
    store.add_all(["emmy@example.org", "late@example.org"], revive=True)
    (delivery,) = store.claim(issue.id, 10, resend_uncertain=1)
    assert (delivery.address, delivery.rendering_id) == ("Ada@example.org", issue.rendering_id)


def test_the_latest_issue_is_of_the_latest_day_not_the_last_one_made(store: Store) -> None:
    assert store.latest_issue() is None
    latest = store.freeze(RENDERED, PUBLICATION, lifetime=LIFETIME)
    store.freeze(replace(RENDERED, day=date(2026, 11, 20)), PUBLICATION, lifetime=LIFETIME)
    assert store.latest_issue() == latest


# --- runs and feeds' answers -----------------------------------------------------------------------------------------


def test_what_issues_have_shown_and_were_offered_is_known_by_their_days(store: Store) -> None:
    papers = [paper(n) for n in (1, 2, 3)]
    later = replace(RENDERED, day=DAY + timedelta(days=1))
    store.freeze(
        RENDERED, PUBLICATION, lifetime=LIFETIME, papers=IssuePapers(shown=papers[:1], offered={DAY: papers[:2]})
    )
    store.freeze(
        later, PUBLICATION, lifetime=LIFETIME, papers=IssuePapers(shown=papers[1:2], offered={later.day: papers[1:]})
    )
    others = [paper(n) for n in range(10, 1_210)]
    keys = [each.key for each in (*papers, *others)]
    assert store.shown([*papers, *others]) == set(keys[:2])
    assert store.shown([*papers, *others], before=later.day) == set(keys[:1])
    assert store.offered(keys, before=later.day) == set(keys[:2])
    assert store.offered(keys, before=DAY) == set()
    assert store.votes_then(DAY) == {each.key: each.upvotes for each in papers[:2]}
    assert store.votes_then(DAY - timedelta(days=1)) == {}


def test_a_paper_is_known_by_its_title_to_feeds_without_ids_and_by_its_id_to_others(store: Store) -> None:
    title = "A title that is long enough"
    with_id, bare = paper(1, title=title), paper(1, title=f"{title}!", key=title_key(title))
    store.freeze(RENDERED, PUBLICATION, lifetime=LIFETIME, papers=IssuePapers(shown=[with_id]))
    assert store.shown([bare, paper(2, title=title), paper(3, key="title:owls", title="Owls")]) == {bare.key}
    later = replace(RENDERED, day=DAY + timedelta(days=1))
    other = paper(9, title="Another title that is long enough")
    store.freeze(
        later, PUBLICATION, lifetime=LIFETIME, papers=IssuePapers(shown=[replace(other, key=title_key(other.title))])
    )
    assert store.shown([other, paper(8)]) == {other.key}


def test_whether_a_source_had_votes_is_what_its_last_issue_says(store: Store) -> None:
    for number, upvotes in enumerate((5, None, 0)):
        rendered = replace(RENDERED, day=DAY + timedelta(days=number))
        store.freeze(
            rendered,
            PUBLICATION,
            lifetime=LIFETIME,
            papers=IssuePapers(shown=[paper(number, upvotes=upvotes, source="HN")]),
        )
        assert store.last_votes("HN") == (None if upvotes is None else rendered.day)
    assert store.last_votes("Reddit") is None


def test_runs_are_kept_with_their_reasons_the_latest_first(store: Store, clock: FakeClock) -> None:
    started = clock.now()
    clock.move(minutes=2)
    store.record_run(RunReport(Verdict.QUIET_DAY, "no papers", DAY), started)
    store.record_run(RunReport(Verdict.SEND_FAILED, "login refused \0\udcff", exit_code=78), started)
    last, first = store.runs(10)
    assert (first.started_at, first.ended_at, first.day) == (started, clock.now(), DAY)
    assert (first.verdict, first.explanation, first.exit_code) == (Verdict.QUIET_DAY, "no papers", 0)
    assert (last.day, last.verdict, last.explanation, last.exit_code) == (
        None,
        Verdict.SEND_FAILED,
        "login refused  ?",
        78,
    )
    assert store.runs(1) == [last]


def answer(url: str, fetched_at: datetime, body: bytes = b"{}") -> CachedResponse:
    return CachedResponse(url, body, "application/json", '"v1"', None, fetched_at)


def test_the_last_answer_of_a_feed_is_kept(store: Store, clock: FakeClock) -> None:
    assert store.cached("https://feed.example/") is None
    store.cache(answer("https://feed.example/", clock.now(), b"\x00\xff"))
    newest = answer("https://feed.example/", clock.now().astimezone(timezone(timedelta(hours=9))), b"newer")
    store.cache(newest)
    assert store.cached("https://feed.example/") == newest


def test_answers_older_than_forty_days_go(store: Store, clock: FakeClock) -> None:
    store.cache(answer("https://feed.example/old", clock.now()))
    clock.move(days=1)
    store.cache(answer("https://feed.example/young", clock.now()))
    clock.move(days=39, minutes=1)
    store.cache(answer("https://feed.example/new", clock.now()))
    assert store.cached("https://feed.example/old") is None
    assert store.cached("https://feed.example/young")


def test_the_newest_two_hundred_answers_stay(store: Store, clock: FakeClock) -> None:
    for n in range(201):
        store.cache(answer(f"https://feed.example/{n}", clock.now() + timedelta(seconds=n)))
    kept = [n for n in range(201) if store.cached(f"https://feed.example/{n}")]
    assert kept == list(range(1, 201))


# --- what it says when it cannot be used -----------------------------------------------------------------------------


def refused(
    url: str | Path, *, busy_timeout: float = 0.05, kind: type[NewsletterError] = StoreError
) -> NewsletterError:
    """The error that opening this store ends in."""
    with pytest.raises(kind) as caught:
        Store.open(f"sqlite:///{url}" if isinstance(url, Path) else url, busy_timeout=busy_timeout)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("newsletter.db", "not a database URL"),
        ("mysql://root@localhost/x", "expected sqlite:///FILE or postgresql://"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
    ],
)
def test_a_url_that_names_no_store_is_refused(url: str, words: str) -> None:
    said = str(refused(url, kind=ConfigError))
    assert said.startswith("store: ")
    assert words in said


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    said = str(refused(tmp_path / "none" / "test.db", kind=ConfigError))
    assert said.startswith(f"store: the folder {tmp_path / 'none'} does not exist")


def test_a_folder_is_not_a_store(tmp_path: Path) -> None:
    assert "cannot be opened" in str(refused(tmp_path))


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    path.write_text("store: my notes\n" * 100)
    assert "not an SQLite database" in str(refused(path))
    assert path.read_text() == "store: my notes\n" * 100


def damage(path: Path) -> None:
    """Overwrite a page in the middle of the file."""
    with Store.open(f"sqlite:///{path}") as store:
        store.add_all(readers(2000), revive=False)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = b"\xa5" * 4096
    path.write_bytes(content)


def test_a_damaged_file_is_found_when_it_is_checked(tmp_path: Path) -> None:
    damage(tmp_path / "test.db")
    with Store.open(f"sqlite:///{tmp_path / 'test.db'}") as store:
        with pytest.raises(StoreError, match="damaged"):
            store.check()
        with store.sending_lock() as alone:  # the last sender has ended well, so nobody looks
            assert alone


def test_after_a_sender_was_cut_off_a_damaged_file_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    code = "import os, sys; from newsletter.store import Store; lock = Store.open(sys.argv[1]).sending_lock();"
    program.run([sys.executable, "-c", f"{code} lock.__enter__(); os._exit(0)", url], check=True)
    damage(tmp_path / "test.db")
    for _ in range(2):
        with Store.open(url) as store, pytest.raises(StoreError, match="damaged"), store.sending_lock():
            pytest.fail("it was not checked")


def test_after_a_sender_was_cut_off_a_sound_file_is_checked_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    lock = tmp_path / "test.db.lock"
    with Store.open(url) as store:
        with store.sending_lock():
            assert lock.read_text() == "in use\n"
        assert lock.read_text() == ""
        lock.write_text("in use\n")  # as a process leaves it that was killed
        with store.sending_lock() as alone:
            assert alone
        assert lock.read_text() == ""
        with pytest.raises(ZeroDivisionError), store.sending_lock():
            raise ZeroDivisionError
        assert lock.read_text() == ""


def test_a_store_opens_without_reading_the_whole_file(tmp_path: Path) -> None:
    """`PRAGMA quick_check` of 441 MB takes 2 s of CPU; each command opens the store."""
    url = f"sqlite:///{tmp_path / 'test.db'}"
    with Store.open(url) as store:
        store.add_all(readers(5000), revive=False)
    read: list[str] = []
    connect = sqlite3.connect

    def traced(*args: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **options)
        connection.set_trace_callback(read.append)
        return connection

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3.dbapi2, "connect", traced)
        Store.open(url).close()
    assert read
    assert not [statement for statement in read if "check" in statement]


def test_what_is_kept_is_on_the_disk_and_references_are_checked(tmp_path: Path) -> None:
    with Store.open(f"sqlite:///{tmp_path / 'test.db'}") as store, store._db.read() as connection:
        set_to = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    full = 2
    assert set_to == {"journal_mode": "wal", "synchronous": full, "foreign_keys": 1, "busy_timeout": 30_000}


def test_postgresql_without_its_driver_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['psycopg'] = None; from newsletter.store import Store; Store.open('postgresql://h/d')"
    )
    tried = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    last = tried.stderr.splitlines()[-1]
    assert last == (
        'newsletter.errors.MissingExtra: store: postgresql:// needs the extra "postgres": '
        "pip install 'daily-papers-newsletter[postgres]'"
    )


def test_a_server_that_does_not_answer_is_named_without_the_password() -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    error = str(refused("postgresql://ada:s3cret@127.0.0.1:1/news"))
    assert "127.0.0.1:1/news" in error
    assert "s3cret" not in error


def test_a_store_that_another_process_keeps_locked_is_busy(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    with Store.open(url, busy_timeout=0.05) as store, closing(sqlite3.connect(tmp_path / "test.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy, match=r"test\.db: another process kept it locked"):
            store.add("ada@example.org")
        assert store.count_subscribers()[SubscriberStatus.ACTIVE] == 0  # readers do not wait for a writer
        other.rollback()
        assert store.add("ada@example.org") is Added.NEW


def test_a_postgresql_table_that_another_process_keeps_locked_is_busy(postgres_url: str) -> None:
    import psycopg

    with Store.open(postgres_url, busy_timeout=0.05) as store, psycopg.connect(postgres_url) as other:
        other.execute("LOCK TABLE subscribers")
        with pytest.raises(StoreBusy):
            store.add("ada@example.org")
        other.rollback()


def test_the_files_are_for_their_owner_only_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with Store.open(f"sqlite:///{tmp_path / 'test.db'}") as store, store.sending_lock():
            store.add("ada@example.org")
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("test.db", "test.db-wal", "test.db-shm", "test.db.lock", "test.db.queue"), 0o600)


def test_a_full_disk_is_said_and_what_was_kept_stays(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk, Store.open(f"sqlite:///{disk / 'test.db'}") as store:
        store.add("ada@example.org")
        with pytest.raises(StoreFull, match="the disk is full"):
            store.add_all(readers(20_000), revive=False)
        assert [reader.address for reader in store.subscribers()] == ["ada@example.org"]


def test_a_disk_that_is_read_only_is_said(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert "cannot be created: Read-only file system" in str(refused(disk / "test.db"))


def test_the_queue_ends_after_the_time_out_too(tmp_path: Path) -> None:
    """A process that is stopped while it is first in the queue keeps the others from writing, not for ever."""
    with Store.open(f"sqlite:///{tmp_path / 'test.db'}", busy_timeout=0.05) as store:
        with (tmp_path / "test.db.queue").open("a") as first:
            fcntl.flock(first, fcntl.LOCK_EX)
            with pytest.raises(StoreBusy, match=r"test\.db: another process kept it locked") as caught:
                store.add("ada@example.org")
            assert caught.value.exit_code == 75
            with pytest.raises(StoreBusy):
                store.reserve([SlotOrder("mx", 1, 0.1, None)])  # over the connection that is kept
        assert store.add("ada@example.org") is Added.NEW


def test_whoever_waits_to_write_goes_next_however_busy_the_others_are(tmp_path: Path) -> None:
    """SQLite's own waiting would find the lock taken again and again, for as long as an issue is being sent."""
    url = f"sqlite:///{tmp_path / 'test.db'}"
    with Store.open(url) as busy, Store.open(url) as patient:
        written, over = [0], threading.Event()

        def write_on() -> None:
            while not over.is_set():
                with busy._db.write():
                    time.sleep(0.02)
                written[0] += 1

        thread = threading.Thread(target=write_on, daemon=True)
        thread.start()
        waited_for = []
        try:
            for address in readers(10):
                before = written[0]
                while written[0] < before + 2:  # the busy one is at it
                    time.sleep(0.001)
                before = written[0]
                patient.add(address)
                waited_for.append(written[0] - before)
        finally:
            over.set()
            thread.join()
    assert max(waited_for) <= 2
