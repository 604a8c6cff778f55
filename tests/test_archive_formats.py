"""An issue as BibTeX, JSON and COinS: what programs read, whatever a feed has put into the papers."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date
from typing import Any
from urllib.parse import parse_qs

import pytest

from newsletter.archive.bibtex import bibliography
from newsletter.archive.data import coins, issue_json
from newsletter.config import FeedConfig
from newsletter.feed import parse
from newsletter.model import LateRiser
from tests.conftest import PUBLICATION, chaos_feed, issue, paper

DAY = date(2026, 11, 24)


def entries(text: str) -> list[tuple[str, dict[str, str]]]:
    """The entries of a .bib file: each its key and its fields, read as BibTeX reads them, by counting braces."""
    found = []
    at = 0
    while (at := text.find("@misc{", at)) >= 0:
        end = closing(text, at + len("@misc"))
        key, _, body = text[at + len("@misc{") : end].partition(",")
        fields = {}
        for match in re.finditer(r"^  (\w+) = ", body, re.MULTILINE):
            start = match.end()
            stop = closing(body, start) + 1 if body[start] == "{" else body.index(",", start)
            assert body[stop : stop + 2] == ",\n", "a field ends where its braces do"
            fields[match[1]] = body[start:stop]
        found.append((key, fields))
        assert not text[end + 1 :].strip() or text[end + 1 :].lstrip().startswith("@misc{")
        at = end
    return found


def closing(text: str, start: int) -> int:
    """The place of the brace that closes the one at `start`. A backslash does not protect a brace from BibTeX."""
    depth = 0
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return place
    raise AssertionError("a brace stays open")


def fields_of(**changes: Any) -> dict[str, str]:
    ((_, fields),) = entries(bibliography([paper(1, **changes)]))
    return fields


# --- BibTeX ----------------------------------------------------------------------------------------------------------


def test_a_preprint_is_an_entry_with_all_that_is_known() -> None:
    ((key, fields),) = entries(bibliography([paper(1, title="Attention Is Enough", keywords=("a", "b"))]))
    assert key == "lovelace2026attention"
    assert fields == {
        "title": "{{Attention Is Enough}}",
        "author": "{Ada Lovelace and Emmy Noether}",
        "year": "{2026}",
        "month": "nov",
        "eprint": "{2611.00001}",
        "archiveprefix": "{arXiv}",
        "url": "{https://arxiv.org/abs/2611.00001}",
        "keywords": "{a, b}",
        "abstract": "{We study the number 1. It has properties.}",
    }


def test_a_paper_with_a_doi_has_it() -> None:
    fields = fields_of(key="doi:10.1000/x_y(z)<1>", arxiv_id=None, arxiv_url=None)
    assert fields["doi"] == "{10.1000/x_y(z)<1>}"
    assert fields["url"] == "{https://huggingface.co/papers/2611.00001}"
    assert "eprint" not in fields


def test_what_is_not_known_is_left_out() -> None:
    bare = {"authors": (), "author_count": 0, "published": None, "abstract": "", "url": None}
    assert set(fields_of(**bare, arxiv_id=None, arxiv_url=None, pdf_url=None)) == {"title"}


@pytest.mark.parametrize(
    ("raw", "escaped"),
    [
        ("100% of $x_1$ & #2", r"100\% of \$x\_1\$ \& \#2"),
        ("a{b", r"a\textbraceleft{}b"),
        ("a}b", r"a\textbraceright{}b"),
        ("a\\b", r"a\textbackslash{}b"),
        ("~^", r"\textasciitilde{}\textasciicircum{}"),
        ('say "x"', 'say "x"'),
        (
            "@misc{x, title = {y}}",
            r"@misc\textbraceleft{}x, title = \textbraceleft{}y\textbraceright{}\textbraceright{}",
        ),
        ("line\nbreak\x00\x1b", "line break"),
        ("Ζήτα 注意 שלום", "Ζήτα 注意 שלום"),
        ("\\", r"\textbackslash{}"),
    ],
)
def test_text_is_printed_by_latex_as_it_is(raw: str, escaped: str) -> None:
    assert fields_of(title=raw)["title"] == f"{{{{{escaped}}}}}"
    assert fields_of(abstract=raw)["abstract"] == f"{{{escaped}}}"


@pytest.mark.parametrize(
    ("names", "count", "written"),
    [
        (("Lovelace, Ada", "Emmy Noether"), 2, "Lovelace, Ada and Emmy Noether"),
        (("Ada Lovelace",), 15, "Ada Lovelace and others"),
        (("Research and Development Team",), 1, "{Research and Development Team}"),
        (("AND", "Others"), 2, "{AND} and {Others}"),
        (("A, B, C",), 1, "{A, B, C}"),
        (("Anderson",), 1, "Anderson"),
        (("x} and {y",), 1, r"{x\textbraceright{} and \textbraceleft{}y}"),
        ((" ", "Ada"), 2, "Ada and others"),
    ],
)
def test_a_name_is_never_split(names: tuple[str, ...], count: int, written: str) -> None:
    assert fields_of(authors=names, author_count=count)["author"] == f"{{{written}}}"


def test_a_url_cannot_end_its_field() -> None:
    assert fields_of(arxiv_url="https://x.example/a}b{c\\de%20_~f")["url"] == (
        "{https://x.example/a%7Db%7Bc%5Cde%20_~f}"
    )


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"title": "On a big Ω", "authors": ("José García-Márquez",)}, "garciamarquez2026"),
        ({"title": "注意", "authors": ("王",), "published": None}, "paper"),
        ({"title": "A {Strange}, Title%", "authors": ("O'Neil, Sam",)}, "oneil2026strange"),
        ({"title": "x" * 500, "authors": ()}, f"2026{'x' * 30}"),
    ],
)
def test_keys_are_plain(changes: dict[str, Any], key: str) -> None:
    ((found, _),) = entries(bibliography([paper(1, **changes)]))
    assert found == key


def test_keys_are_unique() -> None:
    keys = [key for key, _ in entries(bibliography([paper(1, title="Same Title")] * 3))]
    assert keys == ["lovelace2026same", "lovelace2026same-2", "lovelace2026same-3"]


def test_hostile_papers_are_still_one_entry_each() -> None:
    papers = parse(json.dumps(chaos_feed().poison()).encode(), FeedConfig("https://feeds.example.org/papers")).papers
    assert len(entries(bibliography(papers))) == len(papers)


# --- JSON and COinS --------------------------------------------------------------------------------------------------


def test_the_json_has_every_name_and_the_late_risers_last() -> None:
    made = replace(issue(paper(1), paper(2)), rising=(LateRiser(paper(9), date(2026, 11, 20), 41),))
    found = json.loads(issue_json(PUBLICATION, made, "the subject"))
    assert {name: found[name] for name in found if name != "papers"} == {
        "version": 1,
        "publication": "Daily Papers",
        "day": "2026-11-24",
        "since": None,
        "subject": "the subject",
        "url": "https://news.example.org/archive/2026-11-24/",
        "ranked_by_votes": True,
    }
    assert [(each["place"], each["title"], each["rising_since"]) for each in found["papers"]] == [
        (1, "Paper number 1", None),
        (2, "Paper number 2", None),
        (3, "Paper number 9", "2026-11-20"),
    ]
    assert found["papers"][0]["published"] == "2026-11-23"
    assert found["papers"][0]["authors"] == ["Ada Lovelace", "Emmy Noether"]
    assert len({frozenset(each) for each in found["papers"]}) == 1


def test_without_base_url_the_json_has_no_address() -> None:
    assert json.loads(issue_json(replace(PUBLICATION, base_url=None), issue(), "x"))["url"] is None


def test_coins_are_a_query_string() -> None:
    found = parse_qs(coins(paper(1, key="doi:10.1000/a&b", title="A & B = ü")))
    assert found["rft.atitle"] == ["A & B = ü"]
    assert found["rft.au"] == ["Ada Lovelace", "Emmy Noether"]
    assert found["rft_id"] == ["info:doi/10.1000/a&b", "https://arxiv.org/abs/2611.00001"]
    assert found["rft.date"] == ["2026-11-23"]


def test_coins_of_a_paper_with_thousands_of_authors_are_short() -> None:
    assert len(parse_qs(coins(paper(1, authors=tuple(map(str, range(3000))))))["rft.au"]) == 20
