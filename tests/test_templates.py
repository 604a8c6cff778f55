"""templates/README.md lists exactly what templates get, and its example works."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import jinja2
import pytest
from jinja2 import meta, nodes

from newsletter.errors import TemplateError
from newsletter.languages import ENGLISH
from newsletter.mail.cards import LAYOUTS, context
from newsletter.mail.render import Renderer
from newsletter.model import Issue, Slot
from tests.conftest import PUBLICATION, ROOT, issue, paper

CONTRACT = (ROOT / "templates" / "README.md").read_text("utf-8")


def rendered_names() -> tuple[set[str], set[str]]:
    """The names that the renderer passes to templates: at the top level, and for a paper."""
    values = context(PUBLICATION, issue(), LAYOUTS[0], ENGLISH)
    return set(values), set(values["papers"][0])


def test_the_contract_lists_what_a_template_gets_and_nothing_else() -> None:
    documented = set(re.findall(r"^\| `([\w.]+)` \|", CONTRACT, re.MULTILINE))
    names, of_a_paper = rendered_names()
    assert documented == names | {f"paper.{name}" for name in of_a_paper}


def test_the_contract_lists_the_blocks() -> None:
    for name in ("digest.html", "digest.txt"):
        blocks = re.findall(r"{%-? block (\w+)", (ROOT / "templates" / name).read_text("utf-8"))
        listed = re.search(r"((?:`\w+`,? ?\n?)+)in\s+`" + re.escape(name), CONTRACT)
        assert listed is not None
        assert re.findall(r"`(\w+)`", listed.group(1)) == blocks


def override(folder: Path, name: str, text: str) -> Renderer:
    (folder / name).write_text(text, "utf-8")
    return Renderer(PUBLICATION, templates=folder)


def test_the_contract_s_example_changes_one_block_and_keeps_the_rest(tmp_path: Path) -> None:
    (example,) = re.findall(r"```jinja\n(.*?)```", CONTRACT, re.DOTALL)
    html = override(tmp_path, "digest.html", example).issue(issue()).html
    assert "From the reading group at Example University." in html
    assert "Paper number 1" in html
    assert "Nothing here tracks" not in html
    assert Slot.UNSUBSCRIBE in html


def test_one_file_can_be_overridden(tmp_path: Path) -> None:
    style = (ROOT / "templates" / "_style.css").read_text("utf-8").replace("#8a4b00", "#7a3b00")
    html = override(tmp_path, "_style.css", style).issue(issue()).html
    assert "#7a3b00" in html
    assert "#8a4b00" not in html


@pytest.mark.parametrize(
    ("name", "text", "line", "said"),
    [
        ("digest.html", "<p>fine</p>\n{{ no_such_name }}", 2, "'no_such_name' is undefined"),
        ("digest.html", "<p>\n\n{% if %}</p>", 3, "Expected an expression"),
        ("digest.txt", "fine\n{{ 1 / 0 }}", 2, "division by zero"),
        ("digest.txt", "{{ papers[0].no_such }}", 1, "has no attribute 'no_such'"),
        ("digest.txt", "\n{{ title.__class__.__mro__ }}", 2, "unsafe"),
        ("digest.txt", "{% for x in range(10**9) %}{% endfor %}", 1, "Range too big"),
        (
            "_cards.html",
            "{% macro card(paper) %}\n{{ paper.nope }}{% endmacro %}{% macro row(p) %}{% endmacro %}",
            2,
            "nope",
        ),
    ],
)
def test_a_broken_template_is_an_error_with_file_and_line(
    tmp_path: Path, name: str, text: str, line: int, said: str
) -> None:
    with pytest.raises(TemplateError) as caught:
        override(tmp_path, name, text).issue(issue())
    assert str(caught.value).startswith(f"{tmp_path / name}:{line}: ")
    assert caught.value.file == tmp_path / name
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"digest.txt:2: there is no template nowhere.txt"):
        override(tmp_path, "digest.txt", "\n{% include 'nowhere.txt' %}").issue(issue())


def test_feed_text_is_never_a_template() -> None:
    hostile = "{{ 7 * 7 }}{% for x in range(9) %}x{% endfor %}"
    rendered = Renderer(PUBLICATION).issue(issue(paper(1, title=hostile, abstract=hostile)))
    assert "49" not in rendered.subject
    assert "xxxxxxxxx" not in rendered.html + rendered.text
    assert not re.search(r"\{\{|\{%", rendered.html + rendered.text)


def test_an_issue_needs_a_paper() -> None:
    with pytest.raises(ValueError, match="no papers"):
        Renderer(PUBLICATION).issue(Issue(issue().day, (), ranked_by_votes=False))


@cache
def used_by(name: str) -> frozenset[str]:
    """The names that a template of ours, or one that it extends or includes, expects to be given."""
    environment = built_in()
    source = (ROOT / "templates" / name).read_text("utf-8")
    parsed = environment.parse(source)
    others = {other for other in meta.find_referenced_templates(parsed) if other is not None}
    assigned = {name.name for name in parsed.find_all(nodes.Name) if name.ctx == "store"}
    assigned |= {str(name) for each in parsed.find_all(nodes.FromImport) for name in each.names}
    used = meta.find_undeclared_variables(parsed) - set(environment.globals) - assigned
    return frozenset(used.union(*(used_by(other) for other in others)))


@cache
def built_in() -> jinja2.Environment:
    return Renderer(PUBLICATION)._environment


@pytest.mark.parametrize(
    "name",
    [
        "confirm.html",
        "confirm.txt",
        "moved.html",
        "moved.txt",
        *(f"web/{page}" for page in ("home", "confirm", "preferences", "feedback", "undo", "unsubscribe", "message")),
        *(f"web/{page}" for page in ("archive", "month", "issue", "no_issue", "search")),
    ],
)
def test_the_contract_lists_what_a_page_uses(name: str) -> None:
    name = f"{name}.html" if name.startswith("web/") else name
    (row,) = [line for line in CONTRACT.splitlines() if line.startswith("| `") and f"`{name}`" in line.split("|")[1]]
    section = CONTRACT.partition("## Confirmation and web pages")[2]
    prose = "\n".join(line for line in section.splitlines() if not line.startswith("|"))
    given = set(re.findall(r"`(\w+)`", prose + row.split("|")[2]))
    assert used_by(name) <= given


def test_the_pages_are_all_in_the_contract() -> None:
    pages = [path.name for path in (ROOT / "templates" / "web").iterdir()]
    assert [page for page in pages if f"`web/{page}`" not in CONTRACT] == []


PARENT = '{% extends "builtin/digest.html" %}{% block '


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("digest.html", "<p>\n{{ title|fancy }}", "digest.html:2: No filter named 'fancy'."),
        ("digest.html", f"{PARENT}foter %}}{{% endblock %}}", "builtin/digest.html has no block foter; did you mean"),
        ("web/home.html", '{% extends "builtin/web/home.html" %}\n{% block promis %}{% endblock %}', "home.html:2: "),
        ("digest.html", f"{PARENT}footer %}}{{% block mine %}}{{% endblock %}}{{% endblock %}}", ""),
        ("web/home.html", '{% extends "builtin/web/home.html" %}{% block robots %}{% endblock %}', ""),  # of its parent
        ("digest.html", None, "is a link to nothing"),
    ],
)
def test_what_jinja_would_not_tell(tmp_path: Path, name: str, text: str | None, said: str) -> None:
    (tmp_path / "web").mkdir()
    if text is None:
        (tmp_path / name).symlink_to(tmp_path / "gone.html")
    else:
        (tmp_path / name).write_text(text, "utf-8")
    found = [fault.words for fault in Renderer(PUBLICATION, templates=tmp_path).faults(tmp_path)]
    assert [said in words for words in found] == ([True] if said else [])


@pytest.mark.parametrize("text", ["", " \n", "<!-- soon -->", "<!DOCTYPE html>\n"])
def test_an_empty_page_is_a_fault_of_its_template(tmp_path: Path, text: str) -> None:
    with pytest.raises(TemplateError, match=r"/digest\.html: it gives an empty page"):
        override(tmp_path, "digest.html", text).issue(issue())
