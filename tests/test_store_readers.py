"""Who is on the list, on both databases: merging lists, suppressing, and forgetting for good."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import String, Text, select, update

from newsletter.addresses import normalise
from newsletter.errors import StoreBusy, StoreError
from newsletter.links import Links
from newsletter.model import (
    FrozenIssue,
    NewSubscriber,
    Outcome,
    OutcomeKind,
    RenderedIssue,
    Result,
    RunReport,
    State,
    Subscriber,
    SubscriberStatus,
    Verdict,
)
from newsletter.store import Added, ConfirmationState, PastCopy, PastReport, Store
from newsletter.store.schema import metadata, reports, subscribers
from newsletter.store.subscribers import stored_key
from newsletter.store.suppressions import add_decision
from tests.conftest import PUBLICATION
from tests.fakes import ACCEPTED, FakeClock
from tests.migrated import store_file

DAY = date(2026, 11, 24)
ADA = "Ada.Lovelace@example.org"
LINKS = Links("the secret", PUBLICATION)

ACTIVE, PENDING = SubscriberStatus.ACTIVE, SubscriberStatus.PENDING
UNSUBSCRIBED, SUPPRESSED = SubscriberStatus.UNSUBSCRIBED, SubscriberStatus.SUPPRESSED
FORGOTTEN = SubscriberStatus.FORGOTTEN


@pytest.fixture
def store(database_url: str, clock: FakeClock) -> Iterator[Store]:
    with Store.open(database_url, now=clock.now, hasher=LINKS.forgotten_hashes) as opened:
        yield opened


def found(store: Store, address: str = ADA) -> Subscriber:
    reader = store.find(address)
    assert reader is not None
    return reader


def become(store: Store, status: SubscriberStatus, address: str = ADA) -> None:
    """Bring `address` to `status`, whatever way leads there."""
    store.add(address)
    if status is FORGOTTEN:
        store.forget(address)
    elif status is not ACTIVE:
        with store._db.write() as connection:
            connection.execute(update(subscribers).values(status=status))


def issue(store: Store, day: date = DAY) -> FrozenIssue:
    return store.freeze(RenderedIssue(day, "s", "<p>", "t"), PUBLICATION, lifetime=timedelta(hours=24))


def send(store: Store, day: date, outcome: Outcome) -> FrozenIssue:
    """An issue whose copy for Ada ends so; the others are accepted."""
    made = issue(store, day)
    copies = store.claim(made.id, 100, resend_uncertain=1)
    store.turn([], copies)
    store.turn([Result(copy, State.SENDING, outcome if copy.address == ADA else ACCEPTED) for copy in copies], [])
    return made


# --- merging ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("here", "there", "became", "after"),
    [
        (None, ACTIVE, Added.NEW, ACTIVE),
        (None, PENDING, Added.LEFT, None),
        (None, UNSUBSCRIBED, Added.LEFT, UNSUBSCRIBED),
        (None, SUPPRESSED, Added.LEFT, SUPPRESSED),
        (PENDING, ACTIVE, Added.NEW, ACTIVE),
        (PENDING, PENDING, Added.LEFT, PENDING),
        (PENDING, SUPPRESSED, Added.LEFT, SUPPRESSED),
        (ACTIVE, ACTIVE, Added.ALREADY, ACTIVE),
        (ACTIVE, PENDING, Added.ALREADY, ACTIVE),
        (ACTIVE, UNSUBSCRIBED, Added.OFF, UNSUBSCRIBED),
        (ACTIVE, SUPPRESSED, Added.OFF, SUPPRESSED),
        (UNSUBSCRIBED, ACTIVE, Added.LEFT, UNSUBSCRIBED),
        (UNSUBSCRIBED, SUPPRESSED, Added.LEFT, UNSUBSCRIBED),
        (SUPPRESSED, ACTIVE, Added.LEFT, SUPPRESSED),
        (SUPPRESSED, UNSUBSCRIBED, Added.LEFT, SUPPRESSED),
        (FORGOTTEN, ACTIVE, Added.LEFT, FORGOTTEN),
        (FORGOTTEN, SUPPRESSED, Added.LEFT, FORGOTTEN),
    ],
)
def test_an_import_never_brings_back_and_never_overlooks_who_left(
    store: Store,
    here: SubscriberStatus | None,
    there: SubscriberStatus,
    became: Added,
    after: SubscriberStatus | None,
) -> None:
    if here is not None:
        become(store, here)
    assert store.merge([NewSubscriber(ADA, there)]) == Counter([became])
    reader = store.find(ADA)
    assert (reader and reader.status) == after
    assert (reader is not None and reader.address == ADA) is (after not in (None, FORGOTTEN))


@pytest.mark.parametrize("here", [PENDING, UNSUBSCRIBED, SUPPRESSED, FORGOTTEN])
def test_a_person_s_own_wish_brings_everybody_back(store: Store, clock: FakeClock, here: SubscriberStatus) -> None:
    become(store, here)
    clock.move(hours=1)
    assert store.add(ADA.lower(), consent="asked by mail") is (Added.NEW if here is PENDING else Added.BACK)
    reader = found(store)
    assert (reader.status, reader.address, reader.consent) == (ACTIVE, ADA.lower(), "asked by mail")
    assert (reader.reason, reader.status_at) == ("", clock.now())
    assert len(list(store.subscribers())) == 1


def test_the_later_word_counts(store: Store, clock: FakeClock) -> None:
    store.add(ADA)
    joined = clock.now()
    before, after = joined - timedelta(days=1), joined + timedelta(minutes=1)
    gone = NewSubscriber(ADA, UNSUBSCRIBED, reason="elsewhere")
    assert store.merge([replace(gone, status_at=before)]) == Counter([Added.ALREADY])
    assert found(store).status is ACTIVE
    clock.move(hours=1)
    assert store.merge([replace(gone, status_at=after)]) == Counter([Added.OFF])
    assert (found(store).status, found(store).status_at, found(store).reason) == (UNSUBSCRIBED, after, "elsewhere")


def test_a_new_reader_is_kept_with_all_that_the_import_says(store: Store) -> None:
    joined, left = datetime.fromisoformat("2024-05-06T07:08:09Z"), datetime.fromisoformat("2025-05-06T07:08:09Z")
    given = NewSubscriber(ADA, SUPPRESSED, "a form", "550", 0b11, date(2027, 1, 1), joined, left)
    store.merge([given])
    reader = found(store)
    assert reader == Subscriber(
        reader.id, reader.ref, ADA, SUPPRESSED, joined, left, 0b11, date(2027, 1, 1), "a form", "550"
    )


def test_what_an_import_dates_in_the_future_is_dated_now(store: Store, clock: FakeClock) -> None:
    later = clock.now() + timedelta(days=400)
    store.merge(
        [NewSubscriber(ADA, created_at=later, status_at=later), NewSubscriber(ADA, SUPPRESSED, status_at=later)]
    )
    assert (found(store).created_at, found(store).status_at) == (clock.now(), clock.now())


def test_one_reader_in_many_spellings_is_one(store: Store) -> None:
    spellings = ["ada@B\u00dcCHER.example", "ADA@xn--bcher-kva.example", "ada@bu\u0308cher.example"]
    assert store.merge([NewSubscriber(normalise(each)) for each in spellings]) == Counter(
        {Added.NEW: 1, Added.ALREADY: 2}
    )
    assert [reader.address for reader in store.subscribers()] == ["ada@xn--bcher-kva.example"]


def test_of_two_rows_of_one_import_the_careful_one_counts(store: Store) -> None:
    rows = [NewSubscriber(ADA), NewSubscriber(ADA, SUPPRESSED), NewSubscriber(ADA)]
    assert store.merge(rows) == Counter([Added.NEW, Added.OFF, Added.LEFT])
    assert found(store).status is SUPPRESSED


# --- suppressing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("here", [None, PENDING, ACTIVE, UNSUBSCRIBED, SUPPRESSED])
def test_a_suppressed_address_stays_off_through_every_import(store: Store, here: SubscriberStatus | None) -> None:
    if here is not None:
        become(store, here)
    assert store.suppress(ADA, "asked by phone") is here
    store.merge([NewSubscriber(ADA)])
    reader = found(store)
    assert (reader.status, reader.reason, reader.address) == (SUPPRESSED, "asked by phone", ADA)


def test_suppressing_voids_a_request_that_waits(store: Store, clock: FakeClock) -> None:
    become(store, PENDING)
    with store._db.write() as connection:
        connection.execute(update(subscribers).values(asked_at=clock.now()))
    store.suppress(ADA, "x")
    with store._db.read() as connection:
        assert connection.execute(select(subscribers.c.asked_at)).scalar() is None


# --- forgetting ------------------------------------------------------------------------------------------------------


def scene(store: Store, clock: FakeClock) -> tuple[Subscriber, FrozenIssue]:
    """Ada has been a reader for some days, in every way that leaves a trace; gives her and the issue still owed."""
    store.add(ADA, consent=f"{ADA} signed a form")
    store.add("emmy@example.org")
    reader = found(store)
    send(store, DAY - timedelta(days=2), ACCEPTED)
    refused = send(store, DAY - timedelta(days=1), Outcome(OutcomeKind.REFUSED, 550, f"<{ADA}>: no such user"))
    store.pause(refused.id, f"refused alike: 550 <{ADA.lower()}>", [])
    store.record_run(RunReport(Verdict.FAILED, f"the canary {ADA} was refused"), clock.now())
    store.suppress(ADA, f"550 <{ADA}> unknown")
    store.add(ADA, consent=f"{ADA} signed again")
    store.prefer(reader.ref, days=1 << DAY.weekday(), paused_until=DAY)
    with store._db.write() as connection:
        row = {"read_at": clock.now(), "kind": "bounce", "status": "5.1.1"}
        connection.execute(
            reports.insert(),
            [
                row | {"digest": "a" * 64, "subscriber_id": reader.id, "words": f"to {ADA}"},
                row | {"digest": "b" * 64, "subscriber_id": None, "words": f"To: <{ADA.upper()}>, who is unknown"},
            ],
        )
    store.ask_move(reader.ref, "lovelace@example.net")
    return reader, issue(store)


def everything(store: Store) -> str:
    """All text of all columns of all tables."""
    told = []
    with store._db.read() as connection:
        for table in metadata.sorted_tables:
            columns = [column for column in table.columns if isinstance(column.type, (Text, String))]
            told += [str(row) for row in connection.execute(select(*columns))] if columns else []
    return "\n".join(told).casefold()


def test_nothing_of_a_forgotten_reader_is_left_but_a_keyed_hash(store: Store, clock: FakeClock) -> None:
    reader, _ = scene(store, clock)
    assert "lovelace" in everything(store)
    assert store.forget(ADA)
    left = everything(store)
    assert "lovelace" not in left
    assert reader.ref not in left
    assert LINKS.forgotten_hashes(ADA.casefold())[0] in left
    assert "the canary (forgotten) was refused" in left
    forgotten = found(store)
    assert (forgotten.id, forgotten.status, forgotten.address) == (reader.id, FORGOTTEN, "")
    assert (forgotten.consent, forgotten.reason, forgotten.paused_until) == ("", "", None)
    assert [each.address for each in store.subscribers()] == ["emmy@example.org"]
    assert store.count_subscribers()[FORGOTTEN] == 1
    assert [(copy.state, copy.text) for copy in store.copies(reader.id, 9)][1:] == [
        (State.REFUSED, ""),
        (State.ACCEPTED, ""),
    ]


def test_no_byte_of_the_address_stays_in_sqlite_s_files(tmp_path: Path, clock: FakeClock) -> None:
    def traces(name: bytes) -> list[str]:
        return [file.name for file in tmp_path.iterdir() if name in file.read_bytes().lower()]

    with Store.open(store_file(tmp_path / "test.db"), now=clock.now, hasher=LINKS.forgotten_hashes) as store:
        # Pages split and rows move as a table grows, which leaves copies of what stood there.
        for n in range(10):
            store.add(f"byron{n}@example.org")
            store.add_all([f"reader{n}.{m}@example.org" for m in range(300)], revive=False)
        scene(store, clock)
        assert traces(b"byron")
        assert traces(b"lovelace")
        store.forget(ADA)
        assert traces(b"lovelace") == []
        for n in range(10):
            store.forget(f"byron{n}@example.org")
        assert traces(b"byron") == []
    assert traces(b"reader0.1@") == ["test.db"]


def test_no_byte_of_the_address_stays_in_postgresql_s_tables(new_postgres_url: str, clock: FakeClock) -> None:
    import psycopg

    def traces(name: bytes) -> list[str]:
        """The tables whose files hold `name`, in rows or where rows were."""
        with psycopg.connect(new_postgres_url, autocommit=True) as operator:
            operator.execute("CHECKPOINT")
            (folder,) = operator.execute("SHOW data_directory").fetchone() or ("",)
            found = operator.execute(
                "SELECT relname, pg_relation_filepath(oid) FROM pg_class WHERE relkind IN ('r', 'i', 't')"
            )
            files = [(table, Path(folder) / path) for table, path in found if path]
        return [table for table, file in files if file.exists() and name in file.read_bytes().lower()]

    with Store.open(new_postgres_url, now=clock.now, hasher=LINKS.forgotten_hashes) as store:
        reader, _ = scene(store, clock)
        with store._db.write() as connection:
            add_decision(connection, reader.id, "no such user", f"permanent: 5.1.1 <{ADA}>", clock.now())
        assert {"subscribers", "deliveries", "issues", "suppressions"} <= {*traces(b"lovelace")}
        assert store.forget(ADA)
        assert traces(b"lovelace") == []
        assert traces(b"emmy@")


def test_words_about_others_that_name_the_address_are_redacted(store: Store, clock: FakeClock) -> None:
    store.add(ADA)
    store.suppress("emmy@example.org", f"asked by {ADA}")
    with store._db.write() as connection:
        add_decision(connection, found(store, "emmy@example.org").id, "gone", f"mail to {ADA} failed", clock.now())
    store.forget(ADA)
    assert "lovelace" not in everything(store)
    assert found(store, "emmy@example.org").reason == "asked by (forgotten)"


def chain(store: Store, clock: FakeClock, *addresses: str) -> None:
    """A reader who moves from each of `addresses` to the next."""
    store.add(addresses[0])
    for old, new in pairwise(addresses):
        clock.move(days=2)
        store.ask_move(found(store, old).ref, new)
        (request,) = store.due_sign_ups(10)
        store.note_mailed(request)
        assert store.confirm(request.ref, request.asked_at, "confirmed") is ConfirmationState.CONFIRMED


@pytest.mark.parametrize("asked", [0, 1, 2])
def test_forgetting_one_address_of_a_reader_forgets_those_they_moved_from_and_to(
    store: Store, clock: FakeClock, asked: int
) -> None:
    addresses = ("ada@one.example", "ada@two.example", "Ada@three.example")
    chain(store, clock, *addresses)
    store.add("emmy@example.org")
    issue(store)
    clock.move(days=2)
    store.ask_move(found(store, addresses[2]).ref, "ada@four.example")
    assert store.forget(addresses[asked])
    left = everything(store)
    assert "ada@" not in left
    for address in addresses:
        assert found(store, address).status is FORGOTTEN
        assert LINKS.forgotten_hashes(address.casefold())[0] in left
        assert store.add_all([address], revive=False) == Counter({Added.LEFT: 1})
    assert store.find("ada@four.example") is None  # it has not confirmed
    assert [each.address for each in store.subscribers(ACTIVE)] == ["emmy@example.org"]


def test_forgetting_an_address_that_was_only_asked_for_forgets_nobody_else(store: Store, clock: FakeClock) -> None:
    store.add(ADA)
    store.ask_move(found(store).ref, "eve@example.net")
    assert store.forget("eve@example.net")
    assert found(store).status is ACTIVE


def test_who_comes_back_by_themselves_is_another_subscription(store: Store, clock: FakeClock) -> None:
    chain(store, clock, "ada@one.example", "ada@two.example")
    assert store.add("ada@one.example") is Added.BACK
    store.forget("ada@two.example")
    assert found(store, "ada@one.example").status is ACTIVE


def test_who_moves_there_and_back_is_forgotten_by_either_address(store: Store, clock: FakeClock) -> None:
    chain(store, clock, "ada@one.example", "ada@two.example", "ada@one.example")
    store.forget("ada@two.example")
    assert "ada@" not in everything(store)


def test_what_was_owed_to_a_forgotten_reader_is_withdrawn(store: Store, clock: FakeClock) -> None:
    reader, owed = scene(store, clock)
    store.forget(ADA)
    assert [copy.address for copy in store.claim(owed.id, 100, resend_uncertain=1)] == ["emmy@example.org"]
    assert store.state_of(owed.id, reader.id) is State.WITHDRAWN


def test_it_stays_withdrawn_when_the_reader_comes_back_meanwhile(store: Store, clock: FakeClock) -> None:
    reader, owed = scene(store, clock)
    store.forget(ADA)
    assert store.add(ADA) is Added.BACK
    assert (found(store).id, found(store).status, found(store).address) == (reader.id, ACTIVE, ADA)
    assert [copy.address for copy in store.claim(owed.id, 100, resend_uncertain=1)] == ["emmy@example.org"]
    assert store.state_of(owed.id, reader.id) is State.WITHDRAWN
    later = issue(store, DAY + timedelta(days=7))
    assert ADA in [copy.address for copy in store.claim(later.id, 100, resend_uncertain=1)]


def test_a_copy_under_way_ends_as_it_would(store: Store, clock: FakeClock) -> None:
    _, owed = scene(store, clock)
    copies = store.claim(owed.id, 100, resend_uncertain=1)
    store.turn([], copies)
    store.forget(ADA)
    store.turn([Result(copy, State.SENDING, ACCEPTED) for copy in copies], [])
    assert store.counts(owed.id)[State.ACCEPTED] == 2


def test_the_links_of_a_forgotten_reader_lead_nowhere(store: Store, clock: FakeClock) -> None:
    reader, _ = scene(store, clock)
    store.forget(ADA)
    assert store.by_ref(reader.ref) is None


def test_forgetting_may_be_repeated_and_knows_whom_it_does_not_know(store: Store) -> None:
    assert not store.forget("nobody@example.org")
    store.add(ADA)
    assert store.forget(ADA)
    assert store.forget(ADA.lower())
    assert store.suppress(ADA, "x") is FORGOTTEN
    assert "lovelace" not in everything(store)


def test_a_new_address_that_was_a_reader_itself_stays(store: Store, clock: FakeClock) -> None:
    store.add("lovelace@example.net")
    send(store, DAY - timedelta(days=1), ACCEPTED)
    store.add(ADA)
    store.ask_move(found(store).ref, "lovelace@example.net")
    store.forget(ADA)
    assert found(store, "lovelace@example.net").status is ACTIVE
    assert store.due_sign_ups(9) == []


def test_the_key_of_a_forgotten_address_is_its_hash(store: Store) -> None:
    key = "ada@example.org"
    store.add(key)
    with store._db.read() as connection:
        assert [stored_key(connection, each, LINKS.forgotten_hashes) for each in (key, "new@example.org")] == [
            key,
            "new@example.org",
        ]
    store.forget(key)
    with store._db.read() as connection:
        assert stored_key(connection, key, LINKS.forgotten_hashes) == LINKS.forgotten_hashes(key)[0]


def test_a_forgotten_address_is_known_after_the_secret_was_changed(database_url: str) -> None:
    with Store.open(database_url, hasher=LINKS.forgotten_hashes) as store:
        store.add(ADA)
        store.forget(ADA)
    newer = Links("a newer secret", PUBLICATION, ["the secret"])
    with Store.open(database_url, hasher=newer.forgotten_hashes) as store:
        assert store.merge([NewSubscriber(ADA)]) == Counter([Added.LEFT])
        assert found(store).status is FORGOTTEN
    other = Links("another secret", PUBLICATION)
    with Store.open(database_url, hasher=other.forgotten_hashes) as store:
        assert store.find(ADA) is None


def test_without_the_secret_nobody_is_taken_in_who_may_be_forgotten(database_url: str) -> None:
    with Store.open(database_url) as store:
        store.add(ADA)
        with pytest.raises(StoreError, match="needs the secret"):
            store.forget(ADA)
    with Store.open(database_url, hasher=LINKS.forgotten_hashes) as store:
        store.forget(ADA)
    with Store.open(database_url) as store:
        for take in (store.add, lambda address: store.suppress(address, "x")):
            with pytest.raises(StoreError, match="only the secret recognises them; set secret"):
                take(ADA)
        assert store.find(ADA) is None


def test_a_file_in_use_is_said_and_the_command_may_be_repeated(tmp_path: Path, clock: FakeClock) -> None:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    with Store.open(url, now=clock.now, hasher=LINKS.forgotten_hashes, busy_timeout=0.05) as store:
        store.add(ADA)
        with Store.open(url) as other, other._db.read() as reading:
            reading.execute(select(subscribers)).all()
            with pytest.raises(StoreBusy, match="the address is forgotten, but the disk may still hold traces of it"):
                store.forget(ADA)
        assert store.forget(ADA)
    assert b"Lovelace" not in (tmp_path / "test.db").read_bytes()


# --- one reader's history --------------------------------------------------------------------------------------------


def test_a_reader_s_last_copies_and_reports_are_told_newest_first(store: Store, clock: FakeClock) -> None:
    reader, owed = scene(store, clock)
    assert store.copies(reader.id, 2) == [
        PastCopy(owed.rendered.day, State.PENDING, None, ""),
        PastCopy(DAY - timedelta(days=1), State.REFUSED, 550, f"<{ADA}>: no such user"),
    ]
    assert store.reports_about(reader.id, 5) == [PastReport(clock.now(), "bounce", "5.1.1", f"to {ADA}")]


def test_what_one_reader_asks_reads_no_other_reader_s_rows(tmp_path: Path) -> None:
    """The ledger of a year has millions of rows: SQLite is to find a reader's by its index."""
    with Store.open(store_file(tmp_path / "test.db")) as store, store._db.read() as connection:
        copies = (
            "SELECT * FROM issues JOIN deliveries ON issues.id = deliveries.issue_id"
            " WHERE deliveries.subscriber_id = 1 ORDER BY issues.day DESC LIMIT 10"
        )
        blank = "UPDATE deliveries SET address = '' WHERE issue_id IN (SELECT id FROM issues) AND subscriber_id = 1"
        for statement in (copies, blank):
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}").scalars(3).all()
            assert any("(issue_id=? AND subscriber_id=?)" in step for step in plan), plan
