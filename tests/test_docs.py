"""The documents are true: generated pages equal their source, tables name every verdict and state, no link is dead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import click
import pytest

from docs import generate
from newsletter import errors
from newsletter.cli import cli
from newsletter.model import VERDICT_EXIT, State, SubscriberStatus, Verdict
from tests.conftest import ROOT
from tests.test_architecture import LAYER

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "templates").glob("*.md")])
GENERATED = generate.generated()
VERDICTS = (ROOT / "docs" / "verdicts.md").read_text("utf-8")

# Where a person is "they". Folders are searched for text files.
PROSE = ("README.md", "config.yaml", "docs", "templates", "newsletter")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


# --- the generated reference -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", GENERATED, ids=name_of)
def test_a_generated_file_equals_its_source(path: Path) -> None:
    assert path.read_text("utf-8") == GENERATED[path], "run `make docs`"


@pytest.mark.parametrize(("name", "command"), list(generate.leaves(cli)), ids=lambda value: str(value)[:40])
def test_every_command_argument_and_option_is_described(name: str, command: click.Command) -> None:
    records = {param.name: param.get_help_record(click.Context(command)) for param in command.params}
    assert command.help
    assert [param for param, record in records.items() if record is None or len(record[1]) < 8] == []
    assert f"\n## {name}\n" in GENERATED[ROOT / "docs" / "commands.md"]


def test_every_key_has_a_row_of_its_own() -> None:
    page = GENERATED[ROOT / "docs" / "configuration.md"]
    documented = re.findall(r"^\| `([\w.]+)` \| [^|]+ \| [^|]{8,} \|$", page, re.MULTILINE)
    assert documented == list(generate.described())


def test_a_comment_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(ValueError, match="comment of title is"):
        generate.commented(f"title: {'x' * 90}  # old\n")


def test_only_the_comments_of_the_configuration_are_replaced() -> None:
    text = "# Words about a title: they stay.\n\nfetch:  # old\n  # attempts: 2 # old\n  deadline: 7\n"
    new = generate.commented(text).splitlines()
    assert [line.partition("  # ")[0].rstrip() for line in new[2:]] == ["fetch:", "", "  deadline: 7"]
    assert new[3].startswith("  # attempts: 2    ")
    assert new[:2] == text.splitlines()[:2]
    assert "old" not in "".join(new)


# --- verdicts, exit codes, states ------------------------------------------------------------------------------------


def rows(heading: str) -> dict[str, str]:
    """The first two cells of each row in the table under a heading of docs/verdicts.md, without backquotes."""
    section = VERDICTS.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = [[cell.strip(" `") for cell in line.split("|")[1:3]] for line in section.splitlines() if line[:2] == "| "]
    return dict(cells[1:])


def test_every_verdict_stands_beside_its_exit_code() -> None:
    assert rows("Verdicts") == {str(verdict): str(VERDICT_EXIT[verdict]) for verdict in Verdict}


def test_every_exit_code_is_explained() -> None:
    classes = [each for each in vars(errors).values() if isinstance(each, type)]
    used = {each.exit_code for each in classes if issubclass(each, errors.NewsletterError)}
    wrong_usage = click.UsageError.exit_code
    assert set(rows("Exit codes")) == {str(code) for code in {*VERDICT_EXIT.values(), *used, wrong_usage}}


@pytest.mark.parametrize(
    ("heading", "words"), [("States of a copy", State), ("Statuses of a subscriber", SubscriberStatus)]
)
def test_every_state_is_explained(heading: str, words: type[StrEnum]) -> None:
    assert list(rows(heading)) == [str(word) for word in words]


def test_every_state_of_a_copy_is_a_word_of_the_glossary() -> None:
    words = (ROOT / "docs" / "words.md").read_text("utf-8").lower()
    transient = {State.CLAIMED, State.SENDING}
    assert [state for state in State if state not in transient and f"**{state}**" not in words] == []


# --- the rooms -------------------------------------------------------------------------------------------------------


def test_the_design_lists_every_room_on_its_floor() -> None:
    design = (ROOT / "docs" / "design.md").read_text("utf-8")
    listed = re.findall(r"^\| `(\w+)` \| (\d+) \|", design, re.MULTILINE)
    assert sorted(listed) == sorted((room, str(floor)) for room, floor in LAYER.items())


# --- all documents ---------------------------------------------------------------------------------------------------


def anchors(document: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", document.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def is_dead(document: Path, target: str) -> bool:
    if "://" in target:
        return False
    path, _, anchor = target.partition("#")
    page = document.parent / path if path else document
    return not page.exists() or (bool(anchor) and anchor not in anchors(page))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_no_link_is_dead(document: Path) -> None:
    text = document.read_text("utf-8")
    targets = re.findall(r"\]\(([^)]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    assert [target for target in targets if is_dead(document, target)] == []


@pytest.mark.parametrize("link", ["docs/no.md", "docs/web.md#no"])
def test_a_dead_link_is_seen(link: str) -> None:
    assert is_dead(ROOT / "README.md", link)
    assert not is_dead(ROOT / "README.md", "docs/web.md#caddy")


def test_every_page_is_reached_from_the_readme() -> None:
    linked = set(re.findall(r"\]\(([^)#]+)", (ROOT / "README.md").read_text("utf-8")))
    assert [name_of(page) for page in DOCUMENTS if name_of(page) not in {*linked, "README.md"}] == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) < 150


def prose() -> Iterator[Path]:
    for name in PROSE:
        found = [path for path in (ROOT / name).rglob("*") if path.is_file()] or [ROOT / name]
        yield from (path for path in found if path.suffix in {".md", ".yaml", ".html", ".txt", ".css", ".py"})


@pytest.mark.parametrize("path", sorted(prose()), ids=name_of)
def test_a_person_is_they(path: Path) -> None:
    text = path.read_text("utf-8")
    text = re.sub(r"[`\"]he[`\"]", "", text)  # the code of Hebrew
    assert re.findall(r"^.*\b(?:he|him|his|himself)\b.*$", text, re.MULTILINE | re.IGNORECASE) == []
