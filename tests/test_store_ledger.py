"""The ledger, on both databases: every move that is allowed happens, no other does, and a crash loses nothing."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from newsletter.errors import StoreError
from newsletter.model import TRANSITIONS, Delivery, FrozenIssue, Outcome, OutcomeKind, RenderedIssue, Result, State
from newsletter.slots import SlotOrder
from newsletter.store import Refusal, Store
from tests import program
from tests.conftest import PUBLICATION
from tests.fakes import ACCEPTED, DEFERRED, NOT_SENT, REFUSED, UNCERTAIN, FakeClock

AFTER_SENDING = {
    State.ACCEPTED: ACCEPTED,
    State.REFUSED: REFUSED,
    State.DEFERRED: DEFERRED,
    State.UNCERTAIN: UNCERTAIN,
}


def begin(store: Store, rows: Sequence[Delivery]) -> None:
    store.turn([], rows)


def record(store: Store, rows: Sequence[tuple[Delivery, Outcome, datetime | None]]) -> None:
    store.turn([Result(row, State.SENDING, outcome, later) for row, outcome, later in rows], [])


def note(store: Store, row: Delivery, outcome: Outcome) -> None:
    """What the server said of an envelope."""
    store.turn([Result(row, State.CLAIMED, outcome)], [])


class Scene:
    """A store whose issues are made as they are needed, each with its own readers."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store, self.clock = store, clock
        self.day = date(2026, 11, 24)

    def issue(self, *names: str) -> FrozenIssue:
        """The next day's issue for these readers."""
        readers = names or ("ada", "emmy", "kurt")
        self.store.add_all([f"{name}@example.org" for name in readers], revive=True)
        self.day += timedelta(days=1)
        return self.store.freeze(
            RenderedIssue(self.day, "Papers", "<p>", "text"), PUBLICATION, lifetime=timedelta(hours=24)
        )

    def claim(self, issue: FrozenIssue, limit: int = 100, *, resend_uncertain: int = 1) -> list[Delivery]:
        return self.store.claim(issue.id, limit, resend_uncertain=resend_uncertain)

    def sending(self, issue: FrozenIssue) -> list[Delivery]:
        """All copies of the issue that are due, begun."""
        claimed = self.claim(issue)
        begin(self.store, claimed)
        return claimed

    def record(self, rows: list[Delivery], outcome: Outcome) -> None:
        later = self.clock.now() + timedelta(minutes=5) if outcome is DEFERRED else None
        record(self.store, [(row, outcome, later) for row in rows])

    def counts(self, issue: FrozenIssue) -> dict[State, int]:
        return {state: number for state, number in self.store.counts(issue.id).items() if number}

    def in_state(self, state: State) -> tuple[FrozenIssue, Delivery]:
        """An issue for one reader whose copy stands in `state`, by the way the program goes."""
        issue = self.issue("solo")
        (row,) = self.sending(issue)
        if state is not State.SENDING:
            self.record([row], AFTER_SENDING.get(state, NOT_SENT))
        if state is State.WITHDRAWN:
            self.store.unsubscribe(row.address)
        if state in (State.CLAIMED, State.WITHDRAWN):
            self.claim(issue)
        if state is State.EXPIRED:
            self.clock.move(hours=25)
            self.store.expire()
        assert self.counts(issue) == {state: 1}
        return issue, row


@pytest.fixture
def scene(database_url: str) -> Iterator[Scene]:
    clock = FakeClock()
    with Store.open(database_url, now=clock.now) as store:
        yield Scene(store, clock)


# --- moves -----------------------------------------------------------------------------------------------------------

# What a sender may ask for: where it starts, where it leads, how it is asked.
MOVES: list[tuple[State, State, Callable[[Scene, Delivery], None]]] = [
    (State.CLAIMED, State.SENDING, lambda scene, row: begin(scene.store, [row])),
    (State.CLAIMED, State.PENDING, lambda scene, row: scene.store.release([row])),
    (State.CLAIMED, State.REFUSED, lambda scene, row: note(scene.store, row, REFUSED)),
    (State.CLAIMED, State.DEFERRED, lambda scene, row: note(scene.store, row, DEFERRED)),
    (State.SENDING, State.ACCEPTED, lambda scene, row: scene.record([row], ACCEPTED)),
    (State.SENDING, State.DEFERRED, lambda scene, row: scene.record([row], DEFERRED)),
    (State.SENDING, State.REFUSED, lambda scene, row: scene.record([row], REFUSED)),
    (State.SENDING, State.UNCERTAIN, lambda scene, row: scene.record([row], UNCERTAIN)),
    (State.SENDING, State.PENDING, lambda scene, row: scene.record([row], NOT_SENT)),
]


# An issue may be withdrawn while its copies are claimed: these moves are no fault then, and they stay withdrawn.
OF_WITHDRAWN = {(State.CLAIMED, State.SENDING), (State.CLAIMED, State.PENDING)}


@pytest.mark.parametrize("state", State)
def test_a_move_starts_where_it_may_and_nowhere_else(scene: Scene, state: State) -> None:
    """A copy in `state` makes the moves that start there, each from a new one, and stays where it is at all others."""
    issue, row = scene.in_state(state)
    for source, to, move in MOVES:
        assert to in TRANSITIONS[source]
        if state is source:
            its_issue, its_row = scene.in_state(state)
            move(scene, its_row)
            assert scene.counts(its_issue) == {to: 1}
        elif state is State.WITHDRAWN and (source, to) in OF_WITHDRAWN:
            move(scene, row)
            assert scene.counts(issue) == {state: 1}
        else:
            with pytest.raises(StoreError, match=f"delivery {row.id} is {state}, so it cannot become {to}"):
                move(scene, row)
            assert scene.counts(issue) == {state: 1}


def test_a_forbidden_move_undoes_the_whole_batch(scene: Scene) -> None:
    issue = scene.issue()
    first, second, third = scene.sending(issue)
    scene.record([second], ACCEPTED)
    with pytest.raises(StoreError, match=f"delivery {second.id} is accepted"):
        scene.record([first, second, third], REFUSED)
    assert scene.counts(issue) == {State.SENDING: 2, State.ACCEPTED: 1}


def test_a_row_cannot_be_begun_twice_in_one_batch_nor_when_it_does_not_exist(scene: Scene) -> None:
    (row, *_) = scene.claim(scene.issue())
    with pytest.raises(StoreError, match="twice"):
        begin(scene.store, [row, row])
    stranger = Delivery(row.id + 1000, row.rendering_id, row.subscriber_id, row.ref, row.address, 0)
    with pytest.raises(StoreError, match="does not exist"):
        begin(scene.store, [stranger])


def test_nothing_to_move_is_nothing_to_do(scene: Scene) -> None:
    begin(scene.store, [])
    record(scene.store, [])
    scene.store.release([])


# --- claiming --------------------------------------------------------------------------------------------------------


def test_copies_are_claimed_in_the_order_of_joining_and_once(scene: Scene) -> None:
    issue = scene.issue("ada", "emmy", "kurt")
    first = scene.claim(issue, 2)
    rest = scene.claim(issue, 2)
    assert [row.address for row in first + rest] == ["ada@example.org", "emmy@example.org", "kurt@example.org"]
    assert scene.claim(issue) == []
    ada = scene.store.find("ada@example.org")
    assert ada is not None
    assert (first[0].subscriber_id, first[0].ref, first[0].attempts) == (ada.id, ada.ref, 0)


def test_a_claim_is_of_its_own_issue(scene: Scene) -> None:
    one, other = scene.issue(), scene.issue()
    assert len(scene.claim(one)) == 3
    assert scene.counts(other) == {State.PENDING: 3}


def test_a_deferred_copy_is_due_when_its_time_has_come(scene: Scene) -> None:
    issue = scene.issue()
    rows = scene.sending(issue)
    now = scene.clock.now()
    later = [now + timedelta(minutes=minutes) for minutes in (15, 5, 30)]
    record(scene.store, [(row, DEFERRED, time) for row, time in zip(rows, later, strict=True)])
    assert scene.store.next_due(issue.id) == now + timedelta(minutes=5)
    scene.clock.move(minutes=4, seconds=59)
    assert scene.claim(issue) == []
    scene.clock.move(seconds=1)
    (due,) = scene.claim(issue)
    assert (due.id, due.attempts) == (rows[1].id, 1)
    assert scene.store.next_due(issue.id) == now + timedelta(minutes=15)


def test_attempts_are_those_that_came_to_an_end(scene: Scene) -> None:
    issue = scene.issue("ada")
    for outcome in (NOT_SENT, DEFERRED, UNCERTAIN, NOT_SENT):
        scene.record(scene.sending(issue), outcome)
        scene.clock.move(minutes=5)
    (row,) = scene.claim(issue)
    assert row.attempts == 2


def test_a_copy_in_doubt_is_due_as_often_as_it_is_asked_to_be(scene: Scene) -> None:
    issue = scene.issue("ada")
    scene.record(scene.sending(issue), UNCERTAIN)
    assert scene.claim(issue, resend_uncertain=0) == []
    scene.record(scene.sending(issue), UNCERTAIN)
    assert scene.claim(issue, resend_uncertain=1) == []
    assert len(scene.claim(issue, resend_uncertain=2)) == 1


def test_a_copy_in_doubt_may_be_given_a_time_too(scene: Scene) -> None:
    issue = scene.issue("ada")
    (row,) = scene.sending(issue)
    record(scene.store, [(row, UNCERTAIN, scene.clock.now() + timedelta(minutes=5))])
    assert scene.claim(issue) == []
    scene.clock.move(minutes=5)
    assert len(scene.claim(issue)) == 1


def test_who_left_is_withdrawn_also_when_all_of_a_batch_did(scene: Scene) -> None:
    issue = scene.issue("ada", "emmy", "kurt")
    scene.store.unsubscribe("ada@example.org")
    scene.store.unsubscribe("emmy@example.org")
    assert [row.address for row in scene.claim(issue, 2)] == ["kurt@example.org"]
    assert scene.counts(issue) == {State.WITHDRAWN: 2, State.CLAIMED: 1}


def test_nothing_of_an_expired_issue_is_sent(scene: Scene) -> None:
    issue = scene.issue()
    ada, emmy, kurt = scene.sending(issue)
    scene.record([ada], ACCEPTED)
    scene.record([emmy], DEFERRED)
    scene.record([kurt], UNCERTAIN)
    scene.clock.move(hours=24)
    assert scene.claim(issue) == []
    assert scene.store.unfinished() == [issue]
    assert scene.store.expire() == {issue.rendered.day: 2}
    assert scene.counts(issue) == {State.ACCEPTED: 1, State.EXPIRED: 2}
    assert scene.store.unfinished() == []


def test_unfinished_issues_come_oldest_first(scene: Scene) -> None:
    first, done, last = scene.issue(), scene.issue(), scene.issue()
    scene.record(scene.sending(done), ACCEPTED)
    scene.record(scene.sending(last), UNCERTAIN)
    scene.record(scene.sending(first), DEFERRED)
    assert scene.store.unfinished() == [first, last]


def test_who_did_not_get_a_copy_is_shown_with_the_server_s_words(scene: Scene) -> None:
    issue = scene.issue("ada", "emmy", "kurt", "lise", "mary")
    *begun, mary = scene.claim(issue)
    begin(scene.store, begun)
    note(scene.store, mary, Outcome(OutcomeKind.REFUSED, None, "needs SMTPUTF8"))
    ada, emmy, kurt, lise = begun
    long = Outcome(OutcomeKind.DEFERRED, 451, "wait\0\udc80" + "!" * 1000)
    record(scene.store, [(ada, ACCEPTED, None), (emmy, REFUSED, None), (kurt, long, None), (lise, UNCERTAIN, None)])
    assert list(scene.store.refusals(issue.id)) == [
        Refusal("emmy@example.org", State.REFUSED, 550, "no such user"),
        Refusal("kurt@example.org", State.DEFERRED, 451, "wait ?" + "!" * 494),
        Refusal("lise@example.org", State.UNCERTAIN, None, "connection lost"),
        Refusal("mary@example.org", State.REFUSED, None, "needs SMTPUTF8"),
    ]
    scene.issue("nora")
    scene.clock.move(hours=25)
    scene.store.expire()
    assert [(row.address[:4], row.state) for row in scene.store.refusals(issue.id)] == [
        ("emmy", State.REFUSED),
        ("kurt", State.EXPIRED),
        ("lise", State.EXPIRED),
        ("mary", State.REFUSED),
    ]
    assert not list(scene.store.refusals(issue.id + 1))  # nobody was tried


# --- crashes and other processes -------------------------------------------------------------------------------------


def test_what_a_dead_process_left_is_taken_over(scene: Scene, database_url: str) -> None:
    issue = scene.issue()
    begin(scene.store, scene.claim(issue, 1))
    scene.claim(issue, 1)
    with Store.open(database_url, now=scene.clock.now) as second:
        assert second.recover() == 1
        assert scene.counts(issue) == {State.UNCERTAIN: 1, State.PENDING: 2}
        assert [row.attempts for row in second.claim(issue.id, 10, resend_uncertain=0)] == [0, 0]
        assert [row.attempts for row in second.claim(issue.id, 10, resend_uncertain=1)] == [1]


def test_a_process_that_has_lost_its_claim_can_neither_begin_nor_record(scene: Scene, database_url: str) -> None:
    issue = scene.issue("ada", "emmy")
    ada, emmy = scene.claim(issue)
    begin(scene.store, [ada])
    with Store.open(database_url, now=scene.clock.now) as second:
        second.recover()
        begin(second, second.claim(issue.id, 1, resend_uncertain=1))
        second.claim(issue.id, 1, resend_uncertain=1)
        with pytest.raises(StoreError, match="another process has taken over"):
            scene.record([ada], ACCEPTED)
        with pytest.raises(StoreError, match="another process has taken over"):
            begin(scene.store, [emmy])
        with pytest.raises(StoreError, match="another process has taken over"):
            scene.store.release([emmy])
        assert scene.counts(issue) == {State.SENDING: 1, State.CLAIMED: 1}


def test_several_that_claim_at_once_never_get_the_same_copy(scene: Scene, database_url: str) -> None:
    issue = scene.issue(*(f"r{n}" for n in range(150)))
    start = threading.Barrier(4)
    taken: list[int] = []

    def work() -> None:
        with Store.open(database_url, now=scene.clock.now) as store:
            start.wait()
            while rows := store.claim(issue.id, 7, resend_uncertain=1):
                taken.extend(row.id for row in rows)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(taken) == len(set(taken)) == 150


def test_a_claim_on_postgresql_passes_over_rows_that_another_holds(postgres_url: str) -> None:
    import psycopg

    with Store.open(postgres_url) as store, psycopg.connect(postgres_url) as other:
        scene = Scene(store, FakeClock())
        issue = scene.issue("ada", "emmy", "kurt")
        other.execute("SELECT id FROM deliveries ORDER BY id LIMIT 1 FOR UPDATE")
        assert [row.address for row in scene.claim(issue)] == ["emmy@example.org", "kurt@example.org"]


OTHER_SENDER = """
import sys
from newsletter.store import Store
sys.stdin.readline()
with Store.open(sys.argv[1]) as store, store.sending_lock() as alone:
    issue = store.latest_issue()
    if alone and issue:
        store.turn([], store.claim(issue.id, 2, resend_uncertain=0)[:1])
    print(alone, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other_sender(database_url: str) -> Iterator[subprocess.Popen[str]]:
    """Another process, which once it is told takes the lock, claims two copies, begins one and then waits."""
    command = [sys.executable, "-c", OTHER_SENDER, database_url]
    with program.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def heard(process: subprocess.Popen[str]) -> str:
    """Tell the other process to begin; what it says then."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("begin\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def alone_at_last(store: Store) -> bool:
    """Whether the lock is free, also when the server needs a moment to see that its holder is gone."""
    for _ in range(100):
        with store.sending_lock() as alone:
            if alone:
                return True
        time.sleep(0.05)
    return False


def test_a_process_killed_after_begin_leaves_one_copy_in_doubt_and_the_lock_free(
    database_url: str, other_sender: subprocess.Popen[str]
) -> None:
    with Store.open(database_url) as store:
        issue = Scene(store, FakeClock()).issue()
    assert heard(other_sender) == "True"
    with Store.open(database_url) as store:
        with store.sending_lock() as alone:
            assert not alone
        other_sender.kill()
        other_sender.wait()
        assert alone_at_last(store)
        assert store.counts(issue.id)[State.SENDING] == 1
        assert store.recover() == 1
        assert store.counts(issue.id)[State.UNCERTAIN] == 1
        assert store.counts(issue.id)[State.PENDING] == 2


def test_the_sender_s_lock_is_free_again_after_use_and_for_one_at_a_time(database_url: str) -> None:
    with Store.open(database_url) as store, Store.open(database_url) as second:
        with store.sending_lock() as first_alone, second.sending_lock() as second_alone:
            assert (first_alone, second_alone) == (True, False)
        with second.sending_lock() as alone:
            assert alone


def test_a_lock_is_free_as_soon_as_its_block_has_ended(postgres_url: str) -> None:
    import psycopg

    locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database"
    locks += " WHERE datname = current_database())"
    with Store.open(postgres_url) as store, psycopg.connect(postgres_url, autocommit=True) as operator:
        for _ in range(20):
            with store.sending_lock() as alone:
                assert alone
            assert operator.execute(locks).fetchone() == (0,)


def test_a_lock_whose_connection_was_cut_goes_to_the_next_and_ends_quietly(postgres_url: str) -> None:
    import psycopg

    with (
        Store.open(postgres_url) as store,
        Store.open(postgres_url) as second,
        store.sending_lock() as alone,
        psycopg.connect(postgres_url, autocommit=True) as operator,
    ):
        operator.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory'")
        assert alone
        assert alone_at_last(second)


def test_when_the_database_cuts_the_sender_off_that_is_one_error_and_the_next_call_connects_anew(
    postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    import psycopg

    with Store.open(postgres_url) as store, psycopg.connect(postgres_url, autocommit=True) as operator:
        store.reserve([SlotOrder("mx", 1, 0.1, None)])  # over the connection that is kept
        ours = "datname = current_database() AND pid <> pg_backend_pid()"
        operator.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {ours}")
        with pytest.raises(StoreError) as caught:
            store.reserve([SlotOrder("mx", 1, 0.1, None)])
        assert len(str(caught.value).splitlines()) == 1
        assert caught.value.exit_code == 75
        store.reserve([SlotOrder("mx", 1, 0.1, None)])
        assert not [record for record in caplog.records if record.name.startswith("sqlalchemy")]


def test_two_names_of_one_file_have_one_lock(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "test.db")
    with (
        Store.open(f"sqlite:///{tmp_path / 'test.db'}") as store,
        Store.open(f"sqlite:///{tmp_path / 'link.db'}") as same,
        store.sending_lock() as alone,
        same.sending_lock() as also,
    ):
        assert (alone, also) == (True, False)


# --- whose turn it is ------------------------------------------------------------------------------------------------


def test_what_was_tried_in_vain_comes_after_what_was_not(scene: Scene) -> None:
    issue = scene.issue("ada", "emmy", "kurt")
    (ada,) = scene.claim(issue, 1)
    begin(scene.store, [ada])
    record(scene.store, [(ada, NOT_SENT, issue.frozen_at)])
    assert [row.address[:4] for row in scene.claim(issue, 2)] == ["emmy", "kurt"]
    assert [row.address[:3] for row in scene.claim(issue, 2)] == ["ada"]


# --- pauses and rests ------------------------------------------------------------------------------------------------


def test_a_paused_issue_says_why_and_owes_again_what_it_blamed_on_readers(scene: Scene) -> None:
    issue = scene.issue("ada", "emmy")
    ada, emmy = scene.sending(issue)
    scene.record([ada], REFUSED)
    scene.record([emmy], ACCEPTED)
    scene.store.pause(issue.id, "all refused", [ada, emmy])
    (paused,) = scene.store.unfinished()
    assert paused.paused == "all refused"
    assert scene.counts(issue) == {State.PENDING: 1, State.ACCEPTED: 1}
    scene.store.resume(issue.id)
    assert scene.store.unfinished()[0].paused is None


def test_a_server_that_refused_this_sender_is_remembered_for_a_day(scene: Scene) -> None:
    store, clock = scene.store, scene.clock
    assert store.rests() == {}
    first, second = clock.now() + timedelta(minutes=5), clock.now() + timedelta(minutes=20)
    store.rest("mx.example:587", first)
    store.rest("mx.example:587", second)
    store.rest("other.example:25", first)
    store.reserve([SlotOrder("mx.example:587", 3, 0, 1000)])
    assert store.rests() == {"mx.example:587": (second, 2), "other.example:25": (first, 1)}
    assert store.used() == {"mx.example:587": 3}
    clock.move(hours=24, minutes=10)
    assert store.rests() == {"mx.example:587": (second, 1)}
    store.wake_servers()
    assert store.rests() == {}
