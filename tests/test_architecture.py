"""Modules import in one direction only and never in a circle, and each third-party package has one home."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

from newsletter import model
from tests.conftest import ROOT

PACKAGE = ROOT / "newsletter"

# Who imports whom: a room imports only from a smaller number. A package's own modules may import one another.
LAYERS = {
    0: "errors model resources",
    1: "addresses children extras files garbage languages links owed replies request runtime slots text tls",
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


class Source(NamedTuple):
    """What a file is for, and the dotted names that it imports, `from x import y` as x.y."""

    purpose: str | None
    imports: tuple[str, ...]  # anywhere in it
    imports_at_once: tuple[str, ...]  # for which its own import waits


@cache
def source(path: Path) -> Source:
    """Reads a file. Its syntax tree is not kept: those of the whole package slow each collection of garbage down."""
    tree = ast.parse(path.read_text("utf-8"))
    everywhere, at_once = (names_of(path, statements(tree, at_once=at_once)) for at_once in (False, True))
    return Source(ast.get_docstring(tree), tuple(everywhere), tuple(at_once))


def statements(tree: ast.Module, *, at_once: bool) -> Iterator[ast.AST]:
    """The statements of a file, or those that run when it is imported: none within functions or for type checkers."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if at_once and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        only_for_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        inner = ("orelse",) if at_once and only_for_types else ("body", "handlers", "cases", "orelse", "finalbody")
        waiting += [each for name in inner for each in getattr(node, name, ())]
        yield node


def names_of(path: Path, nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {dotted(path): path for path in FILES}


def modules_before(path: Path) -> set[str]:
    """Our modules that a file imports, when a name is one or comes from one."""
    names = set(source(path).imports_at_once)
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


def test_a_module_imports_only_from_the_layers_below() -> None:
    wrong = []
    for path in FILES:
        own = module_of(path)
        ours = [name.split(".")[1] for name in source(path).imports if name.startswith("newsletter.")]
        others = {name for name in ours if name in LAYER and name != own and own != "__init__"}
        wrong += [f"{path} imports {name}" for name in others if LAYER[name] >= LAYER[own]]
    assert wrong == []


def test_a_third_party_package_stays_at_home() -> None:
    wrong = []
    for path in FILES:
        packages = {name.partition(".")[0] for name in source(path).imports} - {"newsletter"} - sys.stdlib_module_names
        wrong += [f"{path} imports {name}" for name in packages if module_of(path) not in HOMES.get(name, ())]
    assert wrong == []


def test_the_model_exports_every_value_of_its_files() -> None:
    public = set()
    for path in (PACKAGE / "model").glob("[!_]*.py"):
        for node in ast.parse(path.read_text("utf-8")).body:
            names = [getattr(node, "name", None), getattr(getattr(node, "target", None), "id", None)]
            public |= {name for name in names if name and not name.startswith("_")}
    assert public == set(model.__all__)


def test_every_file_opens_with_what_it_is_for() -> None:
    assert [path for path in FILES if not source(path).purpose] == []
