"""Parsing: fields of each format, votes, identities, quiet days and broken entries."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from newsletter.config import FeedConfig
from newsletter.feed import parse
from newsletter.model import Paper, Skipped
from tests.documents import FEED, item, only, papers, read, rss

# --- every format ----------------------------------------------------------------------------------------------------


def test_a_paper_of_hugging_face_has_every_field() -> None:
    assert read("hugging_face.json").papers[0] == Paper(
        key="arxiv:2611.00001",
        title="EditScore: Judging Edits at $1 Million Scale <think>",
        url="https://huggingface.co/papers/2611.00001",
        abstract="We judge edits. Where x<y and y > z, we win.",
        authors=("Ada Lovelace", "Emmy Noether"),
        author_count=2,
        organisation="Example Lab",
        published=date(2026, 11, 20),
        upvotes=7,
        comments=3,
        arxiv_id="2611.00001",
        arxiv_url="https://arxiv.org/abs/2611.00001",
        pdf_url="https://arxiv.org/pdf/2611.00001",
        code_url="https://github.com/example/edits",
        code_stars=42,
        project_url="https://edits.example.org/",
        discussion_url="https://huggingface.co/papers/2611.00001#community",
        summary="Edits are judged.",
        keywords=("editing", "judging"),
        source="Hugging Face",
    )


def test_what_hugging_face_leaves_out_is_none_and_not_zero() -> None:
    _, second, third = read("hugging_face.json").papers
    assert (second.key, second.upvotes, second.comments, second.published) == ("arxiv:2611.00002", None, None, None)
    assert second.organisation is None, "the submitter's organisation is not the paper's"
    assert (third.title, third.upvotes) == ("Only the list knows this title", 0)
    assert (third.arxiv_id, third.url) == ("math/0309136", "https://arxiv.org/abs/math/0309136")


def test_a_withdrawn_paper_is_skipped_with_its_position() -> None:
    assert read("hugging_face.json").skipped == (Skipped(4, "withdrawn"),)


@pytest.mark.parametrize(
    ("inner", "outer", "title"),
    [
        ("The whole title", "The whole", "The whole title"),
        ("The whole…", "The whole title", "The whole title"),
        (None, "The list's", "The list's"),
        ("The paper's", r"The \textsc{paper's}", "The paper's"),
    ],
)
def test_the_whole_title_is_taken(inner: str | None, outer: str, title: str) -> None:
    body = json.dumps([{"paper": {"title": inner}, "title": outer}]).encode()
    assert only(body).title == title


def test_labels_of_a_description_become_fields() -> None:
    paper = read("labelled.rss").papers[0]
    assert paper.title == "EditScore: 9 Ways to Edit"
    assert paper.abstract == "We edit & win where x < y. Votes: we count none."
    assert paper.authors == ("Ada Lovelace", "Emmy Noether")
    assert (paper.upvotes, paper.comments) == (1052, 12)
    assert (paper.key, paper.published) == ("arxiv:2611.00001", date(2026, 11, 20))
    assert paper.keywords == ("cs.CL",)
    assert paper.source == "Papers & People"


def test_points_are_votes_and_comments_are_not() -> None:
    _, points, talk = read("labelled.rss").papers
    assert (points.title, points.upvotes, points.comments) == ("Points: 500", 3, 40)
    assert points.discussion_url == "https://papers.example.org/item?id=2"
    assert points.abstract == ""
    assert (talk.upvotes, talk.abstract) == (None, "The text.")
    assert talk.discussion_url == "https://papers.example.org/3/talk"


def test_a_relative_link_starts_at_the_feed_without_its_password() -> None:
    assert read("labelled.rss").papers[1].url == "https://feeds.example.org/relative?page=2"
    assert read("labelled.rss", FeedConfig("/srv/labelled.rss")).papers[1].url is None


def test_atom_s_elements_carry_votes_even_with_attributes() -> None:
    first, second = read("arxiv.atom").papers
    assert (first.title, first.upvotes) == ("Where a<b and c>d", 21)
    assert first.abstract == "It holds that a<b and c>d. Votes: many."
    assert first.authors == ("Ada Lovelace", "Emmy Noether", "Paul Erdős")
    assert (second.title, second.upvotes) == ("Ranked below <zero>", -3)
    assert (second.abstract, second.authors) == ("Safe", ("One", "Two"))
    assert second.url == "https://atom.example.org/list/q/6"
    assert (first.published, second.published) == (date(2026, 11, 23), date(2026, 11, 22))


def test_rdf_in_its_declared_encoding() -> None:
    [paper] = read("journal.rdf").papers
    assert (paper.title, paper.key) == ("Café Culture", "doi:10.1234/example.7")
    assert paper.authors == ("E. NOETHER", "A. K. Lovelace", "P.-L. Erdos Jr.")
    assert (paper.published, paper.source) == (date(2026, 11, 21), "Journal of Examples")


def test_json_feed() -> None:
    feed = read("feed.json")
    first, second = feed.papers
    assert (first.key, first.url) == ("doi:10.1234/notes.1", "https://notes.example.org/1")
    assert (first.upvotes, first.abstract, first.authors) == (4, "The note.", ("Ada Lovelace",))
    assert (first.published, first.keywords, first.source) == (date(2026, 11, 23), ("a", "b"), "Notes – Example")
    assert (second.title, second.abstract) == ("Without a title: the first line serves.", "The second goes on.")
    assert (second.key, second.authors, second.published) == (
        "arxiv:2611.00009",
        ("Emmy Noether",),
        date(2026, 11, 23),
    )
    assert feed.skipped == (Skipped(3, "not an item"), Skipped(4, "neither title nor text"))


@pytest.mark.parametrize("name", ["hugging_face.json", "labelled.rss", "arxiv.atom", "journal.rdf", "feed.json"])
def test_the_config_s_name_is_what_readers_see(name: str) -> None:
    assert {paper.source for paper in read(name, FeedConfig("https://x.example/", name="Mine")).papers} == {"Mine"}


def test_a_nameless_feed_is_called_by_its_host() -> None:
    assert only(b"<rss><channel><item><title>x</title></item></channel></rss>").source == "feeds.example.org"


# --- votes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "votes", "found"),
    [
        ("arxiv.atom", "re:rank", [None, -3]),
        ("labelled.rss", "slash:comments", [12, None, None]),
        ("labelled.rss", r"/Comments: (\d+)/", [None, 40, None]),
        ("labelled.rss", r"/EditScore: (\d)/", [None, None, None]),
        ("labelled.rss", "no:such", [None, None, None]),
        ("feed.json", "_ext.votes", [11, None]),
        ("feed.json", r"/Upvotes: (\d+)/", [4, None]),
        ("hugging_face.json", "numComments", [3, None, None]),
        ("hugging_face.json", r"/(\d+) wins/", [None, None, None]),
    ],
)
def test_the_config_may_say_where_votes_stand(name: str, votes: str, found: list[int | None]) -> None:
    assert [paper.upvotes for paper in read(name, FeedConfig("https://x.example/", votes=votes)).papers] == found


@pytest.mark.parametrize(
    "text",
    [
        "EditScore: 3",
        "Score: 3",
        "Upvote Ratio: 0.91",
        "Upvotes: many",
        "we got Upvotes: 3",
        "Upvotes: 3 of 5",
    ],
)
def test_other_text_is_not_votes(text: str) -> None:
    assert only(item(title=text, description=f"&lt;p&gt;{text}&lt;/p&gt;")).upvotes is None


@pytest.mark.parametrize("line", ["Upvotes: 1,234", "Votes : 1234", "POINTS: +1234", "<b>Likes:</b> 1234"])
def test_labels_are_read_however_they_are_written(line: str) -> None:
    assert only(item(title="x", description=f"<![CDATA[Text. <p>{line}</p>]]>")).upvotes == 1234


@pytest.mark.parametrize("value", ['"many"', "1e400", "NaN", "true", "[3]", "3.5", "9" * 5_000, "99999999999"])
def test_upvotes_that_are_no_number_cost_only_their_entry(value: str) -> None:
    body = f'[{{"paper":{{"title":"a","upvotes":{value}}}}},{{"paper":{{"title":"b","upvotes":2}}}}]'
    feed = parse(body.encode(), FEED)
    assert [paper.title for paper in feed.papers] == ["b"]
    assert feed.skipped[0].position == 1
    assert "the upvotes are not a number" in feed.skipped[0].reason


# --- identity --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "key"),
    [
        ("https://arxiv.org/abs/2611.00001v12", "arxiv:2611.00001"),
        ("http://export.arxiv.org/pdf/2611.00001.pdf", "arxiv:2611.00001"),
        ("https://huggingface.co/papers/2611.00001", "arxiv:2611.00001"),
        ("https://arxiv.org/abs/cond-mat/0207270v1", "arxiv:cond-mat/0207270"),
        ("https://doi.org/10.48550/arXiv.2611.00001", "arxiv:2611.00001"),
        ("https://doi.org/10.1101/2026.11.16.571984", "doi:10.1101/2026.11.16.571984"),
        ("https://journal.example/doi/abs/10.1002/anie.2026?af=R", "doi:10.1002/anie.2026"),
        ("https://journal.example/doi/full/10.1021/ACS.JCTC.6c1", "doi:10.1021/acs.jctc.6c1"),
        ("https://link.journal.example/article/10.1007/s00000-026-1", "doi:10.1007/s00000-026-1"),
        ("https://iop.journal.example/article/10.1088/1234-5678/ab1/meta", "doi:10.1088/1234-5678/ab1"),
        ("https://www.biorxiv.org/content/10.1101/2026.11.16.571984v2.full.pdf?rss=1", "doi:10.1101/2026.11.16.571984"),
        ("https://plos.example/article?id=10.1371/journal.pone.0000001&x=1", "doi:10.1371/journal.pone.0000001"),
        ("https://journal.example/doi/10.1002%2Fanie.7", "doi:10.1002/anie.7"),
        ("https://www.blog.example/post/?utm_source=rss#top", "link:blog.example/post"),
        ("https://blog.example/?p=17&utm_campaign=x", "link:blog.example?p=17"),
        ("https://blog.example/10.things/to-do", "link:blog.example/10.things/to-do"),
        ("https://journal.example/", "title:asomewhatlongertitle"),
        ("https://example.org/arxiv.org/abs/2611.00001", "link:example.org/arxiv.org/abs/2611.00001"),
        ("https://arxiv.org/list/cs.AI/recent", "link:arxiv.org/list/cs.AI/recent"),
    ],
)
def test_a_paper_is_known_by_what_its_link_says(link: str, key: str) -> None:
    assert only(item(title="A somewhat - longer title!", link=link)).key == key


def test_short_titles_are_not_mixed_up() -> None:
    assert len({only(item(title=title)).key for title in ("C", "C++", "C#")}) == 3


# --- empty days and broken entries -----------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"[]", rss(""), b'{"version": "https://jsonfeed.org/version/1", "items": []}'])
def test_an_empty_feed_is_a_quiet_day(body: bytes) -> None:
    found = parse(body, FEED)
    assert (len(found.papers), len(found.skipped)) == (0, 0)


def test_a_broken_entry_costs_nothing_else() -> None:
    odd: list[Any] = [None, 3, "x", [], {}, {"paper": None}, {"paper": {"id": 5, "title": ["a"]}}]
    feed = parse(json.dumps([*odd, {"paper": {"title": "good", "authors": [None, {"name": None}, 7]}}]).encode(), FEED)
    assert [paper.title for paper in feed.papers] == ["good"]
    assert feed.papers[0].authors == ()
    assert [skipped.position for skipped in feed.skipped] == [1, 2, 3, 4, 5, 6, 7]


def test_a_feed_that_is_not_well_formed_keeps_its_entries() -> None:
    body = rss("<item><title>One &nbsp; & two</title></item><item><title>Three</title></item>")
    assert [paper.title for paper in parse(body, FEED).papers] == ["One & two", "Three"]


def test_illegal_characters_do_not_break_the_xml() -> None:
    assert only(item(title="a\x00b\x0bc")).title == "abc"


def test_an_entry_with_text_only_takes_its_beginning_as_title() -> None:
    paper = only(item(description="&lt;p&gt;" + "word " * 60 + "&lt;/p&gt;"))
    assert paper.title == " ".join(["word"] * 24)[:119] + "…"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32", "utf-32-le"])
def test_every_unicode_encoding_is_recognised(encoding: str) -> None:
    assert only(papers(title="Größe").decode().encode(encoding)).title == "Größe"
    assert only(item(title="Größe").decode().encode(encoding)).title == "Größe"


def test_a_stray_byte_among_utf_8_is_repaired() -> None:
    body = item(title="It\u2019s a caf\u00e9", description="x" * 200).replace("\u00e9".encode(), b"\xe9")
    assert only(body).title == "It\u2019s a café"


def test_the_declared_encoding_counts_where_the_text_is_not_utf_8() -> None:
    body = rss("<item><title>Größe</title></item>").decode().encode("latin-1")
    assert parse(body, FEED, content_type="text/xml; charset=ISO-8859-1").papers[0].title == "Größe"
    assert only(b"<?xml version='1.0' encoding='windows-1252'?>" + body).title == "Größe"
    assert only(b"<?xml version='1.0' encoding='latin-1'?>" + rss("<item><title>Größe</title></item>")).title == "Größe"
