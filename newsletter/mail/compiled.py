"""Compiled templates: kept for all Renderers of this process, and the built-in ones for later processes.

Compiling the templates of a mail takes longer than rendering it. They are kept in the folder in which Python keeps its
compiled modules: whoever may write there may change the program anyway. A file that is damaged, unreadable or of
another version is ignored, and so is a folder that cannot be written.
"""

from __future__ import annotations

import hashlib
import importlib.util
import marshal
import sys
from contextlib import suppress
from pathlib import Path
from types import CodeType
from typing import Final

import jinja2

from newsletter import __version__, files, resources

_DIGEST: Final = hashlib.sha256
_DIGEST_SIZE: Final = _DIGEST().digest_size


def folder_of_python() -> Path | None:
    """Where Python keeps this module compiled; None if it shall keep nothing (PYTHONDONTWRITEBYTECODE)."""
    if sys.dont_write_bytecode or sys.implementation.cache_tag is None:
        return None
    return Path(importlib.util.cache_from_source(__file__)).parent


class Compiled(jinja2.BytecodeCache):
    """Gives Jinja2 the code that it has compiled from the same source before. Raises nothing.

    Built-in templates are also kept in `folder`, unless that is None. `made_by` is another number when their code may
    be another, though neither their source nor the version of Python, Jinja2 or the program is.
    """

    def __init__(self, folder: Path | None, made_by: int = 0) -> None:
        self._folder = folder
        self._made_by = (sys.implementation.cache_tag, jinja2.__version__, __version__, made_by)
        self._builtin = f"{resources.find('templates')}/"
        self._kept: set[str] = set()  # the keys of built-in templates
        self._code: dict[str, tuple[str, CodeType | None]] = {}  # a template's key: checksum of its source, and code

    def get_cache_key(self, name: str, filename: str | None = None) -> str:
        """The key of the template `name`, which is in the file `filename`."""
        key = super().get_cache_key(name, filename)
        if filename is not None and filename.startswith(self._builtin):
            self._kept.add(key)
        return key

    def load_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        """Fill `bucket` if the code is there."""
        checksum, code = self._code.get(bucket.key, ("", None))
        if checksum == bucket.checksum:
            bucket.code = code
        elif (path := self._path(bucket)) is not None:
            bucket.code = self._read(path, bucket.checksum)
            self._code[bucket.key] = (bucket.checksum, bucket.code)

    def dump_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        """Keep what Jinja2 has just compiled."""
        self._code[bucket.key] = (bucket.checksum, bucket.code)
        if bucket.code is not None and (path := self._path(bucket)) is not None:
            body = marshal.dumps((self._made_by, bucket.checksum, bucket.code))
            with suppress(OSError):
                files.replace(path, _DIGEST(body).digest() + body, private=False)

    def _path(self, bucket: jinja2.bccache.Bucket) -> Path | None:
        if self._folder is None or bucket.key not in self._kept:
            return None
        return self._folder / f"{bucket.key}.{sys.implementation.cache_tag}.template"

    def _read(self, path: Path, checksum: str) -> CodeType | None:
        try:
            content = path.read_bytes()
        except OSError:
            return None
        body = content[_DIGEST_SIZE:]
        if _DIGEST(body).digest() != content[:_DIGEST_SIZE]:  # marshal must not get what is damaged
            return None
        made_by, of, code = marshal.loads(body)  # noqa: S302 - only who may change the program can write there
        return code if (made_by, of) == (self._made_by, checksum) and isinstance(code, CodeType) else None
