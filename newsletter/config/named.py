"""What a configuration names outside itself: files, variables of the environment, and where the store is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from newsletter.config import fields as v
from newsletter.config.schema import ROOT
from newsletter.config.yaml_nodes import ENV, Place, entries, items, pairs, root
from newsletter.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Named:
    """The files of all keys that end in ``_file`` or ``_files``, each with its key, and the variables as ${NAME}."""

    files: tuple[tuple[str, Path], ...]
    environment: tuple[str, ...]


def named(path: Path, environ: Mapping[str, str] = os.environ) -> Named:
    """What the configuration `path` names; whether the files exist is not looked at. Raises ConfigError."""
    files: list[tuple[str, Path]] = []
    variables: set[str] = set()
    for name, child in entries(root(path, environ)):
        if isinstance(child.node, yaml.ScalarNode):
            variables.update(ENV.findall(child.node.value))
        if name.endswith(("_file", "_files")) and not child.is_null:
            each = items(child) if isinstance(child.node, yaml.SequenceNode) else [child]
            files += [(item.key, v.file(item)) for item in each]
    return Named(tuple(files), tuple(sorted(variables)))


def store_url_of(path: Path, home: Path, environ: Mapping[str, str] = os.environ) -> str:
    """The URL of the store that the configuration in the file `path` names, as in Config.store.

    It is read as if it were the file `home`. Raises ConfigError, which names `home`.
    """
    try:
        place = replace(root(path, environ), file=home)
    except ConfigError as error:
        raise ConfigError(error.message, path=home, line=error.line, key=error.key, mistake=error.mistake) from error
    given = next((child for name, child in pairs(place, ROOT) if name == "store"), None)
    return default_store(place) if given is None or given.is_null else v.store_url(given)


def default_store(place: Place) -> str:
    """The store of a configuration that names none; `place` is the whole file."""
    return f"sqlite:///{place.path('newsletter.db')}"
