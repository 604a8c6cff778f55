"""The manifest of a backup. A restore reads it first, and checks everything in it before it is used."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any, Final

from newsletter import __version__
from newsletter.errors import BackupError
from newsletter.store import HEAD

NAME: Final = "manifest.json"
LONGEST: Final = 1_000_000  # bytes of a manifest
_FORMAT: Final = "newsletter-backup-1"
_MOST: Final = 10_000  # parts
_MEMBER: Final = re.compile(r"[0-9]{5}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class Kind(StrEnum):
    """What a part is, which says where it is restored."""

    CONFIG = "config"  # config.yaml
    STORE = "store"  # an SQLite file
    FILE = "file"  # a file in the folder of config.yaml, or below
    OUTSIDE = "outside"  # a file elsewhere, which is not put back there


@dataclass(frozen=True, slots=True)
class Part:
    """A member of the archive. `path` is relative to the folder of config.yaml, or for OUTSIDE to the file system.

    `mode` are permission bits, `size` is in bytes, `sha256` in hexadecimal.
    """

    member: str
    kind: Kind
    path: str
    mode: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Version and schema of the program that made the backup, whose list it is, when it was made, and its parts.

    `created_at` is in UTC, as ISO 8601. `environment` are the variables that config.yaml uses and that no backup has.
    """

    version: str
    schema: str
    title: str
    list_id: str
    created_at: str
    environment: tuple[str, ...]
    parts: tuple[Part, ...]

    def to_json(self) -> bytes:
        """The content of manifest.json."""
        return (json.dumps({"format": _FORMAT, **asdict(self)}, indent=2, ensure_ascii=False) + "\n").encode()


def parse(raw: bytes, name: str) -> Manifest:
    """The manifest in `raw`; `name` is the archive's. Raises BackupError unless this program can restore all of it."""
    try:
        found = json.loads(raw)
        if found["format"] != _FORMAT:
            raise BackupError(f"{name}: is no backup of this program (format {str(found['format'])[:40]!r})")
        manifest = Manifest(
            **{key: _text(found[key]) for key in ("version", "schema", "title", "list_id", "created_at")},
            environment=tuple(map(_text, found["environment"])),
            parts=tuple(map(_part, found["parts"])),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BackupError(f"{name}: its {NAME} is not one of this program") from error
    _check_version(manifest, name)
    _check_parts(manifest.parts, name)
    return manifest


def _check_version(manifest: Manifest, name: str) -> None:
    if (manifest.version, manifest.schema) != (__version__, HEAD):
        made = f"version {manifest.version} (schema {manifest.schema})"
        advice = (
            f"install that version, restore, and then upgrade: pip install daily-papers-newsletter=={manifest.version}"
        )
        raise BackupError(f"{name}: made by {made}, and this is {__version__} (schema {HEAD}); {advice}")


def _check_parts(parts: Sequence[Part], name: str) -> None:
    kinds = Counter(part.kind for part in parts)
    if kinds[Kind.CONFIG] != 1 or kinds[Kind.STORE] != 1 or len(parts) > _MOST:
        raise BackupError(f"{name}: has not one configuration and one store")
    for names in ([part.member for part in parts], [part.path for part in parts if part.kind is not Kind.STORE]):
        if len(set(names)) != len(names):
            raise BackupError(f"{name}: names a part twice")
    for part in parts:
        if not _MEMBER.fullmatch(part.member):
            raise BackupError(f"{name}: names a part {part.member[:40]!r}")
        if part.kind is not Kind.STORE and not is_safe(part.path):
            raise BackupError(f"{name}: a part would be restored outside its folder: {part.path!r}")
        if not _SHA256.fullmatch(part.sha256) or part.size < 0 or not 0 <= part.mode <= 0o777:
            raise BackupError(f"{name}: describes {part.path!r} wrongly")


def is_safe(path: str) -> bool:
    """Whether a relative path stays within its folder, and has printable characters only."""
    parts = PurePosixPath(path).parts
    return bool(parts) and path.isprintable() and not path.startswith("/") and "\\" not in path and ".." not in parts


def _part(found: Any) -> Part:
    return Part(
        _text(found["member"]),
        Kind(found["kind"]),
        _text(found["path"]),
        _number(found["mode"]),
        _number(found["size"]),
        _text(found["sha256"]),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: Any) -> int:
    if type(value) is not int:
        raise TypeError
    return value
