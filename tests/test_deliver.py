"""The send loop: whatever the server does, every reader ends in the right state and gets the copies they must."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from newsletter.deliver import Pace, Sender
from newsletter.errors import TransportUnavailable
from newsletter.links import Links
from newsletter.message import compile_copies
from newsletter.model import FrozenIssue, RenderedIssue, Slot, State
from newsletter.store import Store
from tests.conftest import PUBLICATION
from tests.fakes import DEFERRED, NOT_SENT, REFUSED, UNCERTAIN, Crash, FakeClock, FakeTransport

RENDERED = RenderedIssue(
    day=date(2026, 11, 24),
    subject="Daily Papers",
    html=f'<html><body><p>Papers</p><a href="{Slot.UNSUBSCRIBE}">Unsubscribe</a> {Slot.ADDRESS}</body></html>',
    text=f"Papers\n\nUnsubscribe: {Slot.UNSUBSCRIBE}\n{Slot.ADDRESS}\n",
)
READERS = ("ada", "emmy", "kurt")


class Scene:
    """A frozen issue for three readers, and the means to send it again and again."""

    def __init__(self, folder: Path, readers: tuple[str, ...] = READERS) -> None:
        self.clock = FakeClock()
        self.store = Store.open(f"sqlite:///{folder / 'test.db'}", now=self.clock.now)
        for reader in readers:
            self.store.add(f"{reader}@example.org")
        self.issue: FrozenIssue = self.store.freeze(RENDERED, PUBLICATION, lifetime=timedelta(hours=24))

    def send(self, transport: FakeTransport, *, resend_uncertain: int = 1, stop_after: int | None = None) -> None:
        """One run: take over what a crash left, then send what is due."""
        with self.store.exclusive() as alone:
            assert alone
            self.store.recover()
            self.store.expire()
            sender = Sender(
                self.store,
                transport,
                Pace(None, self.clock.monotonic, self.clock.sleep),
                self.clock.now,
                stop=lambda: stop_after is not None and len(transport.handed) >= stop_after,
                resend_uncertain=resend_uncertain,
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
    first, second = FakeTransport(), FakeTransport()
    scene.send(first)
    scene.send(second)
    assert first.order == list(READERS)
    assert not second.handed
    assert scene.counts == {"accepted": 3}


def test_a_row_is_sending_in_the_ledger_before_its_copy_is_handed_over(scene: Scene) -> None:
    transport = FakeTransport()
    seen: list[dict[str, int]] = []
    transport.before = lambda envelope: seen.append(scene.counts)
    scene.send(transport)
    assert [counts.get("sending") for counts in seen] == [1, 1, 1]


def test_one_refused_reader_costs_the_others_nothing(scene: Scene) -> None:
    scene.send(FakeTransport(emmy=[REFUSED]))
    assert scene.counts == {"accepted": 2, "refused": 1}
    (row,) = scene.store.refusals(scene.issue.id)
    assert (row.address, row.code, row.text) == ("emmy@example.org", 550, "no such user")


def test_a_deferred_reader_is_tried_again_after_5_15_30_and_60_minutes(scene: Scene) -> None:
    transport = FakeTransport(emmy=[DEFERRED] * 6)
    tried: list[int] = []
    for _ in range(4 * 60):
        before = len(transport.handed["emmy@example.org"])
        scene.send(transport)
        if len(transport.handed["emmy@example.org"]) > before:
            tried.append(round(scene.clock.seconds / 60))
        scene.clock.move(minutes=1)
    assert tried == [0, 5, 20, 50, 110, 170, 230]
    assert scene.counts == {"accepted": 3}


def test_what_did_not_go_out_within_the_issue_s_life_expires(scene: Scene) -> None:
    scene.send(FakeTransport(emmy=[DEFERRED]))
    scene.clock.move(hours=25)
    late = FakeTransport()
    scene.send(late)
    assert not late.handed
    assert scene.counts == {"accepted": 2, "expired": 1}


def test_a_crash_leaves_one_copy_in_doubt_which_is_sent_again_as_the_same_bytes(scene: Scene) -> None:
    crashed = FakeTransport(emmy=[Crash()])
    with pytest.raises(Crash):
        scene.send(crashed)
    assert scene.counts["sending"] == 1
    again = FakeTransport()
    scene.send(again)
    assert again.order == ["emmy", "kurt"]
    assert again.handed["emmy@example.org"] == crashed.handed["emmy@example.org"]
    assert scene.counts == {"accepted": 3}


def test_a_copy_in_doubt_twice_stays_uncertain_until_it_is_asked_for(scene: Scene) -> None:
    transport = FakeTransport(emmy=[UNCERTAIN] * 2)
    scene.send(transport)
    scene.send(transport)
    assert len(transport.handed["emmy@example.org"]) == 2
    assert scene.counts == {"accepted": 2, "uncertain": 1}
    scene.store.retry_uncertain(scene.issue.id)
    scene.send(transport)
    assert scene.counts == {"accepted": 3}


def test_asking_for_a_copy_in_doubt_again_sends_one_however_the_server_behaves(scene: Scene) -> None:
    transport = FakeTransport(emmy=[UNCERTAIN] * 99)
    scene.send(transport)
    for copies in (3, 4, 5):
        scene.store.retry_uncertain(scene.issue.id)
        scene.send(transport)
        assert len(transport.handed["emmy@example.org"]) == copies


def test_copies_in_doubt_can_be_held(scene: Scene) -> None:
    transport = FakeTransport(emmy=[UNCERTAIN])
    scene.send(transport, resend_uncertain=0)
    scene.send(transport, resend_uncertain=0)
    assert len(transport.handed["emmy@example.org"]) == 1
    assert scene.counts == {"accepted": 2, "uncertain": 1}


def test_a_line_dropped_before_the_dot_is_tried_again_at_once(scene: Scene) -> None:
    scene.send(FakeTransport(emmy=[NOT_SENT]))
    assert scene.counts == {"accepted": 3}


def test_a_copy_whose_line_always_drops_waits_and_the_others_go_on(scene: Scene) -> None:
    scene.send(FakeTransport(ada=[NOT_SENT] * 2))
    assert scene.counts == {"accepted": 2, "deferred": 1}


def test_a_server_that_drops_every_line_stops_the_run_and_the_rest_stays_owed(scene: Scene) -> None:
    dead = FakeTransport(ada=[NOT_SENT] * 9, emmy=[NOT_SENT] * 9, kurt=[NOT_SENT] * 9)
    with pytest.raises(TransportUnavailable, match="drops every connection"):
        scene.send(dead)
    assert sum(len(copies) for copies in dead.handed.values()) == 5
    scene.clock.move(minutes=5)
    scene.send(FakeTransport())
    assert scene.counts == {"accepted": 3}


def test_a_server_that_cannot_be_used_charges_nobody(scene: Scene) -> None:
    with pytest.raises(TransportUnavailable, match="refused"):
        scene.send(FakeTransport(emmy=[TransportUnavailable("connection refused")]))
    assert scene.counts == {"accepted": 1, "pending": 2}
    scene.send(FakeTransport())
    assert scene.counts == {"accepted": 3}


def test_sigterm_finishes_the_copy_under_way_and_releases_the_rest(scene: Scene) -> None:
    scene.send(FakeTransport(), stop_after=1)
    assert scene.counts == {"accepted": 1, "pending": 2}


def test_who_leaves_after_the_freeze_gets_no_copy(scene: Scene) -> None:
    scene.store.unsubscribe("emmy@example.org")
    scene.store.add("late@example.org")
    transport = FakeTransport()
    scene.send(transport)
    assert transport.order == ["ada", "kurt"]
    assert scene.counts == {"accepted": 2, "withdrawn": 1}


def test_a_list_longer_than_a_batch_goes_out_whole(tmp_path: Path) -> None:
    scene = Scene(tmp_path, tuple(f"r{n}" for n in range(120)))
    transport = FakeTransport()
    scene.send(transport)
    assert transport.order == [f"r{n}" for n in range(120)]
    scene.store.close()


def test_the_rate_is_kept_in_every_window_and_reached() -> None:
    clock = FakeClock()
    pace = Pace(50, clock.monotonic, clock.sleep)
    times: list[float] = []
    for n in range(500):
        pace.wait()
        times.append(clock.monotonic())
        clock.move(seconds=0.2 if n == 100 else 0.001)  # a slow answer must not be made up for by a burst
    assert all(later - earlier >= 1 - 1e-6 for earlier, later in zip(times, times[50:], strict=False))
    assert times[-1] - times[0] == pytest.approx(499 / 50 + 0.18, abs=0.01)


def test_states_that_are_final_stay_final(scene: Scene) -> None:
    scene.send(FakeTransport(ada=[REFUSED]))
    transport = FakeTransport()
    scene.send(transport, resend_uncertain=99)
    assert not transport.handed
    assert scene.store.counts(scene.issue.id)[State.REFUSED] == 1
