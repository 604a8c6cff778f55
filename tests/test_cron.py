"""Debian's cron, the real one, fires the line that `newsletter schedule cron` prints, and the issue goes out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import needs
from tests.conftest import ROOT
from tests.inbox import Inbox


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with Inbox() as running:
        yield running


def test_cron_sends_the_issue(tmp_path: Path, inbox: Inbox) -> None:
    needs.root()
    cron = needs.program("cron", "cron")
    unshare = needs.program("unshare", "util-linux")
    site = tmp_path / "my papers"  # a space must survive the shell and cron
    site.mkdir()
    shutil.copy(ROOT / "newsletter" / "sample_day.json", site)
    (site / "config.yaml").write_text(
        "sender: digest@news.example.org\npostal_address: 1 Example Street\nlist_id: papers.news.example.org\n"
        "feeds:\n  - url: sample_day.json\nsecret: a secret of this test\n"
        f"smtp:\n  - host: 127.0.0.1\n    port: {inbox.port}\n",
        "utf-8",
    )
    command = [sys.executable, "-m", "newsletter", "-c", str(site / "config.yaml")]
    subprocess.run([*command, "subscribers", "add", "ada@example.org"], cwd=ROOT, check=True)
    printed = subprocess.run(
        [*command, "schedule", "cron"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    line = next(line for line in printed.splitlines() if " run " in line and not line.startswith("#"))
    table = tmp_path / "crontabs"
    table.mkdir(mode=0o700)
    every_minute = re.sub(r"^\S+ \S+ \S+ \S+ \S+", "* * * * *", line)
    (table / "root").write_text(f"PYTHONPATH={ROOT}\n{every_minute}\n", "utf-8")
    (table / "root").chmod(0o600)
    # A mount namespace of its own: this cron sees our crontab only, and the machine's cron never sees it.
    mounts = (f"--bind {table} /var/spool/cron/crontabs", "-t tmpfs none /etc/cron.d", "-t tmpfs none /run")
    script = " && ".join([*(f"mount {mount}" for mount in mounts), f"exec {cron} -f"])
    daemon = subprocess.Popen([unshare, "--mount", "sh", "-c", script], env=os.environ | {"MAILTO": ""})
    try:
        end = time.monotonic() + 130
        while not inbox.recipients and time.monotonic() < end and daemon.poll() is None:
            time.sleep(0.2)
    finally:
        daemon.terminate()
        daemon.wait(10)
    assert inbox.recipients == ["ada@example.org"]
    for _ in range(100):
        log = site / "newsletter.log"
        if log.exists() and log.read_text("utf-8"):
            break
        time.sleep(0.1)
    assert (site / "newsletter.log").read_text("utf-8").startswith("verdict: new-issue - 1 accepted")
