"""What needs an extra that is not installed names it; nothing else notices."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from importlib import import_module

import pytest
from packaging.requirements import Requirement

from newsletter.errors import MissingExtra
from newsletter.extras import needed
from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]

# The last release with a known hole, where one is known, and where the hole is described.
HOLES = {
    "aiosmtpd": ("1.4.5", "CVE-2024-34083"),
    "cryptography": ("49.0.0", "CVE-2026-69247"),
    "flask": ("3.1.2", "CVE-2026-27205"),
    "jinja2": ("3.1.5", "CVE-2025-27516"),
    "lxml": ("6.0.4", "CVE-2026-41066"),
    "nh3": ("0.3.0", "RUSTSEC-2025-0071, in the ammonia that it contains"),
    "urllib3": ("2.7.0", "CVE-2026-97688, CVE-2026-97689"),
    "waitress": ("3.0.0", "CVE-2024-49768, CVE-2024-49769"),
    "werkzeug": ("3.1.5", "CVE-2026-27199"),
}


def requirements() -> Iterator[Requirement]:
    """What the base and every extra for users ask for, by name."""
    lists = [PROJECT["dependencies"], *(lines for name, lines in EXTRAS.items() if name != "dev")]
    yield from (Requirement(line) for lines in lists for line in lines)


def asked_for() -> set[str]:
    """The extras that the code names, from every `needed("extra", ...)`."""
    sources = [path.read_text("utf-8") for path in (ROOT / "newsletter").rglob("*.py")]
    calls = [
        node
        for source in sources
        if "needed(" in source
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "needed"
    ]
    return {str(call.args[0].value) for call in calls if isinstance(call.args[0], ast.Constant)}


def test_a_module_that_is_not_installed_is_one_line_that_says_what_to_install() -> None:
    with pytest.raises(MissingExtra) as caught, needed("web", "newsletter web"):
        import_module("surely_not_installed")
    wanted = "newsletter web needs the extra \"web\": pip install 'daily-papers-newsletter[web]'"
    assert (str(caught.value), caught.value.exit_code) == (wanted, 78)


def test_a_module_that_is_there_and_cannot_be_loaded_adds_its_first_line() -> None:
    with pytest.raises(MissingExtra) as caught, needed("postgres", "store: postgresql://"):
        raise ImportError("no pq wrapper available.\nAttempts made:\n- none")
    assert str(caught.value).endswith("[postgres]' (no pq wrapper available.)")


def test_a_failing_import_of_our_own_is_not_taken_for_a_missing_extra() -> None:
    with pytest.raises(ImportError, match="no_such_name"), needed("web", "newsletter web"):
        exec("from newsletter.text import no_such_name")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"), needed("web", "newsletter web"):
        import_module("newsletter.no_such_module")


def test_what_is_installed_is_imported() -> None:
    with needed("web", "newsletter web"):
        flask = import_module("flask")
    assert flask.Flask


def test_the_extras_that_the_code_names_are_those_of_the_package() -> None:
    assert asked_for() == set(EXTRAS) - {"all", "dev"}


def test_all_is_every_extra_and_dev_has_it() -> None:
    (every,) = map(Requirement, EXTRAS["all"])
    assert (every.name, every.extras) == (PROJECT["name"], set(EXTRAS) - {"all", "dev"})
    assert f"{PROJECT['name']}[all]" in EXTRAS["dev"]


@pytest.mark.parametrize("name", HOLES)
def test_no_release_with_a_known_hole_satisfies_the_package(name: str) -> None:
    version, advisory = HOLES[name]
    asked = [each for each in requirements() if each.name == name]
    assert asked, f"{name} is not asked for, though an advisory is listed: {advisory}"
    assert [str(each) for each in asked if each.specifier.contains(version)] == [], advisory


def test_the_numbers_of_packages_in_the_design_are_those_of_the_locks() -> None:
    design = (ROOT / "docs" / "design.md").read_text("utf-8")
    shown = re.findall(r"^\$ grep -c == (\S+).*\n(\d+)$", design, re.MULTILINE)
    counts = {name: sum("==" in line for line in (ROOT / name).read_text("utf-8").splitlines()) for name, _ in shown}
    assert {name: int(number) for name, number in shown} == counts
    assert set(counts) == {"requirements/base.txt", "requirements/run.txt"}


def test_no_lock_names_the_address_of_an_index() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        assert not re.search(r"://|^\s*--(?!hash)", lock.read_text("utf-8"), re.MULTILINE), lock
