"""Modules import in one direction only and never in a circle, and each third-party package has one home."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "newsletter"

# Who imports whom: a room imports only from a smaller number. A package's own modules may import one another.
LAYERS = {
    0: "errors model resources",
    1: "addresses children extras files languages links owed replies request runtime slots text tls",
    2: "issue sasl schedule",
    3: "config",
    4: "feed store subscriber_csv transport",
    5: "backup bounces mail summaries",
    6: "archive deliver health prepare report",
    7: "alert editions preview sending",
    8: "pipeline worker",
    9: "check demo web",
    10: "cli",
    11: "__main__",
}
LAYER = {name: number for number, names in LAYERS.items() for name in names.split()}

# A third-party package is known to one room, so that it can be replaced there.
HOMES = {
    "aiosmtpd": {"demo"},
    "alembic": {"store"},
    "babel": {"languages"},
    "click": {"cli"},
    "cryptography": {"check", "mail"},
    "cssutils": {"mail"},  # comes with premailer
    "dns": {"check"},
    "email_validator": {"addresses"},
    "feedparser": {"feed"},
    "flask": {"preview", "web"},
    "flask_limiter": {"web"},
    "flask_wtf": {"web"},
    "flufl": {"bounces"},
    "idna": {"feed"},
    "imapclient": {"bounces"},
    "jinja2": {"mail", "report"},
    "lxml": {"archive"},
    "markupsafe": {"mail", "report"},
    "nh3": {"feed"},
    "premailer": {"mail"},
    "procrastinate": {"worker"},
    "psycopg": {"worker"},
    "pylatexenc": {"mail"},
    "rich": {"cli"},
    "snowballstemmer": {"issue"},
    "sqlalchemy": {"store"},
    "urllib3": {"feed", "request"},
    "waitress": {"cli"},
    "watchfiles": {"preview"},
    "werkzeug": {"preview", "web"},
    "yaml": {"config"},
}

FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@cache
def imports(path: Path) -> tuple[str, ...]:
    """The dotted names that a file imports anywhere in it, `from x import y` as x.y."""
    return tuple(names_of(path, ast.walk(tree(path))))


def names_of(path: Path, nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def names_at_import(path: Path) -> Iterator[str]:
    """The names whose import the import of a file waits for: not those within functions or for type checkers only."""
    waiting: list[ast.AST] = [tree(path)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        only_for_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        waiting += node.orelse if isinstance(node, ast.If) and only_for_types else ast.iter_child_nodes(node)
        yield from names_of(path, [node])


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {dotted(path): path for path in FILES}


def modules_before(path: Path) -> set[str]:
    """Our modules that a file imports, when a name is one or comes from one."""
    names = set(names_at_import(path))
    return {name if name in MODULES else name.rpartition(".")[0] for name in names} & MODULES.keys()


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Modules of which each is imported by the next, with the first again at the end; empty when there is no circle."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {name: modules_before(path) - {name} for name, path in MODULES.items()}
    assert graph["newsletter.store"] >= {"newsletter.store.ledger", "newsletter.store.database"}
    assert circle(graph) == []
    closed = graph | {"newsletter.store.database": graph["newsletter.store.database"] | {"newsletter.store.ledger"}}
    assert circle(closed) != []


def test_every_module_has_its_place() -> None:
    assert {module_of(path) for path in FILES} - {"__init__"} == set(LAYER)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_the_layers_below(path: Path) -> None:
    own = module_of(path)
    if own == "__init__":
        return
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "newsletter" and len(parts) > 1 and parts[1] in LAYER and parts[1] != own:
            assert LAYER[parts[1]] < LAYER[own], f"{own} imports {parts[1]}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_third_party_package_stays_at_home(path: Path) -> None:
    for name in imports(path):
        package = name.partition(".")[0]
        if package != "newsletter" and package not in sys.stdlib_module_names:
            homes = HOMES.get(package, set())
            assert module_of(path) in homes, f"{name} is imported outside {homes or 'the table of HOMES'}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_file_opens_with_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(tree(path))
