"""The page behind "More" and "Less" below a paper: it asks, keeps words alone, and tells a stranger nothing."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import select

from newsletter.issue.choice import Choice
from newsletter.issue.selector import Selector
from newsletter.links import Links, Purpose
from newsletter.model import Issue, IssuePapers, LateRiser, RenderedIssue
from newsletter.store.schema import metadata
from tests.conftest import PUBLICATION, issue, paper
from tests.pages import ADDRESS, SECRET, Site

TODAY = date(2026, 11, 24)
FOLDING = paper(1, title="Protein folding at <b>night</b>", abstract="Proteins fold. Protein folding at night.")
OTHERS = [
    paper(n, title="Cats", abstract=said)
    for n, said in enumerate(("A protein", "Proteins", "Folding", "We fold, folding"), 2)
]


@pytest.fixture
def site(tmp_path: Path, database_url: str) -> Iterator[Site]:
    made = Site(tmp_path, store=database_url)
    had(made, issue(FOLDING, *OTHERS, paper(9, title="On it")))
    yield made
    made.store.close()


def had(site: Site, made: Issue) -> None:
    papers = (*made.papers, *(each.paper for each in made.rising))
    rendered = RenderedIssue(made.day, "Papers", "<p>html", "text\n")
    site.store.freeze(
        rendered,
        PUBLICATION,
        lifetime=timedelta(hours=1),
        papers=IssuePapers(candidates=made, offered={made.day: papers}),
    )


def link(site: Site, key: str = FOLDING.key, more: str = "1") -> str:
    return f"{site.path_of(site.links.feedback(site.reader().ref))}?paper={quote(key, safe=':')}&more={more}"


def kept(site: Site) -> Choice:
    return site.store.choice_of(site.reader().ref)


def test_the_page_says_what_would_be_kept_and_its_button_keeps_it(site: Site) -> None:
    before = Choice(Selector.of(topics=["owls"], papers=5), on_top=False, hour=7)
    site.store.choose(site.reader().ref, before)
    for _ in range(2):
        page = site.client.get(link(site))
        assert site.client.head(link(site)).status_code == page.status_code == 200
    assert kept(site) == before
    assert "Protein folding at &lt;b&gt;night&lt;/b&gt;" in page.text
    assert ">protein, folding</strong>" in page.text
    assert page.text.count("<button") == 1
    assert "Set-Cookie" not in page.headers
    done = site.client.post(link(site))
    assert (done.status_code, "Saved." in done.text) == (200, True)
    after = Choice(Selector.of(topics=["owls"], more=["protein folding"], papers=5), on_top=False, hour=7)
    assert kept(site) == after
    site.client.post(link(site))
    assert kept(site) == after
    (preferences,) = re.findall(r'href="(/preferences/[^"]+)"', done.text)
    assert preferences == site.preferences


def test_the_opposite_is_told_and_taken_away(site: Site) -> None:
    site.client.post(link(site))
    page = site.client.get(link(site, more="0")).text
    assert 'You asked for the opposite before, which this replaces: <span dir="auto">protein folding<' in page
    site.client.post(link(site, more="0"))
    assert kept(site).selector == Selector.of(less=["protein folding"])


def test_a_late_riser_of_a_later_day_is_found(site: Site) -> None:
    owls = paper(20, title="Night owls", abstract="Owls.")
    had(site, replace(issue(paper(21), day=TODAY + timedelta(days=1)), rising=(LateRiser(owls, TODAY, 3),)))
    site.client.post(link(site, owls.key))
    assert kept(site).selector == Selector.of(more=["night owls"])


@pytest.mark.parametrize(
    ("key", "more"),
    [
        ("arxiv:2611.99999", "1"),
        ("", "1"),
        ("x" * 5000, "1"),
        ("a\x00b\u2028", "0"),
        ("' OR 1=1 --", "0"),
        (FOLDING.key, "2"),
        (FOLDING.key, ""),
        (FOLDING.key, "1&more=0" * 50),
    ],
)
def test_a_link_that_is_wrong_gets_the_usual_page(site: Site, key: str, more: str) -> None:
    at = link(site).partition("?")[0] + f"?paper={quote(key)}&more={quote(more)}"
    for send in (site.client.get, site.client.post):
        page = send(at)
        assert (page.status_code, "This link does not work" in page.text) == (404, True)
        assert "Protein" not in page.text
    assert kept(site) == Choice()


def test_a_stranger_learns_and_changes_nothing(site: Site) -> None:
    """Links for other purposes, of another list, with another secret, or of nobody."""
    ref, query = site.reader().ref, link(site).partition("?")[2]
    other_list = Links(SECRET, replace(PUBLICATION, list_id="other.example.org"))
    tokens = [
        *(site.links.token(purpose, ref) for purpose in (Purpose.UNSUBSCRIBE, Purpose.PREFERENCES, Purpose.UNDO)),
        other_list.token(Purpose.FEEDBACK, ref),
        Links("guessed", PUBLICATION).token(Purpose.FEEDBACK, ref),
        site.links.token(Purpose.FEEDBACK, "00" * 8),
        "nonsense",
    ]
    for token in tokens:
        for send in (site.client.get, site.client.post):
            page = send(f"/feedback/{token}?{query}")
            assert (page.status_code, "Protein" in page.text) == (404, False)
    assert kept(site) == Choice()


def test_who_has_left_is_told_so(site: Site) -> None:
    site.store.unsubscribe(ADDRESS)
    assert [send(link(site)).status_code for send in (site.client.get, site.client.post)] == [410, 410]


def test_a_title_without_words_or_a_full_list_is_said_and_nothing_is_stored(site: Site) -> None:
    page = site.client.post(link(site, "arxiv:2611.00009"))
    assert page.status_code == 422
    assert "This title has no word to look for in other papers." in page.text
    full = Choice(Selector.of(more=[f"word{number}" for number in range(30)]))
    site.store.choose(site.reader().ref, full)
    for send in (site.client.get, site.client.post):
        page = send(link(site))
        assert page.status_code == 422
        assert "There are too many lines. There may be 30." in html.unescape(page.text)
        assert "<button" not in page.text
    assert kept(site) == full


def test_a_thousand_presses_end_at_the_bound(site: Site) -> None:
    many = [paper(n, title=f"Subject{n} of study{n}") for n in range(100, 140)]
    had(site, issue(*many, day=TODAY + timedelta(days=1)))
    answers = [site.client.post(link(site, each.key)).status_code for each in many]
    assert answers == [200] * 30 + [422] * 10
    selector = kept(site).selector
    assert selector is not None
    assert len(selector.more) == 30


def rows(site: Site) -> dict[str, list[str]]:
    """Everything in the store, by table."""
    with site.store._db.read() as connection:
        return {each.name: sorted(map(repr, connection.execute(select(each)))) for each in metadata.sorted_tables}


def test_only_words_are_stored_and_a_look_stores_nothing(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    before = rows(site)
    site.client.get(link(site))
    site.client.get(link(site, more="0"))
    assert rows(site) == before
    site.client.post(link(site))
    after = rows(site)
    (kept_row,) = after.pop("choices")
    assert kept_row.endswith(""", '{"selector":{"more":["protein folding"]}}')""")
    assert after == {name: found for name, found in before.items() if name != "choices"}
    assert caplog.text == ""
