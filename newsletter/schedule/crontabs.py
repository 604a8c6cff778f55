"""Puts lines into a user's crontab, and removes them. No other line is touched."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from newsletter.errors import NewsletterError
from newsletter.schedule.cron import marks


def install_crontab(lines: str, user: str | None = None) -> None:
    """Put `lines` into a crontab, replacing an earlier installation for the same config.

    `user` names the crontab's owner, which only root may do; None is the current account. Raises NewsletterError.
    """
    command = _command(user)
    if command is None:
        raise NewsletterError("there is no crontab command on this machine; install cron first")
    _feed(command, replace_block(_listed(command), lines))


def remove_from_crontab(config: Path, user: str | None = None) -> bool:
    """Remove what was installed for `config` (absolute) from a crontab; returns whether there was something.

    `user` is as for `install_crontab`. Raises NewsletterError.
    """
    command = _command(user)
    before = "" if command is None else _listed(command)
    after = without_block(before, *marks(config))
    if command is None or after == before:
        return False
    _feed(command, after)
    return True


def replace_block(crontab_text: str, lines: str) -> str:
    """`crontab_text` with the block `lines` at its end, without an older block with the same first and last line.

    Raises NewsletterError if the older block has no end.
    """
    return without_block(crontab_text, lines.splitlines()[0], lines.splitlines()[-1]) + lines


def without_block(crontab_text: str, begin: str, end: str) -> str:
    """`crontab_text` without the lines from `begin` to `end`, both included. Raises NewsletterError without an end."""
    kept: list[str] = []
    inside = False
    for line in crontab_text.splitlines():
        if line == begin:
            inside = True
        if not inside:
            kept.append(line)
        elif line == end:
            inside = False
    if inside:  # what follows may be the operator's own
        raise NewsletterError(f"the crontab has the line {begin!r} and no line {end!r}: repair it with `crontab -e`")
    return "".join(f"{line}\n" for line in kept)


def _command(user: str | None) -> list[str] | None:
    program = shutil.which("crontab")
    return None if program is None else [program, *(["-u", user] if user else [])]


def _listed(command: Sequence[str]) -> str:
    """The crontab as it is, empty if there is none. A crontab that cannot be read must not be replaced."""
    done = subprocess.run(
        [*command, "-l"], capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"}
    )
    if done.returncode != 0 and "no crontab" in done.stderr:
        return ""
    if done.returncode != 0:
        raise NewsletterError(f"the crontab cannot be read, so it stays as it is: {done.stderr.strip()}")
    return done.stdout


def _feed(command: Sequence[str], text: str) -> None:
    done = subprocess.run([*command, "-"], input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NewsletterError(f"crontab refused the lines: {done.stderr.strip()}")
