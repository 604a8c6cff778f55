"""Installs and removes unit files. What is to be done is decided in `plan`, and done by `install_units`."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from newsletter.errors import NewsletterError
from newsletter.schedule.systemd import MARK, config_of

_SYSTEM: Final = Path("/etc/systemd/system")

# What version 0.2 called the units of every list: the last one installed was the only one that ran.
_FORMER: Final = (
    "newsletter.service",
    "newsletter.timer",
    "newsletter-send.service",
    "newsletter-send.timer",
    "newsletter-bounces.service",
    "newsletter-bounces.timer",
    "newsletter-worker@.service",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """Unit files to write, those to remove, and those in the way: names of units, and whose each is."""

    write: Mapping[str, str]
    remove: Sequence[str]
    foreign: Mapping[str, str]


def plan(wanted: Mapping[str, str], there: Mapping[str, str], config: Path) -> Plan:
    """What to do so that `wanted` are the units of `config` (absolute), where `there` are the units now.

    Both are names and texts. A unit that another configuration or a person wrote is never touched.
    """
    owners = {name: _owner(name, there) for name in there}
    mine = [name for name, owner in owners.items() if owner == config]
    foreign = {
        name: str(owner) if (owner := owners[name]) is not None else "something else"
        for name in wanted
        if name in there and owners[name] != config
    }
    return Plan(wanted, sorted(set(mine) - set(wanted)), foreign)


def _owner(name: str, there: Mapping[str, str]) -> Path | None:
    """The configuration that a unit is for. A timer of version 0.2 belongs to the service of its name."""
    if MARK in there[name]:
        return config_of(there[name])
    if name in _FORMER:
        return config_of(there.get(f"{name.rpartition('.')[0]}.service", ""))
    return None  # a person wrote it, even if it runs `newsletter`


# --- doing it --------------------------------------------------------------------------------------------------------


def folder_of_units(*, system: bool) -> Path:
    """Where unit files are: those of the system, or those of this user."""
    if system:
        return _SYSTEM
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd/user"


def install_units(files: Mapping[str, str], config: Path, *, system: bool) -> Iterator[str]:
    """Write the unit files, remove those that `config` (absolute) no longer needs, and start the timers.

    Yields one line for each step done. Raises NewsletterError; nothing is written if a unit is another list's.
    """
    if shutil.which("systemctl") is None:
        raise NewsletterError("there is no systemctl command on this machine; use `newsletter schedule cron`")
    folder = folder_of_units(system=system)
    planned = plan(files, _there(folder), config)
    for name, whose in planned.foreign.items():
        raise NewsletterError(
            f"{folder / name} belongs to {whose}; nothing was written. Each list needs a list_id of its own, or remove"
            f" the units of the other one with `newsletter -c ITS-CONFIG schedule remove`"
        )
    yield from _removed(folder, planned.remove, system=system)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in planned.write.items():
        (folder / name).write_text(text, "utf-8")
        yield f"wrote {folder / name}"
    timers = [name for name in files if name.endswith(".timer")]
    _systemctl(["daemon-reload"], system=system)
    _systemctl(["enable", "--now", *timers], system=system)
    yield from (f"started {name}" for name in timers)


def remove_units(config: Path, *, system: bool) -> Iterator[str]:
    """Stop and remove all units that were installed for `config` (absolute); yields one line for each.

    Raises NewsletterError.
    """
    folder = folder_of_units(system=system)
    yield from _removed(folder, plan({}, _there(folder), config).remove, system=system)


def _there(folder: Path) -> dict[str, str]:
    """The unit files of a folder whose names begin as ours do. Links are left out: nobody but a person makes them."""
    found = [path for path in sorted(folder.glob("newsletter*")) if path.suffix in (".service", ".timer")]
    return {path.name: path.read_text("utf-8", "replace") for path in found if path.is_file()}


def _removed(folder: Path, names: Sequence[str], *, system: bool) -> Iterator[str]:
    if not names:
        return
    if shutil.which("systemctl") is not None:
        instances = [link.name for name in names if "@." in name for link in _instances(folder, name)]
        started = [name for name in names if "@." not in name and name.endswith(".timer")]
        if started or instances:
            _systemctl(["disable", "--now", *started, *instances], system=system)
    for name in names:
        (folder / name).unlink(missing_ok=True)
        yield f"removed {folder / name}"
    if shutil.which("systemctl") is not None:
        _systemctl(["daemon-reload"], system=system)


def _instances(folder: Path, template: str) -> Iterator[Path]:
    """The instances of a template that were enabled."""
    before, _, after = template.partition("@.")
    return folder.glob(f"*.wants/{before}@*.{after}")


def _systemctl(words: Sequence[str], *, system: bool) -> None:
    scope = [] if system else ["--user"]
    done = subprocess.run(
        [shutil.which("systemctl") or "systemctl", *scope, *words], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise NewsletterError(f"systemctl {' '.join(words)} failed: {done.stderr.strip()}")
