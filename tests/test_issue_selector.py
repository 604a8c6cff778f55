"""A reader's choices as a value: one canonical form for all who chose the same, and bounds for what may be sent."""

from __future__ import annotations

import itertools
import json
import unicodedata

import pytest

from newsletter.issue import selector as module
from newsletter.issue.selector import KINDS, Fault, Selector, SelectorError


@pytest.mark.parametrize(
    "same",
    [
        ["Protein  design", "LLM agents"],
        ["llm agents", "protein design"],
        ["LLM AGENTS", " protein\tdesign\n", "Protein design"],
        ["\uff2c\uff2c\uff2d agents", "protein\u00a0design", "", "   "],
        ["LLM agents", "protein de\ufb01gn".replace("\ufb01", "si")],
        ["\u202eLLM agents\ufeff", "protein\u200b design"],
        ['"LLM agents"', "\u2022 protein design;", "\u201cprotein design\u201d,"],
        ["LLM agents, protein design"],
        ["LLM agents\uff1bprotein design\u3001"],
    ],
)
def test_order_case_white_space_and_unicode_forms_make_no_difference(same: list[str]) -> None:
    known = Selector.of(topics=["protein design", "llm agents"])
    assert Selector.of(topics=same) == known
    assert Selector.of(topics=same).hash == known.hash


def test_several_on_a_line_are_taken_apart_where_names_have_no_commas() -> None:
    line = ["Lovelace, Ada", "2,000 tokens"]
    found = Selector.of(topics=line, categories=["cs.LG, cs.*"], authors=line, organisations=["Example, Inc."])
    assert found.topics == ("2,000 tokens", "ada", "lovelace")
    assert found.categories == ("cs.*", "cs.lg")
    assert found.authors == ("2,000 tokens", "lovelace, ada")
    assert found.organisations == ("example, inc.",)
    assert Selector.of(authors=["Lovelace, Ada; A. Turing"]).authors == ("a. turing", "lovelace, ada")


@pytest.mark.parametrize("text", ["Café", "Å", "ﬁne tuning", "ǅ", "ẞ", "İstanbul", "Ω", "각"])
def test_every_unicode_form_of_a_text_is_one_choice(text: str) -> None:
    forms = {unicodedata.normalize(form, text) for form in ("NFC", "NFD", "NFKC", "NFKD")}
    found = {Selector.of(authors=[each]) for each in (*forms, text.upper().lower())}
    assert len({each.hash for each in found} - {Selector.of(authors=[text]).hash}) <= (
        text.upper().lower() not in forms
    )
    assert {Selector.of(authors=list(each.authors)) for each in found} == found  # what is canonical stays as it is


def test_a_choice_is_shown_as_its_reader_wrote_it_first() -> None:
    chosen = Selector.of(topics=[" \u2022 LLM  Agents;", "llm agents, RNA"], categories=["cs.LG"], never=["video"])
    assert [chosen.own(kind) for kind in ("topics", "categories", "never")] == [
        ("LLM Agents", "RNA"),
        ("cs.LG",),
        ("video",),
    ]
    assert chosen == Selector.of(topics=["llm agents", "rna"], categories=["cs.lg"], never=["video"])
    assert Selector.of(topics=chosen.own("topics")).spelled == Selector.of(topics=["LLM Agents", "RNA"]).spelled
    assert Selector.of(topics=["rna"]).own("topics") == ("rna",)


@pytest.mark.parametrize(
    "text", ["J\u030c" * 90, "\u1e9e" * 40, "Ǆ İ Σς", "rna\ufe10DNA", '\uff02"Rna"\uff02', "\u202eRNA\u200b"]
)
def test_what_is_shown_is_read_as_the_same_choice(text: str) -> None:
    """Also where its length, its separators or its quotation marks are others in the canonical form."""
    chosen = Selector.of(topics=[text])
    assert Selector.of(topics=chosen.own("topics")) == chosen == Selector.of(topics=chosen.topics)
    assert all(len(own) <= module.LONGEST for own in chosen.own("topics"))


def test_another_choice_another_kind_and_another_number_have_another_hash() -> None:
    selectors = [Selector.of(**{kind: ["x"]}) for kind in KINDS]  # type: ignore[arg-type]
    selectors += [
        Selector.of(topics=["y"]),
        Selector.of(topics=["x"], papers=5),
        Selector.of(topics=["x"], papers=None),
    ]
    selectors += [Selector.of(topics=["x y"]), Selector.of(topics=["x", "y"]), Selector.of()]
    assert len({each.hash for each in selectors}) == len(selectors)


def test_the_canonical_form_is_json_without_what_is_empty() -> None:
    chosen = Selector.of(topics=["Déjà vu"], never=["survey"], papers=None)
    assert json.loads(chosen.canonical) == {"never": ["survey"], "papers": None, "topics": ["déjà vu"]}
    assert Selector.of().canonical == "{}"


@pytest.mark.parametrize(
    ("choices", "kind", "fault"),
    [
        ({"topics": ["x" * 101]}, "topics", Fault.TOO_LONG),
        ({"topics": ["x" * 10**6]}, "topics", Fault.TOO_LONG),
        ({"topics": ["\ufdfa" * 60]}, "topics", Fault.TOO_LONG),  # 18 letters each, in NFKC
        ({"authors": [f"name {n}" for n in range(31)]}, "authors", Fault.TOO_MANY),
        ({kind: [f"{n:090}" for n in range(4)] for kind in KINDS}, "topics", Fault.TOO_MUCH),
        ({"topics": ["?!"]}, "topics", Fault.NO_WORD),
        ({"authors": ["\u3164"]}, "authors", Fault.NO_WORD),  # a letter without ink
        ({"topics": ["of the"]}, "topics", Fault.NO_WORD),
        ({"never": ["\u200b\u200d"]}, "never", Fault.NO_WORD),
        ({"topics": ["a\x00b"]}, "topics", Fault.CONTROL),
        ({"topics": ["a\x1b[31mb"]}, "topics", Fault.CONTROL),
        ({"organisations": ["a\ud800b"]}, "organisations", Fault.CONTROL),
        ({"papers": 0}, "papers", Fault.PAPERS),
        ({"papers": 101}, "papers", Fault.PAPERS),
    ],
)
def test_what_is_refused_is_named_in_one_printable_line(choices: dict[str, list[str]], kind: str, fault: Fault) -> None:
    with pytest.raises(SelectorError) as caught:
        Selector.of(**choices)  # type: ignore[arg-type]
    assert (caught.value.kind, caught.value.fault) == (kind, fault)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 120


def test_an_endless_list_of_topics_is_not_read_to_its_end() -> None:
    read = itertools.count()
    with pytest.raises(SelectorError, match="more than 30"):
        Selector.of(topics=(f"topic {number}" for number in read))
    assert next(read) <= module.MOST + 1


def test_as_much_as_the_bounds_allow_is_taken() -> None:
    full = Selector.of(topics=[f"{n:050}" for n in range(30)])
    assert len(full.topics) == 30
    assert len(full.canonical.encode()) < 3000
