"""The day's issue: the right papers in the documented order, on made-up lists and on every real day."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from newsletter import feed as feeds
from newsletter.config import FeedConfig
from newsletter.issue.compose import compose, join_duplicates
from newsletter.issue.filters import Filters
from newsletter.issue.rules import IssueRules
from newsletter.model import Paper, ParsedFeed, Skipped, title_key
from tests.conftest import SHARED, paper

DAY = date(2026, 11, 24)
HF_DAYS = sorted((SHARED / "data" / "hf").glob("*.json"))


def titles(papers: tuple[Paper, ...]) -> list[str]:
    return [each.title for each in papers]


def voted(*upvotes: int | None) -> ParsedFeed:
    return ParsedFeed(tuple(paper(n, title=f"{n}", upvotes=votes) for n, votes in enumerate(upvotes, 1)))


def test_most_upvotes_come_first_and_ties_keep_the_order_of_the_feed() -> None:
    issue = compose([voted(3, 9, 3, 9, 0)], DAY, IssueRules())
    assert titles(issue.papers) == ["2", "4", "1", "3", "5"]
    assert issue.ranked_by_votes


def test_a_missing_figure_among_votes_counts_as_zero() -> None:
    issue = compose([voted(None, 1, -2, 0)], DAY, IssueRules())
    assert titles(issue.papers) == ["2", "1", "4", "3"]
    assert issue.papers[1].upvotes == 0


def test_a_feed_without_votes_keeps_its_own_order_and_the_issue_says_so() -> None:
    issue = compose([voted(None, None, None)], DAY, IssueRules(min_upvotes=5))
    assert titles(issue.papers) == ["1", "2", "3"]
    assert not issue.ranked_by_votes


def test_the_cut_is_counted() -> None:
    issue = compose([voted(5, 4, 3, 2, 1)], DAY, IssueRules(max_papers=2, min_upvotes=2))
    assert titles(issue.papers) == ["1", "2"]
    assert issue.left_out == 3


def test_a_day_that_is_filtered_out_differs_from_a_quiet_one() -> None:
    assert compose([voted(1, 2)], DAY, IssueRules(min_upvotes=3)).left_out == 2
    assert compose([ParsedFeed(())], DAY, IssueRules()).left_out == 0


def test_skipped_entries_are_counted_over_all_feeds() -> None:
    broken = ParsedFeed((paper(),), (Skipped(1, "no title"), Skipped(4, "no title")))
    assert compose([broken, broken], DAY, IssueRules()).skipped == 4


def test_duplicates_become_one_paper_that_knows_what_each_listing_knew() -> None:
    first = paper(1, upvotes=3, abstract="", code_url=None, comments=None, organisation="Here")
    second = paper(1, upvotes=7, abstract="Whole.", code_url="https://code.example/x", comments=2, organisation="There")
    (joined,) = join_duplicates([first, second])
    assert (joined.upvotes, joined.abstract, joined.code_url, joined.comments) == (7, "Whole.", second.code_url, 2)
    assert joined.organisation == "Here"


def test_the_same_papers_in_any_number_of_feeds_give_the_same_issue() -> None:
    one = voted(3, 9, 3)
    assert compose([one, one], DAY, IssueRules()).papers == compose([one], DAY, IssueRules()).papers


@pytest.mark.skipif(not HF_DAYS, reason="no real data: ../shared/data is not beside this checkout")
@pytest.mark.parametrize("path", HF_DAYS, ids=lambda path: path.stem)
def test_a_real_day_is_ranked_as_its_votes_say(path: Path) -> None:
    answer = json.loads(path.read_text("utf-8"))
    parsed = feeds.parse(path.read_bytes(), FeedConfig(str(path)))
    issue = compose([parsed], date.fromisoformat(path.stem), IssueRules(max_papers=100))
    expected = sorted(answer, key=lambda entry: -entry["paper"].get("upvotes", 0))
    assert [each.arxiv_id for each in issue.papers] == [entry["paper"]["id"] for entry in expected]
    assert [each.upvotes for each in issue.papers] == [entry["paper"].get("upvotes", 0) for entry in expected]


def listed(source: str, *numbers: int, upvotes: int | None = None) -> ParsedFeed:
    """A feed that lists these papers in this order, each with as many votes as its number or with `upvotes`."""
    votes = {number: number if upvotes is None else upvotes for number in numbers}
    return ParsedFeed(tuple(paper(n, title=f"{n}", source=source, upvotes=votes[n]) for n in numbers))


def test_a_paper_of_several_feeds_names_them_all_and_keeps_its_highest_rank() -> None:
    feeds = [listed("HF", 1, 2, 3), listed("Reddit", 1, upvotes=90), listed("HN", 1, 4)]
    issue = compose(feeds, DAY, IssueRules())
    assert titles(issue.papers) == ["1", "4", "3", "2"]
    assert (issue.papers[0].source, issue.papers[0].also, issue.papers[0].upvotes) == ("HF", ("Reddit", "HN"), 90)


def test_the_same_feed_on_two_days_is_one_source() -> None:
    (joined,) = join_duplicates([paper(1), paper(1), paper(1, source="HN"), paper(1, source="HN")])
    assert (joined.source, joined.also) == ("Hugging Face", ("HN",))


@pytest.mark.parametrize("bare_first", [True, False])
def test_a_listing_without_an_id_is_joined_by_its_title(bare_first: bool) -> None:
    title = "Reading by Lighthouse at Night"
    with_id = paper(1, title=title, upvotes=3)
    bare = paper(9, key=title_key(title), title=title, source="HN", upvotes=9)
    other = paper(2, title=title)
    (joined, second) = join_duplicates([bare, with_id, other] if bare_first else [with_id, bare, other])
    assert (joined.key, joined.upvotes, {joined.source, *joined.also}) == (with_id.key, 9, {"Hugging Face", "HN"})
    assert second == other


def test_short_titles_are_no_identity_of_papers_with_ids() -> None:
    papers = [paper(1, title="Owls"), paper(9, key=title_key("Owls"), title="Owls")]
    assert join_duplicates(papers) == papers


def test_sections_stand_in_the_order_of_the_feeds_each_with_its_own_cut() -> None:
    silent = ParsedFeed(tuple(paper(n, title=f"{n}", source="arXiv", upvotes=None) for n in (9, 8, 7)))
    feeds = [listed("HN", 4, 5, 6), silent, listed("HF", 1, 3, 2)]
    issue = compose(feeds, DAY, IssueRules(max_papers=2, sections="source"))
    assert titles(issue.papers) == ["6", "5", "9", "8", "3", "2"]
    assert (issue.by_source, issue.left_out) == (True, 3)


def test_a_pinned_paper_leads_its_own_section() -> None:
    feeds = [listed("HF", 1, 2), listed("HN", 3, 4)]
    issue = compose(feeds, DAY, IssueRules(sections="source"), Filters(pin=("the number 3",)))
    assert titles(issue.papers) == ["2", "1", "3", "4"]
