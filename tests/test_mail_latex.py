"""LaTeX in titles and abstracts: certain LaTeX becomes text, everything else is left as written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from newsletter import feed
from newsletter.config import FeedConfig
from newsletter.errors import FeedFormatError
from newsletter.mail.latex import readable
from tests.conftest import SHARED

_LINES = (Path(__file__).parent / "data" / "latex.tsv").read_text("utf-8").splitlines()[1:]
CASES = [tuple(line.split("\t")) for line in _LINES if not line.startswith("# ")]
STRIPPED = SHARED / "data" / "cases" / "latex_stripped.tsv"
REAL = sorted([*(SHARED / "data" / "hf").glob("*.json"), *(SHARED / "data" / "feeds").glob("*.*ml")])


@pytest.mark.parametrize(("written", "read"), CASES, ids=[case[0] for case in CASES])
def test_the_table_of_cases(written: str, read: str) -> None:
    assert readable(written) == read
    assert readable(f"We see {written}, and more.") == f"We see {read}, and more."


# What stands for the reader's text in a row where the table says "this or that", or asks for a part of it.
STANDS_FOR = {
    "V₀.₅ or V0.5, without parentheses": "V₀.₅",
    "N_E ∑ᵢ₌₁^N_E fᵢ pᵢ or source untouched": "N_E ∑ᵢ₌₁^N_E fᵢ pᵢ",
}


@pytest.mark.skipif(not STRIPPED.exists(), reason="no real data: ../shared/data is not beside this checkout")
def test_every_real_case_without_dollar_signs() -> None:
    rows = [line.split("\t") for line in STRIPPED.read_text("utf-8").splitlines()[1:]]
    wrong = {row[2]: readable(row[2]) for row in rows if STANDS_FOR.get(row[3], row[3]) not in readable(row[2])}
    assert not wrong
    assert len(rows) >= 15


@pytest.mark.parametrize(
    "hostile",
    ["$" * 20_000, "{" * 20_000, "\\" * 20_000, "$a" * 10_000, "\\frac{" * 3_000, "^{" * 9_000, "``" * 9_000],
)
def test_hostile_text_comes_back(hostile: str) -> None:
    """The time limit of the test suite fails this test if the time is not linear."""
    assert len(readable(hostile)) >= len(hostile) // 3
    assert readable(f"${hostile}$")


@pytest.mark.parametrize("hostile", ["a--b" * 9_000, "*a " * 9_000, "a_{" * 9_000, "''a" * 9_000, "1times" * 9_000])
def test_hostile_text_of_the_second_kind_comes_back(hostile: str) -> None:
    assert readable(hostile)


NAMES = "times|rightarrow|propto|infty|cdot|varepsilon|nabla|theta|lambda"


MARKS = frozenset("\\{}^_")


def words(text: str) -> set[str]:
    """The words, which no conversion may drop, except those beside the marks of LaTeX and the names of signs."""
    plain = " ".join(word for word in text.split() if not MARKS.intersection(word))
    return set(re.findall(r"[a-zA-Z]{4,}", re.sub(rf"(?<=\d)times|\b(?:{NAMES})\b|\d\w*\d", " ", plain)))


@pytest.mark.skipif(not REAL, reason="no real data: ../shared/data is not beside this checkout")
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_a_real_feed_loses_no_word_and_keeps_no_known_macro(path: Path) -> None:
    try:
        papers = feed.parse(path.read_bytes(), FeedConfig(str(path))).papers
    except FeedFormatError:
        return
    for paper in papers:
        for text in (paper.title, paper.abstract, paper.summary or ""):
            shown = readable(text)
            assert words(text) <= words(shown), text
            assert not re.search(r"\\(textbf|emph|times|alpha|mathcal|%|&)", shown), text
