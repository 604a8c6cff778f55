"""The send loop: whatever the server does, every reader ends in the right state and gets the copies they must."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from newsletter.config import SmtpConfig
from newsletter.deliver import Breaker, Sender, retry_at
from newsletter.errors import IssuePaused, StoreError, TransportUnavailable
from newsletter.links import Links
from newsletter.mail.message import compile_copies
from newsletter.model import Delivery, FrozenIssue, Outcome, OutcomeKind, RenderedIssue, Slot, State
from newsletter.slots import SlotOrder
from newsletter.store import Store
from newsletter.transport import Answer, Copy, Event, Pool
from tests.conftest import PUBLICATION
from tests.disk import small_disk
from tests.fakes import ACCEPTED, DEFERRED, NOT_SENT, REFUSED, UNCERTAIN, Crash, FakeCarrier, FakeClock
from tests.migrated import store_file
from tests.smtpd import Script, smtpd

RENDERED = RenderedIssue(
    day=date(2026, 11, 24),
    subject="Daily Papers",
    html=f'<html><body><p>Papers</p><a href="{Slot.UNSUBSCRIBE}">Unsubscribe</a> {Slot.ADDRESS}</body></html>',
    text=f"Papers\n\nUnsubscribe: {Slot.UNSUBSCRIBE}\n{Slot.ADDRESS}\n",
)
READERS = ("ada", "emmy", "kurt")


class Scene:
    """A frozen issue for three readers, and the means to send it again and again."""

    def __init__(self, folder: Path, readers: tuple[str, ...] = READERS, busy_timeout: float = 30.0) -> None:
        self.clock = FakeClock()
        self.folder = folder
        url = store_file(folder / "test.db")
        self.store = Store.open(url, now=self.clock.now, busy_timeout=busy_timeout)
        self.store.add_all([f"{reader}@example.org" for reader in readers], revive=True)
        self.issue: FrozenIssue = self.store.freeze(RENDERED, PUBLICATION, lifetime=timedelta(hours=24))

    def spoil(self, address: str, wrong: str) -> None:
        """Put an address into the ledger that no import would have let in."""
        with closing(sqlite3.connect(self.folder / "test.db")) as database, database:
            database.execute("UPDATE deliveries SET address = ? WHERE address = ?", (wrong, address))

    def send(
        self,
        transport: FakeCarrier | Wide | Pool,
        *,
        resend_uncertain: int = 1,
        stop_after: int | None = None,
        breaker: Breaker | None = None,
    ) -> None:
        """One run: take over what a crash left, then send what is due."""
        with self.store.sending_lock() as alone:
            assert alone
            self.store.recover()
            self.store.expire()
            sender = Sender(
                self.store,
                transport,
                self.clock.now,
                stop=lambda: isinstance(transport, FakeCarrier) and len(transport.handed) >= (stop_after or 10**9),
                resend_uncertain=resend_uncertain,
                breaker=breaker or Breaker(10**9, 1.1),
            )
            sender.send(self.issue, compile_copies(self.issue, Links("secret", PUBLICATION)))

    @property
    def counts(self) -> dict[str, int]:
        return {str(state): number for state, number in self.store.counts(self.issue.id).items() if number}


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.store.close()


def test_every_reader_gets_one_copy_and_a_second_run_sends_nothing(scene: Scene) -> None:
    first, second = FakeCarrier(), FakeCarrier()
    scene.send(first)
    scene.send(second)
    assert first.order == list(READERS)
    assert not second.handed
    assert scene.counts == {"accepted": 3}


def test_a_row_is_sending_in_the_ledger_before_its_copy_is_handed_over(scene: Scene) -> None:
    transport = FakeCarrier()
    seen: list[dict[str, int]] = []
    transport.before = lambda envelope: seen.append(scene.counts)
    scene.send(transport)
    assert [counts.get("sending") for counts in seen] == [1, 1, 1]


def test_one_refused_reader_costs_the_others_nothing(scene: Scene) -> None:
    scene.send(FakeCarrier(emmy=[REFUSED]))
    assert scene.counts == {"accepted": 2, "refused": 1}
    (row,) = scene.store.refusals(scene.issue.id)
    assert (row.address, row.code, row.text) == ("emmy@example.org", 550, "no such user")


def test_a_deferred_reader_is_tried_again_after_5_15_30_and_60_minutes(scene: Scene) -> None:
    transport = FakeCarrier(emmy=[DEFERRED] * 6)
    tried: list[int] = []
    for _ in range(4 * 60):
        before = len(transport.handed["emmy@example.org"])
        scene.send(transport)
        if len(transport.handed["emmy@example.org"]) > before:
            tried.append(round(scene.clock.seconds / 60))
        scene.clock.move(minutes=1)
    waits = [later - earlier for earlier, later in pairwise(tried)]
    assert len(waits) >= 5
    for wait, least in zip(waits, (5, 15, 30, 60, 60, 60), strict=False):
        assert least <= wait <= 1.2 * least + 1  # looked at once a minute
    assert scene.counts["accepted"] >= 2


def test_copies_that_were_put_off_together_do_not_come_back_together() -> None:
    now = datetime(2026, 11, 25, 6, 0, tzinfo=UTC)
    copies = [Delivery(n, 1, n, "0" * 16, "ada@example.org", 0) for n in range(1, 1_001)]
    waits = [(retry_at(copy, now) - now) / timedelta(minutes=1) for copy in copies]
    assert min(waits) >= 5
    assert max(waits) <= 6
    assert set(Counter(int(wait * 10) for wait in waits).values()) <= {99, 100, 101}  # each tenth of the minute


def test_a_server_that_closes_after_a_few_messages_costs_no_copy_an_attempt(scene: Scene) -> None:
    transport = FakeCarrier(emmy=[NOT_SENT] * 5)
    transport.excused = True
    scene.send(transport)
    assert len(transport.handed["emmy@example.org"]) == 6
    assert scene.counts == {"accepted": 3}


def test_a_few_for_whom_the_server_hangs_up_do_not_keep_the_others_waiting_for_ever(tmp_path: Path) -> None:
    scene = pausing(tmp_path, 16)
    with smtpd(Script(recipients={f"r{n}@example.org": "421 4.7.0 not for this one" for n in range(6)})) as server:
        for _ in range(2):  # runs
            pool = Pool([SmtpConfig("127.0.0.1", server.port, connections=1)], reconnect=[0.01])
            with suppress(TransportUnavailable):
                scene.send(pool)
            pool.close()
    assert scene.counts == {"accepted": 10, "pending": 6}
    scene.store.close()


def test_what_a_dead_connection_never_took_is_not_in_doubt(tmp_path: Path) -> None:
    scene = pausing(tmp_path, 30)
    with smtpd(Script(extensions=("PIPELINING",), reset_after="EHLO")) as server:
        pool = Pool([SmtpConfig("127.0.0.1", server.port, connections=2)], reconnect=[0.01])
        with suppress(TransportUnavailable):
            scene.send(pool, resend_uncertain=0)
        pool.close()
    assert scene.counts.keys() <= {"pending", "deferred"}
    scene.store.close()


def test_what_did_not_go_out_within_the_issue_s_life_expires(scene: Scene) -> None:
    scene.send(FakeCarrier(emmy=[DEFERRED]))
    scene.clock.move(hours=25)
    late = FakeCarrier()
    scene.send(late)
    assert not late.handed
    assert scene.counts == {"accepted": 2, "expired": 1}


def test_a_crash_leaves_one_copy_in_doubt_which_is_sent_again_as_the_same_bytes(scene: Scene) -> None:
    crashed = FakeCarrier(emmy=[Crash()])
    with pytest.raises(Crash):
        scene.send(crashed)
    assert scene.counts["sending"] == 1
    again = FakeCarrier()
    scene.send(again)
    assert again.order == ["kurt", "emmy"]  # a copy in doubt comes last: what killed us may do so again
    assert again.handed["emmy@example.org"] == crashed.handed["emmy@example.org"]
    assert scene.counts == {"accepted": 3}


def test_a_copy_in_doubt_twice_stays_uncertain_until_it_is_asked_for(scene: Scene) -> None:
    transport = FakeCarrier(emmy=[UNCERTAIN] * 2)
    scene.send(transport)
    scene.send(transport)
    assert len(transport.handed["emmy@example.org"]) == 2
    assert scene.counts == {"accepted": 2, "uncertain": 1}
    scene.store.retry_uncertain(scene.issue.id, resend_uncertain=1)
    scene.send(transport)
    assert scene.counts == {"accepted": 3}


@pytest.mark.parametrize("resend_uncertain", [0, 1], ids=["hold", "resend"])
def test_asking_for_a_copy_in_doubt_again_sends_one_however_the_server_behaves(
    scene: Scene, resend_uncertain: int
) -> None:
    transport = FakeCarrier(emmy=[UNCERTAIN] * 99)
    scene.send(transport, resend_uncertain=resend_uncertain)
    for asked in (1, 2, 3):
        scene.store.retry_uncertain(scene.issue.id, resend_uncertain=resend_uncertain)
        scene.send(transport, resend_uncertain=resend_uncertain)
        assert len(transport.handed["emmy@example.org"]) == 1 + resend_uncertain + asked


def test_copies_in_doubt_are_sent_again_one_at_a_time(tmp_path: Path) -> None:
    scene = Scene(tmp_path, tuple(f"r{n}" for n in range(20)))
    scene.store.turn([], scene.store.claim(scene.issue.id, 8, resend_uncertain=1))  # and here it died, with eight lines
    carrier = Wide(8)
    scene.send(carrier)
    assert carrier.most == {False: 8, True: 1}
    assert scene.counts == {"accepted": 20}
    scene.store.close()


class Wide:
    """Carries so many copies at once; `most` is how many were under way together, by whether one was in doubt."""

    def __init__(self, connections: int, outcome: Outcome = ACCEPTED) -> None:
        self.connections, self.outcome = connections, outcome
        self.under_way: list[Copy] = []
        self.most = {False: 0, True: 0}

    @property
    def in_flight(self) -> int:
        return len(self.under_way)

    def full_until(self) -> float | None:
        return None

    def orders(self, most: int) -> list[SlotOrder]:
        return []

    def granted(self, orders: Sequence[SlotOrder]) -> None:
        assert not orders

    def offer(self, next_copy: Callable[[], Copy | None]) -> tuple[list[Copy], list[Event]]:
        given: list[Copy] = []
        while self.in_flight < self.connections and (copy := next_copy()) is not None:
            given.append(copy)
            self.under_way.append(copy)
        return given, []

    def take_back(self, copy: Copy) -> None:
        self.under_way.remove(copy)

    def give_up(self) -> list[Event]:
        return []

    def turn(self, *, has_more: bool) -> list[Event]:
        doubtful = any(copy.delivery.doubts for copy in self.under_way)
        self.most[doubtful] = max(self.most[doubtful], self.in_flight)
        return [Answer(self.under_way.pop(0), self.outcome)]


def test_copies_in_doubt_can_be_held(scene: Scene) -> None:
    transport = FakeCarrier(emmy=[UNCERTAIN])
    scene.send(transport, resend_uncertain=0)
    scene.send(transport, resend_uncertain=0)
    assert len(transport.handed["emmy@example.org"]) == 1
    assert scene.counts == {"accepted": 2, "uncertain": 1}


def test_a_line_dropped_before_the_dot_is_tried_again_at_once(scene: Scene) -> None:
    scene.send(FakeCarrier(emmy=[NOT_SENT]))
    assert scene.counts == {"accepted": 3}


def test_a_copy_whose_line_always_drops_waits_and_the_others_go_on(scene: Scene) -> None:
    scene.send(FakeCarrier(ada=[NOT_SENT] * 2))
    assert scene.counts == {"accepted": 2, "deferred": 1}


def test_a_server_that_cannot_be_used_charges_nobody(scene: Scene) -> None:
    with pytest.raises(TransportUnavailable, match="refused"):
        scene.send(FakeCarrier(emmy=[TransportUnavailable("connection refused")]))
    assert scene.counts == {"accepted": 1, "pending": 2}
    scene.send(FakeCarrier())
    assert scene.counts == {"accepted": 3}


def test_sigterm_finishes_the_copy_under_way_and_releases_the_rest(scene: Scene) -> None:
    scene.send(FakeCarrier(), stop_after=1)
    assert scene.counts == {"accepted": 1, "pending": 2}


def test_who_leaves_after_the_freeze_gets_no_copy(scene: Scene) -> None:
    scene.store.unsubscribe("emmy@example.org")
    scene.store.add("late@example.org")
    transport = FakeCarrier()
    scene.send(transport)
    assert transport.order == ["ada", "kurt"]
    assert scene.counts == {"accepted": 2, "withdrawn": 1}


def test_a_list_longer_than_a_batch_goes_out_whole(tmp_path: Path) -> None:
    scene = Scene(tmp_path, tuple(f"r{n}" for n in range(120)))
    transport = FakeCarrier()
    scene.send(transport)
    assert transport.order == [f"r{n}" for n in range(120)]
    scene.store.close()


def test_states_that_are_final_stay_final(scene: Scene) -> None:
    scene.send(FakeCarrier(ada=[REFUSED]))
    transport = FakeCarrier()
    scene.send(transport, resend_uncertain=99)
    assert not transport.handed
    assert scene.store.counts(scene.issue.id)[State.REFUSED] == 1


# --- the ledger cannot be written, the clock cannot be trusted -------------------------------------------------------


class Saboteur(FakeCarrier):
    """Does something when the first copy was taken, before it is noted in the ledger."""

    def __init__(self, sabotage: Callable[[], object]) -> None:
        super().__init__()
        self._sabotage: Callable[[], object] | None = sabotage

    def offer(self, next_copy: Callable[[], Copy | None]) -> tuple[list[Copy], list[Event]]:
        taken = super().offer(next_copy)
        if self._sabotage is not None:
            self._sabotage()
            self._sabotage = None
        return taken


def test_nothing_leaves_while_another_program_keeps_the_ledger_locked(tmp_path: Path) -> None:
    scene = Scene(tmp_path, busy_timeout=0.1)
    with closing(sqlite3.connect(tmp_path / "test.db")) as other:
        carrier = Saboteur(lambda: other.execute("BEGIN EXCLUSIVE"))
        with pytest.raises(StoreError, match="another process kept it locked"):
            scene.send(carrier)
    assert not carrier.handed
    scene.send(FakeCarrier())
    assert scene.counts == {"accepted": 3}
    scene.store.close()


def test_nothing_leaves_when_the_ledger_s_disk_is_full(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        scene = Scene(disk)
        filler = disk / "filler"
        carrier = Saboteur(lambda: fill(filler))
        with pytest.raises(StoreError, match="the disk is full"):
            scene.send(carrier)
        assert not carrier.handed
        filler.unlink()
        scene.send(FakeCarrier())
        assert scene.counts == {"accepted": 3}
        scene.store.close()


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with suppress(OSError), path.open("wb", buffering=0) as stream:
        while stream.write(b"x" * 4096):
            pass


@pytest.mark.parametrize("jump", [{"hours": -30}, {"hours": -1}, {"hours": 1}, {"days": 400}])
def test_a_clock_that_jumps_while_copies_are_under_way_costs_no_copy_and_doubles_none(
    scene: Scene, jump: dict[str, float]
) -> None:
    carrier = FakeCarrier(emmy=[UNCERTAIN])
    carrier.before = lambda envelope: scene.clock.move(**jump) if len(carrier.handed) == 0 else None
    scene.send(carrier)
    scene.send(carrier)
    copies = {address: len(handed) for address, handed in carrier.handed.items()}
    if scene.clock.now() < scene.issue.expires_at:
        assert copies == {"ada@example.org": 1, "emmy@example.org": 2, "kurt@example.org": 1}
        assert scene.counts == {"accepted": 3}
    else:  # as far as the clock tells, it is no news any more
        assert set(copies.values()) == {1}
        assert scene.counts["expired"] == 3 - scene.counts["accepted"]


# --- the breaker -----------------------------------------------------------------------------------------------------


def pausing(tmp_path: Path, number: int) -> Scene:
    return Scene(tmp_path, tuple(f"r{n}" for n in range(number)))


def refused(numbers: Iterable[int], outcome: Outcome = REFUSED) -> dict[str, list[Outcome | BaseException]]:
    return {f"r{n}": [outcome] for n in numbers}


def test_when_the_first_are_all_refused_alike_the_issue_is_paused_and_nobody_is_blamed(tmp_path: Path) -> None:
    scene = pausing(tmp_path, 20)
    carrier = FakeCarrier(**refused(range(20)))
    with pytest.raises(IssuePaused, match="the first 5 readers were all refused: 550 no such user"):
        scene.send(carrier, breaker=Breaker(5, 0.5))
    assert len(carrier.handed) == 5
    assert scene.counts == {"pending": 20}
    (issue,) = scene.store.unfinished()
    assert issue.paused is not None
    assert "550 no such user" in issue.paused
    scene.store.resume(issue.id)
    scene.send(FakeCarrier(), breaker=Breaker(5, 0.5))
    assert scene.counts == {"accepted": 20}
    scene.store.close()


def test_nobody_is_blamed_either_who_was_under_way_when_the_issue_was_paused(tmp_path: Path) -> None:
    scene = pausing(tmp_path, 400)
    with pytest.raises(IssuePaused):
        scene.send(Wide(150, REFUSED), breaker=Breaker(5, 0.5))
    assert scene.counts == {"pending": 400}
    scene.store.close()


def test_refusals_of_different_kinds_are_about_the_readers(tmp_path: Path) -> None:
    scene = pausing(tmp_path, 20)
    other = Outcome(OutcomeKind.REFUSED, 550, "5.2.1 mailbox disabled")
    scene.send(FakeCarrier(**refused(range(0, 20, 2)), **refused(range(1, 20, 2), other)), breaker=Breaker(5, 0.5))
    assert scene.counts == {"refused": 20}
    scene.store.close()


def test_when_half_of_a_hundred_are_refused_alike_later_on_it_is_paused_too(tmp_path: Path) -> None:
    scene = pausing(tmp_path, 300)
    with pytest.raises(IssuePaused, match="50 of the last 100"):
        scene.send(FakeCarrier(**refused(range(100, 300))), breaker=Breaker(5, 0.5))
    assert scene.counts == {"accepted": 100, "pending": 200}
    scene.store.close()


def test_a_dirty_list_does_not_trip_it(tmp_path: Path) -> None:
    scene = pausing(tmp_path, 300)
    scene.send(FakeCarrier(**refused(range(0, 300, 3))), breaker=Breaker(5, 0.5))
    assert scene.counts == {"accepted": 200, "refused": 100}
    scene.store.close()


def test_a_reader_for_whom_no_copy_can_be_made_costs_only_themselves_a_mail(scene: Scene) -> None:
    scene.spoil("emmy@example.org", "emmy@example.org\r\nBcc: x@example.com")
    scene.send(FakeCarrier())
    assert scene.counts == {"accepted": 2, "refused": 1}
    (row,) = scene.store.refusals(scene.issue.id)
    assert "no copy can be made" in row.text


def test_when_no_copy_can_be_made_at_all_the_issue_is_paused(tmp_path: Path) -> None:
    scene = pausing(tmp_path, 20)
    for n in range(20):
        scene.spoil(f"r{n}@example.org", f"r{n}@example.org\x07")
    carrier = FakeCarrier()
    with pytest.raises(IssuePaused, match="the first 5 readers were all refused: no copy can be made"):
        scene.send(carrier, breaker=Breaker(5, 0.5))
    assert not carrier.handed
    assert scene.counts == {"pending": 20}
    scene.store.close()


STRANGE = Outcome(OutcomeKind.REFUSED, 550, "the moon is blue")


def test_few_alike_at_the_end_pause_the_issue_and_nobody_is_blamed(tmp_path: Path) -> None:
    scene = pausing(tmp_path, 30)
    with pytest.raises(IssuePaused, match="the last 3 readers were refused alike: 550 the moon is blue"):
        scene.send(FakeCarrier(**refused(range(27, 30), STRANGE)), breaker=Breaker(5, 0.5))
    assert scene.counts == {"accepted": 27, "pending": 3}
    scene.store.close()


def test_as_many_in_the_middle_are_no_pattern(tmp_path: Path) -> None:
    scene = pausing(tmp_path, 60)
    scene.send(FakeCarrier(**refused(range(10, 20), STRANGE)), breaker=Breaker(5, 0.5))
    assert scene.counts == {"accepted": 50, "refused": 10}
    scene.store.close()


def test_the_last_are_those_that_were_offered_last() -> None:
    breaker = Breaker(5, 0.5)
    copies = [Delivery(n, 1, n, "0" * 16, f"r{n}@example.org", 0) for n in range(9)]
    for copy in copies:
        breaker.offered(copy)
    answers = [*copies[:5], *copies[6:], copies[5]]  # a refusal at RCPT overtakes an acceptance at the dot
    assert not any(breaker.tell(copy, STRANGE if copy.id > 5 else ACCEPTED) for copy in answers)
    assert breaker.ended() == "the last 3 readers were refused alike: 550 the moon is blue"
    assert breaker.ended() is None
    assert {copy.id for copy in breaker.blamed} == {6, 7, 8}


def test_names_and_numbers_do_not_make_refusals_different(tmp_path: Path) -> None:
    scene = pausing(tmp_path, 30)
    carrier = FakeCarrier()
    for n in range(27, 30):
        outcome = Outcome(OutcomeKind.REFUSED, 550, f"<r{n}@example.org> the moon is blue {n}")
        carrier.scripts[f"r{n}@example.org"] = [outcome]
    with pytest.raises(IssuePaused):
        scene.send(carrier, breaker=Breaker(5, 0.5))
    scene.store.close()


@pytest.mark.parametrize("numbers", [range(27, 30), range(0, 30, 6), (3, 4, 5, 28, 29)])
def test_addresses_that_do_not_exist_are_normal_wherever_they_stand(tmp_path: Path, numbers: Iterable[int]) -> None:
    scene = pausing(tmp_path, 30)
    scene.send(FakeCarrier(**refused(numbers)), breaker=Breaker(5, 0.5))
    assert scene.counts["refused"] == len(list(numbers))
    scene.store.close()


def test_more_than_half_of_a_short_list_is_seen_at_its_end(tmp_path: Path) -> None:
    scene = pausing(tmp_path, 30)
    with pytest.raises(IssuePaused, match="20 of the last 30 readers were refused alike: 550 no such user"):
        scene.send(FakeCarrier(**refused(range(10, 30))), breaker=Breaker(5, 0.5))
    assert scene.counts == {"accepted": 10, "pending": 20}
    scene.store.close()


def test_one_or_two_strange_refusals_are_no_pattern(tmp_path: Path) -> None:
    scene = pausing(tmp_path, 30)
    scene.send(FakeCarrier(**refused((5, 28, 29), STRANGE)), breaker=Breaker(5, 0.5))
    assert scene.counts == {"accepted": 27, "refused": 3}
    scene.store.close()


def test_a_copy_that_the_server_refuses_because_of_the_sender_is_not_charged(scene: Scene) -> None:
    limit = Outcome(OutcomeKind.SENDER, 550, "5.4.5 quota")
    carrier = FakeCarrier(ada=[limit])
    scene.send(carrier)
    assert carrier.order == ["ada", "emmy", "kurt"]
    assert (
        len(carrier.handed["ada@example.org"]) == 2
    )  # again in this run, after the others: another server may take it
    assert scene.counts == {"accepted": 3}


def test_refusals_that_overtake_the_first_acceptances_are_no_pattern() -> None:
    breaker = Breaker(3, 0.5)
    copies = [Delivery(n, 1, n, "0" * 16, f"r{n}@example.org", 0) for n in range(8)]
    for copy in copies:
        breaker.offered(copy)
    assert not any(breaker.tell(copy, REFUSED) for copy in copies[3:])  # at RCPT: before the others' messages are out
    assert not any(breaker.tell(copy, ACCEPTED) for copy in copies[:3])


def test_the_first_are_told_even_when_one_of_them_was_put_off() -> None:
    breaker = Breaker(3, 0.5)
    copies = [Delivery(n, 1, n, "0" * 16, f"r{n}@example.org", 0) for n in range(4)]
    for copy in copies:
        breaker.offered(copy)
    assert breaker.tell(copies[1], DEFERRED) is None
    told = [breaker.tell(copy, REFUSED) for copy in (copies[0], copies[2], copies[3])]
    assert [bool(said) for said in told] == [False, False, True]
