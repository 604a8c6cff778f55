"""Reads a config.yaml that has mistakes: all of them at once, and a configuration of what is left.

`load` ends at the first mistake, as it must before mail is sent. `newsletter check` goes on with what is understood.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from newsletter import resources
from newsletter.config import read
from newsletter.config.sections import Config
from newsletter.config.yaml_nodes import Place, root
from newsletter.errors import ConfigError, ConfigFault

_MOST: Final = 20  # mistakes that are looked for


@dataclass(frozen=True)
class Examined:
    """A config.yaml with its mistakes.

    `config` is None if nothing can be read. In the sections (first parts of keys) in `faulty`, values may be missing or
    be those of the example. `written` gives the text at a dotted key as it stands in the file, or None.
    """

    config: Config | None
    errors: Sequence[ConfigError]
    faulty: frozenset[str] = frozenset()
    document: Place | None = None

    def written(self, key: str) -> str | None:
        """The scalar at a dotted key such as ``smtp.0.password_file``, before ${NAME} is replaced."""
        node = self.document.node if self.document else None
        for part in key.split("."):
            node = _child(node, part)
        return node.value if isinstance(node, yaml.ScalarNode) else None


def examine(path: Path, environ: Mapping[str, str] = os.environ) -> Examined:
    """Read `path` as `load` does; each value that is wrong is left out and the rest read again. Raises nothing."""
    try:
        place = root(path, environ)
    except ConfigError as error:
        return Examined(None, (error,))
    original = place
    errors: list[ConfigError] = []
    faulty: set[str] = set()
    for _ in range(_MOST):
        try:
            return Examined(read(place), tuple(errors), frozenset(faulty), original)
        except ConfigError as error:
            if original is place:  # it is about to be changed
                original = copy.deepcopy(place)
            section = error.key.partition(".")[0]
            if section not in faulty or error.mistake.fault is not ConfigFault.MISSING:
                errors.append(error)
            if not section or not (_leave_out(place, error.key) or _stand_in(place, section)):
                break
            faulty.add(section)
    return Examined(None, tuple(errors), frozenset(faulty), original)


def _child(node: yaml.Node | None, name: str) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and name.isdigit() and int(name) < len(node.value):
        found: yaml.Node = node.value[int(name)]
        return found
    return next((value for key, value in _pairs(node) if key.value == name), None)


def _pairs(node: yaml.Node | None) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        yield from node.value


def _leave_out(place: Place, key: str) -> bool:
    """Remove the last entry at `key` from its mapping or list; returns whether there was one."""
    *parents, name = key.split(".")
    node = place.node
    for part in parents:
        node = _child(node, part)
    if isinstance(node, yaml.SequenceNode):
        return _leave_out(place, ".".join(parents)) if parents else False
    at = [number for number, (each, _) in enumerate(_pairs(node)) if str(each.value) == name]
    if not at:
        return False
    assert isinstance(node, yaml.MappingNode)
    del node.value[at[-1]]
    return True


def _stand_in(place: Place, section: str) -> bool:
    """Put the example's value in place of a section that must be there; returns whether there was one to put."""
    example = root(resources.find("config.yaml"), {})
    value = _child(example.node, section)
    if value is None or not isinstance(place.node, yaml.MappingNode):
        return False
    _leave_out(place, section)
    place.node.value.append((yaml.ScalarNode("tag:yaml.org,2002:str", section, *_marks(value)), value))
    return True


def _marks(node: yaml.Node) -> tuple[yaml.Mark | None, yaml.Mark | None]:
    return node.start_mark, node.end_mark
