"""Run the installed command against a server that misbehaves, and compare our ledger with the server's log.

    python -m tests.chaos [--recipients N] [--editions N] [--seeds N] [--store sqlite|postgresql] [--only WORD]
    python -m tests.chaos --store postgresql --workers N [--kills N] [--recipients N] [--seeds N]

Prints a line per fault: how many recipients were lost, how many got two copies and whether that was avoidable, and
whether ledger and log agree. With --workers, that many workers send one issue beside two schedulers, and each is killed
--kills times; see tests/crowd.py. The server and the program that compares the two are not part of this project.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from newsletter.issue.choice import Choice
from newsletter.issue.selector import Selector
from tests import program
from tests.conftest import ROOT, SHARED
from tests.migrated import store_file

TOOLS: Final = SHARED / "tools" / "chaos"
DAY: Final = "2026-11-24"
KILL: Final = ("--allow-kill", "newsletter")
ROUNDS: Final = 12  # calls of `send`, each 20 minutes later by a faked clock

# Figures that must be 0, and those that must be 0 if uncertain copies are held for the operator.
NEVER: Final = ("lost", "dup_avoidable", "dup_diff_msgid", "false_sent", "unrecorded", "unexpected")
NEVER_HELD: Final = ("dup", "false_sent", "unexpected")
CONNECTIONS: Final = 8

# A mail of few lines: the server takes a message in line by line, which with our template costs more than all else.
TEMPLATES: Final = {
    "digest.html": """\
<html lang="en" dir="ltr"><head><title>{{ title }}</title></head>
<body><h1>{{ title }}</h1><p>{{ papers[0].title }}</p><p>{{ postal_address }}</p>
<p><a href="{{ unsubscribe_url }}">Unsubscribe</a></p></body></html>
""",
    "digest.txt": """\
{{ title }}
{{ papers[0].title }}
{{ postal_address }}
Unsubscribe: {{ unsubscribe_url }}
""",
}


@dataclass(frozen=True)
class Fault:
    """A fault of the server. With `kills`, two runs at once also get that many signals at random times."""

    name: str
    arguments: tuple[str, ...]
    refused: str = ""  # pattern of the recipients that rightly get no copy
    kills: int = 0
    signal: str = "KILL"
    settings: str = ""
    hold: bool = False  # uncertain copies wait for the operator

    def broken(self, found: Mapping[str, Any]) -> list[str]:
        """The names of the figures that are not 0 as they must be."""
        names = [name for name in (NEVER_HELD if self.hold else NEVER) if found.get(name) != 0]
        names += ["kills of the server"] if "--allow-kill" in self.arguments and not found["killed"] else []
        # Each crash leaves at most one uncertain copy per connection; the overlapping run has none.
        return [*names, *(["dup_forced"] if self.kills and found["dup_forced"] > CONNECTIONS * self.kills else [])]


def _fault(spec: str, *more: str, **kept: Any) -> Fault:
    return Fault(" ".join((spec, *more)), ("--fault", spec, *more), **kept)


FAULTS: Final = (
    Fault("none", ()),
    _fault("drop-before-250:p=0.02,keep=1"),
    _fault("drop-before-250:p=0.02,keep=0"),
    _fault("rst-before-250:p=0.02,keep=1"),
    _fault("drop-after-250:p=0.05"),
    _fault("rst-mid-data:p=0.03"),
    _fault("stall:stage=rcpt,nth=7", settings=", timeout: 1"),
    _fault("stall:stage=mail,nth=9", settings=", timeout: 1"),
    _fault("delay:stage=dot,secs=1,every=50"),
    _fault("reply:stage=rcpt,code=451,p=0.1,times=2"),
    _fault("reply:stage=mail,code=450,p=0.05,times=1"),
    _fault("reply:stage=dot,code=452,p=0.1,times=1"),
    _fault("reply:stage=rcpt,code=550,match=r1[0-9]@", refused="r1[0-9]@"),
    _fault("reply:stage=dot,code=554,match=r2[0-9]@", refused="r2[0-9]@"),
    *(_fault(f"421:stage={stage},p=0.02") for stage in ("mail", "rcpt", "data", "dot")),
    _fault("sigkill-after-250:every=60", *KILL),
    _fault("sigkill-before-250:every=60,keep=1", *KILL),
    Fault("greylist", ("--greylist", "0.3")),
    Fault("closes after 10, 421", ("--max-per-conn", "10")),
    Fault("closes after 10, silently", ("--max-per-conn", "10", "--max-per-conn-mode", "silent")),
    Fault("no pipelining", ("--no-pipelining", "--fault", "drop-before-250:p=0.02,keep=1")),
    _fault("delay:stage=dot,secs=0.05", kills=20),
    _fault("delay:stage=dot,secs=0.05", "--no-pipelining", kills=20),
    Fault("stopped and continued", ("--fault", "delay:stage=dot,secs=0.05"), kills=6, signal="STOP"),
    Fault("held: drop-before-250", ("--fault", "drop-before-250:p=0.02,keep=1"), hold=True),
    Fault("held: sigkill-after-250", ("--fault", "sigkill-after-250:every=60", *KILL), hold=True),
    Fault("held: kills", ("--fault", "delay:stage=dot,secs=0.05"), kills=20, hold=True),
)


@dataclass
class Site:
    """A folder with config, store and list, in which `newsletter` runs."""

    folder: Path
    store: str
    recipients: int
    port: int = 0
    settings: str = ""
    hold: bool = False
    connections: int = CONNECTIONS  # of all processes together
    rounds: int = field(default=0, init=False)
    asked: int = field(default=0, init=False)  # number of calls of `send --retry-uncertain`

    @property
    def command(self) -> list[str]:
        return [*program.COMMAND, "-c", str(self.folder / "config.yaml")]

    def configure(self) -> None:
        (self.folder / "templates").mkdir()
        for name, text in TEMPLATES.items():
            (self.folder / "templates" / name).write_text(text, "utf-8")
        if self.store.startswith("sqlite"):
            store_file(self.folder / "newsletter.db")
        config = self.folder / "config.yaml"
        config.write_text(
            "sender: Daily Papers <digest@news.example.org>\npostal_address: 1 Example Street\n"
            "list_id: papers.news.example.org\nbase_url: https://news.example.org\nsecret: a secret of this test\n"
            f"feeds:\n  - url: sample_day.json\nstore: {self.store}\n"
            f"sending:\n  uncertain: {'hold' if self.hold else 'resend'}\n"
            "issue: {max_papers: 1}\ntemplates: templates\n"
            f"smtp:\n  - {{host: 127.0.0.1, port: {self.port}, connections: {self.connections}{self.settings}}}\n",
            "utf-8",
        )
        config.chmod(0o600)

    def call(self, *words: str, later: int = 0) -> int:
        """Run `newsletter` with the clock set `later` minutes ahead; returns its exit code."""
        clock = program.clock(timedelta(minutes=later)) if later else {}
        done = program.run(
            [*self.command, *words], cwd=ROOT, env=os.environ | clock, capture_output=True, timeout=600, check=False
        )
        return done.returncode

    def finish(self) -> int:
        """Run, then send until nothing is owed, and last retry uncertain copies; returns the exit code."""
        code = self.call("run", "--date", DAY)
        most = max(ROUNDS, self.recipients // 25)  # some faults kill a run every 60 copies
        while self.rounds < most:
            words = ["send"]
            if code == 0:
                if self.hold or self.asked >= ROUNDS or not self.uncertain:
                    break
                self.asked += 1
                words.append("--retry-uncertain")
            self.rounds += 1
            code = self.call(*words, later=min(20 * self.rounds, 23 * 60))
        return code

    @property
    def uncertain(self) -> int:
        """The number of uncertain copies that wait for the operator."""
        return [state for _, state in _deliveries(self.folder, self.store)].count("uncertain")


@contextmanager
def server(folder: Path, arguments: Sequence[str], seed: int) -> Iterator[int]:
    """Run the misbehaving server; gives its port."""
    words = ["--port", "0", "--log", str(folder / "sink.jsonl"), "--no-fsync", "--seed", str(seed), *arguments]
    with program.Popen(
        program.file(TOOLS / "chaos_smtp.py", *words),
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            said = process.stdout.readline()  # "chaos_smtp on HOST:PORT ..."
            assert said, "the server did not start"
            yield int(said.split()[2].rpartition(":")[2])
        finally:
            process.terminate()


# What readers with an edition of their own want on top: each is in a paper of the sample day.
TOPICS: Final = ("long documents", "robot sleep", "plants", "retrieval", "learned simulators", "arithmetic")


def _listed(addresses: Sequence[str], editions: int) -> str:
    """The list as CSV: so many of the readers chose, no two of them the same."""
    rows = io.StringIO()
    writer = csv.writer(rows)
    writer.writerow(("address", "choice"))
    for number, address in enumerate(addresses):
        selector = Selector.of(topics=[TOPICS[number % len(TOPICS)]], never=[f"word{number}"])
        writer.writerow((address, Choice.of(selector).written if number < editions else ""))
    return rows.getvalue()


def provoke(fault: Fault, folder: Path, store: str, recipients: int, seed: int, editions: int = 0) -> dict[str, Any]:
    """Send an issue to a server with `fault`; returns the figures of the comparison and our exit code."""
    addresses = [f"r{number}@example.org" for number in range(recipients)]
    (folder / "expected.txt").write_text("\n".join(addresses) + "\n", "utf-8")
    (folder / "list.csv").write_text(_listed(addresses, editions), "utf-8")
    shutil.copy(ROOT / "newsletter" / "sample_day.json", folder)
    with server(folder, fault.arguments, seed) as port:
        site = Site(folder, store, recipients, port, fault.settings, fault.hold)
        site.configure()
        assert site.call("subscribers", "import", str(folder / "list.csv")) == 0
        if fault.kills:
            _crash(site, fault, seed)
        code = site.finish()
    refused = [address for address in addresses if fault.refused and re.match(fault.refused, address)]
    return judged(folder, _ledger(folder, store), refused) | {"exit": code, "rounds": site.rounds, "asked": site.asked}


def _crash(site: Site, fault: Fault, seed: int) -> None:
    """Run two processes at once, repeatedly, and signal them at random times, until both end by themselves."""
    chance, kills = random.Random(seed), 0
    for _ in range(60):
        runs = [
            program.Popen(
                [*site.command, "run", "--date", DAY],
                cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            )
            for _ in range(2)
        ]  # fmt: skip
        if kills < fault.kills:
            time.sleep(chance.uniform(0.1, 1 + site.recipients / 1000))
            kills += sum(_signal(run, fault.signal) for run in runs)
        if all([run.wait(300) in (0, 75) for run in runs]):  # noqa: C419 - wait for both
            return
    raise AssertionError("no two runs ended by themselves")


def _signal(run: program.Popen, name: str) -> bool:
    """Whether the process ran still, and got the signal. One that is stopped goes on after two seconds."""
    if run.poll() is not None:
        return False
    os.killpg(run.pid, signal.Signals[f"SIG{name}"])
    if name == "STOP":
        time.sleep(2)
        os.killpg(run.pid, signal.SIGCONT)
    return True


def _deliveries(folder: Path, store: str) -> list[tuple[str, str]]:
    """The address and the state of each copy in our ledger."""
    statement = "SELECT address, state FROM deliveries"
    if store.startswith("sqlite"):
        with closing(sqlite3.connect(folder / "newsletter.db")) as file:
            return file.execute(statement).fetchall()
    import psycopg

    with psycopg.connect(store) as connection:
        return connection.execute(statement).fetchall()


def _ledger(folder: Path, store: str) -> Path:
    """The path of an SQLite file with the ledger, which is copied from PostgreSQL if necessary."""
    if store.startswith("sqlite"):
        return folder / "newsletter.db"
    copied = folder / "copied.db"
    with closing(sqlite3.connect(copied)) as target, target:
        target.execute("CREATE TABLE deliveries (address, state)")
        target.executemany("INSERT INTO deliveries VALUES (?, ?)", _deliveries(folder, store))
    return copied


def judged(folder: Path, ledger: Path, refused: Sequence[str]) -> dict[str, Any]:
    """The figures from comparing the server's log with our ledger."""
    command = program.file(TOOLS / "ledger_check.py", str(folder / "expected.txt"), str(folder / "sink.jsonl"))
    command += ["--json", "--allow-dup-unacked", "--ledger-sqlite", str(ledger)]
    command += ["--ledger-sql", "SELECT address, state FROM deliveries", "--sent-values", "accepted"]
    command += ["--skip", *refused] if refused else []
    said = program.run(command, capture_output=True, text=True, check=False).stdout
    figures: dict[str, Any] = json.loads(said[said.index("{") : said.rindex("}") + 1])
    return figures | {
        "killed": len(re.findall(r'"event": "kill".*"pid": \d', (folder / "sink.jsonl").read_text("utf-8")))
    }


def main() -> int:
    """Provoke every fault and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipients", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--only", default="")
    parser.add_argument("--editions", type=int, default=0, help="readers who each have an edition of their own")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--kills", type=int, default=20)
    asked = parser.parse_args()
    if asked.workers:
        from tests import crowd

        return crowd.judge(asked.workers, asked.kills, asked.recipients, asked.seeds)
    from tests.postgres import new_database, running  # pytest's plugin, which pytest wants to import first

    bad = 0
    with ExitStack() as stack:
        postgres = stack.enter_context(running()) if asked.store == "postgresql" else None
        print(f"{'fault':<52} seed  {' '.join(NEVER)} dup forced exit rounds asked")
        for fault in (fault for fault in FAULTS if asked.only in fault.name):
            for seed in range(1, asked.seeds + 1):
                with tempfile.TemporaryDirectory() as folder, ExitStack() as own:
                    store = "sqlite:///newsletter.db"
                    if postgres is not None:
                        store = own.enter_context(new_database(postgres))
                    found = provoke(fault, Path(folder), store, asked.recipients, seed, asked.editions)
                figures = [found.get(name, "?") for name in (*NEVER, "dup", "dup_forced", "exit", "rounds", "asked")]
                broken = fault.broken(found)
                bad += bool(broken)
                print(f"{fault.name:<52} {seed:>4}  {' '.join(map(str, figures))}  {' '.join(broken)}", flush=True)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
