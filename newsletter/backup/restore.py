"""Restores a backup. Everything is checked before anything is touched."""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from newsletter import files
from newsletter.backup.manifest import LONGEST, NAME, Kind, Manifest, Part, parse
from newsletter.config import store_url_of
from newsletter.errors import BackupError
from newsletter.store import check_copy, file_of, readers_in, restore_copy

_PIECE: Final = 1 << 20  # bytes
_OUTSIDE: Final = "outside"  # folder for files that were not in the folder of config.yaml
_BEFORE: Final = ".before-restore"


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored: the files that were written, where the store is, and the previous files that were kept.

    `outside` are files of other folders, with the place where each was on the machine of the backup.
    """

    manifest: Manifest
    written: tuple[Path, ...]
    store: str
    kept: tuple[Path, ...]
    outside: tuple[tuple[Path, Path], ...]


@dataclass(frozen=True, slots=True)
class _Step:
    """A file to write: from where it was unpacked to where it goes, with its permission bits."""

    unpacked: Path
    place: Path
    mode: int


def restore(archive: Path, config_path: Path, *, force: bool) -> Restored:
    """Restore `archive`: the configuration to `config_path`, its files beside it, the store to where that says.

    Files that exist with another content, and a store with readers or issues, are replaced only with `force`, and then
    kept beside with ``.before-restore`` in their names; what an earlier restore has kept stays too. Raises BackupError,
    StoreError, StoreBusy, ConfigError and OSError. Until the first file is written nothing has been changed, and a
    restore that failed later can be repeated.
    """
    home = config_path.absolute().parent
    home.mkdir(parents=True, exist_ok=True)
    with _unpacking(home) as folder:
        manifest = _unpack(archive, folder)
        steps, outside = _steps(manifest, folder, config_path)
        store_copy = folder / _member_of(manifest, Kind.STORE)
        check_copy(store_copy)
        url = store_url_of(folder / _member_of(manifest, Kind.CONFIG), config_path.absolute())
        changed = [step for step in steps if _differs(step)]
        _possible(changed, url)
        if not force:
            _refuse(changed, url, config_path)
        kept = [_put(step) for step in changed]
        kept.append(restore_copy(store_copy, url))
    return Restored(
        manifest,
        tuple(step.place for step in changed),
        str(file_of(url) or "the PostgreSQL database"),
        tuple(path for path in kept if path is not None),
        tuple(outside),
    )


def _member_of(manifest: Manifest, kind: Kind) -> str:
    return next(part.member for part in manifest.parts if part.kind is kind)


@contextmanager
def _unpacking(home: Path) -> Iterator[Path]:
    """A folder beside the configuration, for its owner only, so that files get to their places by a rename."""
    with tempfile.TemporaryDirectory(prefix=".newsletter.", dir=home) as folder:
        yield Path(folder)


def _unpack(archive: Path, folder: Path) -> Manifest:
    """Write each part to `folder` under the name of its member, and check it. Raises BackupError."""
    try:
        with tarfile.open(archive, mode="r:") as members:
            first = members.next()
            if first is None or first.name != NAME or not first.isreg() or first.size > LONGEST:
                raise BackupError(f"{archive}: is no backup of this program")
            manifest = parse(_stream(members, first).read(), str(archive))
            waiting = {part.member: part for part in manifest.parts}
            while (member := members.next()) is not None:
                part = waiting.pop(member.name, None)
                if part is None or not member.isreg() or member.size != part.size:
                    raise BackupError(f"{archive}: has a part that its manifest does not name: {member.name[:80]!r}")
                _copy(_stream(members, member), folder / f"{part.member}", part, archive)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise BackupError(f"{archive}: is damaged or no backup of this program") from error
    except OSError as error:
        raise BackupError(f"{error.filename or archive}: {error.strerror or 'cannot be read'}") from error
    if waiting:
        raise BackupError(f"{archive}: {next(iter(waiting.values())).path} is missing from it")
    return manifest


def _stream(members: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    stream = members.extractfile(member)
    assert stream is not None  # it is a regular file
    return stream


def _copy(stream: IO[bytes], target: Path, part: Part, archive: Path) -> None:
    digest = hashlib.sha256()
    with files.naming(target), target.open("xb") as file:  # a full disk is not a fault of the archive
        while piece := stream.read(_PIECE):
            digest.update(piece)
            file.write(piece)
    if digest.hexdigest() != part.sha256:
        raise BackupError(
            f"{archive}: {part.path} has a wrong checksum; the backup is damaged, and nothing was restored"
        )


def _steps(manifest: Manifest, folder: Path, config_path: Path) -> tuple[list[_Step], list[tuple[Path, Path]]]:
    """Where each file goes, and which of them were elsewhere. Raises BackupError for a link that leads out."""
    home = config_path.absolute().parent
    steps: list[_Step] = []
    outside: list[tuple[Path, Path]] = []
    for part in manifest.parts:
        if part.kind is Kind.STORE:
            continue
        place = home / part.path
        if part.kind is Kind.CONFIG:
            place = config_path.absolute()
        elif part.kind is Kind.OUTSIDE:
            place = home / _OUTSIDE / part.path
            outside.append((place, Path("/", part.path)))
        if not (place.parent.resolve() / place.name).is_relative_to(home.resolve()):
            raise BackupError(f"{place}: a link leads out of {home}; nothing was restored")
        steps.append(_Step(folder / part.member, place, part.mode))
    return steps, outside


def _differs(step: _Step) -> bool:
    """Whether the file has to be written."""
    if not step.place.is_file():
        return True
    return step.place.read_bytes() != step.unpacked.read_bytes()


def _refuse(changed: list[_Step], url: str, config_path: Path) -> None:
    """Raise BackupError when something would be lost, or written where the operator has not asked for it."""
    advice = "nothing was restored; --force replaces it and keeps the old one beside"
    for step in changed:
        if step.place.exists() or step.place.is_symlink():
            raise BackupError(f"{step.place} exists with another content; {advice}")
    file, home = file_of(url), config_path.absolute().parent.resolve()
    if (
        file is not None
        and not file.is_relative_to(home)
        and any(step.place.name == config_path.name for step in changed)
    ):
        raise BackupError(f"the store would be {file}, outside {home}; nothing was restored; --force restores it there")
    if (number := readers_in(url)) > 0:
        raise BackupError(f"the store {file or 'in PostgreSQL'} has {number} readers and issues; {advice}")


def _possible(changed: list[_Step], url: str) -> None:
    """Raise BackupError when something cannot be put in its place."""
    for step in changed:
        if step.place.is_dir():
            raise BackupError(f"{step.place} is a folder, and a file in the backup; nothing was restored")
    file = file_of(url)
    folders = {parent for step in changed for parent in step.place.parents}
    if file is not None and not file.parent.is_dir() and file.parent not in folders:
        raise BackupError(f"the folder {file.parent} for the store does not exist; create it first")


def _put(step: _Step) -> Path | None:
    """Write one file in one step; returns where the previous file is now, if there was one."""
    step.place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept: Path | None = None
    if step.place.exists() or step.place.is_symlink():
        kept = files.unused(step.place.with_name(step.place.name + _BEFORE))
        step.place.replace(kept)
    files.replace(step.place, step.unpacked.read_bytes(), private=True)
    step.place.chmod(step.mode)
    return kept
