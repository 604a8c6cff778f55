"""The store: can it be used and written, is it sound and of this version, is there room, and is anybody subscribed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from newsletter.check.remedies import WANTED, account, given_to_us
from newsletter.check.values import Command, Context, Finding, Level, SetKey, bad, ok, quoted, warn
from newsletter.errors import (
    ConfigError,
    MissingExtra,
    StoreAway,
    StoreBusy,
    StoreError,
    StoreForbidden,
    StoreFull,
    StoreOutdated,
    WitnessUnreadable,
)
from newsletter.model import CachedResponse, SubscriberStatus
from newsletter.store import Store
from newsletter.store.survey import StoreState, Survey, sqlite_file, survey
from newsletter.text import count

_PATIENCE: Final = 4.0  # seconds for another process's lock: only an import holds it for three
_BESIDE: Final = ("-wal", "-shm", ".queue", ".lock")  # files beside the store that another account may have made
_LEAST: Final = 50_000_000  # bytes free: a day's issue for 100,000 readers takes about half of that
_LITTLE: Final = 500_000_000


@dataclass(frozen=True)
class Space:
    """A file system as seen from a folder: bytes and files that may still be written there."""

    folder: Path
    free: int
    files: int


def store(context: Context) -> Iterator[Finding]:
    """Everything about the store. Leaves it open in the context if it can be used as it is."""
    file = sqlite_file(context.config.store)
    refused = list(_modes(file)) if file is not None else []
    yield from refused
    if file is not None and file.parent.is_dir():
        yield from judge_space(space(file.parent))
    try:
        found = survey(context.config.store, busy_timeout=_PATIENCE)
    except (StoreError, ConfigError, MissingExtra) as error:
        if not refused:
            yield _unusable(context, file, error)
        return
    yield from _judge(context, found)


def _modes(file: Path) -> Iterator[Finding]:
    """Whether the file and its folder may be written, by their modes: root always may, the daily job may not."""
    for path in (file.parent, file, *(file.with_name(f"{file.name}{end}") for end in _BESIDE)):
        if not path.exists():
            continue
        mode = path.stat().st_mode
        if not mode & 0o200:
            yield bad("store", f"{path} has mode {mode & 0o777:04o}: its owner cannot write", _chmod(path), 1)
        elif not os.access(path, os.W_OK):
            beside = "; SQLite writes files beside the store too" if path == file.parent else ""
            said = f"{path} cannot be written by {account()}{beside}"
            yield bad("store", said, given_to_us(path), 1)


def _chmod(path: Path) -> Command:
    return Command(f"chmod u+w {quoted(path)}")


def space(folder: Path) -> Space:
    """How much room there is."""
    found = os.statvfs(folder)
    return Space(folder, found.f_bavail * found.f_frsize, found.f_favail if found.f_files else 1_000_000)


def judge_space(found: Space) -> Iterator[Finding]:
    """Whether the next issues fit on the disk."""
    remedy = Command(f"cd {quoted(found.folder)} && rm FILES-THAT-NOBODY-NEEDS")
    if found.files < 100:
        yield bad("store", f"the file system of {found.folder} takes only {found.files} more files", remedy, 75)
    elif found.free < _LEAST:
        yield bad("store", f"the disk of {found.folder} is almost full: {found.free / 1e6:.0f} MB are free", remedy, 75)
    elif found.free < _LITTLE:
        yield warn("store", f"the disk of {found.folder} is getting full: {found.free / 1e6:.0f} MB are free", remedy)


def _unusable(context: Context, file: Path | None, error: StoreError | ConfigError | MissingExtra) -> Finding:
    """The finding for a database that could not be opened or written."""
    said = str(error)
    if isinstance(error, MissingExtra):
        return bad("store", said, Command("pip install 'daily-papers-newsletter[postgres]'"))
    if isinstance(error, StoreBusy):
        holder = _holder(file) if file is not None else None
        return bad("store", f"{said} (waited {_PATIENCE:.0f} s)", Command(f"kill {holder or 'PID'}"), 75)
    if file is None or isinstance(error, StoreAway):
        return bad("store", said, SetKey("store", WANTED["store"]), error.exit_code)
    if isinstance(error, ConfigError):
        make = Command(f"mkdir -p {quoted(file.parent)}") if not file.parent.exists() else None
        return bad("store", said, make or SetKey("store", "sqlite:///newsletter.db"))
    if file.is_dir():
        inside = SetKey("store", f"sqlite:///{file / 'newsletter.db'}")
        return bad("store", f"{file} is a folder, and a store is a file", inside)
    if isinstance(error, StoreForbidden):
        return bad("store", said, given_to_us(file), error.exit_code)
    if isinstance(error, StoreFull):
        return bad("store", said, Command(f"cd {quoted(file.parent)} && rm FILES-THAT-NOBODY-NEEDS"), 75)
    return bad("store", said, _restore(file), error.exit_code)


def _restore(file: Path) -> Command:
    """Keep what is there, and put a backup in its place.

    The old write-ahead log is moved too, so that SQLite does not apply it to the new file.
    """
    aside = quoted(file.parent / "damaged")
    moved = f"mkdir -p {aside}; mv {quoted(file)} {aside}; mv {quoted(f'{file}-wal')} {quoted(f'{file}-shm')} {aside}"
    return Command(f"{moved} 2>/dev/null; cp BACKUP {quoted(file)}")


def _holder(file: Path) -> int | None:
    """The process that holds a lock on the database, as Linux tells; None if it does not."""
    inodes = set()
    for each in (file, file.with_name(f"{file.name}-shm"), file.with_name(f"{file.name}.queue")):
        if each.exists():
            inodes.add(str(each.stat().st_ino))
    try:
        lines = Path("/proc/locks").read_text("utf-8").splitlines()
    except OSError:
        return None
    for words in map(str.split, lines):
        if "WRITE" in words and "->" not in words:
            at = words.index("WRITE")
            if words[at + 2].rpartition(":")[2] in inodes and words[at + 1] not in ("-1", str(os.getpid())):
                return int(words[at + 1])
    return None


def _judge(context: Context, found: Survey) -> Iterator[Finding]:
    """By the state of the schema."""
    config, file = context.config, found.file
    witness = config.witness_file or (file.with_name(f"{file.name}.witness") if file else None)
    if found.state in (StoreState.ABSENT, StoreState.EMPTY, StoreState.UNUSED):
        yield from _not_begun(context, found, witness)
    elif found.state is not StoreState.CURRENT:
        yield _of_another(context, found)
    else:
        if witness is not None and (file is None or witness.parent != file.parent):
            yield from _witness(witness)
        yield from _content(context, _name(file))


def _name(file: Path | None) -> str:
    return str(file or "the database")


def _not_begun(context: Context, found: Survey, witness: Path | None) -> Iterator[Finding]:
    """A store without tables: a new one, or one that is lost."""
    file = found.file
    if file is not None and found.state is not StoreState.UNUSED:
        if witness is not None and witness.exists():
            said = f"{file} is {found.state}, and {witness} says that it has sent issues"
            yield bad("store", said, Command(f"cp BACKUP {quoted(file)}"), 1)
            return
        if not file.parent.is_dir():
            yield bad("store", f"the folder {file.parent} does not exist", Command(f"mkdir -p {quoted(file.parent)}"))
            return
    if file is not None and found.state is StoreState.EMPTY:
        said = f"{file} has 0 bytes: a copy or a disk that was full may have cut it off"
        yield bad("store", said, Command(f"rm {quoted(file)}"), 1)
    yield warn("store", "nobody is subscribed: there is no list yet", context.command("subscribers add ADDRESS"))


def _of_another(context: Context, found: Survey) -> Finding:
    """A store with the tables of another version, or of another program."""
    name = _name(found.file)
    if found.state is StoreState.OLDER:
        copied = f'sqlite3 {quoted(name)} ".backup {name}.before-upgrade" && ' if found.file else ""
        said = f"{name} has the schema {found.revision} of an older version; the next command upgrades it"
        return warn("store", said, Command(f"{copied}{context.command('status').line}"))
    if found.state is StoreState.NEWER:
        said = f"{name} was made by a newer version of this program (schema {found.revision})"
        return bad("store", said, Command("pip install --upgrade daily-papers-newsletter"))
    return bad("store", f"{name} has the tables of another program", SetKey("store", "sqlite:///newsletter.db"))


def _witness(witness: Path) -> Iterator[Finding]:
    """Whether the witness can be written. Issues go out without it, and nothing then tells an old copy of the store."""
    folder = witness.parent
    if not folder.is_dir():
        said = f"the folder {folder} of the witness does not exist, so that nothing tells an old copy of the store"
        yield warn("store", said, Command(f"mkdir -p {quoted(folder)}"))
    elif not os.access(folder, os.W_OK):
        said = f"{folder} cannot be written by {account()}: the witness is replaced there after each issue"
        yield warn("store", said, given_to_us(folder))


class _Unchanged(Store):
    """The store without its feed cache: what the doctor fetches is not kept."""

    def cache(self, answer: CachedResponse) -> None:
        """Keep nothing."""


def _content(context: Context, name: str) -> Iterator[Finding]:
    config = context.config
    store = _Unchanged.open(config.store, busy_timeout=_PATIENCE, witness=config.witness_file)
    try:
        store.check()
        context.store = store
        store.check_provenance()
        found = list(_readers(context, store))
    except StoreOutdated as error:
        yield bad("store", str(error), context.command("send --trust-store"), error.exit_code)
        return
    except StoreError as error:
        context.store = None
        store.close()
        if isinstance(error, WitnessUnreadable):  # the store itself is sound
            folder = Command(f"rmdir {quoted(error.path)}") if error.path.is_dir() else None
            yield bad("store", str(error), folder or given_to_us(error.path), error.exit_code)
            return
        yield _unusable(context, sqlite_file(config.store), error)
        return
    yield from found
    if not any(finding.level is Level.BAD for finding in found):
        active = store.count_subscribers()[SubscriberStatus.ACTIVE]
        yield ok("store", f"{name}: {count(active, 'active subscriber')}")


def judge_room(active: int, per_day: Sequence[int | None]) -> Iterator[Finding]:
    """Whether an issue for so many readers leaves within a day; `per_day` are the servers' limits, None for none."""
    most = sum(limit or 0 for limit in per_day)
    if None in per_day or most >= active:
        return
    said = f"smtp.per_day lets {most} copies a day through, and {active} readers are subscribed: issues are late"
    yield warn("store", said, SetKey("smtp.0.per_day", str(active - most + (per_day[0] or 0))))


def _readers(context: Context, store: Store) -> Iterator[Finding]:
    """Whether there is somebody to send to, and the canary among them."""
    active = store.count_subscribers()[SubscriberStatus.ACTIVE]
    if not active:
        yield warn("store", "nobody is subscribed", context.command("subscribers add ADDRESS"))
    if "smtp" not in context.faulty:
        yield from judge_room(active, [server.per_day for server in context.config.smtp])
    canary = context.config.sending.canary
    reader = store.find(canary) if canary else None
    if canary and (reader is None or reader.status is not SubscriberStatus.ACTIVE):
        said = f"sending.canary {canary} is not subscribed: every issue will be paused"
        yield bad("store", said, context.command(f"subscribers add {quoted(canary)}"))
