"""The documents are true: generated pages equal their source, tables name every verdict and state, no link is dead."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path

import click
import jinja2
import pytest

from docs import generate
from newsletter import errors
from newsletter.cli import cli
from newsletter.mail.render import Renderer
from newsletter.model import VERDICT_EXIT, State, SubscriberStatus, Verdict
from tests import needs
from tests.conftest import PUBLICATION, ROOT
from tests.test_architecture import LAYER
from tests.test_templates import rendered_names, used_by

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


@pytest.mark.system
def test_the_man_page_has_no_mistakes_and_every_command() -> None:
    page = ROOT / "share" / "man" / "man1" / "newsletter.1"
    groff = [str(needs.program("groff", "groff-base")), "-man", "-Tutf8", "-ww", "-P-cbou", str(page)]
    done = subprocess.run(groff, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    shown = done.stdout.replace("\u2010", "-")
    assert [name for name, _ in generate.leaves(cli) if name not in shown] == []


@pytest.mark.system
@pytest.mark.parametrize("words", [("sched", "schedule"), ("subscribers imp", "import"), ("schedule gi", "github")])
def test_bash_completes_commands(words: tuple[str, str], tmp_path: Path) -> None:
    """The installed file, in a bash, with a `newsletter` that is this checkout's."""
    typed, expected = words
    program = tmp_path / "newsletter"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m newsletter "$@"\n', "utf-8")
    program.chmod(0o755)
    cursor = len(typed.split())
    script = (
        f"PATH={tmp_path}:$PATH; . {ROOT}/share/bash-completion/completions/newsletter\n"
        f"COMP_WORDS=(newsletter {typed}); COMP_CWORD={cursor}; _newsletter_completion newsletter\n"
        'echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr.replace("bash: complete: nosort: invalid option name", "").strip()) == (
        [expected],
        "",
    )


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


def linked_from(name: str) -> list[Path]:
    """The files to which a document links, in the order of its links."""
    page = ROOT / name
    targets = re.findall(r"\]\(([^)#]+)", page.read_text("utf-8"))
    return [(page.parent / target).resolve() for target in targets if "://" not in target]


def test_every_page_is_reached_from_the_readme() -> None:
    reached = {ROOT / "README.md", *linked_from("README.md"), *SITE}
    assert ROOT / "docs" / "index.md" in reached
    assert [name_of(page) for page in DOCUMENTS if page not in reached] == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) < 150


# --- the site --------------------------------------------------------------------------------------------------------

SITE = linked_from("docs/index.md")
SITE_TEXT = "\n".join(page.read_text("utf-8") for page in SITE)

# The order in which a person needs them; other pages may stand between.
ORDER = (
    *(
        "quickstart",
        "configuration",
        "commands",
        "templates",
        "languages",
        "editions",
        "deliverability",
        "scheduling",
        "operating",
    ),
    *("scale", "security", "design", "contributing"),
)


def subject(page: Path) -> str:
    return (page.parent.name if page.name == "README.md" else page.stem).lower()


def test_the_site_has_every_page_once_in_the_order_of_need() -> None:
    subjects = [subject(page) for page in SITE]
    assert [each for each in subjects if each in ORDER] == list(ORDER)
    assert len(set(SITE)) == len(SITE)
    assert {*SITE, ROOT / "README.md", ROOT / "docs" / "index.md"} == set(DOCUMENTS)


def variables() -> set[str]:
    """The names that templates get: those of an issue and its papers, and all that the built-in templates use."""
    names, of_a_paper = rendered_names()
    files = [path for path in (ROOT / "templates").rglob("*") if path.suffix in {".html", ".txt", ".svg"}]
    used = [used_by(str(path.relative_to(ROOT / "templates"))) for path in files if not path.name.startswith("_")]
    return names.union(*used) | {f"paper.{name}" for name in of_a_paper}


GETTEXT = {"gettext", "ngettext", "pgettext", "npgettext"}  # what {% trans %} calls


def filters() -> set[str]:
    """The filters and functions of templates that are ours, not Jinja's."""
    environment, plain = Renderer(PUBLICATION)._environment, jinja2.Environment(extensions=["jinja2.ext.i18n"])
    return {*environment.filters, *environment.globals} - {*plain.filters, *plain.globals, *GETTEXT}


def extras() -> set[str]:
    """The extras that pyproject.toml declares, without that of the developers."""
    table = (ROOT / "pyproject.toml").read_text("utf-8").partition("[project.optional-dependencies]")[2]
    return set(re.findall(r"^(\w+) = \[", table.partition("\n[")[0], re.MULTILINE)) - {"dev"}


OPTIONS = [each for _, command in generate.leaves(cli) for each in command.params if isinstance(each, click.Option)]

WORDS: dict[str, Callable[[], set[str]]] = {
    "command": lambda: {name for name, _ in generate.leaves(cli)},
    "option": lambda: {option for param in OPTIONS for option in param.opts if option.startswith("--")},
    "key": lambda: set(generate.described()),
    "verdict": lambda: set(Verdict),
    "exit code": lambda: {str(code) for code in {*VERDICT_EXIT.values(), click.UsageError.exit_code}},
    "state of a copy": lambda: set(State),
    "status of a subscriber": lambda: set(SubscriberStatus),
    "variable of a template": variables,
    "filter of a template": filters,
    "extra": extras,
    "language": lambda: {each.name for each in (ROOT / "locale").iterdir()},
}


def is_in_the_site(word: str) -> bool:
    """Whether a page shows the word as code, such as `--date DAY` or `-c, --config PATH`, or as the cell of a table."""
    shown = rf"`(?:-\w, )?{re.escape(word)}(?![\w.-])|^\| {re.escape(word)} \|"
    return re.search(shown, SITE_TEXT, re.MULTILINE) is not None


@pytest.mark.parametrize("kind", WORDS)
def test_every_word_of_the_contract_is_in_the_site(kind: str) -> None:
    words = WORDS[kind]()
    assert [word for word in sorted(words) if not is_in_the_site(word)] == []
    assert words


@pytest.mark.parametrize("word", ["newsletter sleep", "--no-such", "issue.no_such", "no-such-verdict", "paper.no_such"])
def test_a_word_that_no_page_has_is_missed(word: str) -> None:
    assert not is_in_the_site(word)


BUILD = ("-q", "-E", "-W", "--keep-going", "-n")


def built(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Build a site of `folder` as `make site` does."""
    command = [sys.executable, "-m", "sphinx", *BUILD, "-c", "docs", ".", "out", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A site of two pages, with the settings of the real one."""
    shutil.copytree(ROOT / "docs" / "site", tmp_path / "docs" / "site")
    shutil.copy(ROOT / "docs" / "conf.py", tmp_path / "docs")
    (tmp_path / "docs" / "index.md").write_text("# All\n\n- [One](one.md): the first\n", "utf-8")
    (tmp_path / "docs" / "one.md").write_text("# One\n\n## What it is\n\n[here](#what-it-is)\n", "utf-8")
    return tmp_path


def test_the_strict_build_is_the_one_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert f"-m sphinx {' '.join(BUILD)} -d build/doctrees -c docs . build/site" in makefile
    assert re.search(r"^lint:.* site\b", makefile, re.MULTILINE)
    assert re.search(r"^check:.*\n\t.* lint$", makefile, re.MULTILINE)


def test_a_sound_site_is_built_and_loads_nothing_from_elsewhere(small: Path) -> None:
    done = built(small)
    assert (done.returncode, done.stderr) == (0, "")
    page = (small / "out" / "docs" / "one.html").read_text("utf-8")
    assert re.findall(r"""<(?:link|script|img)[^>]*(?:src|href)=["'](?:https?:)?//[^>]*""", page) == []
    assert "url=docs/index.html" in (small / "out" / "index.html").read_text("utf-8")
    index = (small / "out" / "docs" / "index.html").read_text("utf-8")
    assert re.findall(r'class="toctree-l1"><a[^>]*href="([^"]+)', index) == ["one.html"]


def test_each_fault_of_a_page_is_a_warning_which_fails_the_build(small: Path) -> None:
    pages = {
        "two": ("[dead](no.md)", "no.md"),
        "three": ("[dead](#what-it-was)", "what-it-was"),
        "four": ("![dead](no.png)", "no.png"),
        "five": ("### Two levels down", "H1 to H3"),
        "six": ("The index does not list this page.", "toctree"),
    }
    for name, (text, _) in pages.items():
        (small / "docs" / f"{name}.md").write_text(f"# One\n\n{text}\n", "utf-8")
    with (small / "docs" / "index.md").open("a", encoding="utf-8") as index:
        index.writelines(f"- [One]({name}.md): another\n" for name in list(pages)[:-1])
    done = built(small)
    assert done.returncode == 1
    for name, (_, said) in pages.items():
        (warning,) = [line for line in done.stderr.splitlines() if f"docs/{name}.md:" in line]
        assert "WARNING" in warning
        assert said in warning


def test_the_tour_shows_every_picture_of_the_gallery_and_says_what_is_on_it() -> None:
    tour = (ROOT / "docs" / "tour.md").read_text("utf-8")
    shown = dict(re.findall(r'<img src="gallery/([^"]+)" width="\d+" alt="([^"]{20,})">', tour))
    assert set(shown) == {path.name for path in (ROOT / "docs" / "gallery").iterdir()}


# --- prose -----------------------------------------------------------------------------------------------------------


def prose() -> Iterator[Path]:
    for name in PROSE:
        found = [path for path in (ROOT / name).rglob("*") if path.is_file()] or [ROOT / name]
        yield from (path for path in found if path.suffix in {".md", ".yaml", ".html", ".txt", ".css", ".py"})


OF_A_MAN = re.compile(r"\b(?:he|him|his|himself)\b", re.IGNORECASE)
HEBREW = re.compile(r"[`\"]he[`\"]")


def test_a_person_is_they() -> None:
    texts = [(path, HEBREW.sub("", path.read_text("utf-8"))) for path in prose()]
    lines = [(path, line) for path, text in texts if OF_A_MAN.search(text) for line in text.splitlines()]
    assert [(name_of(path), line) for path, line in lines if OF_A_MAN.search(line)] == []
