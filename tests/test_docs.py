"""The documents have every command, option, config key, verdict and exit code, and no dead link."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from newsletter import __version__
from newsletter.cli import cli
from newsletter.config import TABLES
from newsletter.model import VERDICT_EXIT, State, Verdict
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text("utf-8")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "templates").glob("*.md")])


def commands(group: click.Group, before: str = "newsletter") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{before} {name}")
        else:
            yield f"{before} {name}", command


@pytest.mark.parametrize(
    ("name", "command"), list(commands(cli)), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_command_and_option_is_in_the_readme(name: str, command: click.Command) -> None:
    rows = [line for line in README.splitlines() if line.startswith(f"| `{name}")]
    assert rows, f"{name} is not in the README's table"
    options = [option for param in command.params if isinstance(param, click.Option) for option in param.opts]
    assert [option for option in options if option.startswith("--") and option not in README] == []


def test_the_readme_s_configuration_table_is_the_schema() -> None:
    section = README.partition("## Configuration")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    documented = {key for cell in cells for key in re.findall(r"`([\w.]+)`", cell)}
    sections = {name for name in TABLES if name}
    schema = {f"{section}.{key}".lstrip(".") for section, table in TABLES.items() for key in table}
    assert documented == schema - sections


def test_every_verdict_stands_beside_its_exit_code() -> None:
    rows = re.findall(r"^\| (\d+) \| ([^|]*)\|", README, re.MULTILINE)
    table = {int(code): set(re.findall(r"`([\w-]+)`", verdicts)) for code, verdicts in rows}
    for verdict, code in VERDICT_EXIT.items():
        assert verdict in table[code], f"{verdict} is not in the row of {code}"
    assert set().union(*table.values()) == {str(verdict) for verdict in Verdict}


def test_every_state_of_a_copy_is_a_word_of_the_glossary() -> None:
    words = (ROOT / "docs" / "words.md").read_text("utf-8").lower()
    transient = {State.PENDING, State.CLAIMED, State.SENDING}
    assert [state for state in State if state not in transient and f"**{state}**" not in words] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_no_link_is_dead(document: Path) -> None:
    text = document.read_text("utf-8")
    targets = re.findall(r"\]\(([^)#]+)", text) + re.findall(r'src="([^"]+)"', text)
    dead = [target for target in targets if "://" not in target and not (document.parent / target).exists()]
    assert dead == []


def test_the_changelog_knows_this_version_or_the_next() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert "## Unreleased" in text or f"## {__version__}" in text
