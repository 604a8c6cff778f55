"""The units as `schedule systemd --install` writes them, run by a systemd of the test's own.

That systemd is process 1 of its own process, mount and control group namespaces. It knows the installed units and a few
empty targets, and not the units of this machine. Only the hour is the test's: a drop-in makes the timer fire at once.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import needs
from tests.conftest import ROOT
from tests.inbox import Inbox

LIST = "papers.example.org"
TARGETS = ("sysinit", "basic", "shutdown", "timers", "network-online", "multi-user")
UNITS = Path("/etc/systemd/system")
NOBODY = pwd.getpwnam("nobody")


class Systemd:
    """A systemd in namespaces of its own; `folder` (absolute, for everybody to read) keeps its units."""

    def __init__(self, folder: Path) -> None:
        self.units = folder / "units"
        targets = folder / "targets"
        for made in (self.units, targets):
            made.mkdir()
        for name in TARGETS:
            (targets / f"{name}.target").write_text("[Unit]\nDefaultDependencies=no\n", "utf-8")
        start = "[Unit]\nDefaultDependencies=no\nWants=timers.target\n"
        (targets / "begin.target").write_text(start, "utf-8")
        script = " && ".join(
            [
                "mount --make-rprivate /",
                "mount -t tmpfs none /run",
                "mount -t tmpfs none /var/lib/systemd",  # where a timer keeps when it last fired
                f"mount -t tmpfs none {program().parent}/system-generators",  # of units of this machine, at each reload
                *reachable(folder),
                f"mount --bind {self.units} {UNITS}",
                f"export container=test SYSTEMD_UNIT_PATH={UNITS}:{targets}",
                f"exec {program()} --system --unit=begin.target --log-target=null --show-status=no",
            ]
        )
        command = [
            "unshare",
            "--mount",
            "--pid",
            "--cgroup",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "sh",
            "-c",
            script,
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._first = 0

    def run(self, *words: str) -> str:
        """What a command says in the namespaces. It must end with exit code 0."""
        done = subprocess.run(
            ["nsenter", "--target", str(self._first), "--mount", "--pid", *words],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def show(self, unit: str, key: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "--value", "-p", key, unit).strip()

    def wait(self) -> None:
        """Return when systemd answers. Skips the test where this machine does not let it begin."""
        end = time.monotonic() + 20
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        while time.monotonic() < end and self._process.poll() is None:
            self._first = int((children.read_text() or "0").split()[0])
            asked = [
                "nsenter",
                "--target",
                str(self._first),
                "--mount",
                "--pid",
                "systemctl",
                "is-active",
                "begin.target",
            ]
            if self._first and subprocess.run(asked, capture_output=True, check=False).returncode == 0:
                return
            time.sleep(0.05)
        self.close()
        needs.unmet("no systemd in namespaces of its own: a container may forbid it even to root")

    def close(self) -> None:
        self._process.kill()
        self._process.wait(10)


def program() -> Path:
    """systemd itself."""
    found = Path("/lib/systemd/systemd")
    if not found.exists():
        needs.unmet("systemd is not installed (Debian's systemd)")
    return found


def reachable(folder: Path) -> Iterator[str]:
    """Shell commands that let every user read this Python and this checkout, also where they are in root's home."""
    hidden = [path for path in dict.fromkeys((sys.base_prefix, sys.prefix, str(ROOT))) if path.startswith("/root/")]
    for number, path in enumerate(hidden):
        yield f"mkdir {folder}/{number} && mount --bind {path} {folder}/{number}"
    if hidden:
        yield "mount -t tmpfs -o mode=755 none /root"
    for number, path in enumerate(hidden):
        yield f"mkdir -p {path} && mount --bind {folder}/{number} {path}"


@pytest.fixture
def systemd() -> Iterator[Systemd]:
    needs.root()
    for name in ("unshare", "nsenter", "systemctl"):
        needs.program(name, "util-linux, systemd")
    folder = Path(tempfile.mkdtemp(dir="/srv"))
    folder.chmod(0o755)
    made = Systemd(folder)
    try:
        made.wait()
        yield made
    finally:
        made.close()
        shutil.rmtree(folder)


def test_the_timer_fires_the_run_is_fenced_in_and_a_failure_is_told(systemd: Systemd) -> None:
    home = systemd.units.parent / "my papers"
    home.mkdir()
    shutil.copy(ROOT / "newsletter" / "sample_day.json", home)
    config = home / "config.yaml"
    newsletter = [sys.executable, "-m", "newsletter", "-c", str(config)]
    with Inbox() as inbox:
        config.write_text(
            f"sender: digest@news.example.org\npostal_address: 1 Example Street\nlist_id: {LIST}\n"
            f"secret_file: secret\nfeeds:\n  - url: sample_day.json\nsmtp:\n"
            f"  - host: 127.0.0.1\n    port: {inbox.port}\n"
            "alerts:\n  address: operator@example.org\n",
            "utf-8",
        )
        (home / "secret").write_text("a secret of the tests, and of nothing else\n", "utf-8")
        for path in (home, *home.iterdir()):
            os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)
            path.chmod(0o700 if path.is_dir() else 0o600)
        as_owner = ["setpriv", f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups", "--"]
        systemd.run(*as_owner, *newsletter, "subscribers", "add", "ada@example.org")
        said = systemd.run(*newsletter, "schedule", "systemd", "--install")
        assert f"started newsletter-{LIST}.timer" in said
        next_run = systemd.show(f"newsletter-{LIST}.timer", "NextElapseUSecRealtime")
        assert re.search(r" 07:00:00 ", next_run)

        now = systemd.units / f"newsletter-{LIST}.timer.d"
        now.mkdir()
        (now / "now.conf").write_text("[Timer]\nOnCalendar=\nOnCalendar=*:*:*\nAccuracySec=1ms\n", "utf-8")
        systemd.run("systemctl", "daemon-reload")
        systemd.run("systemctl", "restart", f"newsletter-{LIST}.timer")
        end = time.monotonic() + 60
        while not inbox.messages and time.monotonic() < end:
            time.sleep(0.05)
        assert inbox.recipients == ["ada@example.org"]
        systemd.run("systemctl", "stop", f"newsletter-{LIST}.timer")
        systemd.run("systemctl", "start", f"newsletter-{LIST}-send.service")
        assert systemd.show(f"newsletter-{LIST}-send.service", "ExecMainStatus") == "0"
        assert {path.stat().st_uid for path in home.iterdir()} == {NOBODY.pw_uid}

        systemd.run("systemctl", "start", f"newsletter-{LIST}-failed@run.service")
        assert inbox.recipients == ["ada@example.org", "operator@example.org"]
        assert "run" in str(inbox.messages[1]["Subject"])

    said = systemd.run(*newsletter, "schedule", "remove")
    assert f"removed {UNITS / f'newsletter-{LIST}.timer'}" in said
    assert [path.name for path in systemd.units.glob("newsletter*") if path.is_file()] == []
    assert systemd.show(f"newsletter-{LIST}-send.timer", "ActiveState") == "inactive"
