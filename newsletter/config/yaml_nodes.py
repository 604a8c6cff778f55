"""YAML nodes with their position, so that an error can name file, line and key.

PyYAML's nodes know their lines, the values it loads do not. No object is constructed from a tag: one that would run
code is reported like any other wrong value.
"""

from __future__ import annotations

import codecs
import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import yaml

from newsletter.errors import ConfigError, ConfigFault, Mistake

ENV: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SPEC_TAGS: Final = {"tag:yaml.org,2002:" + name for name in ("str", "int", "float", "bool", "null", "timestamp")}


@dataclass(frozen=True)
class Place:
    """A node with its position: all that an error message needs.

    `key` is dotted, such as ``smtp.0.port``; `line` counts from 1; `environ` holds the values for ${NAME}.
    """

    node: yaml.Node | None
    key: str
    file: Path
    line: int
    environ: Mapping[str, str]

    def error(self, message: str, mistake: Mistake = Mistake()) -> ConfigError:  # noqa: B008 - it cannot change
        """An error at this place. The message ends with what was probably meant, if `mistake` says so."""
        asked = f"; did you mean {mistake.meant}?" if mistake.meant else ""
        return ConfigError(f"{message}{asked}", path=self.file, line=self.line, key=self.key, mistake=mistake)

    @property
    def is_null(self) -> bool:
        """Whether the value is null or missing."""
        return self.node is None or self.node.tag == "tag:yaml.org,2002:null"

    def child(self, name: str | int, node: yaml.Node | None, line: int | None = None) -> Place:
        """The place of an entry of this mapping or list, at `line` if given, else at the node's own line."""
        where = line if line is not None else self.line if node is None else node.start_mark.line + 1
        return Place(node, f"{self.key}.{name}" if self.key else str(name), self.file, where, self.environ)

    def path(self, name: str) -> Path:
        """`name` as an absolute path. It is relative to the folder of the configuration file; ~ is expanded."""
        return (self.file.parent / Path(name).expanduser()).resolve()


Reader = Callable[[Place], Any]

REQUIRED: Final = ""  # the default of a key that must be given


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a mapping: what reads its value, its default as YAML text or REQUIRED, and what it is for.

    The first sentence of `doc` is the comment in config.yaml; docs/configuration.md has all of it.
    """

    read: Reader
    default: str
    doc: str


Table = Mapping[str, Key]


def scalar(place: Place, expected: str) -> str:
    """The text of a scalar as it is written. Raises ConfigError for a list or mapping: `expected` says what was due."""
    node = place.node
    if not isinstance(node, yaml.ScalarNode) or node.tag not in _SPEC_TAGS:
        raise place.error(f"expected {expected}")
    return cast("str", node.value)


def expand(place: Place, value: str) -> str:
    """`value` with each ${NAME} replaced from the environment. Raises ConfigError for a name that is not set."""

    def replace(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in place.environ:
            raise place.error(f"the environment variable {name} is not set", Mistake(variable=name))
        return place.environ[name]

    return ENV.sub(replace, value)


def root(path: Path, environ: Mapping[str, str]) -> Place:
    """The whole file. Raises ConfigError if it cannot be read or is not YAML."""
    try:
        node = yaml.compose(_decoded(path), Loader=yaml.SafeLoader)
    except FileNotFoundError as error:
        said = "no such file; `newsletter init` writes one, or name it with -c"
        raise ConfigError(said, path=path, mistake=Mistake(ConfigFault.NO_FILE)) from error
    except OSError as error:
        mistake = Mistake(ConfigFault.CLOSED if isinstance(error, PermissionError) else None)
        raise ConfigError(f"cannot be read: {error.strerror}", path=path, mistake=mistake) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(f"not YAML: {error.problem}", path=path, line=mark.line + 1 if mark else None) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"not YAML: {str(error).splitlines()[0]}", path=path) from error
    return Place(node, "", path, 1, environ)


def _decoded(path: Path) -> str:
    """The text of a file. Raises OSError, and ConfigError that names the first line that is not UTF-8."""
    raw = path.read_bytes()
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        wide = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        line = raw.count(b"\n", 0, error.start) + 1
        said = "is not UTF-8 text but UTF-16; save it as UTF-8" if wide else "is not UTF-8 text"
        mistake = Mistake(ConfigFault.UTF16 if wide else ConfigFault.NOT_UTF8)
        raise ConfigError(said, path=path, line=line, mistake=mistake) from error


def pairs(place: Place, table: Table) -> Iterator[tuple[str, Place]]:
    """The entries of a mapping. Raises ConfigError for a key that `table` does not have, or that is given twice."""
    node = place.node
    if not isinstance(node, yaml.MappingNode):
        raise place.error("expected `key: value` lines")
    seen: set[str] = set()
    for key_node, value_node in node.value:
        name = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
        child = place.child(name, value_node, key_node.start_mark.line + 1)
        if name not in table:
            section = not isinstance(value_node, yaml.ScalarNode)
            fitting = [key for key in table if section or table[key].default != "{}"]
            near = difflib.get_close_matches(name, fitting, 1, 0.5)
            said = "unknown key" if near else f"unknown key; known: {', '.join(table)}"
            raise child.error(said, Mistake(ConfigFault.UNKNOWN_KEY, meant=near[0] if near else ""))
        if name in seen:
            raise child.error("given twice", Mistake(ConfigFault.GIVEN_TWICE))
        seen.add(name)
        yield name, child


def mapping(place: Place, table: Table) -> dict[str, Any]:
    """The values of a mapping, by key, of the keys that are given. Raises ConfigError if a required one is not."""
    values = {name: table[name].read(child) for name, child in pairs(place, table)}
    for name, key in table.items():
        if key.default == REQUIRED and values.get(name) in (None, ()):
            raise place.child(name, None).error("is missing", Mistake(ConfigFault.MISSING))
    return values


def items(place: Place) -> list[Place]:
    """The entries of a list. Raises ConfigError for anything else."""
    if not isinstance(place.node, yaml.SequenceNode):
        raise place.error("expected a list: lines that begin with `- `", Mistake(ConfigFault.NOT_A_LIST))
    return [place.child(i, node) for i, node in enumerate(place.node.value)]


def entries(place: Place) -> Iterator[tuple[str, Place]]:
    """Every entry of every mapping at or below `place`. The file must have been checked for cycles of aliases."""
    if isinstance(place.node, yaml.MappingNode):
        for key_node, value_node in place.node.value:
            child = place.child(key_node.value, value_node, key_node.start_mark.line + 1)
            yield key_node.value, child
            yield from entries(child)
    elif isinstance(place.node, yaml.SequenceNode):
        for item in items(place):
            yield from entries(item)
