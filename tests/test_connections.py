"""`smtp.connections` and `smtp.rate` for all processes together: counted in the store, and judged by the server."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from newsletter.config import SmtpConfig
from newsletter.model import Delivery, Envelope
from newsletter.slots import Leases
from newsletter.store import Store
from newsletter.transport import Answer, Copy, Pool
from newsletter.transport.numbers import LOOK_EVERY, Numbers
from tests import program
from tests.conftest import ROOT
from tests.fleet import Fleet, run
from tests.smtpd import Script, Smtpd, smtpd
from tests.windows import most_within

MX = "mx.example:25"


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with Store.open(database_url) as opened:
        yield opened


def test_a_number_belongs_to_one_process_and_to_one_server(store: Store) -> None:
    with closing(store.leases()) as first, closing(store.leases()) as second:
        assert [first.take(MX, 3), first.take(MX, 3)] == [1, 2]
        assert [second.take(MX, 3), second.take(MX, 3)] == [3, None]
        assert second.take("other.example:25", 1) == 1
        first.give(MX, 1)
        assert second.take(MX, 3) == 1
        assert first.take(MX, 3) is None


def test_who_has_none_may_say_so(store: Store) -> None:
    with closing(store.leases()) as first, closing(store.leases()) as second:
        assert first.take(MX, 1) == 1
        assert not first.wanted(MX)
        second.wait(MX, waiting=True)
        second.wait(MX, waiting=True)
        assert first.wanted(MX)
        assert not first.wanted("other.example:25")
        second.wait(MX, waiting=False)
        assert not first.wanted(MX)


def test_processes_are_counted_while_they_are_there(store: Store) -> None:
    with closing(store.leases()) as first:
        assert [first.processes(MX), first.processes(MX)] == [1, 1]
        with closing(store.leases()) as second:
            assert [second.processes(MX), first.processes(MX)] == [2, 2]
            assert second.processes("other.example:25") == 1
            with closing(store.leases()) as third:
                assert third.processes(MX) == 3
        assert any(first.processes(MX) == 1 for _ in range(10_000))  # PostgreSQL notices it after a moment


HOLDER = """
import sys
from newsletter.store import Store
leases = Store.open(sys.argv[1]).leases()
print(leases.take(sys.argv[2], 1), flush=True)
sys.stdin.read()
"""


def test_a_number_ends_with_its_process(store: Store, database_url: str) -> None:
    command = [sys.executable, "-c", HOLDER, database_url, MX]
    with program.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "1\n"
        with closing(store.leases()) as leases:
            assert leases.take(MX, 1) is None
            os.kill(holder.pid, signal.SIGKILL)
            holder.wait()
            assert any(leases.take(MX, 1) == 1 for _ in range(10_000))  # PostgreSQL notices it after a moment


def test_numbers_outlive_a_connection_to_the_database_that_is_cut(postgres_url: str) -> None:
    import psycopg

    with (
        Store.open(postgres_url) as store,
        psycopg.connect(postgres_url, autocommit=True) as operator,
        closing(store.leases()) as first,
        closing(store.leases()) as second,
    ):
        assert first.take(MX, 2) == 1
        ours = "datname = current_database() AND pid <> pg_backend_pid()"
        operator.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {ours}")
        assert not first.wanted(MX)  # it is away, and a send goes on
        assert first.take(MX, 2) == 2
        assert second.take(MX, 2) is None


class Others:
    """Leases of which a test says what other processes do."""

    def __init__(self, free: int, processes: int = 1) -> None:
        self.free, self.number, self.waits, self.wanted_by_others = free, processes, False, False
        self.given: list[int] = []

    def take(self, server: str, most: int) -> int | None:
        self.free -= 1
        return self.free + 1 if self.free >= 0 else None

    def give(self, server: str, number: int) -> None:
        self.given.append(number)

    def processes(self, server: str) -> int:
        return self.number

    def wait(self, server: str, *, waiting: bool) -> None:
        self.waits = waiting

    def wanted(self, server: str) -> bool:
        return self.wanted_by_others

    def close(self) -> None:
        pass


def test_a_process_with_less_than_its_share_waits_and_looks_again() -> None:
    others: Leases = (fake := Others(0, processes=2))
    numbers = Numbers(others)
    assert numbers.take(MX, 4, 10.0, has=1) is None
    assert fake.waits
    fake.free = 1
    assert numbers.take(MX, 4, 10.0 + LOOK_EVERY / 2, has=1) is None
    assert numbers.take(MX, 4, 10.0 + LOOK_EVERY, has=1) == 1
    assert not fake.waits


def test_a_process_with_its_share_takes_more_unless_another_one_waits() -> None:
    numbers = Numbers(fake := Others(2, processes=2))
    assert numbers.take(MX, 4, 10.0, has=2) == 2
    fake.wanted_by_others = True
    assert numbers.take(MX, 4, 10.0, has=3) is None
    assert not fake.waits
    fake.wanted_by_others = False
    assert numbers.take(MX, 4, 10.0 + LOOK_EVERY, has=3) == 1


def test_what_is_above_the_share_is_closed_for_another_process() -> None:
    numbers = Numbers(fake := Others(4, processes=3))
    opened = [float(number) for number in range(10)]
    assert numbers.owes(MX, 16, opened, 20.0) == 0
    fake.wanted_by_others = True
    assert numbers.owes(MX, 16, opened[:5], 20.0) == 0
    assert numbers.owes(MX, 16, [], 20.0) == 0
    assert numbers.owes(MX, 16, opened, 20.0) == 5
    assert numbers.owes(MX, 16, opened, 20.5) == 0  # they are being closed


def test_an_only_connection_is_closed_after_a_while_where_there_are_more_processes() -> None:
    fake = Others(0, processes=3)
    fake.wanted_by_others = True
    assert Numbers(fake).owes(MX, 2, [2.0], 3.0) == 0
    assert Numbers(fake).owes(MX, 2, [2.0], 7.0) == 1
    assert Numbers(fake).owes(MX, 3, [2.0], 7.0) == 0  # each can have one


def test_who_closed_a_connection_for_another_process_does_not_take_it_back_at_once() -> None:
    numbers = Numbers(fake := Others(1, processes=2))
    assert numbers.take(MX, 2, 10.0, has=1) == 1
    fake.wanted_by_others = True
    assert numbers.owes(MX, 2, [1.0, 2.0], 11.0) == 1
    assert numbers.take(MX, 2, 11.1, has=1) is None
    numbers.give(MX, 1, 11.5)
    fake.free, fake.wanted_by_others = 1, False
    assert numbers.take(MX, 2, 12.0, has=1) is None  # it has given the number away at this moment
    assert fake.given == [1]
    assert numbers.take(MX, 2, 12.5, has=1) is None
    assert numbers.take(MX, 2, 13.5, has=1) == 1


def test_a_number_is_given_to_others_only_when_the_server_has_noticed() -> None:
    numbers = Numbers(fake := Others(1))
    assert numbers.take(MX, 4, 10.0, has=0) == 1
    numbers.give(MX, 1, 11.0)
    numbers.settle(11.0)
    assert fake.given == []
    assert numbers.take(MX, 4, 11.1, has=0) == 1  # its own may be opened again at once
    numbers.give(MX, 1, 12.0)
    numbers.settle(13.0)
    assert fake.given == [1]


class Sending:
    """Sends without end over the connections of one pool."""

    def __init__(self, server: Smtpd, store: Store, leases: Leases | None = None) -> None:
        self.pool = Pool([SmtpConfig("127.0.0.1", server.port, connections=4)], leases=leases or store.leases())
        self.accepted = 0

    def turn(self) -> None:
        envelope = Envelope("b@news.example.org", "ada@example.org", (b"Subject: papers\r\n\r\nwords\r\n",))
        self.pool.offer(lambda: Copy(Delivery(1, 1, 1, "0" * 16, "ada@example.org", 0), envelope))
        self.accepted += sum(isinstance(event, Answer) for event in self.pool.turn(has_more=True))

    @property
    def connections(self) -> int:
        return len(self.pool._relays[0].lines)


def test_a_second_process_gets_its_share_of_the_first_one_s_connections(store: Store, database_url: str) -> None:
    with smtpd() as server, Store.open(database_url) as other:
        first, second = Sending(server, store), Sending(server, other)
        while first.connections < 4:
            first.turn()
        while second.connections < 2 or not second.accepted:
            first.turn()
            second.turn()
            assert first.connections + second.connections <= 4
        assert first.connections == 2
        for each in (first, second):
            each.pool.give_up()
            each.pool.close()


class Held(dict[str, float]):
    """How long the dot takes: until `go`."""

    def __init__(self) -> None:
        super().__init__(dot=0.0)
        self.go = threading.Event()

    def __getitem__(self, stage: str) -> float:
        self.go.wait(10)
        return 0.0


def test_a_connection_that_is_closed_for_another_process_first_ends_what_is_under_way(store: Store) -> None:
    """Also to a far server, which may get a further envelope before it has replied to a message."""
    fake = Others(2, processes=4)
    with smtpd(Script(extensions=("PIPELINING",), slow=(slow := Held()))) as server:
        sending = Sending(server, store, leases=fake)
        relay = sending.pool._relays[0]
        while sending.connections < 2:
            sending.pool.turn(has_more=True)
        sending.turn()
        while not all(line.session.at_the_dot for line in relay.lines):
            sending.pool.turn(has_more=False)
        for line in relay.lines:
            line.session.far = True
            sending.pool._noted(line, [])
        assert len(relay.takers) == 2
        fake.wanted_by_others = True
        sending.pool._yield(math.inf)
        slow.go.set()
        for _ in range(2):
            sending.accepted += sum(isinstance(event, Answer) for event in sending.pool.turn(has_more=False))
        assert sending.accepted == 2
        assert sending.pool.in_flight == 0
        sending.pool.close()


def test_no_more_connections_are_opened_than_there_are_copies(store: Store) -> None:
    with smtpd() as server:
        sending = Sending(server, store)
        sending.pool.orders(2)
        while sending.connections < 2:
            sending.pool.turn(has_more=True)
        sending.pool.turn(has_more=True)
        assert (sending.connections, len(sending.pool._relays[0].opening)) == (2, 0)
        sending.pool.close()


# Windows a tenth shorter than a second: the server shares the machine with the tests and may see a message late.
# `python -m tests.fleet` looks at whole seconds.
WINDOW = 0.9


def test_a_sender_and_the_web_pages_keep_to_the_rate_and_the_connections(database_url: str, tmp_path: Path) -> None:
    keep_to_the_limits(1, database_url, tmp_path)


def test_several_senders_keep_to_them_together(postgres_url: str, tmp_path: Path) -> None:
    keep_to_the_limits(3, postgres_url, tmp_path)


def keep_to_the_limits(workers: int, url: str, folder: Path) -> None:
    log = run(Fleet(workers, 20, 25, 15, 4), url, folder)
    assert (log.accepted, log.letters, len(log.times)) == (25, 15, 40)
    assert most_within(WINDOW, log.times) <= 20
    assert log.times[-1] - log.times[0] >= 1.7  # 39 gaps of 1/20 s, less what the server may see late
    assert log.connections <= 4
