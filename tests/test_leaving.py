"""Who leaves while an issue goes out gets no copy that had not begun, on both databases, whatever way they leave."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pytest

from newsletter.cli import subscribers
from newsletter.config import SmtpConfig
from newsletter.deliver import Breaker, Sender
from newsletter.links import Purpose
from newsletter.mail.message import compile_copies
from newsletter.model import (
    EVERY_DAY,
    CopyReference,
    Delivery,
    FrozenIssue,
    NewSubscriber,
    Outcome,
    OutcomeKind,
    RenderedIssue,
    ReportKind,
    Result,
    Slot,
    State,
    SubscriberStatus,
)
from newsletter.store import NewReport, Store
from newsletter.store.locks import status_change
from newsletter.transport import Pool
from tests.fakes import ACCEPTED, FakeCarrier
from tests.pages import BASE, Site
from tests.smtpd import Script, Smtpd, smtpd

pytest_plugins = ["tests.postgres"]

DAY = date(2026, 11, 24)
RENDERED = RenderedIssue(
    day=DAY,
    subject="Daily Papers",
    html=f'<html><body><p>Papers</p><a href="{Slot.UNSUBSCRIBE}">Unsubscribe</a> {Slot.ADDRESS}</body></html>',
    text=f"Papers\n\nUnsubscribe: {Slot.UNSUBSCRIBE}\n{Slot.ADDRESS}\n",
)
PIPELINING = ("PIPELINING", "SIZE 10000000", "8BITMIME")


def reader(number: int) -> str:
    return f"r{number}@example.org"


class Scene:
    """An issue for many readers, the commands and the pages by which they leave, and a mail server."""

    def __init__(self, folder: Path, url: str, readers: int) -> None:
        self.site = Site(folder, f"store: {url}\n", store=url)
        self.url, self.clock, self.store = url, self.site.clock, self.site.store
        self.store.unsubscribe(self.site.reader().address)
        self.store.add_all(map(reader, range(readers)), revive=False)
        self.issue: FrozenIssue = self.store.freeze(
            RENDERED, self.site.config.publication, lifetime=timedelta(hours=24)
        )
        self.refs = {each.address: each.ref for each in self.store.subscribers()}
        self.ids = {each.address: each.id for each in self.store.subscribers()}

    # --- the ways to leave ---

    def remove(self, address: str) -> None:
        assert subscribers.remove(self.site.config, [address]) == 0

    def suppress(self, address: str) -> None:
        assert subscribers.suppress(self.site.config, [address], "asked by telephone") == 0

    def forget(self, address: str) -> None:
        assert subscribers.forget(self.site.config, [address]) == 0

    def press_unsubscribe(self, address: str) -> None:
        token = self.site.links.token(Purpose.UNSUBSCRIBE, self.refs[address])
        assert self.site.client.post(f"/unsubscribe/{token}", base_url=BASE).status_code == 200

    def bounce(self, address: str) -> None:
        report = NewReport(address, ReportKind.PERMANENT, CopyReference(self.refs[address], DAY), "5.1.1", "no such")
        assert self.store.record_report(report, lambda strikes: SubscriberStatus.SUPPRESSED)

    def pause(self, address: str) -> None:
        self.store.prefer(self.refs[address], days=EVERY_DAY, paused_until=DAY + timedelta(days=9))

    def leave_elsewhere(self, address: str) -> None:
        with Store.open(self.url, now=self.clock.now, hasher=self.site.links.forgotten_hashes) as store:
            store.merge([NewSubscriber(address, SubscriberStatus.UNSUBSCRIBED)])

    # --- sending ---

    def sender(
        self, server: Smtpd, store: Store, progress: Callable[[Outcome], None], per_day: int | None = None
    ) -> None:
        """Send what is due over four connections of `server`."""
        config = SmtpConfig("127.0.0.1", server.port, connections=4, per_day=per_day)
        pool = Pool([config])
        try:
            sender = Sender(
                store,
                pool,
                self.clock.now,
                progress=progress,
                breaker=Breaker(5, 0.5),
            )
            sender.send(self.issue, compile_copies(self.issue, self.site.links))
        finally:
            store.reserve(pool.close())

    def state(self, address: str) -> State | None:
        return self.store.state_of(self.issue.id, self.ids[address])


WAYS = (
    Scene.remove,
    Scene.suppress,
    Scene.forget,
    Scene.press_unsubscribe,
    Scene.bounce,
    Scene.pause,
    Scene.leave_elsewhere,
)


@pytest.fixture
def scene(tmp_path: Path, database_url: str) -> Iterator[Scene]:
    made = Scene(tmp_path, database_url, 12)
    yield made
    made.store.close()


def recipients(commands: list[str]) -> list[str]:
    """Whom the server was told of, in its order."""
    return re.findall(r"RCPT TO:<(.*?)>", "\n".join(commands))


# --- one copy after the other ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("leave", WAYS, ids=lambda way: way.__name__)
def test_a_claimed_copy_of_who_has_left_does_not_begin(scene: Scene, leave: Callable[[Scene, str], None]) -> None:
    claimed = scene.store.claim(scene.issue.id, 3, resend_uncertain=1)
    leave(scene, claimed[1].address)
    assert scene.store.turn([], claimed) == [claimed[1]]
    assert [scene.state(copy.address) for copy in claimed] == [State.SENDING, State.WITHDRAWN, State.SENDING]


def test_a_claimed_copy_follows_a_reader_to_the_new_address(scene: Scene) -> None:
    claimed = scene.store.claim(scene.issue.id, 2, resend_uncertain=1)
    move(scene, claimed[0].address, "new@example.net")
    assert scene.store.turn([], claimed) == [claimed[0]]
    (again,) = scene.store.claim(scene.issue.id, 1, resend_uncertain=1)
    assert (again.id, again.address) == (claimed[0].id, "new@example.net")
    assert scene.store.turn([], [again]) == []


def move(scene: Scene, old: str, new: str) -> None:
    """`old` asks on the web to be `new`, and confirms."""
    scene.clock.move(minutes=1)
    scene.store.ask_move(scene.refs[old], new)
    (request,) = scene.store.due_sign_ups(10)
    scene.store.confirm(request.ref, request.asked_at, "confirmed")


def test_who_moves_during_a_send_gets_one_copy(scene: Scene) -> None:
    carrier = FakeCarrier()
    first = reader(0)

    def once(outcome: Outcome) -> None:
        if len(carrier.handed) == 1:
            move(scene, reader(5), "new@example.net")

    Sender(scene.store, carrier, scene.clock.now, progress=once).send(
        scene.issue, compile_copies(scene.issue, scene.site.links)
    )
    assert carrier.order[0] == first.partition("@")[0]
    assert reader(5) not in carrier.handed
    assert [len(each) for each in carrier.handed.values()] == [1] * 12
    assert "new@example.net" in carrier.handed


def test_a_status_that_is_about_to_change_is_waited_for(scene: Scene, database_url: str) -> None:
    """On PostgreSQL the statement would see the old status while the change is not committed, and commit after it."""
    (copy,) = scene.store.claim(scene.issue.id, 1, resend_uncertain=1)
    begun: list[list[Delivery]] = []
    with Store.open(database_url, now=scene.clock.now) as other:
        thread = threading.Thread(target=lambda: begun.append(scene.store.turn([], [copy])))
        with status_change(other._db) as connection:
            connection.exec_driver_sql(f"UPDATE subscribers SET status = 'unsubscribed' WHERE ref = '{copy.ref}'")
            thread.start()
            thread.join(0.3)  # one that does not wait has begun the copy by now
        thread.join()
    assert begun == [[copy]]
    assert scene.state(copy.address) is State.WITHDRAWN


def test_no_words_are_kept_in_a_row_without_an_address(scene: Scene) -> None:
    ada, emmy = scene.store.claim(scene.issue.id, 2, resend_uncertain=1)
    scene.store.turn([], [ada, emmy])
    scene.forget(ada.address)
    said = [Outcome(OutcomeKind.ACCEPTED, 250, f"accepted for <{copy.address}>") for copy in (ada, emmy)]
    pairs = zip((ada, emmy), said, strict=True)
    scene.store.turn([Result(copy, State.SENDING, outcome) for copy, outcome in pairs], [])
    words = {
        copy.address: [(past.state, past.code, past.text) for past in scene.store.copies(scene.ids[copy.address], 9)]
        for copy in (ada, emmy)
    }
    assert words[ada.address] == [(State.ACCEPTED, 250, "")]
    assert words[emmy.address] == [(State.ACCEPTED, 250, f"accepted for <{emmy.address}>")]


def test_an_issue_that_is_withdrawn_during_a_send_stops_at_once_and_the_run_ends_well(scene: Scene) -> None:
    carrier = FakeCarrier()

    def once(outcome: Outcome) -> None:
        if len(carrier.handed) == 2:
            with Store.open(scene.url, now=scene.clock.now) as operator:
                operator.withdraw(scene.issue.id)

    Sender(scene.store, carrier, scene.clock.now, progress=once).send(
        scene.issue, compile_copies(scene.issue, scene.site.links)
    )
    assert len(carrier.handed) == 3  # the third was under way
    counts = scene.store.counts(scene.issue.id)
    assert (counts[State.ACCEPTED], counts[State.WITHDRAWN]) == (3, 9)


def test_copies_that_are_withdrawn_are_not_released(scene: Scene) -> None:
    claimed = scene.store.claim(scene.issue.id, 3, resend_uncertain=1)
    scene.store.withdraw(scene.issue.id)
    scene.store.release(claimed)
    assert scene.store.counts(scene.issue.id)[State.WITHDRAWN] == 12


def test_who_left_does_not_hide_from_the_breaker_that_the_first_are_refused() -> None:
    breaker = Breaker(2, 1.1)
    copies = [Delivery(n, 1, n, "0" * 16, reader(n), 0) for n in range(3)]
    for copy in copies:
        breaker.offered(copy)
    breaker.withdrawn(copies[0])
    refused = Outcome(OutcomeKind.REFUSED, 550, "no")
    assert breaker.tell(copies[1], refused) is None
    assert breaker.tell(copies[2], refused) is not None
    assert breaker.tell(copies[0], ACCEPTED) is None


# --- a whole list, over sockets --------------------------------------------------------------------------------------


@dataclass
class Left:
    """A reader who has left: how the row stood when the command had returned, and what the server had seen by then."""

    address: str
    state: State | None
    seen: int


READERS = 240


@pytest.mark.parametrize("extensions", [PIPELINING, PIPELINING[1:]], ids=["pipelining", "step by step"])
def test_nobody_s_copy_begins_after_the_command_by_which_they_leave(
    tmp_path: Path, database_url: str, extensions: tuple[str, ...]
) -> None:
    scene = Scene(tmp_path, database_url, READERS)
    answered = threading.Event()
    left: list[Left] = []
    count = [0]

    def progress(outcome: Outcome) -> None:
        count[0] += 1
        if count[0] == 20:
            answered.set()

    with (
        smtpd(Script(extensions=extensions, slow={"dot": 0.02})) as server,
        Store.open(database_url, now=scene.clock.now) as sending,
    ):
        thread = threading.Thread(target=scene.sender, args=(server, sending, progress), kwargs={"per_day": 1000})
        thread.start()
        assert answered.wait(60)
        for number, address in enumerate(map(reader, range(60, READERS, 10))):
            WAYS[number % len(WAYS)](scene, address)
            left.append(Left(address, scene.state(address), len(server.commands)))
        thread.join()
        used = sending.used()[f"127.0.0.1:{server.port}"]
    in_time = [each for each in left if each.state in (State.PENDING, State.CLAIMED, State.WITHDRAWN)]
    assert len(in_time) > 10  # the readers at the end of the list have left long before their turn
    for each in in_time:
        assert scene.state(each.address) is State.WITHDRAWN
        assert each.address not in recipients(server.commands)
    told = recipients(server.commands)
    assert sorted(told) == sorted(map(reader, set(range(READERS)) - {int(each.address[1:-12]) for each in in_time}))
    assert len(server.messages) == len(told) == used
    counts = scene.store.counts(scene.issue.id)
    assert (counts[State.ACCEPTED], counts[State.WITHDRAWN]) == (len(told), len(in_time))
    scene.store.close()


def test_a_list_that_leaves_as_a_whole_ends_the_run(tmp_path: Path, database_url: str) -> None:
    scene = Scene(tmp_path, database_url, 50)
    with smtpd(Script(extensions=PIPELINING)) as server:

        def progress(outcome: Outcome) -> None:
            scene.store.merge([NewSubscriber(reader(n), SubscriberStatus.UNSUBSCRIBED) for n in range(50)])

        with Store.open(database_url, now=scene.clock.now) as sending:
            scene.sender(server, sending, progress)
        counts = scene.store.counts(scene.issue.id)
        assert counts[State.ACCEPTED] == len(server.messages)
        assert counts[State.ACCEPTED] + counts[State.WITHDRAWN] == 50
        assert counts[State.WITHDRAWN] >= 30
    scene.store.close()
