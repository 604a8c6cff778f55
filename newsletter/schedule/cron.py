"""Crontab lines."""

from __future__ import annotations

import shlex
from datetime import datetime
from pathlib import Path
from typing import Final

from newsletter.schedule.job import Job

_BEGIN: Final = "# newsletter {config}: begin"
_END: Final = "# newsletter {config}: end"


def crontab(job: Job, now: datetime) -> str:
    """The lines for a user's crontab. cron uses the system's time zone, so `job.at` is converted. `now` is aware."""
    local = job.moment(now).astimezone(now.tzinfo)
    begin, end = marks(job.config)
    moved = "" if local.time() == job.at else f", which is {local:%H:%M} on this machine's clock today"
    log = shlex.quote(str(job.config.parent / "newsletter.log"))
    read = f"{bounces_minute(local.minute)} * * * * {_for_cron(job.words('bounces'))} >> {_percent(log)}"
    return "\n".join(
        (
            begin,
            f"# The {job.issue} at {job.at:%H:%M} {job.zone.key}{moved}. cron mails you the errors.",
            f"{local.minute} {local.hour} * * * {_for_cron(job.words('run'))} >> {_percent(log)}",
            "# Copies that are still owed, because a server deferred them or a run was cut short.",
            f"{quarters(local.minute)}-59/15 * * * * {_for_cron(job.words('send'))} >> {_percent(log)}",
            *(["# The bounce mailbox: bounces, complaints, unsubscribe mails.", read] if job.bounces else []),
            end,
            "",
        )
    )


def marks(config: Path) -> tuple[str, str]:
    """The first and the last line of what is installed for `config` (absolute)."""
    return _BEGIN.format(config=config), _END.format(config=config)


def quarters(minute: int) -> int:
    """The first of the minutes, 15 apart, that are 7 minutes from the daily run, which would find the lock held."""
    return (minute + 7) % 15


def bounces_minute(minute: int) -> int:
    """The minute of the hourly job: one that neither of the other jobs uses."""
    return (minute + 11) % 60


def _for_cron(words: list[str]) -> str:
    return _percent(shlex.join(words))


def _percent(text: str) -> str:
    """Escape %, which ends the command in a crontab (crontab(5))."""
    return text.replace("%", r"\%")
