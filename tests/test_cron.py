"""Debian's cron runs the lines that `newsletter schedule cron` prints, and the issue is sent."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests import needs, program
from tests.conftest import ROOT
from tests.inbox import Inbox

SECONDS_BEFORE = 4  # cron reads its tables in less


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with Inbox() as running:
        yield running


@pytest.fixture
def site(tmp_path: Path, inbox: Inbox) -> Path:
    """A folder that is ready to run, with one subscriber."""
    folder = tmp_path / "my papers"  # a space must survive the shell and cron
    folder.mkdir()
    shutil.copy(ROOT / "newsletter" / "sample_day.json", folder)
    (folder / "config.yaml").write_text(
        "sender: digest@news.example.org\npostal_address: 1 Example Street\nlist_id: papers.news.example.org\n"
        "feeds:\n  - url: sample_day.json\nsecret: a secret of this test\n"
        f"smtp:\n  - host: 127.0.0.1\n    port: {inbox.port}\n",
        "utf-8",
    )
    (folder / "config.yaml").chmod(0o600)
    newsletter(folder, "subscribers", "add", "ada@example.org")
    return folder


def newsletter(folder: Path, *words: str) -> str:
    command = [*program.COMMAND, "-c", str(folder / "config.yaml"), *words]
    done = program.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return str(done.stdout)


def moment_of(crontab: str) -> datetime:
    """The time today at which the first job of a crontab is due, by this machine's clock."""
    minute, hour = next(line for line in crontab.splitlines() if line and not line.startswith("#")).split()[:2]
    return datetime.now().astimezone().replace(hour=int(hour), minute=int(minute), second=0, microsecond=0)


@contextmanager
def cron_at(moment: datetime, crontab: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Debian's cron, told that it is `moment`, in a mount namespace of its own.

    It sees this crontab and none of the machine's, and the machine's cron never sees this one. Only cron is told the
    other time: it starts its jobs with an environment of their own.
    """
    table, empty = folder / "crontabs", folder / "empty"
    table.mkdir(mode=0o700)
    empty.touch()
    (table / "root").write_text(crontab, "utf-8")
    (table / "root").chmod(0o600)
    mounts = (
        f"--bind {table} /var/spool/cron/crontabs",
        f"--bind {empty} /etc/crontab",
        "-t tmpfs none /etc/cron.d",
        "-t tmpfs none /run",
    )
    start = (
        f"exec env LD_PRELOAD={faketime()} FAKETIME='@{moment:%Y-%m-%d %H:%M:%S}' {needs.program('cron', 'cron')} -f"
    )
    script = " && ".join([*(f"mount {mount}" for mount in mounts), start])
    daemon = subprocess.Popen(["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script])
    try:
        yield daemon
    finally:
        daemon.kill()
        daemon.wait(10)


def faketime() -> Path:
    """The library that gives a program a faked time."""
    found = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if found is None:
        needs.unmet("faketime is not installed (Debian's faketime)")
    return found


def private_mounts() -> None:
    """A container may forbid them even to root."""
    tried = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False)
    if tried.returncode != 0:
        needs.unmet(f"no mount namespace of its own for cron: {tried.stderr.decode().strip()}")


def test_cron_sends_the_issue(tmp_path: Path, site: Path, inbox: Inbox) -> None:
    needs.root()
    private_mounts()
    printed = newsletter(site, "schedule", "cron", "--at", "07:00")
    soon = moment_of(printed) - timedelta(seconds=SECONDS_BEFORE)
    log = site / "newsletter.log"
    with cron_at(soon, f'PYTHONPATH="{ROOT}"\nMAILTO=""\n{printed}', tmp_path) as cron:
        end = time.monotonic() + 60
        while not (log.exists() and log.read_text("utf-8")) and time.monotonic() < end and cron.poll() is None:
            time.sleep(0.1)
    assert log.read_text("utf-8") == "verdict: new-issue - 1 accepted\n"
    assert inbox.recipients == ["ada@example.org"]
