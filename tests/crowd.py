"""Several workers and two schedulers send one issue, and everything is interrupted at random.

Each worker is killed again and again and started anew; PostgreSQL is restarted once; another connection holds a
snapshot open all the time. The mail server's own log says who got what, as in tests/chaos.py.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests import chaos, program
from tests.conftest import ROOT
from tests.postgres import Server, new_database
from tests.postgres import server as postgres

FIGURES: Final = ("lost", "dup_avoidable", "dup_diff_msgid", "false_sent", "unrecorded", "unexpected")
FAULT: Final = ("--fault", "delay:stage=dot,secs=0.2")  # a far server, so that a kill finds copies under way


@dataclass
class Program:
    """A process of `newsletter` that is started again whenever it has ended, until `end`."""

    command: list[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    readies: int = 0  # how often it was ready
    ended: list[int] = field(default_factory=list)  # exit codes

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = program.Popen(
                self.command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True, env=dict(os.environ)
            )

    def wait_until_ready(self) -> None:
        """Return when it has said that it is ready, after every start; it starts anew where the database was away."""
        while self.log.read_text("utf-8").count("ready: takes") <= self.readies:
            assert self.process is not None
            if self.process.poll() is not None:
                self.kill()
            time.sleep(0.02)
        self.readies = self.log.read_text("utf-8").count("ready: takes")

    def kill(self) -> None:
        """SIGKILL, and start it anew; it may have ended by itself."""
        assert self.process is not None
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.ended.append(self.process.wait())
        self.start()

    def end(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(60)

    def stop(self) -> None:
        """End it, whatever it is doing."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@contextmanager
def snapshot(url: str) -> Iterator[None]:
    """Hold a snapshot open, also over a restart of the server."""
    import psycopg

    done = threading.Event()

    def hold() -> None:
        while not done.is_set():
            try:
                with psycopg.connect(url) as connection:
                    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                    while not done.wait(0.2):
                        connection.execute("SELECT 1 FROM deliveries LIMIT 1")
            except psycopg.OperationalError:
                done.wait(0.05)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def interrupt(workers: list[Program], kills: int, server: Server, seed: int, most: float) -> None:
    """Kill each worker `kills` times, up to `most` seconds after it was ready, and restart the database in the middle.

    Each worker's times are of its own, so that one may die while another has just taken over its shard.
    """
    half = threading.Barrier(len(workers) + 1)

    def hunt(worker: Program, chance: random.Random) -> None:
        for number in range(kills):
            if number == kills // 2:
                half.wait()
            worker.wait_until_ready()
            time.sleep(chance.uniform(0.0, most))
            worker.kill()

    hunters = [
        threading.Thread(target=hunt, args=(worker, random.Random(f"{seed} {number}")))
        for number, worker in enumerate(workers)
    ]
    for hunter in hunters:
        hunter.start()
    if kills:
        half.wait()
    server.restart()
    for hunter in hunters:
        hunter.join()
    for worker in workers if kills else ():
        worker.wait_until_ready()  # its last start may have met the restart


def provoke(
    server: Server, url: str, folder: Path, workers: int, kills: int, recipients: int, seed: int
) -> dict[str, Any]:
    """Send one issue under interruptions; returns the figures of the comparison."""
    addresses = [f"r{number}@example.org" for number in range(recipients)]
    (folder / "expected.txt").write_text("\n".join(addresses) + "\n", "utf-8")
    shutil.copy(ROOT / "newsletter" / "sample_day.json", folder)
    with chaos.server(folder, FAULT, seed) as port, ExitStack() as stack:
        everyone = chaos.CONNECTIONS * (workers + 1)  # workers, and a run
        site = chaos.Site(folder, url, recipients, port, connections=everyone)
        site.configure()
        assert site.call("subscribers", "import", str(folder / "expected.txt")) == 0
        crowd = [Program([*site.command, "worker"], folder / f"worker{number}.log") for number in range(workers)]
        schedulers = [
            Program([*site.command, "run", "--date", chaos.DAY], folder / f"run{number}.log") for number in range(2)
        ]
        stack.enter_context(snapshot(url))
        for program in (*crowd, *schedulers):
            program.start()
        started = time.monotonic()
        interrupt(crowd, kills, server, seed, 3.0)
        for scheduler in schedulers:
            assert scheduler.process is not None
            scheduler.process.wait(600)
        site.call("run", "--date", chaos.DAY)  # waits until the workers have sent the rest
        seconds = time.monotonic() - started
        codes = [worker.end() for worker in crowd]
        code = site.finish()  # also when only copies are left that were uncertain twice, as for the other faults
    figures = chaos.judged(folder, chaos._ledger(folder, url), [])
    return figures | {"exit": code, "workers": codes, "seconds": seconds}


def judge(workers: int, kills: int, recipients: int, seeds: int) -> int:
    """Print the figures for each seed; returns 1 when one is not 0 that must be."""
    bad = 0
    print("seed ", " ".join(FIGURES), "dup_forced exit workers seconds")
    with postgres() as server:
        for seed in range(1, seeds + 1):
            with tempfile.TemporaryDirectory() as folder, new_database(server.url) as url:
                found = provoke(
                    server, url, Path(folder), workers=workers, kills=kills, recipients=recipients, seed=seed
                )
                if keep := os.environ.get("KEEP"):
                    shutil.copytree(folder, Path(keep) / str(seed), dirs_exist_ok=True)
            broken = [name for name in FIGURES if found.get(name) != 0]
            bad += bool(broken or found["exit"] or any(found["workers"]))
            figures = [found.get(name, "?") for name in (*FIGURES, "dup_forced", "exit", "workers")]
            print(f"{seed:>4} ", " ".join(map(str, figures)), f"{found['seconds']:.0f}", " ".join(broken), flush=True)
    return int(bad > 0)
