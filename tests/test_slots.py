"""Limits for all processes together: a server gets as many messages as it allows, and no window holds more."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

import pytest

from newsletter.slots import AHEAD, LONGEST_LEAD, SLACK, Grant, Granting, SlotOrder, block_of, days_of, gap_of, granted
from newsletter.store import Store
from newsletter.transport.limits import Pace, StoreClock
from tests.fakes import FakeClock
from tests.windows import most_within

# --- granting --------------------------------------------------------------------------------------------------------


def order(number: int, rate: float = 10, lead: float = 0.0, late: float = 0.0) -> SlotOrder:
    return SlotOrder("mx:25", number, gap_of(rate), None, lead, late)


def test_slots_follow_one_another_whoever_asks() -> None:
    number, begin, after = granted(Granting(), 1000.0, order(3))
    assert (number, begin) == (3, 1000.0)
    number, begin, later = granted(after, 1000.0, order(1))
    assert (number, begin) == (1, after.until)
    assert later.until == pytest.approx(1000 + 4 * gap_of(10))


def test_time_that_nobody_used_is_lost() -> None:
    _, _, after = granted(Granting(), 1000.0, order(1))
    assert granted(after, 1060.0, order(2))[:2] == (2, 1060.0)


def test_nobody_gets_slots_that_are_too_far_ahead() -> None:
    number, _, after = granted(Granting(), 1000.0, order(1000, 200))
    assert number == int(AHEAD / gap_of(200))
    assert granted(after, 1000.0, order(1, 200))[0] == 0
    assert granted(after, 1000.1, order(1, 200))[0] == 1


def test_a_slot_is_not_granted_sooner_than_it_can_be_used() -> None:
    assert granted(Granting(), 1000.0, order(1, lead=0.2))[1] == 1000.2
    assert granted(Granting(1000.3), 1000.0, order(1, lead=0.2))[1] == 1000.3


def test_late_messages_move_on_those_after_them_once() -> None:
    _, _, after = granted(Granting(1000.0), 999.9, order(1, late=0.03))
    _, begin, after = granted(after, 1000.0, order(1, late=0.05))
    assert begin == pytest.approx(1000 + gap_of(10))
    _, begin, after = granted(after, 1000.15, order(1))  # 0.25 s after the first was told of
    assert begin == pytest.approx(1000 + 2 * gap_of(10) + 0.05)
    assert after.late == 0


def test_a_clock_that_was_set_back_by_a_day_costs_a_few_seconds_and_no_window() -> None:
    _, _, after = granted(Granting(), 100_000.0, order(4, 200))
    now, number, begin = 13_600.0, 0, 0.0
    while not number:
        number, begin, after = granted(after, now, order(1, 200))
        now += 0.05
    assert begin - 13_600.0 >= AHEAD  # what was granted before has passed by now
    assert begin - 13_600.0 <= LONGEST_LEAD + AHEAD + 0.1


@pytest.mark.parametrize("rate", [0.1, 1, 1.5, 10, 33.3, 200, 5000])
def test_messages_as_late_as_they_may_be_exceed_the_rate_in_no_window(rate: float) -> None:
    random, after, moments = Random(7), Granting(), list[float]()
    now = 1000.0
    for _ in range(3000):
        number, begin, after = granted(after, now, order(random.randint(1, block_of(gap_of(rate))), rate))
        for slot in range(number):
            moments.append(begin + slot * gap_of(rate) + random.random() * SLACK / 3 * max(1.0, 1 / rate))
        now += random.random() * 0.5 * gap_of(rate)
    window = math.ceil(rate) / rate
    assert most_within(window, sorted(moments)) <= math.ceil(rate)


def test_a_message_counts_for_the_day_in_which_it_leaves() -> None:
    assert days_of(3, 99.9, 0.5) == (99, 100, 100)
    assert days_of(1, 99.999, gap_of(10)) == (100,)  # it may leave late
    assert days_of(1, 99.2, 0.0) == (100,)


# --- the store's clock -----------------------------------------------------------------------------------------------


def test_the_store_s_clock_is_known_to_half_of_the_quickest_round_trip() -> None:
    clock, random = StoreClock(), Random(3)
    for reading in range(50):
        asked = 10.0 + reading
        there, back = 0.0005 + random.random() * 0.02, 0.0005 + random.random() * 0.02
        assert clock.read(5000.0 + asked + there, asked, asked + there + back)
    assert abs(clock.here(5100.0) - 100.0) < 0.005


def test_a_clock_that_is_set_is_noticed_and_followed() -> None:
    clock = StoreClock()
    assert clock.read(5000.0, 10.0, 10.001)
    assert clock.read(5001.0001, 11.0, 11.001)
    assert not clock.read(9002.0, 12.0, 12.001)
    assert clock.here(9003.0) == pytest.approx(13.0, abs=0.001)


# --- one process -----------------------------------------------------------------------------------------------------


@dataclass
class Desk:
    """Grants slots on a clock that the test moves, for any number of processes."""

    granting: Granting = field(default_factory=Granting)
    now: float = 1000.0

    def serve(self, pace: Pace, most: int = 100) -> SlotOrder | None:
        asked = pace.order(self.now, most, ready=True)
        if asked is not None:
            number, start, self.granting = granted(self.granting, self.now, asked)
            asked.grant = Grant(number, start, self.now, self.now, self.now)
            pace.take(asked)
        return asked


@dataclass
class Process:
    """Sends with a pace: so many connections, and so long for a commit and a round trip each."""

    pace: Pace
    connections: int
    takes: float
    ready: list[float] = field(default_factory=list)  # when each message under way is ready
    free_at: list[float] = field(default_factory=list)  # when each connection is free again
    left: list[float] = field(default_factory=list)  # when messages left

    def step(self, desk: Desk) -> None:
        now = desk.now
        for moment in [moment for moment in self.ready if moment <= now]:
            if self.pace.leaves_at(now) <= now:
                self.pace.leave(now, self.takes)
                self.ready.remove(moment)
                self.left.append(now)
                self.free_at.append(now + self.takes)
        busy = len(self.ready) + sum(moment > now for moment in self.free_at)
        if busy < self.connections and self.pace.allowed_at(now) <= now:
            self.pace.book()
            self.ready.append(now + self.takes)
        if busy < self.connections:
            desk.serve(self.pace)


def simulate(processes: list[Process], seconds: float, stalls: Random | None = None) -> list[float]:
    """The moments at which messages left; with `stalls`, a process sometimes does nothing for a while."""
    desk, asleep = Desk(), dict[int, float]()
    end = desk.now + seconds
    while desk.now < end:
        for number, process in enumerate(processes):
            if stalls is not None and stalls.random() < 0.0003:
                asleep[number] = desk.now + stalls.random() * 0.04
            if asleep.get(number, 0.0) <= desk.now:
                process.step(desk)
        desk.now += 0.0005
    return sorted(moment for process in processes for moment in process.left)


def processes(rate: float, number: int, **how: float) -> list[Process]:
    settings = {"connections": 4, "takes": 0.004} | how
    return [Process(Pace("mx:25", rate, None), int(settings["connections"]), settings["takes"]) for _ in range(number)]


@pytest.mark.parametrize(("rate", "number"), [(10, 1), (50, 1), (200, 1), (10, 3), (200, 5), (1000, 5)])
def test_a_rate_is_reached_and_exceeded_in_no_window(rate: float, number: int) -> None:
    moments = simulate(processes(rate, number, connections=16), 6.0)
    assert most_within(1.0, moments) <= rate
    assert len(moments) / 6.0 == pytest.approx(rate, rel=0.03)


@pytest.mark.parametrize("seed", range(5))
def test_nor_when_processes_stall(seed: int) -> None:
    moments = simulate(processes(200, 5), 8.0, Random(seed))
    assert most_within(1.0, moments) <= 200
    assert len(moments) / 8.0 > 180


def test_a_server_slower_than_its_rate_gets_what_it_can_take() -> None:
    moments = simulate(processes(200, 1, takes=0.05), 6.0)
    assert most_within(1.0, moments) <= 200
    assert len(moments) / 6.0 > 0.75 * 4 / 0.1  # four connections, each busy for two times 50 ms


def test_a_far_server_is_asked_ahead_of_the_slot() -> None:
    moments = simulate(processes(50, 1, takes=0.1, connections=32), 6.0)
    assert most_within(1.0, moments) <= 50
    assert len(moments[len(moments) // 2 :]) / 3.0 == pytest.approx(50, rel=0.1)


def test_what_was_not_used_is_told() -> None:
    pace = Pace("mx:25", None, 100)
    asked = pace.order(0.0, 5, ready=False)
    assert asked is not None
    assert asked.number == 1  # to know whether the day allows any
    asked.grant = Grant(1, 1000.0, 1000.0, 0.0, 0.0, (7,))
    pace.take(asked)
    last = pace.last()
    assert last is not None
    assert (last.number, last.unused) == (0, (7,))
    assert pace.last() is None


# --- the store -------------------------------------------------------------------------------------------------------


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(database_url: str, clock: FakeClock) -> Iterator[Store]:
    with Store.open(database_url, now=clock.now) as opened:
        yield opened


def reserved(store: Store, asked: SlotOrder) -> Grant:
    store.reserve([asked])
    assert asked.grant is not None
    return asked.grant


def test_a_new_process_goes_on_where_the_last_one_stopped(store: Store, database_url: str, clock: FakeClock) -> None:
    first = reserved(store, order(3))
    with Store.open(database_url, now=clock.now) as other:
        second = reserved(other, order(1))
    assert first.number == 3
    assert second.start >= first.start + 3 * gap_of(10) - 1e-5
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
    slots = sorted(grant.start + slot * gap_of(1000) for grant in grants for slot in range(grant.number))
    assert len(slots) == 160
    assert all(later - earlier > 0.99 * gap_of(1000) for earlier, later in pairwise(slots))


def daily(number: int, per_day: int = 5, unused: tuple[int, ...] = ()) -> SlotOrder:
    return SlotOrder("mx:25", number, 0.0, per_day, unused=unused)


def test_a_day_is_shared_by_all_processes_and_outlives_them(store: Store, database_url: str, clock: FakeClock) -> None:
    assert reserved(store, daily(3)).number == 3
    clock.move(hours=1)
    with Store.open(database_url, now=clock.now) as other:
        assert reserved(other, daily(3)).number == 2
        full = reserved(other, daily(3))
    assert full.number == 0
    assert full.full_for == pytest.approx(23 * 3600, abs=3)
    assert store.used() == {"mx:25": 5}
    clock.move(hours=23, seconds=3)
    assert reserved(store, daily(9)).number == 3
    clock.move(hours=25)
    store.forget_old_use()
    assert store.used() == {}


def test_what_was_not_used_is_given_back_to_its_day(store: Store, clock: FakeClock) -> None:
    grant = reserved(store, daily(5))
    clock.move(seconds=30)
    assert reserved(store, daily(5, unused=grant.days[:2])).number == 2
    assert store.used() == {"mx:25": 5}
    assert reserved(store, daily(0, unused=grant.days[2:])).number == 0
    assert store.used() == {"mx:25": 2}
    assert store.rests() == {}  # a row that is used up is no rest


def test_a_rate_does_not_use_up_the_day(store: Store) -> None:
    grant = reserved(store, SlotOrder("mx:25", 4, gap_of(100), 3))
    assert grant.number == 3
    assert len(grant.days) == 3
