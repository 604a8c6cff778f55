"""Lines for the log, on standard error. What a command prints for its caller, such as the verdict, is not among them.

Four forms: `plain` for a person at a terminal, `text` with time, level and day for people who read files and cron's
mails, `json` for programs, and the last with a level in front for journald, which files it under that priority.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, Final

import click

# Commands that a schedule or a service manager starts, so that somebody reads their lines later.
JOBS: Final = frozenset({"run", "send", "bounces", "worker", "web"})

CHOICES: Final = ("auto", "plain", "text", "json")


class Level(StrEnum):
    """How much a line matters."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


# The level in front of a line for journald (sd-daemon(3)), by syslog's numbers.
_PRIORITY: Final[Mapping[Level, int]] = {Level.ERROR: 3, Level.WARNING: 4, Level.INFO: 6}


class Log:
    """Where lines go, and in which form. One for the process: it is set once, by the command line."""

    def __init__(self) -> None:
        self.form = "plain"
        self.day: date | None = None
        self._journal = False

    def set_up(self, choice: str, command: str | None) -> None:
        """Choose the form: `choice` is one of CHOICES, `command` the name of the command that runs.

        `auto` is JSON for journald, and otherwise text for a job that runs without a terminal.
        """
        self.day = None
        self._journal = choice == "auto" and command in JOBS and to_journal(os.environ, sys.stderr)
        unattended = command in JOBS and not sys.stderr.isatty()
        automatic = "json" if self._journal else "text" if unattended else "plain"
        self.form = automatic if choice == "auto" else choice

    def say(self, level: Level, message: str, *, prefix: str = "", **more: Any) -> None:
        """Write a line. `prefix` stands in front of a plain one; `more` are further members of the JSON object."""
        now = datetime.now(UTC)
        if self.form == "plain":
            line = f"{prefix}{message}"
        elif self.form == "text":
            line = (
                f"{now:%Y-%m-%d %H:%M:%S} UTC  {level:<7}  {self.day.isoformat() if self.day else '-':<10}  {message}"
            )
        else:
            told = {
                "time": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "level": level,
                "day": self.day and self.day.isoformat(),
                "message": message,
            }
            line = json.dumps(told | more, ensure_ascii=False)
            if self._journal:
                line = f"<{_PRIORITY[level]}>{line}"
        click.echo(line, err=True)

    def warning(self, message: str, prefix: str = "warning: ") -> None:
        """Something is worse than it should be, and the command goes on."""
        self.say(Level.WARNING, message, prefix=prefix)

    def error(self, message: str) -> None:
        """The command has failed."""
        self.say(Level.ERROR, message, prefix="newsletter: ")

    def info(self, message: str) -> None:
        """Something that an operator may want to know."""
        self.say(Level.INFO, message, prefix="newsletter: ")


LOG: Final = Log()


def to_journal(environ: Mapping[str, str], stream: Any) -> bool:
    """Whether `stream` is the one that systemd has connected to journald (JOURNAL_STREAM, systemd.exec(5))."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError, AttributeError):  # a stream of a test has no file
        return False
    return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
