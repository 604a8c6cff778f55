"""Requirements of tests on the machine. A test whose requirement is missing is skipped, or fails with CI=true."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest


def unmet(reason: str) -> NoReturn:
    """Skip this test with the reason; with CI=true, where everything must be installed, fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must have it: {reason}")
    pytest.skip(reason)


def program(name: str, package: str) -> Path:
    """The path of the program `name`, which Debian's `package` installs."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/lib/dovecot")
    if found is None:
        unmet(f"{name} is not installed (Debian's {package})")
    return Path(found)


def memory(room: int) -> Path | None:
    """A folder on a file system in memory with at least `room` bytes free, from which programs may be run, or None.

    What lives as long as a test need not reach the disk, and what waits for the disk waits for every commit.
    """
    folder = Path("/dev/shm")
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        return None
    found = os.statvfs(folder)
    return folder if found.f_bavail * found.f_frsize >= room and not found.f_flag & os.ST_NOEXEC else None


def root() -> None:
    """Require root, which is needed to start a mail server or cron."""
    if os.geteuid() != 0:
        unmet("needs root")
