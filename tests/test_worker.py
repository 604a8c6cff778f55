"""`newsletter worker`: several processes send one issue over one database, and a word from another stops them all."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import pytest

from newsletter.model import Span
from newsletter.store import Store
from tests import chaos, crowd, program
from tests.conftest import ROOT
from tests.postgres import new_database
from tests.postgres import server as postgres_server

pytest.importorskip("procrastinate")

DAY: Final = date.fromisoformat(chaos.DAY)
READERS: Final = 200
MANY: Final = 500  # readers: to send to them all takes longer than a command does on a busy machine
WORKERS: Final = 2


@pytest.fixture(autouse=True)
def instruments() -> None:
    """The tools are not part of this repository."""
    if not chaos.TOOLS.is_dir():
        pytest.skip(f"no fault server at {chaos.TOOLS}")


@dataclass
class Fleet:
    """Workers with a slow mail server, and the store that they share."""

    site: chaos.Site
    workers: list[crowd.Program]
    store: Store

    @property
    def taken(self) -> int:
        """How many messages the mail server has taken, by its own log."""
        log = (self.site.folder / "sink.jsonl").read_text("utf-8").splitlines(keepends=True)
        return sum(1 for line in log if line.endswith("\n") and json.loads(line)["event"] == "message")

    def wait_for(self, number: int) -> None:
        """Return when the server has taken so many messages."""
        while self.taken < number:
            self.watch()

    def watch(self) -> None:
        """Give the workers a moment; the test fails when one has ended."""
        assert all(worker.process is not None and worker.process.poll() is None for worker in self.workers)
        time.sleep(0.02)

    def end(self) -> list[int]:
        return [worker.end() for worker in self.workers]


@contextmanager
def fleet(
    folder: Path, url: str, fault: tuple[str, ...] = crowd.FAULT, workers: int = WORKERS, readers: int = READERS
) -> Iterator[Fleet]:
    """Workers that wait for an issue; `run` is not called, so that they alone send it."""
    shutil.copy(ROOT / "newsletter" / "sample_day.json", folder)
    (folder / "readers.txt").write_text("".join(f"r{number}@example.org\n" for number in range(readers)), "utf-8")
    with ExitStack() as stack:
        port = stack.enter_context(chaos.server(folder, fault, 7))
        site = chaos.Site(folder, url, readers, port, connections=chaos.CONNECTIONS * workers)
        site.configure()
        assert site.call("subscribers", "import", str(folder / "readers.txt")) == 0
        store = stack.enter_context(Store.open(url))
        made = [crowd.Program([*site.command, "worker"], folder / f"worker{number}.log") for number in range(workers)]
        for worker in made:
            worker.start()
            stack.callback(worker.stop)
        yield Fleet(site, made, store)


def freeze(made: Fleet) -> int:
    """An issue for all readers, made as `run` makes it, and not sent by this process."""
    from newsletter.config import load
    from newsletter.prepare import prepare
    from newsletter.runtime import Runtime

    config = load(made.site.folder / "config.yaml")
    prepared = prepare(config, DAY, made.store, Runtime(), Span())
    frozen = made.store.freeze(
        prepared.rendered,  # type: ignore[union-attr]
        config.publication,
        lifetime=timedelta(hours=24),
        key_id=config.links().key_id,
    )
    return frozen.id


def pause(made: Fleet, issue: int) -> None:
    made.store.pause(issue, "the operator says so", [])


def withdraw(made: Fleet, issue: int) -> None:
    assert made.site.call("withdraw", chaos.DAY) == 0


@pytest.mark.parametrize("stop", [pause, withdraw])
def test_a_pause_or_withdrawal_by_another_process_stops_every_worker(
    stop: Callable[[Fleet, int], None], tmp_path: Path, postgres_url: str
) -> None:
    """Nothing begins after it; the copies under way, at most one for each connection, are finished."""
    with fleet(tmp_path, postgres_url, readers=MANY) as made:
        issue = freeze(made)
        made.wait_for(40)
        stop(made, issue)
        before = made.taken
        assert made.end() == [0] * WORKERS
        counts = {str(state): number for state, number in made.store.counts(issue).items() if number}
    assert made.taken <= before + WORKERS * chaos.CONNECTIONS
    assert made.taken < MANY
    assert counts.pop("accepted") == made.taken
    assert set(counts) <= {"pending", "withdrawn"}


def test_a_pause_by_one_worker_s_breaker_stops_the_other_and_blames_no_reader(
    tmp_path: Path, postgres_url: str
) -> None:
    with fleet(tmp_path, postgres_url, ("--fault", "reply:stage=rcpt,code=550,p=1")) as made:
        issue = freeze(made)
        while made.store.paused(issue) is None:
            made.watch()
        assert made.end() == [0] * WORKERS
        counts = {str(state): number for state, number in made.store.counts(issue).items() if number}
        assert counts == {"pending": READERS}


def test_workers_that_get_sigterm_finish_what_is_under_way_and_leave_nothing_uncertain(
    tmp_path: Path, postgres_url: str
) -> None:
    with fleet(tmp_path, postgres_url) as made:
        issue = freeze(made)
        made.wait_for(30)
        assert made.end() == [0] * WORKERS
        counts = {str(state): number for state, number in made.store.counts(issue).items() if number}
        assert counts == {"accepted": made.taken, "pending": READERS - made.taken}
        assert made.site.call("send") == 0  # without a worker `send` does it all, one shard after the other
        assert made.taken == READERS


def test_killed_workers_two_schedulers_and_a_restart_of_the_database_lose_and_double_nothing(tmp_path: Path) -> None:
    """A small part of `python -m tests.chaos --store postgresql --workers 4`."""
    with postgres_server() as server, new_database(server.url) as url:
        found = crowd.provoke(server, url, tmp_path, workers=4, kills=2, recipients=300, seed=7)
    assert {name: found[name] for name in crowd.FIGURES} == dict.fromkeys(crowd.FIGURES, 0)
    assert (found["exit"], found["workers"]) == (0, [0, 0, 0, 0])


@pytest.mark.parametrize(
    ("store", "code", "words"),
    [
        ("sqlite:///newsletter.db", 78, "store: newsletter worker needs a postgresql:// database"),
        ("postgresql://nobody@127.0.0.1:1/nothing", 75, "127.0.0.1"),
    ],
)
def test_a_worker_without_its_database_says_so_in_one_line(store: str, code: int, words: str, tmp_path: Path) -> None:
    site = chaos.Site(tmp_path, store, 0, 25)
    shutil.copy(ROOT / "newsletter" / "sample_day.json", tmp_path)
    site.configure()
    done = program.run([*site.command, "worker"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
