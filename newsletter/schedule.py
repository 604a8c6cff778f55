"""Crontab lines and systemd units that call `newsletter` daily, and their installation.

Two jobs: `run` once a day, and `send` every quarter of an hour, which goes on with copies a server put off
(greylisting) or a crash left, and is silent when nothing is owed. With a bounce mailbox a third, `bounces`, every hour.
"""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from newsletter.errors import NewsletterError

_BEGIN: Final = "# newsletter {config}: begin"
_END: Final = "# newsletter {config}: end"


@dataclass(frozen=True, slots=True)
class Job:
    """What to call and when: the command's words, the config (absolute), and `at` in time zone `zone`.

    `bounces` says that there is a bounce mailbox to read. `user` is who runs it, where it would else be root.
    """

    command: tuple[str, ...]
    config: Path
    at: time
    zone: ZoneInfo
    bounces: bool = False
    user: str | None = None

    def words(self, subcommand: str) -> list[str]:
        """The command line of one of the jobs."""
        return [*self.command, "-c", str(self.config), subcommand]


def owner(config: Path) -> str | None:
    """Who owns `config`, by name or else by number; None if it is root.

    What runs as root leaves files beside it (the database, its locks) that the owner cannot open.
    """
    uid = config.stat().st_uid
    if uid == 0:
        return None
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def crontab(job: Job, now: datetime) -> str:
    """The lines for a user's crontab. cron knows only the system's zone, so `at` is converted; `now` is aware."""
    local = datetime.combine(now.astimezone(job.zone).date(), job.at, job.zone).astimezone(now.tzinfo)
    begin, end = _BEGIN.format(config=job.config), _END.format(config=job.config)
    moved = "" if local.time() == job.at else f", which is {local:%H:%M} on this machine's clock today"
    log = shlex.quote(str(job.config.parent / "newsletter.log"))
    read = f"{_bounces_minute(local.minute)} * * * * {_for_cron(job.words('bounces'))} >> {_percent(log)}"
    return "\n".join(
        (
            begin,
            f"# The issue of the day at {job.at:%H:%M} {job.zone.key}{moved}; what went wrong is mailed by cron.",
            f"{local.minute} {local.hour} * * * {_for_cron(job.words('run'))} >> {_percent(log)}",
            "# What is still owed: copies that a server put off, or that a crash left.",
            f"{_quarters(local.minute)} * * * * {_for_cron(job.words('send'))} >> {_percent(log)}",
            *(["# What came back: bounces, complaints, readers who leave by mail.", read] if job.bounces else []),
            end,
            "",
        )
    )


def _quarters(minute: int) -> str:
    """Every quarter of an hour, but never in the minute of the daily run, which would find the lock taken."""
    return f"{(minute + 7) % 15}-59/15"


def _bounces_minute(minute: int) -> int:
    """Once an hour is soon enough, beside the other two jobs."""
    return (minute + 11) % 60


def _for_cron(words: list[str]) -> str:
    return _percent(shlex.join(words))


def _percent(text: str) -> str:
    """In a crontab an unescaped % ends the command (crontab(5))."""
    return text.replace("%", r"\%")


def units(job: Job) -> dict[str, str]:
    """The systemd unit files by name: a service and a timer for each job. systemd converts the zone itself."""
    found = {
        "newsletter.service": _service(job, "run", "Daily papers: make and send the issue of the day"),
        "newsletter.timer": _timer(f"*-*-* {job.at:%H:%M}:00 {job.zone.key}", "Daily papers: once a day"),
        "newsletter-send.service": _service(job, "send", "Daily papers: send what is still owed"),
        "newsletter-send.timer": _timer(f"*:{(job.at.minute + 7) % 15}/15", "Daily papers: every quarter of an hour"),
    }
    if job.bounces:
        found["newsletter-bounces.service"] = _service(job, "bounces", "Daily papers: read what came back")
        found["newsletter-bounces.timer"] = _timer(f"*:{_bounces_minute(job.at.minute):02}", "Daily papers: every hour")
    return found


def _service(job: Job, subcommand: str, description: str) -> str:
    # 75 asks for another try, which the timer of `send` is: not a failure of the unit.
    user = f"User={job.user}\n" if job.user else ""
    return f"""\
[Unit]
Description={description}
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
{user}WorkingDirectory={_for_unit(str(job.config.parent))}
ExecStart={" ".join(_quoted(word) for word in job.words(subcommand))}
SuccessExitStatus=75
TimeoutStartSec=6h
"""


def _timer(calendar: str, description: str) -> str:
    return f"""\
[Unit]
Description={description}

[Timer]
OnCalendar={calendar}
Persistent=true

[Install]
WantedBy=timers.target
"""


def _for_unit(text: str) -> str:
    """A literal % is %% in a unit file (systemd.unit(5), specifiers)."""
    return text.replace("%", "%%")


def _quoted(word: str) -> str:
    """One word of ExecStart (systemd.service(5), command lines): $ is expanded too."""
    escaped = _for_unit(word).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{escaped}"' if any(c in escaped for c in " \t'\"\\;") else escaped


# --- installing ------------------------------------------------------------------------------------------------------


def install_crontab(lines: str, user: str | None = None) -> None:
    """Put `lines` into the crontab of `user` (only root may name one), in place of an earlier installation."""
    program = shutil.which("crontab")
    if program is None:
        raise NewsletterError("there is no crontab command on this machine; is cron installed?")
    command = [program, "-u", user] if user else [program]
    listed = subprocess.run([*command, "-l"], capture_output=True, text=True, check=False)
    _feed(command, replace_block(listed.stdout if listed.returncode == 0 else "", lines))


def replace_block(crontab_text: str, lines: str) -> str:
    """`crontab_text` with the block that `lines` is, new or in place of the one with the same begin and end."""
    begin, end = lines.splitlines()[0], lines.splitlines()[-1]
    kept: list[str] = []
    inside = False
    for line in crontab_text.splitlines():
        inside = inside or line == begin
        if not inside:
            kept.append(line)
        inside = inside and line != end
    return "".join(f"{line}\n" for line in kept) + lines


def _feed(command: Sequence[str], text: str) -> None:
    done = subprocess.run([*command, "-"], input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NewsletterError(f"crontab refused the lines: {done.stderr.strip()}")


def install_units(files: dict[str, str]) -> list[str]:
    """Write the units where systemd finds them and start the timers. Returns what was done, a line each."""
    system = os.geteuid() == 0
    folder = Path("/etc/systemd/system") if system else Path.home() / ".config/systemd/user"
    program = shutil.which("systemctl")
    if program is None:
        raise NewsletterError("there is no systemctl command on this machine; use `newsletter schedule cron`")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    scope = [] if system else ["--user"]
    timers = [name for name in files if name.endswith(".timer")]
    for words in (["daemon-reload"], ["enable", "--now", *timers]):
        done = subprocess.run([program, *scope, *words], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise NewsletterError(f"systemctl {' '.join(words)} failed: {done.stderr.strip()}")
    return [f"wrote {folder / name}" for name in files] + [f"started {name}" for name in timers]
