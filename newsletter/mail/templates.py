"""What is wrong with an operator's folder of templates, found without rendering them.

A file replaces the built-in one of the same name, so a file with another name is never used, unless another template
includes it. A name that a template asks for exists if a built-in template of the same kind asks for it too.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import jinja2
from jinja2 import meta, nodes

from newsletter import resources

_SUFFIXES: Final = (".html", ".txt", ".css")
_LIKE: Final = 0.6  # how like a built-in name another one is that was meant as it


@dataclass(frozen=True, slots=True)
class TemplateFault:
    """A fault of a file: a sentence, and the file's name as it should be, None if the content is wrong."""

    file: Path
    words: str
    meant: str | None = None


def faults(folder: Path, environment: jinja2.Environment) -> Iterator[TemplateFault]:
    """Every fault of the templates in `folder` that can be seen without values; `environment` knows the filters.

    Raises OSError.
    """
    builtin = _files(resources.find("templates"))
    own = _files(folder)
    used: set[str] = set()
    trees: dict[str, nodes.Template] = {}
    for name, path in own.items():
        try:
            source = path.read_text("utf-8")
            trees[name] = environment.parse(source, name, str(path))
            environment.compile(source, name, str(path))
        except UnicodeDecodeError:
            yield TemplateFault(path, f"{path} is not UTF-8 text")
        except jinja2.TemplateSyntaxError as error:
            yield TemplateFault(path, f"{path}:{error.lineno}: {error.message}")
        else:
            used |= {each for each in meta.find_referenced_templates(trees[name]) if each is not None}
    for name, tree in trees.items():
        yield from _references(own[name], tree, {*own, *builtin, *(f"builtin/{each}" for each in builtin)})
        if name in builtin:
            yield from _names(environment, own[name], tree, _known(environment, builtin, name))
    for name, path in own.items():
        if name not in builtin and name not in used:
            near = difflib.get_close_matches(name, builtin.keys() - own.keys(), 1, _LIKE)
            if near:
                yield TemplateFault(path, f"{path} is used by nothing; did you mean {near[0]}?", near[0])


def _files(folder: Path) -> dict[str, Path]:
    """The templates of a folder, by the name that Jinja2 knows them by."""
    return {
        str(path.relative_to(folder)): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in _SUFFIXES and not path.name.startswith(".")
    }


def _references(path: Path, tree: nodes.Template, known: set[str]) -> Iterator[TemplateFault]:
    for name in meta.find_referenced_templates(tree):
        if name is not None and name not in known:
            yield TemplateFault(path, f"{path}: there is no template {name}")


def _known(environment: jinja2.Environment, builtin: dict[str, Path], name: str) -> set[str]:
    """The names that built-in templates of the same kind ask for: of the digest, of a letter, or of the pages."""
    kind = _kind(name)
    found: set[str] = set()
    for each, path in builtin.items():
        if _kind(each) == kind:
            found |= meta.find_undeclared_variables(environment.parse(path.read_text("utf-8")))
    return found


def _kind(name: str) -> str:
    if "/" in name:
        return name.partition("/")[0]
    return "digest" if name.startswith("_") else name.partition(".")[0]


def _names(
    environment: jinja2.Environment, path: Path, tree: nodes.Template, known: set[str]
) -> Iterator[TemplateFault]:
    for name in sorted(meta.find_undeclared_variables(tree) - known - environment.globals.keys()):
        line = next((each.lineno for each in tree.find_all(nodes.Name) if each.name == name), 1)
        near = difflib.get_close_matches(name, known, 1, 0.5)
        hint = f"; did you mean {near[0]}?" if near else ""
        yield TemplateFault(path, f"{path}:{line}: there is no value {name}{hint}")
