"""Whether something runs this list every day: a crontab, a systemd timer, or a history of daily runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Final
from zoneinfo import available_timezones

from newsletter import schedule as schedules
from newsletter.check.values import Command, Context, Finding, ok, quoted, warn

_UNITS: Final = ("/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system")
_CRONTABS: Final = ("/etc/crontab", "/etc/cron.d", "/etc/cron.daily")
_SYSTEMCTL: Final = {True: "systemctl --user", False: "sudo systemctl"}  # for a user's own units
_SECONDS: Final = 10.0
_AT: Final = re.compile(r"\*-\*-\* (\d{1,2}):(\d{1,2})(?::(\d{1,2}))?(?: (?P<zone>[A-Z][\w+/-]*))?")
_DAILY: Final = "*-*-* 07:00:00"  # what takes the place of an event that systemd does not know
_RUNS: Final = 10  # of the last runs
_DAYS: Final = 3  # on so many days of them something ran


@dataclass(frozen=True, slots=True)
class Job:
    """Something that runs this list: where it is, whether it is active, and why it runs in vain, with what to do."""

    where: str
    active: bool = True
    fault: str = ""
    remedy: Command | None = None


def schedule(context: Context) -> Iterator[Finding]:
    """The jobs found; without any, the runs of the last days say whether something else does it."""
    path = context.path.absolute()
    program = context.options.program
    jobs = [*_cron(path, program), *_timers(path, program)]
    active = [job for job in jobs if job.active]
    if len(places := list(dict.fromkeys(job.where for job in active))) > 1:
        said = f"{' and '.join(places)} run this list: the second finds the issue sent or being sent"
        yield warn("schedule", said, _without(places))
    elif broken := next(iter(job for job in active if job.fault), None):
        yield warn("schedule", f"{broken.where}: {broken.fault}", broken.remedy or context.command("schedule cron"))
    elif active:
        yield ok("schedule", places[0])
    elif masked := next((job for job in jobs if job.fault), None):
        yield warn("schedule", f"{masked.where}: {masked.fault}", masked.remedy or context.command("schedule cron"))
    elif jobs:
        said = f"{jobs[0].where} is not enabled, so nothing runs by itself"
        yield warn("schedule", said, _systemctl("enable", jobs[0].where))
    elif days := _runs_daily(context):
        yield ok("schedule", f"no crontab or timer was found here, but it ran on {days} of the last days")
    else:
        said = "no crontab and no timer runs this list"
        yield warn("schedule", said, context.command("schedule cron --install"))


def _systemctl(verb: str, timer: str) -> Command:
    now = " --now" if verb != "unmask" else ""
    return Command(f"{_SYSTEMCTL['/.config/' in timer]} {verb}{now} {quoted(Path(timer).name)}")


def _without(places: Sequence[str]) -> Command:
    """End one of several schedules: a timer, which is ended by one command, else a file of the system."""
    timers = [place for place in places if place.endswith(".timer")]
    if timers:
        return _systemctl("disable", timers[-1])
    return Command(f"sudo ${{EDITOR:-vi}} {quoted(places[-1])}")


def runs(text: str, path: Path) -> bool:
    """Whether a line of a crontab, or an ExecStart, calls `run` on the configuration at `path`."""
    return _line(text, path) is not None


def _line(text: str, path: Path) -> tuple[int, str] | None:
    """The number (from 1) and the words of the first line that does so."""
    for number, line in enumerate(text.splitlines(), 1):
        if " run" not in line or line.lstrip().startswith(("#", ";")):
            continue
        words = line.replace("%%", "%").replace(r"\%", "%").replace("$$", "$")
        rest = _behind(words, path) or ""
        if " run" in rest and "--dry-run" not in rest:
            return number, line
    return None


def _behind(words: str, path: Path) -> str | None:
    """What stands in a line behind the name of the configuration, in full or in its folder; None for another list."""
    for name in (str(path), quoted(path)):
        if found := re.search(rf"(?<![^\s'\"=]){re.escape(name)}(?![^\s'\"])", words):
            return words[found.end() :]
    folder = "|".join(re.escape(name) for name in (str(path.parent), quoted(path.parent)))
    if not (moved := re.search(rf"\bcd ['\"]?(?:{folder})/?['\"]?\s*(?:&&|;)(?P<rest>.*)", words)):
        return None
    named = re.search(r"\s(?:-c|--config)[ =]['\"]?(?:\./)?([^\s'\"]+)", moved["rest"])
    return moved["rest"] if (named[1] if named else "config.yaml") == path.name else None


def _cron(path: Path, program: Sequence[str]) -> Iterator[Job]:
    crontab = shutil.which("crontab")
    try:
        owner = schedules.owner(path) if os.geteuid() == 0 else None
    except OSError:
        owner = None
    for command in ([crontab], [crontab, "-u", owner]):
        words = [word for word in command if word is not None]
        if None not in command and (found := _line(_output([*words, "-l"]), path)):
            called = " ".join(("crontab", *words[1:]))
            edit = f'lines=$({called} -l | sed {{}}) && printf "%s\\n" "$lines" | {called} -'  # else none if sed fails
            yield _judged("crontab" if len(command) == 1 else f"crontab of {owner}", *found, path, program, edit)
    for place in map(Path, _CRONTABS):
        for file in sorted(place.iterdir()) if place.is_dir() else [place]:
            if found := _line(_text(file), path):
                yield _judged(str(file), *found, path, program, f"sudo sed -i {{}} {quoted(file)}")


def _judged(where: str, number: int, line: str, path: Path, program: Sequence[str], edit: str) -> Job:
    """A line of a crontab. `edit` is the command that changes the crontab, with {} for what sed is to do."""
    if re.search(r"(?<!\\)%", line):  # crontab(5)
        mend = edit.format(quoted(rf"{number}s/\([^\]\)%/\1\\%/g"))
        return Job(where, fault=r"cron ends a command at %, which must be written \%", remedy=Command(mend))
    return _with_program(Job(where), number, line, path, program, edit)


def _with_program(job: Job, number: int, line: str, path: Path, program: Sequence[str], edit: str) -> Job:
    """The job, with a fault if there is no such program as `line` calls, as after a virtual environment was removed."""
    found = re.search(
        r"(?:^|[\s=])(/\S*/(?:newsletter|python[\d.]*))(?: -m newsletter)?\s", line.partition(str(path))[0]
    )
    if found is None or Path(found[1]).exists():
        return job
    old, new = found[0].strip().lstrip("="), " ".join(map(quoted, program))
    mend = edit.format(quoted(f"{number}s|{old}|{new}|"))
    return replace(job, fault=f"there is no program {found[1]}", remedy=Command(mend))


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    except (OSError, subprocess.SubprocessError, UnicodeError):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _timers(path: Path, program: Sequence[str] = ()) -> Iterator[Job]:
    """The timers of services that run this list, whatever the units are called."""
    yield from _timers_in([Path(folder) for folder in _UNITS], path, program)
    with suppress(RuntimeError, OSError):  # an account may have no home, or that of another by sudo
        own = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd/user"
        for job in _timers_in([own], path, program):
            yield _lingering(job) if job.active and not job.fault else job


def _lingering(job: Job) -> Job:
    """A timer of a user's own systemd, which ends with their last session unless they linger (loginctl(1))."""
    user = str(os.geteuid())
    if _output(["loginctl", "show-user", user, "--property=Linger"]).strip() != "Linger=no":
        return job
    return replace(
        job, fault="it does not run while you are logged out", remedy=Command(f"loginctl enable-linger {user}")
    )


def _timers_in(folders: Sequence[Path], path: Path, program: Sequence[str]) -> Iterator[Job]:
    """Those in the folders of one systemd, that of the machine or of a user. A unit may be enabled from another one."""
    for folder in folders:
        for timer in sorted(folder.glob("*.timer")):
            unit = [line.partition("=")[2].strip() for line in _text(timer).splitlines() if line.startswith("Unit=")]
            service = folder / (unit or [f"{timer.stem}.service"])[0]
            text = _text(service)
            if _calls_run(text, path):
                wanted = (each / "timers.target.wants" / timer.name for each in folders)
                job = Job(str(timer), any(link.is_symlink() or link.exists() for link in wanted))
                yield _judged_timer(job, timer, service, text, path, program)


def _judged_timer(job: Job, timer: Path, service: Path, text: str, path: Path, program: Sequence[str]) -> Job:
    """The job, with a fault if it is masked (systemctl(1)), has no time, or its program is not there."""
    user, analyze = "/.config/" in job.where, shutil.which("systemd-analyze")
    if timer.resolve() == Path(os.devnull):
        unmask, enable = _systemctl("unmask", job.where), _systemctl("enable", job.where)
        return replace(job, active=False, fault="it is masked", remedy=Command(f"{unmask.line} && {enable.line}"))
    for number, line in enumerate(_text(timer).splitlines(), 1):
        name, _, value = line.partition("=")
        if name.strip() == "OnCalendar" and value.strip() and not is_calendar(value.strip(), analyze):
            said = f"systemd ignores {line.strip()}, because that is no calendar event"
            mend = _edit(timer, user=user).format(quoted(f"{number}s/=.*/={_DAILY}/"))
            return replace(job, fault=said, remedy=Command(mend))
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.startswith("ExecStart=")]
    edit = _edit(service, user=user)
    found = (_with_program(job, number, f"{line} ", path, program, edit) for number, line in lines)
    return next((each for each in found if each.fault), job)


def _edit(unit: Path, *, user: bool) -> str:
    """The command that changes a unit, with {} for what sed is to do, and has systemd read it again."""
    return f"{'' if user else 'sudo '}sed -i {{}} {quoted(unit)} && {_SYSTEMCTL[user]} daemon-reload"


def is_calendar(value: str, analyze: str | None) -> bool:
    """Whether systemd takes a calendar event (systemd.time(7)), by systemd-analyze(1) at the path `analyze`.

    Without that program only what `newsletter schedule` writes is judged: a time of day, and perhaps its zone.
    """
    if analyze is not None:
        return _runs_well([analyze, "calendar", "--", value]) or not _runs_well([analyze, "calendar", "daily"])
    if not (found := _AT.fullmatch(value)):
        return True
    fits = (int(part) < most for part, most in zip(found.group(1, 2, 3), (24, 60, 60), strict=True) if part)
    return all(fits) and found["zone"] in (None, "UTC", *available_timezones())


def _runs_well(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=_SECONDS).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def _calls_run(unit: str, path: Path) -> bool:
    """Whether a service calls `run` on the configuration at `path`, by whatever name and in whatever shell."""
    words = schedules.command_of(unit)
    if str(path) in words:
        rest = words[words.index(str(path)) :]
        return "run" in rest and "--dry-run" not in rest
    lines = unit.splitlines()
    moved = [f"cd {line.partition('=')[2].strip()} && " for line in lines if line.startswith("WorkingDirectory=")]
    return runs("\n".join(f"{''.join(moved)}{line}" for line in lines if line.startswith("ExecStart")), path)


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace")
    except (OSError, ValueError):  # a unit may name whatever it likes
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
