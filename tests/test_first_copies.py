"""The latest issue as the first copy of a reader who confirms: a row of the ledger, sent by the web or by `send`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from newsletter import pipeline
from newsletter.issue.choice import Choice
from newsletter.mail.render import Renderer
from newsletter.model import FrozenIssue, Outcome, RenderedIssue, Result, State, Subscriber, Verdict
from newsletter.runtime import Runtime
from newsletter.slots import SlotOrder
from newsletter.store import ConfirmationState, Store
from newsletter.web.confirmations import ConfirmationSender
from tests.conftest import PUBLICATION, issue
from tests.fakes import ACCEPTED, REFUSED, FakeClock
from tests.migrated import store_file
from tests.pages import ADDRESS, Site
from tests.smtpd import CLOSE, Smtpd, smtpd

ADA, EVE = "ada@example.org", "eve@example.org"
DAY = date(2026, 11, 24)  # a Tuesday
TUESDAY, WEDNESDAY = 0b10, 0b100


def freeze(store: Store, day: date = DAY, lifetime: timedelta = timedelta(hours=24)) -> FrozenIssue:
    return store.freeze(RenderedIssue(day, "s", "<p>h", "t"), PUBLICATION, lifetime=lifetime)


def accept(store: Store, made: FrozenIssue) -> None:
    """Let a server accept all copies of the issue that are owed."""
    copies = store.claim(made.id, 9, resend_uncertain=1)
    store.turn([], copies)
    store.turn([Result(copy, State.SENDING, ACCEPTED) for copy in copies], [])


def reader(store: Store, address: str = EVE) -> Subscriber:
    found = store.find(address)
    assert found is not None
    return found


def join(store: Store, address: str = EVE, *, first_copy: bool = True) -> Subscriber:
    """Ask for the address, and confirm."""
    store.ask(address)
    (due,) = [each for each in store.due_sign_ups(100) if each.address == address]
    store.note_mailed(due)
    confirmed = store.confirm(due.ref, due.asked_at, "pressed", first_copy=first_copy)
    assert confirmed is ConfirmationState.CONFIRMED
    return reader(store, address)


# --- in the ledger ---------------------------------------------------------------------------------------------------


@pytest.fixture
def store(database_url: str, clock: FakeClock) -> Iterator[Store]:
    with Store.open(database_url, now=clock.now) as opened:
        opened.add(ADA)
        yield opened


def test_who_confirms_is_owed_the_latest_issue_once(store: Store, clock: FakeClock) -> None:
    accept(store, freeze(store, DAY - timedelta(days=1)))
    made = freeze(store)
    accept(store, made)
    clock.move(hours=1)
    eve = join(store)
    assert store.state_of(made.id, eve.id) is State.PENDING
    assert store.first_copies() == {DAY: [eve.id]}
    assert store.has_first_copy(eve.ref)
    assert not store.has_first_copy(reader(store, ADA).ref)
    (copy,) = store.claim(made.id, 9, resend_uncertain=1)
    assert (copy.subscriber_id, copy.address, copy.rendering_id) == (eve.id, EVE, made.rendering_id)
    assert store.first_copies() == {}
    store.release([copy])
    assert store.first_copies() == {DAY: [eve.id]}
    accept(store, made)
    assert store.counts(made.id)[State.ACCEPTED] == 2
    assert store.first_copies() == {}


def steps_to_look(file: Path, readers: int) -> int:
    """How many steps SQLite's virtual machine needs to find the one first copy of an issue for so many readers."""
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1

    with Store.open(store_file(file)) as store:
        store.add_all((f"reader{number}@example.org" for number in range(readers)), revive=True)
        accept(store, freeze(store))  # nine of them
        eve = join(store)
        with store._db.read() as connection:
            driver: Any = connection.connection.dbapi_connection
        driver.set_progress_handler(step, 1)
        assert store.first_copies() == {DAY: [eve.id]}
        driver.set_progress_handler(None, 1)
    return steps


def test_to_look_for_first_copies_takes_no_longer_while_a_long_list_is_served(tmp_path: Path) -> None:
    """It is done at every sign-up."""
    few, many = steps_to_look(tmp_path / "few.db", 20), steps_to_look(tmp_path / "many.db", 1_000)
    assert 0 < many <= few + 10


def test_without_the_wish_nothing_is_owed(store: Store) -> None:
    made = freeze(store)
    accept(store, made)
    eve = join(store, first_copy=False)
    assert store.state_of(made.id, eve.id) is None
    assert not store.has_first_copy(eve.ref)


def test_without_an_issue_nothing_is_owed(store: Store) -> None:
    join(store)
    assert store.first_copies() == {}


def test_an_issue_that_has_expired_is_not_sent_any_more(store: Store, clock: FakeClock) -> None:
    made = freeze(store)
    accept(store, made)
    clock.move(hours=23)
    eve = join(store)
    assert store.state_of(made.id, eve.id) is State.PENDING
    clock.move(hours=1)
    assert store.first_copies() == {}
    assert store.state_of(made.id, join(store, "kurt@example.org").id) is None
    assert store.expire() == {DAY: 1}
    assert not store.has_first_copy(eve.ref)


def test_a_withdrawn_issue_goes_to_nobody_who_joins_later(store: Store) -> None:
    made = freeze(store)
    accept(store, made)
    eve = join(store)
    store.withdraw(made.id)
    assert store.state_of(made.id, eve.id) is State.WITHDRAWN
    assert store.first_copies() == {}
    assert store.state_of(made.id, join(store, "kurt@example.org").id) is None


def test_a_paused_issue_waits_with_its_first_copies(store: Store) -> None:
    made = freeze(store)
    accept(store, made)
    store.pause(made.id, "refused alike", [])
    eve = join(store)
    assert store.first_copies() == {}
    store.resume(made.id)
    assert store.first_copies() == {DAY: [eve.id]}


def test_an_issue_that_nobody_has_got_waits_for_its_run(store: Store) -> None:
    """It may still be made anew. Then the new reader is one of its readers."""
    made = freeze(store)
    eve = join(store)
    assert store.first_copies() == {}
    rendered = RenderedIssue(DAY, "corrected", "<p>h", "t")
    anew = store.freeze(rendered, PUBLICATION, lifetime=timedelta(hours=24), replaces=made.id)
    assert store.state_of(anew.id, eve.id) is State.PENDING
    assert store.counts(anew.id)[State.PENDING] == 2
    assert not store.has_first_copy(eve.ref)


@pytest.mark.parametrize("choice", [Choice(), Choice(weekly=True)])
@pytest.mark.parametrize(("days", "owed"), [(TUESDAY, True), (WEDNESDAY, False)])
def test_who_comes_back_gets_it_on_the_weekdays_they_chose(
    store: Store, days: int, choice: Choice, *, owed: bool
) -> None:
    store.add(EVE)
    eve = reader(store)
    store.prefer(eve.ref, days=days, paused_until=None)
    store.choose(eve.ref, choice)
    store.unsubscribe_ref(eve.ref)
    made = freeze(store)
    accept(store, made)
    join(store)
    assert (store.state_of(made.id, eve.id) is State.PENDING) is owed


def test_who_comes_back_in_a_pause_gets_nothing(store: Store) -> None:
    store.add(EVE)
    eve = reader(store)
    store.prefer(eve.ref, days=0b1111111, paused_until=DAY + timedelta(days=7))
    store.unsubscribe_ref(eve.ref)
    made = freeze(store)
    accept(store, made)
    join(store)
    assert store.state_of(made.id, eve.id) is None


@pytest.mark.parametrize("outcome", [ACCEPTED, REFUSED])
def test_who_has_had_the_issue_does_not_get_it_again(store: Store, clock: FakeClock, outcome: Outcome) -> None:
    store.add(EVE)
    eve = reader(store)
    made = freeze(store)
    copies = store.claim(made.id, 9, resend_uncertain=1)
    store.turn([], copies)
    store.turn([Result(copy, State.SENDING, outcome) for copy in copies], [])
    before = store.state_of(made.id, eve.id)
    store.unsubscribe_ref(eve.ref)
    clock.move(hours=2)
    join(store)
    assert store.state_of(made.id, eve.id) is before
    assert sum(store.counts(made.id).values()) == 2
    assert not store.has_first_copy(eve.ref)


def test_who_leaves_before_it_begins_does_not_get_it(store: Store) -> None:
    made = freeze(store)
    accept(store, made)
    eve = join(store)
    store.unsubscribe_ref(eve.ref)
    assert store.claim(made.id, 9, resend_uncertain=1) == []
    assert store.state_of(made.id, eve.id) is State.WITHDRAWN


# --- from the web ----------------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[Smtpd]:
    with smtpd() as running:
        yield running


@pytest.fixture
def site(tmp_path: Path, server: Smtpd) -> Iterator[Site]:
    made = Site(tmp_path, f"smtp:\n  - host: 127.0.0.1\n    port: {server.port}\n    timeout: 5\n")
    yield made
    made.store.close()


def publish(site: Site) -> FrozenIssue:
    """Freeze an issue as `run` does; ADDRESS gets it."""
    rendered = Renderer(site.config.publication).issue(issue(day=DAY))
    made = site.store.freeze(
        rendered, site.config.publication, lifetime=timedelta(hours=24), key_id=site.config.links().key_id
    )
    accept(site.store, made)
    return made


def press(site: Site, address: str = EVE) -> str:
    """Sign up and confirm on the web; the page that answers."""
    site.subscribe(address)
    return site.client.post(site.confirmation(address)).text


def test_the_first_copy_goes_out_after_confirming(site: Site, server: Smtpd) -> None:
    made = publish(site)
    sender = site.confirmation_sender()
    assert "The latest issue of Daily Papers is on its way" in press(site)
    sender.send_first_copies()
    (raw,) = server.messages
    mail = message_from_bytes(raw, policy=default)
    eve = site.reader(EVE)
    assert (mail["To"], mail["Subject"]) == (EVE, made.rendered.subject)
    assert mail["Message-ID"] == site.links.message_id(DAY, eve.ref)
    assert mail["Date"] == "Tue, 24 Nov 2026 07:00:00 +0000"
    assert site.links.unsubscribe(eve.ref)[0] in mail["List-Unsubscribe"]
    assert site.store.state_of(made.id, eve.id) is State.ACCEPTED
    for _ in range(3):
        site.clock.move(minutes=10)
        sender.send_first_copies()
    assert pipeline.send(site.config, None, site.store, Runtime(now=site.clock.now)).verdict is Verdict.ALREADY_SENT
    assert len(server.messages) == 1


def test_a_key_turns_it_off(tmp_path: Path, server: Smtpd) -> None:
    site = Site(tmp_path, f"smtp:\n  - host: 127.0.0.1\n    port: {server.port}\nweb:\n  first_copy: false\n")
    made = publish(site)
    assert "The next issue of Daily Papers will come" in press(site)
    site.confirmation_sender().send_first_copies()
    assert server.messages == []
    assert site.store.state_of(made.id, site.reader(EVE).id) is None
    site.store.close()


def test_while_another_process_sends_the_copy_is_left_to_it(site: Site, server: Smtpd) -> None:
    made = publish(site)
    press(site)
    with Store.open(site.config.store, now=site.clock.now) as other, other.sending_lock() as alone:
        assert alone
        site.confirmation_sender().send_first_copies()
        assert server.messages == []
        (copy,) = other.claim(made.id, 9, resend_uncertain=1)
        assert copy.address == EVE
        site.confirmation_sender().send_first_copies()
        other.release([copy])
    site.confirmation_sender().send_first_copies()
    assert len(server.messages) == 1


def test_only_first_copies_are_sent_and_no_other_is_touched(site: Site, server: Smtpd) -> None:
    """An operator may have stopped a run on purpose, and a crash may have left copies in doubt."""
    for n in range(4):
        site.store.add(f"reader{n}@example.org")
    made = publish_to_one(site)
    before = states(site, made)
    assert sorted(map(str, before.values())) == [
        State.ACCEPTED,
        State.CLAIMED,
        State.PENDING,
        State.PENDING,
        State.SENDING,
    ]
    press(site)
    site.confirmation_sender().send_first_copies()
    assert [message_from_bytes(raw, policy=default)["To"] for raw in server.messages] == [EVE]
    assert states(site, made) == before | {EVE: State.ACCEPTED}


def publish_to_one(site: Site) -> FrozenIssue:
    """Freeze an issue that one reader has got; one copy is being sent and one is claimed, by a process that died."""
    rendered = Renderer(site.config.publication).issue(issue(day=DAY))
    made = site.store.freeze(rendered, site.config.publication, lifetime=timedelta(hours=24))
    with Store.open(site.config.store, now=site.clock.now) as died:
        one, two, _ = died.claim(made.id, 3, resend_uncertain=1)
        died.turn([], [one, two])
        died.turn([Result(one, State.SENDING, ACCEPTED)], [])
    return made


def test_a_first_copy_lies_in_a_shard_and_is_sent_alone_on_postgresql(
    tmp_path: Path, server: Smtpd, postgres_url: str
) -> None:
    smtp = f"smtp:\n  - host: 127.0.0.1\n    port: {server.port}\n"
    site = Site(tmp_path, f"store: '{postgres_url}'\n{smtp}", store=postgres_url)
    site.store.add_all((f"reader{n}@example.org" for n in range(400)), revive=False)
    rendered = Renderer(site.config.publication).issue(issue(day=DAY))
    made = site.store.freeze(rendered, site.config.publication, lifetime=timedelta(hours=24))
    shards = site.store.shards_due(made.id)
    assert len(shards) == 10
    with site.store.shard(made.id, 0, resend_uncertain=1):
        accept(site.store, made)
    press(site)
    sender = site.confirmation_sender()
    mine = site.store.shard_of(made.id, site.reader(EVE).id)
    assert mine is not None
    with (
        Store.open(postgres_url, now=site.clock.now) as worker,
        worker.shard(made.id, mine, resend_uncertain=1) as held,
    ):
        assert held == 0
        sender.send_first_copies()
        assert server.messages == []
    site.clock.move(minutes=6)
    sender.send_first_copies()
    assert [message_from_bytes(raw, policy=default)["To"] for raw in server.messages] == [EVE]
    assert site.store.counts(made.id)[State.PENDING] == 401 - 9
    assert mine in site.store.shards_due(made.id)
    site.store.close()


def states(site: Site, made: FrozenIssue) -> dict[str, State | None]:
    return {each.address: site.store.state_of(made.id, each.id) for each in site.store.subscribers()}


def test_a_copy_that_is_put_off_is_left_to_send(site: Site, server: Smtpd) -> None:
    made = publish(site)
    press(site)
    server.script.replies["RCPT"] = ["451 4.7.1 greylisted"]
    sender = site.confirmation_sender()
    sender.send_first_copies()
    eve = site.reader(EVE)
    assert (server.messages, site.store.state_of(made.id, eve.id)) == ([], State.DEFERRED)
    site.clock.move(minutes=10)
    sender.send_first_copies()
    assert server.messages == []
    report = pipeline.send(site.config, None, site.store, Runtime(now=site.clock.now))
    assert (report.verdict, len(server.messages)) == (Verdict.NEW_ISSUE, 1)


def test_a_lost_connection_leaves_the_copy_in_doubt_and_is_not_repeated_here(site: Site, server: Smtpd) -> None:
    made = publish(site)
    press(site)
    server.script.replies["dot"] = [CLOSE]
    sender = site.confirmation_sender()
    sender.send_first_copies()
    assert site.store.state_of(made.id, site.reader(EVE).id) in (State.ACCEPTED, State.UNCERTAIN)
    assert len(server.messages) <= 2


def test_a_server_that_is_away_is_said_and_tried_again_later(site: Site, tmp_path: Path) -> None:
    made = publish(site)
    press(site)
    said: list[str] = []
    with smtpd() as gone:
        port = gone.port
    away = replace(site.config, smtp=(replace(site.config.smtp[0], port=port),))
    sender = ConfirmationSender(away, site.store, now=site.clock.now, warn=said.append)
    for _ in range(5):
        sender.send_first_copies()
        site.clock.move(seconds=30)
    assert len(said) == 1
    assert said[0].startswith("first copies wait for the next `newsletter send`: ")
    assert site.store.state_of(made.id, site.reader(EVE).id) is State.PENDING
    site.clock.move(minutes=5)
    sender.send_first_copies()
    assert len(said) == 2


def test_the_limit_of_a_day_holds_for_first_copies_too(tmp_path: Path, server: Smtpd) -> None:
    site = Site(tmp_path, f"smtp:\n  - host: 127.0.0.1\n    port: {server.port}\n    per_day: 3\n")
    made = publish(site)
    sender = site.confirmation_sender()
    for number in range(3):
        press(site, f"reader{number}@example.org")
        site.store.reserve([SlotOrder(f"127.0.0.1:{server.port}", 1, 0.0, 3)])
        site.clock.move(minutes=6)
        sender.send_first_copies()
    assert len(server.messages) < 3
    assert site.store.counts(made.id)[State.PENDING] == 3 - len(server.messages)
    site.store.close()


def test_many_refusals_alike_pause_the_issue(site: Site, server: Smtpd) -> None:
    made = publish(site)
    for number in range(9):
        address = f"reader{number}@example.org"
        server.script.recipients[address] = "550 5.7.1 we do not like you"
        press(site, address)
    said: list[str] = []
    ConfirmationSender(site.config, site.store, now=site.clock.now, warn=said.append).send_first_copies()
    assert len(said) == 1
    kept = site.store.issue(DAY)
    assert kept is not None
    assert kept.paused is not None or "5.7.1" in said[0]
    assert site.store.counts(made.id)[State.REFUSED] == 0


def test_a_store_that_is_older_than_what_was_sent_sends_no_first_copy(site: Site, server: Smtpd) -> None:
    publish(site)
    press(site)
    witness = site.store.witness
    assert witness is not None
    with Store.open(site.config.store, now=site.clock.now) as other, other.sending_lock():
        pass
    witness.unlink(missing_ok=True)
    said: list[str] = []
    with Store.open(site.config.store, now=site.clock.now) as store:
        ConfirmationSender(site.config, store, now=site.clock.now, warn=said.append).send_first_copies()
    assert server.messages == []
    assert "its witness" in said[0]


def test_a_copy_of_somebody_who_moved_is_no_first_copy(site: Site, server: Smtpd) -> None:
    made = publish(site)
    assert site.reader(ADDRESS).status == "active"
    site.client.post(f"{site.preferences}/address", data={"email": EVE})
    assert "The next issue of Daily Papers will come" in site.client.post(site.confirmation(EVE)).text
    site.confirmation_sender().send_first_copies()
    assert server.messages == []
    assert site.store.state_of(made.id, site.reader(EVE).id) is None
