"""More or less like a paper: the words that say what it is about, and what pressing a link makes of a selector."""

from __future__ import annotations

import pytest

from newsletter.issue.likes import opposite, pressed, telling
from newsletter.issue.selector import MOST, Selector, SelectorError
from newsletter.model import Paper


def paper(title: str, abstract: str = "", key: str = "this") -> Paper:
    return Paper(key=key, title=title, abstract=abstract)


# Thirty papers on language models: two on folding, two on proteins, one on the game of go.
LATELY = [
    paper("A", "We fold a language model.", "1"),
    paper("B", "Folding with a language model.", "2"),
    paper("C", "Proteins and a language model. Folding, too.", "3"),
    paper("D", "A protein language model.", "4"),
    paper("E", "A language model that plays go.", "5"),
    *(paper("F", "A language model.", str(number)) for number in range(6, 30)),
]


@pytest.mark.parametrize(
    ("title", "abstract", "words"),
    [
        ("Unlocking Protein Folding", "We study proteins. A protein folds; folding is hard.", ("protein", "folding")),
        ("FOLDING: the proteins of language", "Folding a protein. Proteins!", ("folding", "proteins")),
        # One useful word alone would match too much.
        ("Folding a language model", "Folding, with a language model.", ("folding", "language")),
        # Names that nobody else uses, when there is no other word.
        ("Zorkify and the Blorbs", "Zorkify, a method.", ("zorkify", "blorbs")),
        ("ﬁne π₀", "", ("fine", "π0")),  # as a selector writes them
        ("Why 42?", "", ()),
        ("On the use of it", "", ()),
        ("... \x00 <b>", "", ()),
        ("", "", ()),
        ("蛋白质折叠", "蛋白质折叠", ("蛋白质折叠",)),
    ],
)
def test_the_words_that_tell_what_a_paper_is_about(title: str, abstract: str, words: tuple[str, ...]) -> None:
    assert telling(paper(title, abstract), LATELY) == words


def test_an_endless_title_gives_at_most_four_words_that_a_selector_takes() -> None:
    title = " ".join(f"{'word' * 9}{number} protein{number}" for number in range(300)) + "x" * 5000
    words = telling(paper(title, title), [paper("G", title, "g"), paper("H", title, "h")])
    assert 1 < len(words) <= 4
    assert Selector.of(more=[" ".join(words)]).more == (" ".join(words),)


def test_nobody_else_s_papers_are_needed() -> None:
    assert telling(paper("Protein folding"), []) == ("protein", "folding")


def test_pressing_adds_a_phrase_once_and_keeps_the_rest() -> None:
    before = Selector.of(topics=["owls"], never=["cats"], papers=5)
    once = pressed(before, ("protein", "folding"), "Protein folding", more=True)
    assert once == Selector.of(topics=["owls"], never=["cats"], more=["protein folding"], papers=5)
    assert pressed(once, ("protein", "folding"), "Protein folding", more=True) == once
    assert pressed(None, ("protein", "folding"), "Protein folding", more=False) == Selector.of(less=["protein folding"])


def test_pressing_the_opposite_takes_its_place() -> None:
    before = Selector.of(more=["folding proteins", "fast folding", "folding", "cats"], less=["protein folding"])
    title = "Protein folding made fast"
    gone = ("fast folding", "folding proteins")  # the same words, and an earlier choice of this title's words
    assert opposite(before, ("protein", "folding"), title, more=False) == gone
    after = pressed(before, ("protein", "folding"), title, more=False)
    assert (after.more, after.less) == (("cats", "folding"), ("protein folding",))
    assert opposite(None, ("protein",), title, more=True) == ()


def test_too_many_are_refused() -> None:
    full = Selector.of(less=[f"word{number}" for number in range(MOST)])
    with pytest.raises(SelectorError, match="less: more than 30"):
        pressed(full, ("protein", "folding"), "Protein folding", more=False)
