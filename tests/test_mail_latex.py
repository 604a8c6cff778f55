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
REAL = sorted([*(SHARED / "data" / "hf").glob("*.json"), *(SHARED / "data" / "feeds").glob("*.*ml")])


@pytest.mark.parametrize(("written", "read"), CASES, ids=[case[0] for case in CASES])
def test_the_table_of_cases(written: str, read: str) -> None:
    assert readable(written) == read
    assert readable(f"We see {written}, and more.") == f"We see {read}, and more."


@pytest.mark.parametrize(
    "hostile",
    ["$" * 20_000, "{" * 20_000, "\\" * 20_000, "$a" * 10_000, "\\frac{" * 3_000, "^{" * 9_000, "``" * 9_000],
)
def test_hostile_text_comes_back(hostile: str) -> None:
    """The time limit of the test suite fails this test if the time is not linear."""
    assert len(readable(hostile)) >= len(hostile) // 3
    assert readable(f"${hostile}$")


def words(text: str) -> set[str]:
    """The words without a backslash next to them, which no conversion may drop."""
    return set(re.findall(r"[a-zA-Z]{4,}", re.sub(r"\S*[\\{}]\S*", " ", text)))


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
