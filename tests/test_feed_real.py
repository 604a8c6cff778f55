"""Real feeds, in every version of their schemas: the right papers, in the right order, with the right votes."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from newsletter.config import FeedConfig
from newsletter.errors import FeedFormatError
from newsletter.feed import parse
from newsletter.model import Paper, ParsedFeed
from tests.conftest import SHARED, chaos_feed

DATA = SHARED / "data"
HF = sorted((DATA / "hf").glob("*.json"))
NASTY = sorted(path for path in (DATA / "nasty").glob("*") if path.suffix != ".tsv")

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="no real data: ../shared/data is not beside this checkout")


def read(path: Path) -> ParsedFeed:
    return parse(path.read_bytes(), FeedConfig(str(path)))


# --- Hugging Face ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", HF, ids=lambda path: path.stem)
def test_a_day_of_hugging_face_comes_whole_and_in_order(path: Path) -> None:
    listed = [entry["paper"] for entry in json.loads(path.read_bytes())]
    feed = read(path)
    assert feed.skipped == ()
    assert [paper.arxiv_id for paper in feed.papers] == [paper["id"] for paper in listed]
    assert [paper.title for paper in feed.papers] == [" ".join(paper["title"].split()) for paper in listed]
    assert [paper.upvotes for paper in feed.papers] == [paper.get("upvotes") for paper in listed]
    assert [str(paper.published) for paper in feed.papers] == [paper["publishedAt"][:10] for paper in listed]
    assert all(paper.abstract and paper.url and paper.source == "Hugging Face" for paper in feed.papers)


def test_the_days_of_hugging_face_together() -> None:
    papers = [paper for path in HF for paper in read(path).papers]
    assert len(papers) == 510
    assert sum(paper.upvotes or 0 for paper in papers) == sum(
        entry["paper"]["upvotes"] for path in HF for entry in json.loads(path.read_bytes())
    )
    assert sum(paper.author_count for paper in papers) == 6368 - 1, "one author is hidden"
    assert sum(paper.organisation is not None for paper in papers) == 205
    assert sum(paper.code_url is not None for paper in papers) == 235
    assert [paper.arxiv_id for paper in papers].count("2604.07429") == 2


# --- other feeds -----------------------------------------------------------------------------------------------------

# Papers, entries skipped, votes (all of them, or their sum), the first title's beginning, the last key's beginning.
FEEDS: dict[str, tuple[int, int, list[int] | int | None, str, str]] = {
    "arxiv_api_2019.atom.xml": (10, 0, None, "Defining Data Science", "arxiv:1312.7288"),
    "arxiv_cs.AI_20250820.atom.xml": (7, 0, None, "ALIGN: Word Association", "arxiv:2508.14002"),
    "biorxiv_rss1.rdf.xml": (1, 0, None, "Complete genome of the Medicago", "doi:10.1101/2023.12.16.571984"),
    "google_alerts.atom.xml": (
        20,
        0,
        None,
        "Report offers Prediction of Automotive Slack Market",
        "guid:tag:google.com,2013:googlealerts/feed:1354",
    ),
    "hf_papers_huangboming_20250425.rss.xml": (15, 0, 178, "ViSMaP: Unsupervised", "arxiv:2504.17789"),
    "hf_papers_huangboming_20250610.rss.xml": (23, 0, 268, "Sparsified State-Space", "arxiv:2506.06276"),
    "hf_papers_huangboming_20260808.rss.xml": (30, 0, 536, "OSReward: Instituting", "arxiv:2608.05987"),
    "hf_papers_huangboming_weekly.rss.xml": (6, 0, [3, 5, 1, 7, 14, 2], "From RLVR to RLSVR", "arxiv:2607.29679"),
    "hn_frontpage.rss.xml": (30, 0, None, "Linux Sandboxes and Fil-C", "link:aivarsk.com/2025/12/07/tigerbeetle"),
    "hnrss_newest_20240311.rss.xml": (
        20,
        0,
        31,
        "CISA forced to take two systems offline",
        "guid:https://news.ycombinator.com/item?id=39671983",
    ),
    "jsonfeed_elastic_1.1.json": (3, 0, None, "InfluxDB vs. Graphite", "title:fake item"),
    "jsonfeed_example_1.json": (
        2,
        0,
        None,
        "How Jeff Bezos’s iPhone X Was Hacked",
        "guid:https://daringfireball.net/linked/2020/01/20/inst",
    ),
    "reader_full.atom.xml": (2, 3, None, "Atom-Powered Robots Run Amok", "guid:urn:uuid:0000"),
    "reddit_ml_top_20250703.atom.xml": (
        5,
        0,
        [9, 17, 21, 61, 109],
        "[D] Are NLP theory papers",
        "guid:https://www.reddit.com/r/Mach",
    ),
    "stackexchange_python_rank_excerpt.atom.xml": (
        3,
        0,
        [13, 0, -1],
        "atom editor indentation",
        "guid:https://stackoverflow.com/q/73087847",
    ),
    "takara_papers_single_item_excerpt.rss.xml": (1, 0, None, "BLIP3-o: A Family of Fully", "arxiv:2505.09568"),
}


def test_no_feed_is_left_out() -> None:
    assert set(FEEDS) == {path.name for path in (DATA / "feeds").iterdir()} - {"INDEX.tsv"}


@pytest.mark.parametrize("name", FEEDS)
def test_a_feed_gives_its_papers_and_votes(name: str) -> None:
    count, skipped, votes, first, last = FEEDS[name]
    feed = read(DATA / "feeds" / name)
    found = [paper.upvotes for paper in feed.papers if paper.upvotes is not None]
    assert (len(feed.papers), len(feed.skipped)) == (count, skipped)
    assert feed.papers[0].title.startswith(first)
    assert feed.papers[-1].key.startswith(last)
    assert feed.has_votes == (votes is not None)
    assert (found if isinstance(votes, list) else sum(found)) == (votes or 0)
    assert len(found) in (0, count)


@pytest.mark.parametrize("name", [name for name in FEEDS if "huangboming" in name])
def test_an_abstract_holds_no_label(name: str) -> None:
    for paper in read(DATA / "feeds" / name).papers:
        assert paper.abstract
        assert paper.authors
        assert not re.search(r"Upvotes:|Authors:|Summary:|<", paper.abstract)


def test_arxiv_s_notice_is_no_part_of_an_abstract() -> None:
    papers = read(DATA / "feeds" / "arxiv_cs.AI_20250820.atom.xml").papers
    assert not [paper.title for paper in papers if re.match(r"arXiv:|Announce|Abstract", paper.abstract)]
    assert papers[0].authors == ("Chunhua Liu", "Kabir Manandhar Shrestha", "Sukai Huang")


def test_comments_are_counted_apart_from_votes() -> None:
    papers = read(DATA / "feeds" / "hnrss_newest_20240311.rss.xml").papers
    assert sum(paper.comments or 0 for paper in papers) == 5
    assert all((paper.discussion_url or "").startswith("https://news.ycombinator.com/item") for paper in papers)


# --- malformed and hostile ones --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", NASTY, ids=lambda path: path.name)
def test_a_nasty_feed_gives_papers_or_one_line(path: Path) -> None:
    papers, said = _outcome(path)
    assert (papers is None) == said.startswith(f"{path}: ")
    assert "\n" not in said
    check_harmless(papers or ())


def _outcome(path: Path) -> tuple[tuple[Paper, ...] | None, str]:
    try:
        return read(path).papers, ""
    except FeedFormatError as error:
        return None, str(error)


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("amp01.xml", "&"),
        ("amp50.xml", "&"),
        ("bozo_double-encoded-html.xml", "…"),
        ("entry_content_script_base64.xml", "safe description"),
        ("entry_content_style_tag.xml", "safe description"),
        ("item_description_iframe.xml", "safe description"),
        ("miniflux_encoding_WINDOWS-1251.xml", "Цитата #17703"),
        ("miniflux_utf8-incorrect-prolog.xml", "Café"),
        (
            "rss_0.91_missing_id.xml",
            "Oferta de Empleo Público // 3 PROFESOR/A TÉCNICO/A (INGENIE. TÉC. FORESTAL) 17/17",
        ),
        ("rss_1.0_iso8859.xml", "Digitalministerium: Neue Glasfaserförderung mit Schnellkasse"),
        ("rss_2.0_encoding_1.xml", "Revolução nas telas com pontos quânticos impressos em 3D"),
    ],
)
def test_a_nasty_feed_is_read_right(name: str, title: str) -> None:
    assert read(DATA / "nasty" / name).papers[0].title == title


def test_what_cannot_be_told_is_refused_and_not_mailed_as_mojibake() -> None:
    for name in ("big5.xml", "gb2312.xml", "koi8r.xml", "shiftjis.xml"):
        with pytest.raises(FeedFormatError, match="unknown character encoding"):
            read(DATA / "nasty" / name)


# --- poison ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chaos() -> Any:
    """The shared server of faults, for the hostile documents it makes."""
    return chaos_feed()


def test_every_poisoned_paper_ends_as_harmless_text(chaos: Any) -> None:
    poison = chaos.poison()
    feed = FeedConfig("https://feeds.example.org/papers")
    as_json = parse(json.dumps(poison).encode(), feed)
    as_rss = parse(chaos.rss(poison), feed)
    check_harmless(as_json.papers)
    check_harmless(as_rss.papers)
    assert [skipped.reason for skipped in as_json.skipped] == ["no title"] * 2
    assert len(as_json.papers) + len(as_json.skipped) == len(as_rss.papers) + len(as_rss.skipped) == len(poison)
    assert [paper.upvotes for paper in as_json.papers][:3] == [1000, 1001, 1002]


def check_harmless(papers: tuple[Paper, ...]) -> None:
    """No control characters, no line ends, no overrides in any text; every URL is http(s) and plain ASCII."""
    for paper in papers:
        assert paper.title
        for name, text in _texts(paper):
            assert not [c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in "\u202e\u2066"]
            assert len(text) <= 20_000
            if name.endswith("url"):
                assert re.fullmatch(r"https?://[a-z0-9.:\[\]_-]+(?:[/?#][!-~]*)?", text)
                assert not re.search(r'[<>"\s]', text)


def _texts(paper: Paper) -> Iterator[tuple[str, str]]:
    for field in fields(paper):
        value = getattr(paper, field.name)
        for text in value if isinstance(value, tuple) else [value]:
            if isinstance(text, str):
                yield field.name, text
