"""Sign-ups in the store, on both databases: one mail a day, one subscriber, and no way round the confirmation."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, insert, select, update

from newsletter.links import Links
from newsletter.model import (
    EVERY_DAY,
    NewSubscriber,
    Outcome,
    OutcomeKind,
    RenderedIssue,
    Result,
    SignUp,
    State,
    SubscriberStatus,
)
from newsletter.store import Added, ConfirmationState, Store
from newsletter.store.schema import reports, subscribers
from tests.conftest import PUBLICATION
from tests.fakes import FakeClock
from tests.migrated import store_file

ADA, EVE = "ada@example.org", "eve@example.org"
DAY = date(2026, 11, 24)
WEDNESDAY = 0b100
CONSENT = "confirmed on the web"


def status(store: Store, address: str = ADA) -> SubscriberStatus | None:
    found = store.find(address)
    return None if found is None else found.status


def ref(store: Store, address: str = ADA) -> str:
    found = store.find(address)
    assert found is not None
    return found.ref


def asked(store: Store, address: str = ADA) -> SignUp:
    """The request for `address`, as its mail would carry it; the mail is noted as sent."""
    (due,) = [each for each in store.due_sign_ups(100) if each.address == address]
    store.note_mailed(due)
    return due


def confirm(store: Store, sign_up: SignUp) -> ConfirmationState:
    return store.confirm(sign_up.ref, sign_up.asked_at, CONSENT)


def test_who_asks_is_pending_until_the_address_confirms(store: Store, clock: FakeClock) -> None:
    store.ask("Ada@example.org")
    found = store.find(ADA)
    assert found is not None
    assert (found.address, found.status, found.consent) == ("Ada@example.org", SubscriberStatus.PENDING, "")
    clock.move(minutes=3)
    sign_up = asked(store, "Ada@example.org")
    assert not sign_up.moves
    assert store.standing(sign_up.ref, sign_up.asked_at) is ConfirmationState.OPEN
    assert status(store) is SubscriberStatus.PENDING
    assert confirm(store, sign_up) is ConfirmationState.CONFIRMED
    found = store.find(ADA)
    assert found is not None
    assert (found.status, found.status_at, found.consent) == (SubscriberStatus.ACTIVE, clock.now(), CONSENT)
    assert found.days == EVERY_DAY


def test_a_hundred_requests_make_one_mail_a_day(store: Store, clock: FakeClock) -> None:
    mails = 0
    for _ in range(100):
        clock.move(minutes=10)
        store.ask(ADA)
        for due in store.due_sign_ups(10):
            store.note_mailed(due)
            mails += 1
    assert mails == 1
    clock.move(hours=8)
    store.ask(ADA)
    assert len(store.due_sign_ups(10)) == 1
    assert store.count_subscribers()[SubscriberStatus.PENDING] == 1


@pytest.mark.parametrize("leave", [True, False])
def test_the_day_is_counted_also_over_leaving(store: Store, clock: FakeClock, *, leave: bool) -> None:
    store.ask(ADA)
    assert confirm(store, asked(store)) is ConfirmationState.CONFIRMED
    if leave:
        store.unsubscribe(ADA)
    clock.move(hours=23)
    store.ask(ADA)
    assert store.due_sign_ups(10) == []
    clock.move(hours=2)
    store.ask(ADA)
    assert len(store.due_sign_ups(10)) == int(leave)  # who is subscribed is not bothered
    assert status(store) is (SubscriberStatus.UNSUBSCRIBED if leave else SubscriberStatus.ACTIVE)


def test_a_request_whose_mail_was_never_taken_stays_due_and_the_same(store: Store, clock: FakeClock) -> None:
    store.ask(ADA)
    (first,) = store.due_sign_ups(10)
    clock.move(hours=5)
    store.ask(ADA)
    assert store.due_sign_ups(10) == [first]
    store.note_mailed(first)
    assert store.due_sign_ups(10) == []
    store.take_back(first)
    assert store.due_sign_ups(10) == [first]


def test_due_ones_come_oldest_first_and_not_too_many(store: Store, clock: FakeClock) -> None:
    for number in range(5):
        store.ask(f"reader{number}@example.org")
        clock.move(seconds=1)
    assert [due.address for due in store.due_sign_ups(2)] == ["reader0@example.org", "reader1@example.org"]


def test_who_had_left_comes_back_by_confirming_and_by_nothing_less(store: Store, clock: FakeClock) -> None:
    store.add(ADA)
    old = ref(store)
    store.unsubscribe(ADA)
    clock.move(days=2)
    store.ask(ADA)
    assert status(store) is SubscriberStatus.UNSUBSCRIBED
    assert confirm(store, asked(store)) is ConfirmationState.CONFIRMED
    assert status(store) is SubscriberStatus.ACTIVE
    assert ref(store) == old


def test_a_link_is_good_once_for_a_week_and_not_after_its_reader_left(store: Store, clock: FakeClock) -> None:
    store.ask(ADA)
    first = asked(store)
    assert confirm(store, first) is ConfirmationState.CONFIRMED
    assert (
        confirm(store, first) is ConfirmationState.CONFIRMED
    )  # once more by mistake: still subscribed, and that is said
    clock.move(minutes=1)
    store.unsubscribe(ADA)
    assert store.standing(first.ref, first.asked_at) is ConfirmationState.VOID
    assert confirm(store, first) is ConfirmationState.VOID
    clock.move(days=1)
    store.ask(ADA)
    assert confirm(store, first) is ConfirmationState.VOID  # of the new request, the new link
    second = asked(store)
    clock.move(days=7)
    assert confirm(store, second) is ConfirmationState.VOID
    assert status(store) is SubscriberStatus.UNSUBSCRIBED


def test_a_link_for_nobody_or_for_no_request_is_void(store: Store, clock: FakeClock) -> None:
    store.add(ADA)
    store.unsubscribe(ADA)
    assert store.standing("0" * 16, clock.now()) is ConfirmationState.VOID
    assert store.confirm("0" * 16, clock.now(), CONSENT) is ConfirmationState.VOID
    assert store.confirm(ref(store), clock.now(), CONSENT) is ConfirmationState.VOID
    assert status(store) is SubscriberStatus.UNSUBSCRIBED


def test_fifty_at_once_make_one_subscriber(store: Store) -> None:
    store.ask(ADA)
    sign_up = asked(store)
    gate = threading.Barrier(50)
    seen: list[ConfirmationState] = []

    def act() -> None:
        gate.wait()
        seen.append(confirm(store, sign_up))

    threads = [threading.Thread(target=act) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [ConfirmationState.CONFIRMED] * 50
    assert [reader.status for reader in store.subscribers()] == [SubscriberStatus.ACTIVE]


def test_fifty_requests_at_once_are_one(store: Store) -> None:
    gate = threading.Barrier(50)

    def act() -> None:
        gate.wait()
        store.ask(ADA)

    threads = [threading.Thread(target=act) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.due_sign_ups(100)) == 1


def test_who_never_confirmed_is_deleted_after_a_week_and_nobody_else(store: Store, clock: FakeClock) -> None:
    store.ask(ADA)
    store.add(EVE)
    store.unsubscribe(EVE)
    store.ask(EVE)
    asked(store)
    clock.move(days=7, seconds=-1)
    assert store.drop_unconfirmed() == 0
    clock.move(seconds=2)
    assert store.drop_unconfirmed() == 1
    assert status(store) is None
    assert status(store, EVE) is SubscriberStatus.UNSUBSCRIBED
    store.ask(ADA)
    assert len(store.due_sign_ups(10)) == 1


def suppress(store: Store, clock: FakeClock, address: str = ADA) -> None:
    """As a bounce does."""
    values = {"status": SubscriberStatus.SUPPRESSED, "status_at": clock.now()}
    with store._db.write() as connection:
        connection.execute(update(subscribers).where(subscribers.c.address == address).values(values))


def test_who_is_suppressed_comes_back_by_confirming_anew_only(store: Store, clock: FakeClock) -> None:
    store.ask(ADA)
    before = asked(store)
    clock.move(minutes=1)
    suppress(store, clock)
    assert confirm(store, before) is ConfirmationState.VOID  # the confirmation bounced
    clock.move(days=1)
    store.ask(ADA)
    assert status(store) is SubscriberStatus.SUPPRESSED
    assert confirm(store, asked(store)) is ConfirmationState.CONFIRMED
    assert status(store) is SubscriberStatus.ACTIVE


def test_a_report_about_somebody_who_never_confirmed_stays_without_him(store: Store, clock: FakeClock) -> None:
    store.ask(ADA)
    found = store.find(ADA)
    assert found is not None
    report = {"digest": "0" * 64, "read_at": clock.now(), "kind": "bounce", "subscriber_id": found.id}
    with store._db.write() as connection:
        connection.execute(insert(reports).values(report))
    clock.move(days=8)
    assert store.drop_unconfirmed() == 1
    with store._db.read() as connection:
        assert connection.execute(select(reports.c.subscriber_id)).scalars().all() == [None]


def test_a_reader_the_operator_added_meanwhile_gets_no_confirmation(store: Store) -> None:
    store.ask(ADA)
    store.add(ADA)
    assert store.due_sign_ups(10) == []
    assert status(store) is SubscriberStatus.ACTIVE


def test_one_process_mails_at_a_time(store: Store, database_url: str) -> None:
    with store.confirmations_lock() as mine, Store.open(database_url) as second:
        assert mine
        with second.confirmations_lock() as theirs:
            assert not theirs
        with second.sending_lock() as sender:
            assert sender
    with store.confirmations_lock() as mine:
        assert mine


# --- another address -------------------------------------------------------------------------------------------------


def moving(store: Store, clock: FakeClock) -> SignUp:
    """ADA, who reads on Wednesdays, asks to be EVE."""
    store.add(ADA)
    store.prefer(ref(store), days=WEDNESDAY, paused_until=date(2027, 1, 1))
    clock.move(minutes=1)
    store.ask_move(ref(store), EVE)
    sign_up = asked(store, EVE)
    assert sign_up.moves
    assert (status(store), status(store, EVE)) == (SubscriberStatus.ACTIVE, None)
    return sign_up


def test_a_new_address_takes_over_what_was_chosen(store: Store, clock: FakeClock) -> None:
    assert confirm(store, moving(store, clock)) is ConfirmationState.CONFIRMED
    old, new = store.find(ADA), store.find(EVE)
    assert old is not None
    assert new is not None
    assert (old.status, old.reason) == (SubscriberStatus.UNSUBSCRIBED, "changed address")
    assert (new.status, new.days, new.paused_until) == (SubscriberStatus.ACTIVE, WEDNESDAY, date(2027, 1, 1))
    assert new.consent == CONSENT


def test_moving_to_an_address_that_reads_already_keeps_what_that_one_chose(store: Store, clock: FakeClock) -> None:
    store.add(EVE)
    store.add(ADA)
    clock.move(minutes=1)
    store.ask_move(ref(store), EVE)
    assert status(store, EVE) is SubscriberStatus.ACTIVE
    sign_up = asked(store, EVE)
    store.prefer(ref(store), days=WEDNESDAY, paused_until=None)
    assert confirm(store, sign_up) is ConfirmationState.CONFIRMED
    new = store.find(EVE)
    assert new is not None
    assert (status(store), new.status, new.days) == (
        SubscriberStatus.UNSUBSCRIBED,
        SubscriberStatus.ACTIVE,
        EVERY_DAY,
    )


def test_who_leaves_meanwhile_does_not_come_back_under_the_new_address(store: Store, clock: FakeClock) -> None:
    sign_up = moving(store, clock)
    store.unsubscribe(ADA)
    assert confirm(store, sign_up) is ConfirmationState.VOID
    assert status(store, EVE) is None


def test_who_moves_because_the_old_address_bounces_still_may(store: Store, clock: FakeClock) -> None:
    sign_up = moving(store, clock)
    clock.move(minutes=1)
    suppress(store, clock)
    assert confirm(store, sign_up) is ConfirmationState.CONFIRMED
    assert (status(store), status(store, EVE)) == (SubscriberStatus.SUPPRESSED, SubscriberStatus.ACTIVE)


def freeze(store: Store, day: date = DAY) -> int:
    rendered = RenderedIssue(day, "s", "h", "t")
    return store.freeze(rendered, PUBLICATION, lifetime=timedelta(hours=24)).id


def copies(store: Store, issue: int) -> list[tuple[str, SubscriberStatus | None]]:
    """Who is sent a copy now."""
    found = store.claim(issue, 10, resend_uncertain=1)
    store.release(found)
    return [(copy.address, status(store, copy.address)) for copy in found]


def test_a_copy_that_waits_goes_to_the_new_address_once(store: Store, clock: FakeClock) -> None:
    store.add(ADA)
    issue = freeze(store)
    store.ask_move(ref(store), EVE)
    confirm(store, asked(store, EVE))
    assert copies(store, issue) == [(EVE, SubscriberStatus.ACTIVE)]
    assert store.counts(issue)[State.PENDING] == 1


def test_a_copy_that_went_to_the_old_address_is_the_only_one(store: Store, clock: FakeClock) -> None:
    store.add(ADA)
    store.add(EVE)
    issue = freeze(store)
    (ada,) = store.claim(issue, 1, resend_uncertain=1)
    store.turn([], [ada])
    store.turn([Result(ada, State.SENDING, Outcome(OutcomeKind.ACCEPTED, 250, "ok"))], [])
    store.ask_move(ref(store), EVE)
    confirm(store, asked(store, EVE))
    assert copies(store, issue) == []
    counts = store.counts(issue)
    assert (counts[State.ACCEPTED], counts[State.WITHDRAWN]) == (1, 1)


def test_two_copies_that_wait_become_one(store: Store, clock: FakeClock) -> None:
    store.add(ADA)
    store.add(EVE)
    issue = freeze(store)
    store.ask_move(ref(store), EVE)
    confirm(store, asked(store, EVE))
    assert copies(store, issue) == [(EVE, SubscriberStatus.ACTIVE)]


def test_the_time_of_a_request_survives_the_database_to_the_millisecond(store: Store, clock: FakeClock) -> None:
    clock.move(seconds=0.123456)
    store.ask(ADA)
    sign_up = asked(store)
    assert sign_up.asked_at == datetime.fromisoformat("2026-11-24T07:00:00.124+00:00")
    assert confirm(store, sign_up) is ConfirmationState.CONFIRMED


# --- who was forgotten -----------------------------------------------------------------------------------------------

FORGETS = Links("a secret", PUBLICATION)


@pytest.fixture
def forgetful(database_url: str, clock: FakeClock) -> Iterator[Store]:
    """A store that has forgotten Ada."""
    with Store.open(database_url, now=clock.now, hasher=FORGETS.forgotten_hashes) as opened:
        opened.add(ADA)
        opened.forget(ADA)
        clock.move(hours=1)
        yield opened


def test_who_was_forgotten_may_confirm_anew(forgetful: Store) -> None:
    forgotten = ref(forgetful)
    forgetful.ask("Ada@example.org")
    assert status(forgetful) is SubscriberStatus.FORGOTTEN
    sign_up = asked(forgetful, "Ada@example.org")
    assert sign_up.ref == forgotten
    assert confirm(forgetful, sign_up) is ConfirmationState.CONFIRMED
    found = forgetful.find(ADA)
    assert found is not None
    assert (found.ref, found.address, found.status) == (forgotten, "Ada@example.org", SubscriberStatus.ACTIVE)
    with forgetful._db.read() as connection:
        assert connection.execute(select(subscribers.c.identity)).scalars().all() == [ADA]


def test_who_was_forgotten_and_does_not_confirm_is_forgotten_again(forgetful: Store, clock: FakeClock) -> None:
    forgetful.ask(ADA)
    asked(forgetful)
    assert forgetful.merge([NewSubscriber(ADA)])[Added.LEFT] == 1
    assert list(forgetful.subscribers()) == []
    clock.move(days=8)
    forgetful.drop_unconfirmed()
    found = forgetful.find(ADA)
    assert found is not None
    assert (found.status, found.address) == (SubscriberStatus.FORGOTTEN, "")


def test_a_sign_up_reads_no_long_list(tmp_path: Path) -> None:
    """None of the statements that a sign-up sends to SQLite scans the table of readers."""
    sent: list[tuple[str, Any]] = []
    with Store.open(store_file(tmp_path / "test.db"), hasher=Links("secret", PUBLICATION).forgotten_hashes) as store:
        event.listen(
            store._db.engine,
            "before_cursor_execute",
            lambda connection, cursor, statement, values, context, many: sent.append((statement, values)),
        )
        store.ask(ADA)
        statements = [each for each in sent if "FROM subscribers" in each[0]]
        with store._db.read() as connection:
            plans = [
                connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).scalars(3).all()
                for statement, values in statements
            ]
    assert len(plans) > 1
    assert [step for plan in plans for step in plan if step.startswith("SCAN subscribers")] == []
