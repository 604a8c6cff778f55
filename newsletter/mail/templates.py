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
_LIKE: Final = 0.6  # least similarity of a file's name to the built-in name that was meant

_NAMES: Final[dict[str, set[str]]] = {}  # that the built-in templates of a kind ask for; to find them takes 50 ms


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
    next(folder.iterdir(), None)  # a folder that cannot be listed would count as empty
    own = _files(folder)
    trees: dict[str, nodes.Template] = {}
    for name, path in own.items():
        read = _read(environment, name, path)
        if isinstance(read, TemplateFault):
            yield read
        else:
            trees[name] = read
    used = {each for tree in trees.values() for each in meta.find_referenced_templates(tree) if each is not None}
    for name, tree in trees.items():
        yield from _references(own[name], tree, {*own, *builtin, *(f"builtin/{each}" for each in builtin)})
        if name in builtin:
            yield from _names(environment, own[name], tree, _known(environment, builtin, name))
        yield from _blocks(environment, own[name], tree, {**builtin, **own})
    for name, path in own.items():
        if name not in builtin and name not in used:
            near = difflib.get_close_matches(name, builtin.keys() - own.keys(), 1, _LIKE)
            if near:
                yield TemplateFault(path, f"{path} is used by nothing; did you mean {near[0]}?", near[0])


def _read(environment: jinja2.Environment, name: str, path: Path) -> nodes.Template | TemplateFault:
    """A template that compiles, or why it does not. Raises OSError."""
    try:
        tree = environment.parse(path.read_text("utf-8"), name, str(path))
        environment.compile(tree, name, str(path))
    except FileNotFoundError:
        return TemplateFault(path, f"{path} is a link to nothing, so the built-in one is used")
    except UnicodeDecodeError:
        return TemplateFault(path, f"{path} is not UTF-8 text")
    except jinja2.TemplateSyntaxError as error:
        return TemplateFault(path, f"{path}:{error.lineno}: {error.message}")
    return tree


def _files(folder: Path) -> dict[str, Path]:
    """The templates of a folder, by the name that Jinja2 knows them by."""
    return {
        str(path.relative_to(folder)): path
        for path in sorted(folder.rglob("*"))
        if (path.is_file() or path.is_symlink())
        and not path.is_dir()
        and path.suffix in _SUFFIXES
        and not path.name.startswith(".")
    }


def _references(path: Path, tree: nodes.Template, known: set[str]) -> Iterator[TemplateFault]:
    for name in meta.find_referenced_templates(tree):
        if name is not None and name not in known:
            yield TemplateFault(path, f"{path}: there is no template {name}")


def _blocks(
    environment: jinja2.Environment, path: Path, tree: nodes.Template, files: dict[str, Path]
) -> Iterator[TemplateFault]:
    """Blocks that no template has which this one extends: Jinja2 leaves them out without a word."""
    known: set[str] = set()
    seen = {path}
    above = tree
    while (parent := _parent(above)) is not None:
        builtin = resources.find("templates") / parent.removeprefix("builtin/")
        source = builtin if parent.startswith("builtin/") else files.get(parent)
        if source is None or source in seen or not source.is_file():
            return  # a fault of its own
        seen.add(source)
        above = environment.parse(source.read_text("utf-8"))
        known |= {each.name for each in above.find_all(nodes.Block)}
    if above is tree:
        return
    inside = {each.name for block in tree.find_all(nodes.Block) for each in block.find_all(nodes.Block)}
    for block in tree.find_all(nodes.Block):
        if block.name not in known | inside:
            near = difflib.get_close_matches(block.name, known, 1, 0.5)
            hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(sorted(known))}"
            yield TemplateFault(path, f"{path}:{block.lineno}: {_parent(tree)} has no block {block.name}{hint}")


def _parent(tree: nodes.Template) -> str | None:
    """The template that one extends, None if it extends none or a value says which."""
    extended = tree.find(nodes.Extends)
    named = None if extended is None else extended.template
    return str(named.value) if isinstance(named, nodes.Const) else None


def _known(environment: jinja2.Environment, builtin: dict[str, Path], name: str) -> set[str]:
    """The names that built-in templates of the same kind ask for: of the digest, of a letter, or of the pages."""
    kind = _kind(name)
    if kind not in _NAMES:
        alike = [path for each, path in builtin.items() if _kind(each) == kind]
        asked = (meta.find_undeclared_variables(environment.parse(path.read_text("utf-8"))) for path in alike)
        _NAMES[kind] = set().union(*asked)
    return _NAMES[kind]


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
