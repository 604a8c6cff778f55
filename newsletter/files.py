"""Files that are replaced in one step: a reader of the path gets the old content or the new, never a part."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from typing import BinaryIO, Final

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def replacing(path: Path, *, private: bool) -> Iterator[BinaryIO]:
    """A stream; what is written to it becomes the file at `path` when the block ends without an error.

    With `private` only the owner may read the file (0600), whatever mode a file there had; otherwise the umask decides.
    A symbolic link at `path` is replaced, and what it leads to is left alone. A pipe or a device, such as /dev/stdout,
    is written to. Raises OSError that names `path`.
    """
    if _is_special(path):
        with naming(path), path.open("wb") as stream:
            yield stream
        return
    temporary = path.with_name(f".newsletter.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    try:
        with naming(path), os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())  # else a power cut may leave an empty file under the new name
        try:
            temporary.replace(path)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let the system's error of a write that finds no room name `path`."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in _NO_ROOM:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def unused(path: Path) -> Path:
    """`path` if nothing is there, else `path` with the lowest number behind it at which nothing is."""
    numbered = (path.with_name(f"{path.name}-{number}") for number in count(2))
    return next(each for each in chain([path], numbered) if not each.exists() and not each.is_symlink())


def _is_special(path: Path) -> bool:
    """Whether `path` is a pipe or a device, or names an open one; /dev/stdout leads to a file when it is redirected."""
    named = path.absolute().parent in (Path("/dev"), Path("/dev/fd"), Path("/proc/self/fd"))
    return path.exists() and (named or not (path.is_file() or path.is_dir()))


def replace(path: Path, content: bytes, *, private: bool) -> None:
    """Make `content` the file at `path`, as `replacing` does. Raises OSError."""
    with replacing(path, private=private) as stream:
        stream.write(content)
