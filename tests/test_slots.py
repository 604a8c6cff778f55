"""Limits for all processes together: a server gets as many messages as it allows, and no window holds more."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

import pytest

from newsletter.slots import (
    AHEAD,
    LONGEST_LEAD,
    LONGEST_PATIENCE,
    MARGIN,
    MICRO,
    Grant,
    Permits,
    SlotOrder,
    Told,
    day_of,
    granted,
)
from newsletter.store import Store
from newsletter.transport.limits import Pace, StoreClock
from tests.fakes import FakeClock
from tests.windows import most_within

# --- granting --------------------------------------------------------------------------------------------------------


def order(number: int, rate: float = 10, lead: float = 0.0, told: tuple[Told, ...] = ()) -> SlotOrder:
    return SlotOrder("mx:25", number, rate, None, lead, 0.1, told)


def moments(permits: Permits, now: float, asked: SlotOrder) -> list[float]:
    return [slot.at for slot in granted(permits, now, asked)[0]]


def used_up(rate: float, now: float) -> Permits:
    """Permits that were all granted, one after the other, and of which nothing was told."""
    permits = Permits()
    for second in range(20):
        _, permits = granted(permits, now - 2 + second / 10, order(1000, rate))
    return permits


def test_slots_follow_one_another_whoever_asks() -> None:
    slots, permits = granted(Permits(), 1000.0, order(3))
    assert [slot.at for slot in slots] == pytest.approx([1000.0, 1000.1, 1000.2])
    assert moments(permits, 1000.0, order(1)) == pytest.approx([1000.3])


def test_a_server_that_has_rested_gets_no_burst() -> None:
    _, permits = granted(Permits(), 1000.0, order(1))
    assert moments(permits, 1060.0, order(2)) == pytest.approx([1060.0, 1060.1])


def test_what_was_missed_a_moment_ago_is_made_up_for_at_twice_the_rate() -> None:
    permits = Permits(last=0, free=tuple(int((1000 + number / 10) * MICRO) for number in range(10)))
    assert moments(permits, 1000.25, order(4)) == pytest.approx([1000.25, 1000.3, 1000.35, 1000.4])


def test_nobody_gets_slots_that_are_too_far_ahead() -> None:
    assert len(moments(Permits(), 1000.0, order(1000, 200))) == int(AHEAD * 200) + 1


def test_a_slot_is_not_granted_sooner_than_it_can_be_used() -> None:
    assert moments(Permits(), 1000.0, order(1, lead=0.2)) == pytest.approx([1000.2])
    assert moments(Permits(), 1000.0, order(1, lead=60.0)) == pytest.approx([1000.0 + LONGEST_LEAD])


def test_a_permit_is_free_a_window_after_its_message_as_it_was_told_or_as_late_as_it_may_be() -> None:
    (slot,), permits = granted(Permits(), 1000.0, order(1, rate=1))
    assert permits.free == (int((1000 + 0.1 + 1 + MARGIN) * MICRO),)
    told = (Told(slot.permit, 1001.02), Told(7, 0.0))  # nobody has the other one any more
    assert moments(permits, 1000.9, order(1, rate=1, told=told)) == pytest.approx([1001.02])
    assert moments(permits, 1000.9, order(1, rate=1)) == pytest.approx([1001.1 + MARGIN])


def test_a_slot_that_was_not_used_is_for_others() -> None:
    (slot,), permits = granted(Permits(), 1000.0, order(1, rate=1))
    assert moments(permits, 1000.2, order(1, rate=1)) == []
    assert moments(permits, 1000.2, order(1, rate=1, told=(Told(slot.permit, slot.at),))) == pytest.approx([1000.5])


def test_what_is_told_late_of_a_permit_that_another_message_has_does_nothing() -> None:
    (slot,), permits = granted(Permits(), 1000.0, order(1, rate=1))
    (_,), permits = granted(permits, 1001.1, order(1, rate=1))
    assert granted(permits, 1001.2, order(0, rate=1, told=(Told(slot.permit, 1000.0),)))[1] == permits


def test_a_rate_that_was_changed_holds_from_the_next_window_on() -> None:
    permits = used_up(10, 1000.0)
    assert len(granted(permits, 1000.0, order(1, 4))[1].free) == 4
    more = granted(permits, 1000.0, order(0, 12))[1]
    assert len(more.free) == 12
    assert set(permits.free) < set(more.free)
    assert max(more.free) >= (1000 + 1) * MICRO


def test_a_clock_that_was_set_back_by_a_day_costs_a_few_seconds() -> None:
    now, slots, permits = 13_600.0, list[float](), used_up(200, 100_000.0)
    while not slots:
        slots = moments(permits, now, order(1, 200))
        _, permits = granted(permits, now, order(0, 200))
        now += 0.05
    assert slots[0] - 13_600.0 >= AHEAD  # what was granted before has passed by now
    assert slots[0] - 13_600.0 <= LONGEST_LEAD + LONGEST_PATIENCE + AHEAD + 1.2


def test_a_message_counts_for_the_day_in_which_it_arrives() -> None:
    assert day_of(99.9, 0.05) == 99
    assert day_of(99.9, 0.1) == 100  # it may leave late


# --- the store's clock -----------------------------------------------------------------------------------------------


def test_the_store_s_clock_is_known_to_half_of_the_quickest_round_trip() -> None:
    clock, random = StoreClock(), Random(3)
    for reading in range(50):
        asked = 10.0 + reading
        there, back = 0.0005 + random.random() * 0.02, 0.0005 + random.random() * 0.02
        assert clock.read(5000.0 + asked + there, asked, asked + there + back)
    assert 100.0 <= clock.here(5100.0) < 100.005
    assert 5100.0 <= clock.there(100.0) < 5100.005


def test_what_is_not_known_of_the_store_s_clock_makes_a_message_late_and_never_early() -> None:
    clock = StoreClock()
    assert clock.read(5000.0, 9.9, 10.0)
    assert clock.here(5001.0) >= 11.0 - MARGIN / 3
    assert clock.there(11.0) >= 5001.1 - MARGIN / 3


def test_a_clock_that_is_set_is_noticed_and_followed() -> None:
    clock = StoreClock()
    assert clock.read(5000.0, 10.0, 10.001)
    assert clock.read(5001.0001, 11.0, 11.001)
    assert not clock.read(9002.0, 12.0, 12.001)
    assert clock.here(9003.0) == pytest.approx(13.0, abs=0.001)

    assert clock.there(13.0) == pytest.approx(9003.0, abs=0.001)


# --- processes -------------------------------------------------------------------------------------------------------


@dataclass
class Desk:
    """Grants slots on a clock that the test moves, for any number of processes."""

    permits: Permits = field(default_factory=Permits)
    now: float = 1000.0

    def serve(self, pace: Pace, *, ready: bool = True) -> None:
        asked = pace.order(self.now, 100, ready=ready)
        if asked is not None:
            slots, self.permits = granted(self.permits, self.now, asked)
            asked.grant = Grant(slots, self.now, self.now, self.now)
            pace.take(asked)


@dataclass
class Process:
    """Sends with a pace. A copy is ready after `takes`, and its reply comes after `replies`; both may be longer."""

    desk: Desk
    pace: Pace
    connections: int
    takes: float
    replies: float
    chance: Random
    late: float = 0.0  # seconds, by which it or the server is often late
    ready: list[float] = field(default_factory=list)  # when each message under way is ready
    under_way: list[tuple[float, object]] = field(default_factory=list)  # when each reply comes, and its place
    arrived: list[float] = field(default_factory=list)  # by the server's log
    asleep: float = 0.0

    def step(self) -> None:
        now = self.desk.now
        if self.asleep > now:
            return
        if self.late and self.chance.random() < 0.02:
            self.asleep = now + self.chance.random() * 2 * self.late
        for reply in [reply for reply in self.under_way if reply[0] <= now]:
            self.under_way.remove(reply)
            self.pace.ended(reply[1], now, replied=True)  # type: ignore[arg-type]
        for moment in [moment for moment in self.ready if moment <= now]:
            if self.pace.leaves_at(now) <= now:
                self.ready.remove(moment)
                there = now + self.replies / 2 + self.chance.random() * self.late
                self.arrived.append(there)
                self.under_way.append((there + self.replies / 2, self.pace.leave(now, self.takes)))
        while len(self.ready) + len(self.under_way) < self.connections and self.pace.allowed_at(now) <= now:
            self.pace.book()
            self.ready.append(now + self.takes)
        self.desk.serve(self.pace, ready=len(self.ready) + len(self.under_way) < self.connections)


def simulate(made: list[Process], seconds: float, *, seconds_of_start: float = 1.0) -> list[float]:
    """The moments at which messages arrived after the start."""
    desk = made[0].desk
    begin = desk.now
    while desk.now < begin + seconds_of_start + seconds:
        for process in made:
            process.step()
        desk.now += 0.001
    everything = sorted(moment for process in made for moment in process.arrived)
    assert most_within(1.0, everything) <= made[0].pace._rate
    return [moment for moment in everything if moment >= begin + seconds_of_start]


def processes(rate: float, number: int, **how: float) -> list[Process]:
    made = {"connections": 8, "takes": 0.004, "replies": 0.004, "late": 0.0, "seed": 1} | how
    desk, chance = Desk(), Random(made["seed"])
    return [
        Process(
            desk,
            Pace("mx:25", rate, None),
            int(made["connections"]),
            made["takes"],
            made["replies"],
            chance,
            made["late"],
        )
        for _ in range(number)
    ]


@pytest.mark.parametrize(("rate", "number"), [(10, 1), (50, 1), (200, 1), (10, 3), (200, 5), (1000, 5)])
def test_a_rate_is_reached_and_exceeded_in_no_window(rate: float, number: int) -> None:
    assert len(simulate(processes(rate, number), 4.0)) / 4.0 >= 0.98 * rate


@pytest.mark.parametrize("seed", range(3))
def test_nor_when_processes_and_the_server_are_late(seed: int) -> None:
    arrived = simulate(processes(200, 5, late=0.012, seed=seed), 4.0)
    assert len(arrived) / 4.0 >= 0.98 * 200


def test_a_process_that_dies_costs_its_permits_for_a_second() -> None:
    made = processes(200, 5)
    simulate(made, 1.0)
    arrived = simulate(made[1:], 3.0, seconds_of_start=2.0)
    assert len(arrived) / 3.0 >= 0.98 * 200


def test_a_near_and_a_far_process_do_not_exceed_the_rate_together() -> None:
    near, far = processes(100, 2, connections=32)
    far.takes, far.replies = 0.1, 0.1
    assert len(simulate([near, far], 4.0)) / 4.0 >= 0.97 * 100
    assert far.arrived


def test_a_server_slower_than_its_rate_gets_what_it_can_take() -> None:
    arrived = simulate(processes(200, 1, connections=4, takes=0.05, replies=0.05), 4.0)
    assert len(arrived) / 4.0 > 0.75 * 4 / 0.1  # four connections, each busy for two times 50 ms


def test_a_slow_server_is_asked_ahead_of_the_slot() -> None:
    arrived = simulate(processes(50, 1, takes=0.6, replies=0.6, connections=80), 4.0, seconds_of_start=4.0)
    assert len(arrived) / 4.0 >= 0.85 * 50


def test_what_was_not_used_is_told() -> None:
    pace, desk = Pace("mx:25", 10, 100), Desk()
    desk.serve(pace)
    (permit,) = set(desk.permits.free) - {0}
    last = pace.last()
    assert last is not None
    assert (last.number, [told.permit for told in last.told], last.unused) == (0, [permit], [0])
    assert last.told[0].free == pytest.approx(1000.01)
    assert pace.last() is None


# --- the store -------------------------------------------------------------------------------------------------------


def reserved(store: Store, asked: SlotOrder) -> Grant:
    store.reserve([asked])
    assert asked.grant is not None
    return asked.grant


def test_a_new_process_goes_on_where_the_last_one_stopped(store: Store, database_url: str, clock: FakeClock) -> None:
    first = reserved(store, order(3))
    with Store.open(database_url, now=clock.now) as other:
        second = reserved(other, order(1))
    assert len(first.slots) == 3
    assert second.slots[0].at >= first.slots[2].at + 0.099
    assert abs(second.clock - first.clock) < 60  # a real clock, in Unix time


def test_two_processes_never_get_the_same_slot(database_url: str) -> None:
    Store.open(database_url).close()
    grants: list[Grant] = []

    def ask() -> None:
        with Store.open(database_url) as store:
            grants.extend(reserved(store, order(2, 1000)) for _ in range(20))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    slots = sorted(slot.at for grant in grants for slot in grant.slots)
    assert len(slots) == 160
    assert all(later - earlier > 0.0004 for earlier, later in pairwise(slots))
    assert len({slot.permit for grant in grants for slot in grant.slots}) == 160


def daily(number: int, per_day: int = 5, unused: tuple[int, ...] = ()) -> SlotOrder:
    return SlotOrder("mx:25", number, 0.0, per_day, unused=unused)


def test_a_day_is_shared_by_all_processes_and_outlives_them(store: Store, database_url: str, clock: FakeClock) -> None:
    assert len(reserved(store, daily(3)).slots) == 3
    clock.move(hours=1)
    with Store.open(database_url, now=clock.now) as other:
        assert len(reserved(other, daily(3)).slots) == 2
        full = reserved(other, daily(3))
    assert full.slots == ()
    assert full.full_for == pytest.approx(23 * 3600, abs=3)
    assert store.used() == {"mx:25": 5}
    clock.move(hours=23, seconds=3)
    assert len(reserved(store, daily(9)).slots) == 3
    clock.move(hours=25)
    store.forget_old_use()
    assert store.used() == {}


def test_what_was_not_used_is_given_back_to_its_day(store: Store, clock: FakeClock) -> None:
    grant = reserved(store, daily(5))
    clock.move(seconds=30)
    days = tuple(slot.day for slot in grant.slots)
    assert len(reserved(store, daily(5, unused=days[:2])).slots) == 2
    assert store.used() == {"mx:25": 5}
    assert reserved(store, daily(0, unused=days[2:])).slots == ()
    assert store.used() == {"mx:25": 2}
    assert store.rests() == {}  # a row that is used up is no rest


def test_a_rate_does_not_use_up_the_day(store: Store) -> None:
    grant = reserved(store, SlotOrder("mx:25", 4, 100, 3))
    assert len(grant.slots) == 3
    assert all(slot.day for slot in grant.slots)
