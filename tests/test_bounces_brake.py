"""The brake: many readers are not suppressed at once before the operator has looked."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from newsletter.links import Purpose
from newsletter.model import FrozenIssue, SubscriberStatus
from newsletter.runtime import utc_now
from newsletter.store import CarriedOut, Store, brake
from tests import program
from tests.bouncing import ACTIVE, SUPPRESSED, Scene, configured, refuse, report
from tests.conftest import ROOT
from tests.fakes import FakeClock

READERS = [f"reader{number:03}@example.net" for number in range(100)]
MANY = 8  # of them, which is more than the brake lets pass


@pytest.fixture
def scene(database_url: str, tmp_path: Path, clock: FakeClock) -> Iterator[Scene]:
    for part in ("new", "cur", "tmp"):
        (tmp_path / "Maildir" / part).mkdir(parents=True)
    with Store.open(database_url, now=clock.now) as store:
        store.add_all(READERS, revive=False)
        yield Scene(tmp_path, store, clock, configured(tmp_path))


def bounce(scene: Scene, frozen: FrozenIssue, *addresses: str, words: str = "user unknown") -> None:
    for address in addresses:
        scene.arrives(report(scene.copy(frozen, address)[1], address, words=words))


def suppressed(scene: Scene) -> list[str]:
    return [reader.address for reader in scene.store.subscribers() if reader.status is SUPPRESSED]


# --- the rule --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "active", "held"),
    [(1, 1, False), (5, 10, False), (6, 10, True), (6, 599, True), (6, 600, False), (100, 10_000, False)],
)
def test_more_than_a_few_and_more_than_a_small_share_are_held(number: int, active: int, held: bool) -> None:
    assert bool(brake.held(["gone"] * number, {}, active)) is held


def test_those_of_the_last_days_count_for_the_same_reason_only() -> None:
    assert brake.held(["gone"], {"gone": 5}, 100) == {"gone"}
    assert brake.held(["gone"], {"full": 5}, 100) == frozenset()
    assert brake.held(["gone", "full"], {"gone": 5}, 100) == {"gone"}


# --- what it does ----------------------------------------------------------------------------------------------------


def test_a_few_readers_are_suppressed_without_a_question(scene: Scene) -> None:
    bounce(scene, scene.issue(), *READERS[:5])
    assert str(scene.collect()) == "5 read (5 permanent), 5 suppressed"
    assert suppressed(scene) == READERS[:5]


def test_many_readers_are_held_until_the_operator_confirms(scene: Scene) -> None:
    bounce(scene, scene.issue(), *READERS[:MANY])
    assert str(scene.collect()) == f"{MANY} read ({MANY} permanent), {MANY} held"
    assert suppressed(scene) == []
    assert [(held.readers, "user unknown" in held.example) for held in scene.store.held_suppressions()] == [
        (MANY, True)
    ]
    assert scene.store.confirm_suppressions() == MANY
    assert suppressed(scene) == READERS[:MANY]
    assert scene.reader(READERS[0]).reason.endswith("(confirmed)")
    assert scene.store.held_suppressions() == []


def test_a_decision_that_no_longer_holds_is_not_carried_out(scene: Scene) -> None:
    bounce(scene, scene.issue(), *READERS[:MANY])
    scene.collect()
    scene.clock.move(minutes=1)
    scene.store.unsubscribe(READERS[0])
    scene.store.unsubscribe(READERS[1])
    scene.store.add(READERS[1])  # came back
    assert sum(held.readers for held in scene.store.held_suppressions()) == MANY - 2
    assert scene.store.confirm_suppressions() == MANY - 2
    assert scene.status(READERS[0]) is SubscriberStatus.UNSUBSCRIBED
    assert scene.status(READERS[1]) is ACTIVE
    assert scene.store.confirm_suppressions() == 0


def test_what_the_operator_discards_no_longer_counts(scene: Scene) -> None:
    """Two full mailboxes before, one after: without the clearing that would be three."""
    for day in range(3):
        bounce(scene, scene.issue(), *READERS[:MANY], words="mailbox full")
        assert scene.collect().held == (MANY if day == 2 else 0)
        scene.clock.move(days=1)
    assert scene.store.discard_suppressions() == MANY
    bounce(scene, scene.issue(), READERS[0], words="mailbox full")
    assert scene.collect().held == 0
    assert suppressed(scene) == []
    assert scene.store.held_suppressions() == []


def test_runs_that_suppress_a_few_each_add_up_for_the_same_reason(scene: Scene) -> None:
    frozen = scene.issue()
    bounce(scene, frozen, *READERS[:4])
    assert scene.collect().held == 0
    scene.clock.move(hours=1)
    bounce(scene, frozen, *READERS[4:8])
    assert scene.collect().held == 4
    assert suppressed(scene) == READERS[:4]
    scene.store.confirm_suppressions()
    bounce(scene, frozen, *READERS[8:10])  # the operator has looked: the count begins anew
    assert scene.collect().held == 0
    assert suppressed(scene) == READERS[:10]


def test_a_reader_who_is_held_is_held_once(scene: Scene) -> None:
    bounce(scene, scene.issue(), *READERS[:MANY])
    scene.collect()
    scene.clock.move(days=1)
    bounce(scene, scene.issue(), *READERS[:MANY])
    assert scene.collect().held == 0
    assert scene.store.confirm_suppressions() == MANY


def test_complaints_and_unsubscribe_mails_are_never_held(scene: Scene) -> None:
    frozen = scene.issue()
    for address in READERS[:10]:
        scene.arrives(
            b"From: staff@hotmail.com\r\nTo: bounces@news.example.org\r\n"
            b"Subject: complaint about message from 192.0.2.1\r\n\r\n" + scene.copy(frozen, address)[1]
        )
    for address in READERS[10:20]:
        token = scene.links.token(Purpose.UNSUBSCRIBE, scene.reader(address).ref)
        scene.arrives(f"From: {address}\nSubject: unsubscribe {token}\n\n")
    bounce(scene, frozen, *READERS[20 : 20 + MANY])
    tally = scene.collect()
    assert (tally.changed[SUPPRESSED], tally.changed[SubscriberStatus.UNSUBSCRIBED], tally.held) == (10, 10, MANY)


def test_what_a_run_that_died_has_decided_is_looked_at_by_the_next(scene: Scene) -> None:
    frozen = scene.issue()
    bounce(scene, frozen, *READERS[:3])
    finish = scene.store.finish_suppressions
    scene.store.finish_suppressions = CarriedOut  # type: ignore[method-assign]  # the process dies before it
    scene.collect()
    assert suppressed(scene) == []
    scene.store.finish_suppressions = finish  # type: ignore[method-assign]
    bounce(scene, frozen, *READERS[3:8])
    assert scene.collect().held == 8


def test_refusals_while_sending_are_held_too(scene: Scene) -> None:
    for _ in range(2):
        assert refuse(scene, "5.1.1 user unknown", *READERS[:MANY]) == CarriedOut()
    assert refuse(scene, "5.1.1 user unknown", *READERS[:MANY]) == CarriedOut(held=MANY)
    assert suppressed(scene) == []
    assert scene.store.discard_suppressions() == MANY
    assert refuse(scene, "5.1.1 user unknown", *READERS[:MANY]) == CarriedOut()  # those of before no longer count


def test_a_reader_who_is_forgotten_leaves_no_decision(scene: Scene) -> None:
    bounce(scene, scene.issue(), *READERS[:MANY])
    scene.collect()
    scene.store._hasher = scene.links.forgotten_hashes
    scene.store.forget(READERS[0])
    assert scene.store.confirm_suppressions() == MANY - 1


# --- the commands ----------------------------------------------------------------------------------------------------


def newsletter(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    call = [*program.COMMAND, "-c", str(folder / "config.yaml"), *words]
    return program.run(call, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture
def held(tmp_path: Path) -> Path:
    """A list of 100 readers, and the reports about MANY of them that the next `newsletter bounces` will read."""
    for part in ("new", "cur", "tmp"):
        (tmp_path / "Maildir" / part).mkdir(parents=True)
    config = configured(tmp_path)
    with Store.open(config.store) as store:
        store.add_all(READERS, revive=False)
        clock = FakeClock()
        clock.START = utc_now()  # the commands have the machine's clock
        scene = Scene(tmp_path, store, clock, config)
        bounce(scene, scene.issue(), *READERS[:MANY])
    return tmp_path


def active(folder: Path) -> int:
    number: int = json.loads(newsletter(folder, "status", "--json").stdout)["subscribers"]["active"]
    return number


def test_bounces_ends_with_75_says_so_in_one_line_and_confirm_does_it(held: Path) -> None:
    done = newsletter(held, "bounces")
    assert (done.returncode, done.stdout) == (75, f"bounces: {MANY} read ({MANY} permanent), {MANY} held\n")
    assert len(done.stderr.splitlines()) == 1
    assert f"{MANY} readers" in done.stderr
    assert "bounces --confirm" in done.stderr
    again = newsletter(held, "bounces")
    assert (again.returncode, again.stdout) == (75, "")
    assert again.stderr.partition("error")[2] == done.stderr.partition("error")[2]  # after the time
    told = newsletter(held, "status").stdout
    assert f"Held: {MANY} readers" in told
    assert "user unknown" in told
    assert active(held) == 100
    confirmed = newsletter(held, "bounces", "--confirm")
    assert (confirmed.returncode, confirmed.stdout, confirmed.stderr) == (0, f"bounces: {MANY} suppressed\n", "")
    assert active(held) == 100 - MANY
    assert newsletter(held, "bounces").returncode == 0
    assert "Held" not in newsletter(held, "status").stdout


def test_discard_keeps_the_readers(held: Path) -> None:
    newsletter(held, "bounces")
    discarded = newsletter(held, "bounces", "--discard")
    assert (discarded.returncode, discarded.stdout) == (0, f"bounces: {MANY} readers kept on the list\n")
    assert active(held) == 100
    assert newsletter(held, "bounces").returncode == 0


def test_confirm_and_discard_exclude_each_other(held: Path) -> None:
    assert newsletter(held, "bounces", "--confirm", "--discard").returncode == 2
