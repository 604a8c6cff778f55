"""Which entries are one paper: by arXiv id, DOI, guid and link, on one day, from day to day, and after an upgrade."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from newsletter.config import FeedConfig
from newsletter.feed import parse
from newsletter.issue.compose import join_duplicates
from newsletter.model import IssuePapers, Paper, RenderedIssue, title_key
from newsletter.store import Store
from tests.conftest import PUBLICATION
from tests.migrated import store_file

FEED = FeedConfig("https://journal.example/rss")
TITLE = "A title that is long enough to identify"


def papers(*items: tuple[str, str | None, str | None], feed: FeedConfig = FEED) -> tuple[Paper, ...]:
    """The papers of an RSS feed whose items are title, link and guid."""
    xml = "".join(
        f"<item><title>{title}</title>"
        + (f"<link>{link}</link>" if link else "")
        + (f'<guid isPermaLink="false">{guid}</guid>' if guid else "")
        + "</item>"
        for title, link, guid in items
    )
    return parse(f"<rss><channel><title>J</title>{xml}</channel></rss>".encode(), feed).papers


def link(path: str) -> str:
    return f"https://journal.example/{path}"


SAME = {
    "guid": ((TITLE, link("a"), "17"), ("Edited", link("b"), "17")),
    "link": ((TITLE, link("a"), None), ("Edited", link("a?utm_source=rss"), None)),
    "link, new guid": ((TITLE, link("a"), "17"), ("Edited", link("a"), "18")),
    "doi in the path": ((TITLE, link("doi/abs/10.1000/x"), "1"), ("Edited", link("doi/full/10.1000/X"), "2")),
    "a title and nothing else": ((TITLE, None, None), (TITLE, None, None)),
    "a title, and an id": ((TITLE, None, None), (TITLE, "https://arxiv.org/abs/2611.00001", None)),
    "a link, and an id later": ((TITLE, link("a"), "17"), (TITLE, "https://doi.org/10.1000/x", "17")),
    "a link, and a title": ((TITLE, link("a"), "17"), (TITLE, None, None)),
}
OTHER = {
    "editorials": (("Editorial", link("a"), link("a")), ("Editorial", link("b"), link("b"))),
    "one long title": ((TITLE, link("a"), None), (TITLE, link("b"), None)),
    "one title, two guids": ((TITLE, None, "17"), (TITLE, None, "18")),
    "two DOIs": ((TITLE, link("doi/10.1000/x"), None), (TITLE, link("doi/10.1000/y"), None)),
}


@pytest.mark.parametrize("pair", SAME.values(), ids=SAME.keys())
def test_the_same_paper_on_one_day_and_on_two(
    pair: tuple[tuple[str, str | None, str | None], ...], store: Store
) -> None:
    (first,), (second,) = papers(pair[0]), papers(pair[1])
    assert len(join_duplicates([first, second])) == 1
    assert len(join_duplicates([second, first])) == 1
    show(store, first)
    assert store.shown([second]) == {second.key}


@pytest.mark.parametrize("pair", OTHER.values(), ids=OTHER.keys())
def test_two_papers_on_one_day_and_on_two(pair: tuple[tuple[str, str | None, str | None], ...], store: Store) -> None:
    first, second = papers(*pair)
    assert first.key != second.key
    assert len(join_duplicates([first, second])) == 2
    show(store, first)
    assert store.shown([second]) == set()


def test_a_link_that_all_entries_share_identifies_none() -> None:
    current = link("current")
    found = papers(*((f"Paper number {number}", current, f"urn:x:{number}") for number in range(4)))
    assert len(join_duplicates(found)) == 4
    without = papers(*((f"Paper number {number}", current, None) for number in range(4)))
    assert len(join_duplicates(without)) == 4
    constant = papers(*((f"Paper number {number}", link(str(number)), "0") for number in range(4)))
    assert len(join_duplicates(constant)) == 4


def test_a_guid_that_is_no_uri_is_one_of_its_feed() -> None:
    (first,) = papers(("One", None, "17"))
    (second,) = papers(("Two", None, "17"), feed=FeedConfig("https://other.example/rss?key=hidden"))
    assert not set(first.lookup_keys) & set(second.names)
    assert "hidden" not in second.key


@pytest.mark.parametrize("title", [TITLE, "Short one", "C++"])
@pytest.mark.parametrize("place", ["a", "doi/abs/10.1000/x"])
def test_what_version_0_2_has_shown_by_its_title_is_not_shown_again(title: str, place: str, store: Store) -> None:
    show(store, Paper(title_key(title), title))
    (now,) = papers((title, link(place), "17"))
    assert store.shown([now]) == {now.key}


def test_an_editorial_that_version_0_2_has_shown_does_not_hide_all_later_ones(store: Store) -> None:
    show(store, Paper(title_key("Editorial"), "Editorial"))
    assert store.shown(papers(("Editorial", link("b"), None))) == set()


def test_the_collected_editorials(shared_data: Path, store: Store) -> None:
    first, second = (
        parse((shared_data / "cases" / "feeds" / name).read_bytes(), FEED).papers
        for name in ("two_editorials.rss", "two_editorials_next_day.rss")
    )
    assert len(join_duplicates(first)) == len(join_duplicates(second)) == 4
    show(store, *first)
    assert store.shown(first) == {paper.key for paper in first}
    assert store.shown(second) == set()


# --- helpers ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(store_file(tmp_path / "store.db"), now=lambda: datetime(2026, 11, 27, tzinfo=UTC))


def show(store: Store, *shown: Paper) -> None:
    """Freeze an issue with these papers."""
    issue = RenderedIssue(date(2026, 11, 26), "subject", "<p>html</p>", "text")
    store.freeze(issue, PUBLICATION, lifetime=timedelta(hours=24), papers=IssuePapers(shown=shown))
