"""A runner of GitHub Actions in small: runs the steps of the workflow by bash, on a bare repository.

They run as they stand, but for the number of rounds in which openssl derives a key: deriving one is meant to take long.

`python -m tests.runner` lives through a year of daily starts, of which a fifth is dropped, late or doubled, and says
what readers got. The time is faked (faketime) for the commands of the newsletter alone. Those come to this process,
which forks them from one that has the program loaded (tests/program.py): that makes a run ten times as fast.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from newsletter.model import Verdict
from newsletter.store import Store
from tests import needs, program
from tests.inbox import Inbox
from tests.serving import serving

KEY = "0123456789abcdef0123456789abcdef"
READERS = ("ada@readers.example", "emmy@readers.example")
ROUNDS = ("-iter 100000", "-iter 1")  # as the workflow has them, and as they are here

_CONFIG = """\
sender: Daily Papers <digest@news.example.org>
postal_address: 1 Example Street
list_id: papers.news.example.org
feeds:
  - url: {feeds}/{{date}}.json
secret: ${{NEWSLETTER_SECRET}}
smtp:
  - host: 127.0.0.1
    port: {port}
retention:
  runs: 0
"""


@dataclass
class Ran:
    """What became of one run: whether it was green, and all that its log shows."""

    green: bool
    log: str


@dataclass(frozen=True)
class State:
    """What a repository and its readers had at one time; the folders are copies."""

    folders: Path
    secrets: dict[str, str]
    mails: list[tuple[str, bytes]]
    calls: list[str]
    ahead: timedelta


# Folders that a run or a test changes. What is in the last one goes before the commands of a runner.
_CHANGING = ("origin.git", "feeds", "instead")


@dataclass
class Repository:
    """A repository on a forge, with its secrets; `calls` are the calls of the forge's API."""

    folder: Path
    inbox: Inbox
    api: str
    secrets: dict[str, str]
    calls: list[str] = field(default_factory=list)
    ahead: timedelta = timedelta(0)  # of the newsletter's clock

    @property
    def origin(self) -> Path:
        return self.folder / "origin.git"

    @property
    def clone(self) -> Path:
        """The operator's own clone."""
        return self.folder / "clone"

    def save(self, folders: Path) -> State:
        """Keep all that it has, with copies in `folders`, which does not exist."""
        for name in _CHANGING:
            shutil.copytree(self.folder / name, folders / name)
        return State(folders, dict(self.secrets), self.inbox.kept, list(self.calls), self.ahead)

    def restore(self, state: State) -> None:
        """Have again what it had then."""
        for name in _CHANGING:
            shutil.rmtree(self.folder / name)
            shutil.copytree(state.folders / name, self.folder / name)
        self.inbox.kept, self.calls[:] = state.mails, state.calls
        self.inbox.refuse.clear()
        self.secrets, self.ahead = dict(state.secrets), state.ahead

    def replace(self, command: str, script: str) -> None:
        """Put a script before a command that the runner has."""
        path = self.folder / "instead" / command
        path.write_text(script, "utf-8")
        path.chmod(0o755)

    def clock(self, now: datetime) -> None:
        """Set the time of the newsletter's commands."""
        self.ahead = now - datetime.now(UTC)

    def publish(self, day: date, papers: int) -> None:
        """Let the feed list so many papers on a day."""
        entries = [
            {
                "paper": {
                    "id": f"{day:%y%m}.{day.day:02}{number:03}",
                    "title": f"Paper {day}/{number}",
                    "upvotes": number,
                }
            }
            for number in range(papers)
        ]
        (self.folder / "feeds" / f"{day}.json").write_text(json.dumps(entries), "utf-8")

    def newsletter(self, *words: str) -> str:
        """A command on the operator's own machine."""
        command = [str(self.folder / "bin" / "newsletter"), "-c", "papers/config.yaml", *words]
        return subprocess.run(command, cwd=self.clone, capture_output=True, text=True, check=True).stdout

    def push(self) -> None:
        """Commit and push all that the operator has in the clone."""
        _git(self.clone, "add", "--all")
        _git(self.clone, "commit", "--quiet", "--allow-empty", "--message", "a change")
        _git(self.clone, "push", "--quiet", "origin", "main")

    def run(self, asked: str = "", schedule: str = "", die_after: str = "") -> Ran:
        """Run the workflow: by its schedule, or by hand with an answer for `store`.

        With `die_after` the machine is gone after the step of that name.
        """
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            return _Run(self, Path(place), asked, schedule).run(die_after)

    @contextmanager
    def store(self) -> Iterator[Store]:
        """The store as the branch has it."""
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            encrypted = subprocess.run(
                ["git", "-C", self.origin, "cat-file", "blob", "newsletter-store:store.enc"],
                capture_output=True,
                check=True,
            ).stdout
            opened = subprocess.run(
                ["openssl", "enc", "-d", "-aes-256-cbc", "-pbkdf2", *ROUNDS[1].split(), "-pass", f"pass:{KEY}"],
                input=encrypted, capture_output=True, check=True,
            ).stdout  # fmt: skip
            subprocess.run(["tar", "-x", "-C", place], input=opened, check=True)
            backup, config = Path(place) / "backup.tar", Path(place) / "there" / "config.yaml"
            command = [str(self.folder / "bin" / "newsletter"), "-c", str(config), "restore", str(backup)]
            subprocess.run(command, capture_output=True, check=True)
            with Store.open(f"sqlite:///{config.parent / 'newsletter.db'}") as store:
                yield store


class _Run:
    """One run: a machine with a clone of the repository."""

    def __init__(self, repository: Repository, place: Path, asked: str, schedule: str) -> None:
        self._place, self._repository = place, repository
        self._log: list[str] = []
        self._outcomes: dict[str, str] = {}
        self._known = {
            **{f"secrets.{name}": value for name, value in repository.secrets.items()},
            "inputs.store": asked,
            "github.event.schedule": schedule,
            "github.token": "a token",
        }

    def run(self, die_after: str) -> Ran:
        _git(self._place, "clone", "--quiet", "--depth=1", f"file://{self._repository.origin}", "checkout")
        text = (self._place / "checkout" / ".github/workflows/newsletter.yml").read_text("utf-8")
        (job,) = yaml.safe_load(text)["jobs"].values()
        green = True
        for step in job["steps"]:
            if "run" not in step or not self._wanted(step.get("if", ""), green=green):
                continue
            done = self._step(step, {**job["env"], **step.get("env", {})})
            self._outcomes[step.get("id", "")] = "success" if done else "failure"
            green = green and done
            if step["name"] == die_after:
                return Ran(False, "".join(self._log))
        return Ran(green, "".join(self._log))

    def _wanted(self, condition: str, *, green: bool) -> bool:
        """The conditions that the workflow has, and no others."""
        if not condition:
            return green
        if condition == "always()":
            return True
        begun = re.fullmatch(r"always\(\) && steps\.(\w+)\.outcome == 'success'", condition)
        assert begun, condition
        return self._outcomes.get(begun[1]) == "success"

    def _step(self, step: dict[str, Any], env: dict[str, str]) -> bool:
        script, output, checkout = self._place / "script", self._place / "output", self._place / "checkout"
        script.write_text(step["run"].replace(*ROUNDS), "utf-8")
        output.touch()
        here = self._repository.folder
        own = {
            "PATH": f"{here / 'instead'}:{here / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self._place),
            "RUNNER_TEMP": str(self._place),
            "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(self._place / "summary"),
            "GITHUB_API_URL": self._repository.api,
            "GITHUB_REPOSITORY": "ada/papers",
        }
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", script],
            cwd=checkout, env=own | {name: self._filled(value) for name, value in env.items()},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        self._log.append(done.stdout)
        for line in output.read_text("utf-8").splitlines():
            name, _, value = line.partition("=")
            self._known[f"steps.{step.get('id')}.outputs.{name}"] = value
        output.unlink()
        return done.returncode == 0

    def _filled(self, value: str) -> str:
        return re.sub(r"\$\{\{ (\S+) \}\}", lambda found: self._known.get(found[1], ""), value)


def _git(folder: Path, *words: str) -> None:
    who = {f"GIT_{role}_{what}": "ada@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(["git", *words], cwd=folder, env=os.environ | who, check=True, capture_output=True)


# --- a repository with all that it needs -----------------------------------------------------------------------------


@contextmanager
def repository(folder: Path) -> Iterator[Repository]:
    """A repository whose workflow was written by `newsletter schedule github`, and the servers that it needs."""
    for name in ("git", "openssl", "curl"):
        needs.program(name, name)
    calls: list[str] = []
    with Inbox() as inbox, _api(calls) as api:
        made = Repository(folder, inbox, api, {}, calls)
        made.secrets |= {
            "NEWSLETTER_STORE_KEY": KEY,
            "NEWSLETTER_SECRET": "a long secret for the links",
            "NEWSLETTER_SUBSCRIBERS": "\n".join(READERS),
        }
        for name in ("bin", "feeds", "instead"):
            (folder / name).mkdir()
        (folder / "bin" / "pipx").write_text(f'#!/bin/sh\necho "$@" >> {folder}/pipx\n', "utf-8")
        (folder / "bin" / "pipx").chmod(0o755)
        made.clock(datetime(2026, 1, 1, tzinfo=UTC))
        if program.FAKETIME is None:
            needs.unmet("faketime is not installed (Debian's faketime)")
        with program.script(folder / "bin" / "newsletter", lambda: program.clock(made.ahead) | {"TZ": "UTC"}):
            _git(folder, "init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
            _git(folder, "clone", "--quiet", str(made.origin), "clone")
            _git(made.clone, "checkout", "--quiet", "-b", "main")
            (made.clone / "papers").mkdir()
            config = _CONFIG.format(feeds=folder / "feeds", port=inbox.port)
            (made.clone / "papers" / "config.yaml").write_text(config, "utf-8")
            made.newsletter("schedule", "github", "--at", "07:00")
            made.push()
            yield made


@contextmanager
def _api(calls: list[str]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            calls.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with serving(server):
        yield f"http://127.0.0.1:{server.server_port}"


# --- a year ----------------------------------------------------------------------------------------------------------

FATES = ("on time", "dropped", "late", "doubled")


@dataclass
class Year:
    """What happened: how often each fate, the runs that were red, and what readers did not get as they should."""

    fates: Counter[str] = field(default_factory=Counter)
    red: list[str] = field(default_factory=list)
    silent: list[date] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    leaked: list[str] = field(default_factory=list)


def starts(days: int, share: float, chance: random.Random) -> Iterator[tuple[datetime, str]]:
    """The moments at which runs start, and the fate of each; the last three are on time."""
    begin = datetime(2026, 1, 5, 7, 7, tzinfo=UTC)
    found = []
    for number in range(days):
        due = begin + timedelta(days=number)
        odd = number < days - 3 and chance.random() < share
        fate = chance.choice(FATES[1:]) if odd else FATES[0]
        late = timedelta(minutes=chance.randrange(60, 30 * 60)) if fate == "late" else timedelta(0)
        found += [(due + late, fate)] * (2 if fate == "doubled" else 1)
    return iter(sorted(found))


def year(made: Repository, days: int = 365, share: float = 0.2, seed: int = 1) -> Year:
    """Live through so many days with one start each, of which `share` is dropped, late or doubled."""
    chance, seen = random.Random(seed), Year()
    listing = [date(2026, 1, 5) + timedelta(days=number) for number in range(-1, days - 1)]
    papers = {day: 0 if chance.random() < 0.04 else 2 for day in listing if day.weekday() < 5}  # some holidays
    for day in [listing[0] - timedelta(days=back) for back in range(1, 15)] + listing:
        made.publish(day, papers.get(day, 0))
    first = True
    for number, (moment, fate) in enumerate(starts(days, share, chance)):
        seen.fates[fate] += 1
        if fate == "dropped":
            continue
        made.clock(moment)
        ran = made.run(asked="begin") if first else made.run(schedule="7 13 * * *")
        first = False
        if not ran.green:
            seen.red.append(f"{number} {moment:%F %H:%M}: {ran.log}")
        if "@" in ran.log:
            seen.leaked.append(ran.log)
    _judge(made, seen, papers)
    return seen


def _judge(made: Repository, seen: Year, papers: dict[date, int]) -> None:
    got = Counter(
        (str(message["To"]), title)
        for message in made.inbox.messages
        for title in re.findall(r"Paper \d+-\d+-\d+/\d", str(message.get_body(("plain",))))
    )
    with made.store() as store:
        runs = [(run.day, run.verdict) for run in store.runs(10_000) if run.day is not None]
    # An empty day may have an issue all the same: that of the missed days before it.
    explained = {
        day
        for day, verdict in runs
        if verdict == Verdict.QUIET_DAY or (verdict == Verdict.NEW_ISSUE and not papers.get(day))
    }
    # An empty day whose start was dropped is among the missed days that the next issue takes in.
    for day in papers.keys() - {day for day, _ in runs}:
        if any(timedelta(0) < later - day <= timedelta(days=5) for later, _ in runs):
            explained.add(day)
    shown = {title for _, title in got}
    for day, number in papers.items():
        titles = [f"Paper {day}/{each}" for each in range(number)]
        if not (number and all(title in shown for title in titles)) and day not in explained:
            seen.silent.append(day)
        seen.missing += [f"{reader}: {title}" for title in titles for reader in READERS if not got[reader, title]]
    ids = Counter(
        (str(message["To"]), str(message["Subject"]), str(message["Date"])) for message in made.inbox.messages
    )
    seen.twice = [str(each) for each, times in ids.items() if times > 1]


def main() -> None:
    """Print what a year brings."""
    with tempfile.TemporaryDirectory() as place, repository(Path(place)) as made:
        days = int(sys.argv[1]) if len(sys.argv) > 1 else 365
        seen = year(made, days)
        copies = len(made.inbox.messages)
        size = subprocess.run(["du", "-sh", made.origin], capture_output=True, text=True, check=True).stdout.split()[0]
    print(f"{seen.fates.total()} starts: {dict(seen.fates)}; {copies} copies; the repository has {size}")
    for name in ("red", "silent", "missing", "twice", "leaked"):
        print(f"{name}: {len(getattr(seen, name))}", *getattr(seen, name)[:5], sep="\n    ")


if __name__ == "__main__":
    main()
