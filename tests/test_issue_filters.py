"""Filters: which papers are kept, which are pinned and why, and which words and names are equal."""

from __future__ import annotations

import pytest

from newsletter.issue.filters import Filtered, Filters, apply, same_name
from newsletter.issue.folding import mentions
from newsletter.model import Paper
from tests.conftest import paper


def titles(filtered: Filtered) -> list[str]:
    return [each.title for each in filtered.kept]


def papers(*names: str) -> list[Paper]:
    """Ranked papers with these titles, the first with most upvotes."""
    return [paper(number, title=name, abstract="", authors=()) for number, name in enumerate(names, 1)]


# --- the rules and their order ---------------------------------------------------------------------------------------


def test_no_filters_keep_everything_as_it_is() -> None:
    offered = papers("One", "Two")
    assert apply(offered, Filters()) == Filtered(tuple(offered), {}, 0)


def test_include_keeps_what_matches_any_keyword_and_counts_the_rest() -> None:
    kept = apply(papers("Diffusion", "Robots", "Proofs"), Filters(include=("robots", "diffusion")))
    assert titles(kept) == ["Diffusion", "Robots"]
    assert kept.left_out == 1


def test_exclude_drops_and_wins_over_include_and_pin() -> None:
    offered = papers("Robots that diffuse", "Robots")
    rules = Filters(include=("robots",), exclude=("diffuse",), pin=("diffuse",))
    assert titles(apply(offered, rules)) == ["Robots"]
    assert apply(offered, rules).pinned == {}


def test_a_keyword_is_looked_for_in_title_abstract_and_keywords() -> None:
    offered = [
        paper(1, title="Diffusion", abstract=""),
        paper(2, abstract="On diffusion."),
        paper(3, keywords=("latent diffusion",)),
        paper(4, authors=("Ada Diffusion",)),
    ]
    assert apply(offered, Filters(include=("diffusion",))).kept == tuple(offered[:3])


def test_a_pin_lifts_to_the_top_in_the_order_of_rank_and_drops_nothing() -> None:
    kept = apply(papers("One", "Two cats", "Three", "Four cats"), Filters(pin=("cats",)))
    assert titles(kept) == ["Two cats", "Four cats", "One", "Three"]
    assert kept.left_out == 0


def test_a_pinned_paper_needs_no_upvotes_no_keyword_and_no_category() -> None:
    rules = Filters(include=("dogs",), categories=("cs",), min_upvotes=1000, pin=("cats",))
    assert titles(apply(papers("Cats", "Dogs"), rules)) == ["Cats"]


def test_the_reason_of_a_pin_is_the_first_rule_that_matched_as_the_operator_wrote_it() -> None:
    offered = [
        paper(1, title="Diffusion models"),
        paper(2, authors=("Émilie du Châtelet", "A. Lovelace")),
        paper(3, organisation="The Example Institute", authors=()),
        paper(4, authors=()),
    ]
    rules = Filters(
        pin=('"diffusion model"', "Diffusion models"), authors=("Ada Lovelace",), organisations=("example",)
    )
    assert apply(offered, rules).pinned == {
        offered[0].key: "keyword: Diffusion models",
        offered[1].key: "author: Ada Lovelace",
        offered[2].key: "organisation: example",
    }


def test_too_few_upvotes_are_left_out_but_unknown_ones_are_not_few() -> None:
    offered = [paper(1, upvotes=9), paper(2, upvotes=2), paper(3, upvotes=None)]
    assert apply(offered, Filters(min_upvotes=5)).kept == (offered[0], offered[2])
    assert apply([paper(upvotes=-3)], Filters()).left_out == 0


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [("cs.LG", True), ("CS.lg", True), ("cs", True), ("cs.*", True), ("c", False), ("cs.L", False), ("math", False)],
)
def test_a_category_may_be_a_whole_archive(wanted: str, kept: bool) -> None:
    assert bool(apply([paper(keywords=("stat.ML", "cs.LG"))], Filters(categories=(wanted,))).kept) is kept


def test_include_and_categories_must_both_be_met() -> None:
    rules = Filters(include=("cats",), categories=("cs.CV",))
    assert titles(apply([paper(title="Cats", keywords=("cs.LG",))], rules)) == []
    assert titles(apply([paper(title="Cats", keywords=("cs.CV",))], rules)) == ["Cats"]


def test_a_paper_without_organisation_comes_from_nowhere() -> None:
    assert apply([paper(organisation=None)], Filters(organisations=("None",))).pinned == {}


# --- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("term", "text"),
    [
        ("diffusion", "Video DIFFUSION, revisited"),
        ("self supervised", "Self-Supervised Learning"),
        ("self-supervised", "self supervised"),
        ("self-supervised", "self‑supervised (with U+2011)"),
        ("state space model", "a State  Space\nModel"),
        ('"state space model"', "State Space Model"),
        ("“world model”", "A world model"),
        ("GPT-4", "GPT 4 and others"),
        ("C++", "a parser in C++, fast"),
        ("naive", "Naïve Bayes"),
        ("Schrödinger", "SCHRODINGER bridges"),
        ("LLM", "评估LLM模型"),
        ("扩散", "视频扩散模型"),
        ("확산", "확산은 어렵다"),
        ("가", "가다"),
        ("データ", "大規模データ集合"),
        ("ﬁne tuning", "fine-tuning"),
        ("Ångström", "ÅNGSTRÖM"),
    ],
)
def test_a_term_finds(term: str, text: str) -> None:
    assert mentions([text], term)


@pytest.mark.parametrize(
    ("term", "text"),
    [
        ("net", "network"),
        ("net", "subnet"),
        ("net", "net2"),
        ("model", "models"),
        ("GPT4", "GPT-4"),
        ("state model", "state space model"),
        ("か", "が"),
        ("가", "각"),
        ("", "anything"),
        ('""', "anything"),
        ("-", "a-b"),
        (".*", "anything"),
        ("[a", "anything"),
    ],
)
def test_a_term_does_not_find(term: str, text: str) -> None:
    assert not mentions([text], term)


def test_a_phrase_does_not_reach_from_one_text_into_the_next() -> None:
    assert not mentions(["on state", "space"], "state space")


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("Ada Lovelace", "ada LOVELACE"),
        ("A. Lovelace", "Ada Lovelace"),
        ("Ada Lovelace", "A. Lovelace"),
        ("A Lovelace", "Ada King Lovelace"),
        ("Ada Lovelace", "Ada K. Lovelace"),
        ("Lovelace, Ada", "Ada Lovelace"),
        ("Lovelace", "Ada Lovelace"),
        ("Yann LeCun", "Yann Lecun"),
        ("Bjorn Ommer", "Björn Ommer"),
        ("Møller", "Jens Moller"),
        ("Xiaoming Li", "Xiao-Ming Li"),
        ("J.-P. Serre", "Jean-Pierre Serre"),
        ("J.P. Serre", "Jean-Pierre Serre"),
        ("Sammy Davis", "Sammy Davis Jr."),
        ("李明", "李明"),
        ("Example-Team", "Example Team"),
    ],
)
def test_a_name_is_the_same(wanted: str, name: str) -> None:
    assert same_name(wanted, name)


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("Ada Lovelace", "Alan Lovelace"),
        ("Ada Lovelace", "Lovelace"),
        ("Ada K. Lovelace", "Ada B. Lovelace"),
        ("Ada", "Ada Lovelace"),
        ("A. Lovelace", "Ada Love"),
        ("李", "李明"),
        ("", ""),
        ("", "Ada Lovelace"),
        (" , ", "Ada Lovelace"),
    ],
)
def test_a_name_is_another(wanted: str, name: str) -> None:
    assert not same_name(wanted, name)
