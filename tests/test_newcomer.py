"""The newcomer's way: the commands of README.md as they stand, from a clone to a digest in a Dovecot mailbox, and cron.

They are typed into one shell on a terminal, which has an empty home and, in a mount namespace of its own, Debian's cron
with an empty spool. What stands in for the newcomer's: this repository for the one that is cloned, a mailbox of the
mail host for you@example.org, a file for the feed, and for what pip would fetch the same versions as they are installed
here. Cron and its jobs are told that it is a morning of the next week.
"""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests import needs
from tests.clinic import entry
from tests.conftest import ROOT
from tests.mailhost import DOMAIN, MailHost
from tests.test_wheel import empty as empty
from tests.test_wheel import environment, locked

README = (ROOT / "README.md").read_text("utf-8")
ME = f"alice@{DOMAIN}"
SECONDS_BEFORE = (2, 10, 50)  # cron reads its tables in less, or misses the minute: then it begins anew
PROMPT = re.compile(r"\[(\d+)\]@@ ")


def commands() -> list[str]:
    """The lines after a prompt in the README, in its order."""
    blocks = re.findall(r"^```console\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line[:2] == "$ "]


class Shell:
    """bash on a pseudo-terminal, with Debian's cron to itself: `folder` has its spool and its home."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "my home"  # a space must survive the shell and cron
        self.home.mkdir()
        (self.home / ".gitconfig").write_text("[safe]\n\tdirectory = *\n")  # whoever owns the repository
        env = {
            "HOME": str(self.home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "dumb", "PS1": "[$?]@@ ",
            "PIP_NO_INDEX": "1", "VIRTUAL_ENV_DISABLE_PROMPT": "1",
        }  # fmt: skip
        self._master, slave = pty.openpty()
        script = f"{mounted(folder)} && cd ~ && exec bash --noprofile --norc -i"
        self._process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", script], stdin=slave, stdout=slave, stderr=slave, env=env,
            start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self._said = ""
        self.prompt()

    def run(self, line: str, *answers: tuple[str, str]) -> str:
        """Type a command, and the answers to its questions; returns what it says. It must end with exit code 0."""
        self.type(line)
        said = ""
        for question, answer in answers:
            said += self.read(re.compile(re.escape(question)))
            self.type(answer)
        code, more = self.prompt()
        assert code == 0, f"{line}: {said}{more}"
        return said + more

    def type(self, line: str) -> None:
        os.write(self._master, f"{line}\n".encode())

    def prompt(self) -> tuple[int, str]:
        """Wait for the prompt; returns the exit code of the last command, and what was said before."""
        said = self.read(PROMPT)
        found = PROMPT.search(said)
        assert found
        return int(found[1]), said[: found.start()]

    def read(self, awaited: re.Pattern[str]) -> str:
        """What is said up to what is awaited."""
        end = time.monotonic() + 120
        while not (found := awaited.search(self._said)):
            assert time.monotonic() < end, self._said
            if select.select([self._master], [], [], 1)[0]:
                self._said += os.read(self._master, 4096).decode("utf-8", "replace").replace("\r", "")
        said, self._said = self._said[: found.end()], self._said[found.end() :]
        return said

    def close(self) -> None:
        self._process.kill()
        self._process.wait(10)
        os.close(self._master)


def mounted(folder: Path) -> str:
    """Shell commands that give a mount namespace the spool of cron that is in `folder`, and no name server."""
    spool, empty = folder / "crontabs", folder / "empty"
    spool.mkdir(mode=0o700, exist_ok=True)
    empty.touch()
    mounts = (
        f"--bind {spool} /var/spool/cron/crontabs",
        f"--bind {empty} /etc/crontab",
        f"--bind {empty} /etc/resolv.conf",
        "-t tmpfs none /etc/cron.d",
        "-t tmpfs none /run",
    )
    return " && ".join(f"mount {mount}" for mount in mounts)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    needs.root()
    for program, package in (("git", "git"), ("make", "make"), ("crontab", "cron")):
        needs.program(program, package)
    tried = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False)
    if tried.returncode != 0:  # a container may forbid it even to root
        needs.unmet(f"no mount namespace of its own for cron: {tried.stderr.decode().strip()}")
    if not (ROOT / ".git").exists():
        needs.unmet("this checkout is no clone of a repository")
    made = Shell(tmp_path)
    yield made
    made.close()


def a_morning(crontab: str) -> datetime:
    """The next Wednesday after today at which the first job of a crontab is due, by this machine's clock."""
    minute, hour = next(line for line in crontab.splitlines() if line and not line.startswith("#")).split()[:2]
    now = datetime.now().astimezone()
    day = now + timedelta(days=(1 - now.weekday()) % 7 + 1)
    return day.replace(hour=int(hour), minute=int(minute), second=0, microsecond=0)


def faked(moment: datetime) -> dict[str, str]:
    """The environment in which a program starts at `moment`."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if library is None:
        needs.unmet("faketime is not installed (Debian's faketime)")
    clock = {"FAKETIME": f"@{moment:%Y-%m-%d %H:%M:%S}", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    return {"LD_PRELOAD": str(library), **clock}


def runs(folder: Path, moment: datetime, log: Path) -> str:
    """What Debian's cron with the spool in `folder` makes of the job that is due at `moment`, which writes to `log`."""
    for table in (folder / "crontabs").iterdir():
        settings = "".join(f'{name}="{value}"\n' for name, value in faked(moment).items())
        table.write_text(f'MAILTO=""\n{settings}{table.read_text("utf-8")}', "utf-8")
    for seconds in SECONDS_BEFORE:
        with cron(folder, moment - timedelta(seconds=seconds)) as daemon:
            if within(seconds + 5.0, daemon, log.exists):
                within(60.0, daemon, lambda: log.read_text("utf-8") != "")
                return log.read_text("utf-8")
    raise AssertionError("cron has not begun the job")


def within(seconds: float, daemon: subprocess.Popen[bytes], comes: Callable[[], bool]) -> bool:
    """Whether something comes in this time, while cron runs."""
    end = time.monotonic() + seconds
    while not comes() and time.monotonic() < end and daemon.poll() is None:
        time.sleep(0.1)
    return comes()


@contextmanager
def cron(folder: Path, begin: datetime) -> Iterator[subprocess.Popen[bytes]]:
    """Debian's cron with the spool in `folder`, whose clock is at `begin` when it starts."""
    soon = " ".join(f"{name}='{value}'" for name, value in faked(begin).items())
    script = f"{mounted(folder)} && exec env {soon} {needs.program('cron', 'cron')} -f"
    daemon = subprocess.Popen(["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script])
    try:
        yield daemon
    finally:
        daemon.kill()
        daemon.wait(10)


def test_by_the_readme_alone_from_a_clone_to_a_mailbox_and_the_next_by_cron(
    shell: Shell, host: MailHost, empty: Path, tmp_path: Path
) -> None:
    clone, demo, install, init, check, preview, add, run, schedule, _ = commands()
    feed = tmp_path / "feed.json"
    feed.write_bytes((ROOT / "newsletter" / "sample_day.json").read_bytes())
    folder = shell.home / "papers"

    shell.run(clone.replace("<this repository>", str(ROOT)))
    (checkout,) = (path for path in shell.home.iterdir() if path.is_dir())
    (checkout / ".venv").symlink_to(environment(empty, tmp_path, [*locked("run.txt"), "pip"]).parent.parent)
    assert shell.run(demo).splitlines()[-1] == "verdict: new-issue - 3 accepted"
    activate = re.search(r"# or use the demo's environment: (.*)", install)
    assert activate
    shell.run(activate[1])
    shell.run(
        init,
        ("Sender", f"Daily Papers <digest@{DOMAIN}>"),
        ("Postal address", "7 Analytical Row, London"),
        ("List-Id", ""),
        ("Mail server", f"localhost:{host.smtp_port}"),
        ("Name for the login", ""),
        ("Feed", str(feed)),
        ("Web address", ""),
        ("Language", ""),
    )
    said = shell.run(check)
    assert "\n0 BAD, " in said
    assert f"localhost:{host.smtp_port} takes our mail, " in said
    shell.run(preview)
    assert "7 Analytical Row" in (folder / "preview" / "digest.html").read_text("utf-8")
    shell.run(add.replace("you@example.org", ME))
    assert shell.run(run).splitlines()[-1] == "verdict: new-issue - 1 accepted"
    (first,) = host.inbox(ME, 1)
    assert "--install adds them to your crontab" in schedule
    shell.run(f"{schedule.partition('#')[0]} --install")

    feed.write_text(json.dumps([entry(number, number, title=f"Owls, part {number}") for number in (1, 2, 3)]), "utf-8")
    moment = a_morning((tmp_path / "crontabs" / "root").read_text("utf-8"))
    assert runs(tmp_path, moment, folder / "newsletter.log") == "verdict: new-issue - 1 accepted\n"
    _, second = host.inbox(ME, 2)
    assert "Owls, part 3" in second["Subject"]
    assert "Owls" not in first["Subject"]
