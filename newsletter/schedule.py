"""Crontab lines and systemd units that run `newsletter`, and their installation.

There are two jobs: `run` once a day, and `send` every 15 minutes, which sends copies that a server deferred
(greylisting) or a crash left, and prints nothing when none is owed. With a bounce mailbox there is a third, `bounces`,
every hour.
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
    """What to run and when: the words of the command, the config (an absolute path), and the local time in `zone`.

    `bounces` adds the job that reads the bounce mailbox, and `workers` systemd's unit of workers. `user` is the account
    to run as, None for the current one. `back` is how many days before the run's date the newest ripe day is
    (`issue.settle`), which a comment says.

    Raises NewsletterError if a word has a line break: crontabs and unit files are read by lines, and have no escape.
    """

    command: tuple[str, ...]
    config: Path
    at: time
    zone: ZoneInfo
    bounces: bool = False
    workers: bool = False
    user: str | None = None
    back: int = 0

    def __post_init__(self) -> None:
        broken = next((word for word in self.words("run") if not {"\n", "\r", "\0"}.isdisjoint(word)), None)
        if broken is not None:
            raise NewsletterError(f"{broken!r} has a line break and cannot be scheduled; move it to another path")

    def moment(self, now: datetime) -> datetime:
        """When the daily job runs on the day that `now` (aware) has in `zone`."""
        return datetime.combine(now.astimezone(self.zone).date(), self.at, self.zone)

    @property
    def issue(self) -> str:
        """Which issue the daily job makes, in words."""
        if self.back <= 0:
            return "issue of the day"
        return "issue of the day before" if self.back == 1 else f"issue of {self.back} days before"

    def words(self, subcommand: str) -> list[str]:
        """The words of the command line that runs `subcommand`."""
        return [*self.command, "-c", str(self.config), subcommand]


def owner(config: Path) -> str | None:
    """The account that owns `config`: its name, or its number if it has none; None if it is root.

    A job that ran as root would create files (the database, its locks) that this account cannot open.
    """
    uid = config.stat().st_uid
    if uid == 0:
        return None
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def crontab(job: Job, now: datetime) -> str:
    """The lines for a user's crontab. cron uses the system's time zone, so `job.at` is converted. `now` is aware."""
    local = job.moment(now).astimezone(now.tzinfo)
    begin, end = _BEGIN.format(config=job.config), _END.format(config=job.config)
    moved = "" if local.time() == job.at else f", which is {local:%H:%M} on this machine's clock today"
    log = shlex.quote(str(job.config.parent / "newsletter.log"))
    read = f"{_bounces_minute(local.minute)} * * * * {_for_cron(job.words('bounces'))} >> {_percent(log)}"
    return "\n".join(
        (
            begin,
            f"# The {job.issue} at {job.at:%H:%M} {job.zone.key}{moved}. cron mails you the errors.",
            f"{local.minute} {local.hour} * * * {_for_cron(job.words('run'))} >> {_percent(log)}",
            "# Copies that are still owed, because a server deferred them or a run was cut short.",
            f"{_quarters(local.minute)} * * * * {_for_cron(job.words('send'))} >> {_percent(log)}",
            *(["# The bounce mailbox: bounces, complaints, unsubscribe mails.", read] if job.bounces else []),
            end,
            "",
        )
    )


def _quarters(minute: int) -> str:
    """Every 15 minutes, 7 minutes apart from the daily run, which would find the lock held in the same minute."""
    return f"{(minute + 7) % 15}-59/15"


def _bounces_minute(minute: int) -> int:
    """The minute of the hourly job: one that neither of the other jobs uses."""
    return (minute + 11) % 60


def _for_cron(words: list[str]) -> str:
    return _percent(shlex.join(words))


def _percent(text: str) -> str:
    """Escape %, which ends the command in a crontab (crontab(5))."""
    return text.replace("%", r"\%")


def units(job: Job) -> dict[str, str]:
    """The systemd unit files, name to text: a service and a timer for each job. systemd converts the time zone."""
    found = {
        "newsletter.service": _service(job, "run", f"Daily papers: make and send the {job.issue}"),
        "newsletter.timer": _timer(f"*-*-* {job.at:%H:%M}:00 {job.zone.key}", "Daily papers: once a day"),
        "newsletter-send.service": _service(job, "send", "Daily papers: send copies that are still owed"),
        "newsletter-send.timer": _timer(f"*:{(job.at.minute + 7) % 15}/15", "Daily papers: every quarter of an hour"),
    }
    if job.bounces:
        found["newsletter-bounces.service"] = _service(job, "bounces", "Daily papers: read the bounce mailbox")
        found["newsletter-bounces.timer"] = _timer(f"*:{_bounces_minute(job.at.minute):02}", "Daily papers: every hour")
    if job.workers:
        found["newsletter-worker@.service"] = _worker(job)
    return found


def _worker(job: Job) -> str:
    """A template: `systemctl enable --now newsletter-worker@1 newsletter-worker@2` starts two workers."""
    user = f"User={job.user}\n" if job.user else ""
    return f"""\
[Unit]
Description=Daily papers: worker %i
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
{user}WorkingDirectory={_for_unit(str(job.config.parent))}
ExecStart={" ".join(_quoted(word) for word in job.words("worker"))}
Restart=always
RestartSec=5
RestartPreventExitStatus=2 78
TimeoutStopSec=30

[Install]
WantedBy=multi-user.target
"""


def _service(job: Job, subcommand: str, description: str) -> str:
    # Exit code 75 asks for another try. The timer of `send` makes it, so the unit has not failed.
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
    """Escape %, which begins a specifier in a unit file (systemd.unit(5))."""
    return text.replace("%", "%%")


def _quoted(word: str) -> str:
    """Quote one word for ExecStart, where systemd also expands $ (systemd.service(5), section command lines)."""
    escaped = _for_unit(word).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{escaped}"' if any(c in escaped for c in " \t'\"\\;") else escaped


# --- installing ------------------------------------------------------------------------------------------------------


def install_crontab(lines: str, user: str | None = None) -> None:
    """Put `lines` into a crontab, replacing an earlier installation for the same config.

    `user` names the crontab's owner, which only root may do; None is the current account. Raises NewsletterError.
    """
    program = shutil.which("crontab")
    if program is None:
        raise NewsletterError("there is no crontab command on this machine; install cron first")
    command = [program, "-u", user] if user else [program]
    listed = subprocess.run([*command, "-l"], capture_output=True, text=True, check=False)
    _feed(command, replace_block(listed.stdout if listed.returncode == 0 else "", lines))


def replace_block(crontab_text: str, lines: str) -> str:
    """`crontab_text` with the block `lines` at its end, without an older block with the same first and last line."""
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
    """Write the unit files to systemd's folder and start the timers: for the system as root, else for the user.

    Returns one line for each step done. Raises NewsletterError.
    """
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
