"""Whether something runs this list every day: a crontab, a systemd timer, or a history of daily runs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from newsletter import schedule as schedules
from newsletter.check.values import Command, Context, Finding, ok, quoted, warn

_UNITS: Final = ("/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system")
_CRONTABS: Final = ("/etc/crontab", "/etc/cron.d", "/etc/cron.daily")
_SECONDS: Final = 10.0
_RUNS: Final = 10  # of the last runs
_DAYS: Final = 3  # on so many days of them something ran


@dataclass(frozen=True, slots=True)
class Job:
    """Something that runs this list: where it is, and whether it is active."""

    where: str
    active: bool = True


def schedule(context: Context) -> Iterator[Finding]:
    """The jobs found; without any, the runs of the last days say whether something else does it."""
    path = context.path.absolute()
    jobs = [*_cron(path), *_timers(path)]
    active = [job for job in jobs if job.active]
    if len(places := list(dict.fromkeys(job.where for job in active))) > 1:
        said = f"{' and '.join(places)} run this list: the second finds the issue sent or being sent"
        yield warn("schedule", said, _without(places))
    elif active:
        yield ok("schedule", places[0])
    elif jobs:
        said = f"{jobs[0].where} is not enabled, so nothing runs by itself"
        yield warn("schedule", said, _systemctl("enable", jobs[0].where))
    elif days := _runs_daily(context):
        yield ok("schedule", f"no crontab or timer was found here, but it ran on {days} of the last days")
    else:
        said = "no crontab and no timer runs this list"
        yield warn("schedule", said, context.command("schedule cron --install"))


def _systemctl(verb: str, timer: str) -> Command:
    program = "systemctl --user" if "/.config/" in timer else "sudo systemctl"
    return Command(f"{program} {verb} --now {quoted(Path(timer).name)}")


def _without(places: Sequence[str]) -> Command:
    """End one of several schedules: a timer, which is ended by one command, else a file of the system."""
    timers = [place for place in places if place.endswith(".timer")]
    if timers:
        return _systemctl("disable", timers[-1])
    return Command(f"sudo ${{EDITOR:-vi}} {quoted(places[-1])}")


def runs(text: str, path: Path) -> bool:
    """Whether a line of a crontab, or an ExecStart, calls `run` on the configuration at `path`."""
    for line in text.splitlines():
        words = line.replace("%%", "%").replace(r"\%", "%").replace("$$", "$")
        if line.lstrip().startswith(("#", ";")) or (str(path) not in words and quoted(path) not in words):
            continue
        rest = words.partition(path.name)[2]
        if " run" in rest and "--dry-run" not in rest:
            return True
    return False


def _cron(path: Path) -> Iterator[Job]:
    program = shutil.which("crontab")
    try:
        owner = schedules.owner(path) if os.geteuid() == 0 else None
    except OSError:
        owner = None
    for command in ([program], [program, "-u", owner]):
        if None not in command and runs(_output([*filter(None, command), "-l"]), path):
            yield Job("crontab" if len(command) == 1 else f"crontab of {owner}")
    for place in map(Path, _CRONTABS):
        for file in sorted(place.iterdir()) if place.is_dir() else [place]:
            if runs(_text(file), path):
                yield Job(str(file))


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    except (OSError, subprocess.SubprocessError, UnicodeError):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _timers(path: Path) -> Iterator[Job]:
    """The timers of services that run this list, whatever the units are called."""
    folders = [Path(folder) for folder in _UNITS]
    with suppress(RuntimeError):  # an account without a name, as in a container, may have no home
        folders.append(Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd/user")
    for folder in folders:
        for service in sorted(folder.glob("*.service")):
            if not _calls_run(_text(service), path):
                continue
            for timer in sorted(folder.glob("*.timer")):
                unit = [
                    line.partition("=")[2].strip() for line in _text(timer).splitlines() if line.startswith("Unit=")
                ]
                if (unit or [f"{timer.stem}.service"])[0] == service.name:
                    wanted = folder / "timers.target.wants" / timer.name
                    yield Job(str(timer), wanted.is_symlink() or wanted.exists())


def _calls_run(unit: str, path: Path) -> bool:
    """Whether a service calls `run` on the configuration at `path`, by whatever name and in whatever shell."""
    words = schedules.command_of(unit)
    if str(path) in words:
        rest = words[words.index(str(path)) :]
        return "run" in rest and "--dry-run" not in rest
    return runs("\n".join(line for line in unit.splitlines() if line.startswith("ExecStart")), path)


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace")
    except OSError:
        return ""


def _runs_daily(context: Context) -> int:
    """On how many days of late something has run the list; 0 if too few, or not since the day before yesterday."""
    if context.store is None:
        return 0
    starts = [run.started_at for run in context.store.runs(_RUNS)]
    now = context.runtime.now()
    days = {start.date() for start in starts if now - start < timedelta(days=_RUNS)}
    recent = bool(starts) and now - max(starts) < timedelta(days=2)
    return len(days) if recent and len(days) >= _DAYS else 0
