"""Makes a backup: copies the store, finds the files that the configuration names, and writes them into one archive."""

from __future__ import annotations

import hashlib
import io
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

from newsletter import __version__, files
from newsletter.backup.manifest import NAME, Kind, Manifest, Part
from newsletter.config import Config, Named, named
from newsletter.errors import BackupError
from newsletter.store import HEAD, snapshot

_LARGEST: Final = 50_000_000  # bytes of a file that the configuration names: a key, a password, a template
_PIECE: Final = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was written. `missing` are lines about files that are named and could not be read."""

    manifest: Manifest
    size: int  # bytes
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Source:
    """A file for the archive."""

    source: Path
    kind: Kind
    path: str


def make(config: Config, target: Path, now: datetime) -> Made:
    """Write a backup to `target`, which must not exist; only its owner may read it (0600). `now` is aware.

    The store is copied as it is at one moment, while others may write to it. There is no file at `target` after an
    error: BackupError, StoreError, ConfigError, OSError.
    """
    if target.exists() or target.is_symlink():
        raise BackupError(f"{target} exists already; nothing was written")
    if not target.parent.is_dir():
        raise BackupError(f"the folder {target.parent} does not exist")
    with tempfile.TemporaryDirectory(prefix=".newsletter.", dir=target.parent) as folder:
        manifest, sources, missing = _collected(config, Path(folder), now)
        with files.replacing(target, private=True) as file, _archive(file, "w") as archive:
            _write(archive, manifest, sources, now)
    return Made(manifest, target.stat().st_size, missing)


def stream(config: Config, out: BinaryIO, now: datetime) -> Made:
    """Write the same archive to `out`, such as a pipe to a program that encrypts it. `now` is aware.

    The copy of the store is in the system's folder for temporary files meanwhile. Raises what `make` does. After an
    error the archive is cut off, and `restore` refuses it.
    """
    counted = _Counting(out)
    with tempfile.TemporaryDirectory(prefix="newsletter.") as folder:
        manifest, sources, missing = _collected(config, Path(folder), now)
        with _archive(counted, "w|") as archive:
            _write(archive, manifest, sources, now)
    out.flush()
    return Made(manifest, counted.size, missing)


def _collected(config: Config, folder: Path, now: datetime) -> tuple[Manifest, list[_Source], tuple[str, ...]]:
    """What goes into the archive, and lines about what does not. The copy of the store is made in `folder`."""
    found = named(config.path)
    missing: list[str] = []
    sources = [_Source(config.path, Kind.CONFIG, "config.yaml"), *_named_files(config, found, missing.append)]
    store = folder / "store.sqlite"
    snapshot(config.store, store)
    sources.append(_Source(store, Kind.STORE, "store.sqlite"))
    parts = tuple(_described(source, f"{number:05d}") for number, source in enumerate(sources))
    title, list_id = config.publication.title, config.publication.list_id
    manifest = Manifest(__version__, HEAD, title, list_id, now.isoformat(), found.environment, parts)
    return manifest, sources, tuple(missing)


def _archive(stream: Any, mode: Literal["w", "w|"]) -> tarfile.TarFile:
    """A new tar file; with ``w|`` `stream` need not know its position."""
    return tarfile.open(fileobj=stream, mode=mode, format=tarfile.PAX_FORMAT)


def _named_files(config: Config, found: Named, warn: Callable[[str], None]) -> Iterator[_Source]:
    """Each file that the configuration names, once, and those in the folder of templates and of their languages."""
    home = config.path.resolve().parent
    taken = {config.path.resolve()}
    for key, path in [*found.files, *_of_folders(config)]:
        absolute = path.absolute()
        if absolute.resolve() in taken:
            continue
        taken.add(absolute.resolve())
        if reason := _unfit(path):
            warn(f"{key}: {path} is not in the backup: {reason}")
            continue
        inside = _below(home, absolute)
        if inside is None:
            yield _Source(path, Kind.OUTSIDE, str(absolute.resolve()).lstrip("/"))
        else:
            yield _Source(path, Kind.FILE, inside)


def _of_folders(config: Config) -> Iterator[tuple[str, Path]]:
    """The operator's own templates and catalogues of languages."""
    beside = (config.templates or config.path.absolute()).parent / "locale"
    for folder in [*([config.templates] if config.templates else []), beside]:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                yield folder.name, path


def _below(home: Path, path: Path) -> str | None:
    """`path` relative to the folder `home`, None if it is elsewhere; ``..`` and links of folders are followed."""
    place = path.parent.resolve() / path.name
    return str(place.relative_to(home)) if place.is_relative_to(home) else None


def _unfit(path: Path) -> str:
    """Why a file cannot be in a backup; empty when it can."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            return "it is not a file"
        if found.st_size > _LARGEST:
            return f"it has more than {_LARGEST // 1_000_000} MB"
        with path.open("rb"):
            return ""
    except OSError as error:
        return error.strerror or "it cannot be read"


def _described(source: _Source, member: str) -> Part:
    """The part for a file. Raises OSError."""
    digest, size = hashlib.sha256(), 0
    with source.source.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            size += len(piece)
        mode = stat.S_IMODE(source.source.stat().st_mode) & 0o777
    return Part(member, source.kind, source.path, mode, size, digest.hexdigest())


def _write(archive: tarfile.TarFile, manifest: Manifest, sources: list[_Source], now: datetime) -> None:
    """Write the members of the archive. Raises BackupError when a file has changed since it was described."""
    told = manifest.to_json()
    archive.addfile(_member(NAME, len(told), now), io.BytesIO(told))
    for part, source in zip(manifest.parts, sources, strict=True):
        with source.source.open("rb") as file:
            reading = _Hashing(file)
            try:
                archive.addfile(_member(part.member, part.size, now), reading)
            except OSError as error:
                if error.errno is not None:
                    raise
                raise BackupError(f"{source.source} has changed while it was read; try again") from error
        if reading.digest.hexdigest() != part.sha256:
            raise BackupError(f"{source.source} has changed while it was read; try again")


def _member(name: str, size: int, now: datetime) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o600, int(now.timestamp())
    return member


class _Counting(io.RawIOBase):
    """A stream that is written to, and how many bytes were."""

    def __init__(self, out: BinaryIO) -> None:
        self._out, self.size = out, 0

    def write(self, data: Any) -> int:
        """Write all of `data`."""
        self._out.write(data)
        self.size += len(data)
        return len(data)


class _Hashing(io.RawIOBase):
    """A file that is read, and the digest of what was."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.digest = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        data = self._file.read(size)
        self.digest.update(data)
        return data
