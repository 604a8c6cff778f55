"""systemd units, named after the list: a service and a timer for each job, and one service that tells of failures."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from newsletter.errors import NewsletterError
from newsletter.schedule.cron import bounces_minute, quarters
from newsletter.schedule.job import Job

# A line in each unit says which configuration it is for. systemd ignores keys that begin with X- (systemd.unit(5)).
MARK: Final = "X-Newsletter-Config"

_LONGEST: Final = 200  # characters of a list's name in the name of a unit, which has 255 (systemd.unit(5))

# Exit code 75 asks for another try (sysexits.h). The timers of `send` make it, so that unit has not failed. `run` and
# `bounces` are tried again here; when they have used up their tries, the unit has failed, and OnFailure= tells of it.
_AGAIN: Final = """\
Restart=on-failure
RestartSec={minutes}min
RestartPreventExitStatus=1 2 78
"""

# Needs a mount namespace of its own, which systemd's user manager often may not make.
_FILES: Final = """\
PrivateDevices=true
ProtectControlGroups=true
ProtectKernelLogs=true
ProtectKernelModules=true
ProtectKernelTunables=true
ProtectProc=invisible
ProcSubset=pid
CapabilityBoundingSet=
PrivateUsers=true
ProtectClock=true
ProtectHostname=true
RemoveIPC=true
"""

_CALLS: Final = """\
NoNewPrivileges=true
LockPersonality=true
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=true
RestrictRealtime=true
RestrictSUIDSGID=true
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
"""


@dataclass(frozen=True, slots=True)
class _Kind:
    """A job of the table below: the subcommand, what it does, and its lines for [Unit] and [Service]."""

    subcommand: str
    about: str
    unit: str = ""
    service: str = ""


_RUN: Final = _Kind(
    "run",
    "make and send the {issue}",
    "StartLimitIntervalSec=12h\nStartLimitBurst=8\n",
    _AGAIN.format(minutes=15),
)
_SEND: Final = _Kind("send", "send copies that are still owed", "", "SuccessExitStatus=75\n")
_BOUNCES: Final = _Kind(
    "bounces",
    "read the bounce mailbox",
    "StartLimitIntervalSec=50min\nStartLimitBurst=3\n",
    _AGAIN.format(minutes=10),
)


def base_name(list_id: str) -> str:
    """The name that the units of a list begin with; every character in it is safe in names of units and files."""
    return f"newsletter-{re.sub(r'[^A-Za-z0-9._-]', '_', list_id.lower())[:_LONGEST]}"


def units(job: Job, *, system: bool = True) -> dict[str, str]:
    """The unit files, name to text. systemd converts the time zone.

    Units of the system run as `job.user` and are fenced in; those of a user's own manager (`system` False) only as far
    as that is possible without privileges. Raises NewsletterError for units of the system that would run as root.
    """
    if system and job.user is None:
        raise NewsletterError(
            f"{job.config} belongs to root, and the newsletter never runs as root: give its folder to an account of its"
            f" own, such as `useradd --system newsletter` and `chown -R newsletter {job.config.parent}`"
        )
    base = base_name(job.list_id)
    found = {
        f"{base}.service": _service(job, base, _RUN, system=system),
        f"{base}.timer": _timer(job, f"*-*-* {job.at:%H:%M}:00 {job.zone.key}", "once a day"),
        f"{base}-send.service": _service(job, base, _SEND, system=system),
        f"{base}-send.timer": _timer(job, f"*:{quarters(job.at.minute)}/15", "every quarter of an hour"),
        f"{base}-failed@.service": _failed(job, system=system),
    }
    if job.bounces:
        found[f"{base}-bounces.service"] = _service(job, base, _BOUNCES, system=system)
        found[f"{base}-bounces.timer"] = _timer(job, f"*:{bounces_minute(job.at.minute):02}", "every hour")
    if job.workers:
        found[f"{base}-worker@.service"] = _worker(job, base, system=system)
    return found


def _service(job: Job, base: str, kind: _Kind, *, system: bool) -> str:
    about = f"{job.list_id}: {kind.about.format(issue=job.issue)}"
    return f"""\
{_head(job, about)}OnFailure={base}-failed@{kind.subcommand}.service
{kind.unit}
[Service]
Type=oneshot
{_exec(job, kind.subcommand)}{kind.service}TimeoutStartSec=6h
{_fence(job, system=system)}"""


def _failed(job: Job, *, system: bool) -> str:
    """A template, which OnFailure= of the others starts with the subcommand that failed."""
    return f"""\
{_head(job, f"{job.list_id}: tell the operator that %i failed")}
[Service]
Type=oneshot
{_exec(job, "alert", "%i")}SuccessExitStatus=75
TimeoutStartSec=10min
{_fence(job, system=system)}"""


def _worker(job: Job, base: str, *, system: bool) -> str:
    """A template: `systemctl enable --now NAME-worker@1 NAME-worker@2` starts two workers."""
    return f"""\
{_head(job, f"{job.list_id}: worker %i")}OnFailure={base}-failed@worker.service

[Service]
Type=exec
{_exec(job, "worker")}Restart=always
RestartSec=5
RestartPreventExitStatus=2 78
TimeoutStopSec=30
{_fence(job, system=system)}
[Install]
WantedBy={"multi-user" if system else "default"}.target
"""


def _head(job: Job, about: str) -> str:
    return f"""\
[Unit]
Description={about}
{_mark(job.config)}
Wants=network-online.target
After=network-online.target
"""


def _exec(job: Job, *rest: str) -> str:
    """Who runs what, and where. `rest` is a subcommand with its arguments, in the syntax of units."""
    user = f"User={job.user}\n" if job.user else ""
    words = " ".join([*(_quoted(word) for word in job.words()), *rest])
    return f"{user}WorkingDirectory={_for_unit(str(job.config.parent))}\nExecStart={words}\n"


def _fence(job: Job, *, system: bool) -> str:
    """What the jobs may not do.

    With a set-group-ID program almost nothing is forbidden: every line of `_CALLS` and most of `_FILES` would take that
    right from it (systemd.exec(5), NoNewPrivileges=). Other programs may write to the home folder, and may be compiled
    while they run, as with Node.js.
    """
    lines = ["UMask=0077\n"]
    if system:
        lines.append(_places(job))
    if not job.sendmail:
        lines += [_FILES if system else "", _CALLS, "" if job.programs else "MemoryDenyWriteExecute=true\n"]
    return "".join(lines)


def _places(job: Job) -> str:
    """Which folders the jobs can write to, and see; also the program must be among the latter."""
    if job.sendmail:
        return "ProtectSystem=full\nProtectControlGroups=true\n"
    folders = tuple(dict.fromkeys((job.config.parent, *job.writes)))
    seen = (*folders, *map(Path, job.command))
    shared = any(path.is_relative_to(top) for path in seen for top in ("/tmp", "/var/tmp"))  # noqa: S108
    temporary = "" if shared else "PrivateTmp=true\n"  # which would hide them
    if job.programs:
        return f"ProtectSystem=full\n{temporary}"
    writes = " ".join(_quoted(f"-{folder}", dollar="$") for folder in folders)
    return f"ProtectSystem=strict\nProtectHome=read-only\nReadWritePaths={writes}\n{temporary}"


def _timer(job: Job, calendar: str, when: str) -> str:
    return f"""\
[Unit]
Description={job.list_id}: {when}
{_mark(job.config)}

[Timer]
OnCalendar={calendar}
Persistent=true

[Install]
WantedBy=timers.target
"""


def _mark(config: Path) -> str:
    return f"{MARK}={json.dumps(str(config))}"  # quoted, so that nothing at its end continues the line


# --- reading units ---------------------------------------------------------------------------------------------------


def config_of(unit: str) -> Path | None:
    """The configuration that a unit of ours is for; None if the text is no unit of this program.

    Units of version 0.2 have no mark: the words of ExecStart= say it.
    """
    for line in unit.splitlines():
        key, _, value = line.partition("=")
        if key == MARK:
            try:
                return Path(str(json.loads(value)))
            except ValueError:
                return None
    words = command_of(unit)
    if len(words) >= 3 and words[-3] == "-c" and words[-1] in ("run", "send", "bounces", "worker"):
        return Path(words[-2])
    return None


def command_of(unit: str) -> list[str]:
    """The words of the command that a unit runs, without quotes and escapes; empty if it runs none."""
    return next((list(_words(line)) for line in unit.splitlines() if line.startswith("ExecStart=")), [])


def _words(line: str) -> Iterator[str]:
    for quoted, plain in re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', line.partition("=")[2]):
        yield re.sub(r"\\(.)", r"\1", quoted or plain).replace("%%", "%").replace("$$", "$")


def _for_unit(text: str) -> str:
    """Escape %, which begins a specifier in a unit file (systemd.unit(5))."""
    return text.replace("%", "%%")


def _quoted(word: str, dollar: str = "$$") -> str:
    """Quote one word for ExecStart, where systemd also expands $ (systemd.service(5), section command lines).

    `dollar` is what a $ is written as; other lines than commands take it as it is.
    """
    escaped = _for_unit(word).replace("\\", "\\\\").replace('"', '\\"').replace("$", dollar)
    return f'"{escaped}"' if any(c in escaped for c in " \t'\"\\;") else escaped
