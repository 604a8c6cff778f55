"""Mails and pages in other languages as a browser shows them: whole on a small phone, and accessible."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta

import pytest
from selenium import webdriver

from newsletter.languages import direction
from newsletter.mail.render import Renderer
from newsletter.model import LateRiser
from tests.chromium import LIGHT, PHONE, judged, show_on, write
from tests.conftest import PUBLICATION, issue, paper
from tests.pages import Site
from tests.test_archive import publish

DAY = date(2026, 11, 24)


@pytest.fixture(scope="module", params=["he", "de", "ja"])
def pages(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Pages and mails in one language, by name."""
    tag = str(request.param)
    publication = replace(PUBLICATION, language=tag, direction=direction(tag))
    renderer = Renderer(publication)
    site = Site(tmp_path_factory.mktemp("site"), f"language: {tag}\n")
    papers = [paper(n, title=f"FastOwl-{n}: Owls that read at night", summary="We show 4x owls.") for n in (1, 2)]
    contents = replace(issue(*papers), rising=(LateRiser(paper(20), date(2026, 11, 20), 7),), left_out=3)
    for n in (0, 1, 40):
        dated = replace(contents, day=DAY - timedelta(days=n))
        publish(site.store, renderer.issue(dated), publication, dated)
    paths = {
        "home": "/",
        "archive": "/archive/",
        "issue": f"/archive/{DAY}",
        "month": "/archive/2026-11/",
        "search": "/archive/search?q=owls",
        "missing": "/archive/2026-11-20",
        "preferences": site.preferences,
        "unsubscribe": site.link,
        "unknown": "/confirm/nonsense",
    }
    made = {name: site.client.get(path, follow_redirects=True).text for name, path in paths.items()}
    choice = {"day": "1", "pause": "0", "edition": "top", "papers": "10", "topics": "owls", "never": "cats"}
    made["picked"] = site.client.post(site.preferences, data=choice | {"act": "show"}).text
    made["refused"] = site.client.post(site.preferences, data=choice | {"topics": "x" * 101, "zone": "Mars"}).text
    made["problem"] = site.subscribe("nobody@intranet").text
    asked = {"state": "ask", "more": True, "paper": "Owls", "words": ["owls", "night"], "gone": ["night owls"]}
    made["feedback"] = renderer.page("web/feedback.html", home_url="/", root="/", preferences_url="/p", **asked)
    made["mail"] = renderer.issue(replace(contents, own=True)).html
    made["letter"] = renderer.letter("confirm", confirm_url="https://x.example/1", moves=False)[2]
    made["moved"] = renderer.letter("moved", undo_url="https://x.example/1", new_address="a…@b.example", days=14)[2]
    assert all(f'lang="{tag}" dir="{direction(tag)}"' in page for page in made.values())
    yield made
    site.store.close()


@pytest.fixture(scope="module")
def found(browser: webdriver.Chrome, pages: dict[str, str]) -> dict[str, list[str]]:
    """By name what is wrong with each page."""
    mails = ("mail", "letter", "moved")
    return {name: judged(browser, page, LIGHT, mail=name in mails) for name, page in pages.items()}


def test_pages_and_mails_fit_a_small_phone_and_are_accessible(found: dict[str, list[str]]) -> None:
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_nothing_lies_beyond_either_side(found: dict[str, list[str]]) -> None:
    """A page from right to left scrolls to negative positions, which its width does not show."""
    assert [name for name, wrong in found.items() if any("scrolls by" in each for each in wrong)] == []


def test_hebrew_runs_from_the_right(browser: webdriver.Chrome) -> None:
    publication = replace(PUBLICATION, language="he", direction="rtl")
    html = Renderer(publication).issue(issue(paper(1, authors=("Ada", "Bo", "Cy", "Di", "Ed"), author_count=5))).html
    show_on(browser, PHONE)
    write(browser, re.sub(r"</?bdi>", "", html))
    left = """
        const range = document.createRange();
        const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        for (let node = walker.nextNode(); node; node = walker.nextNode()) {
            const at = node.data.indexOf(arguments[0]);
            if (at < 0 || !node.parentElement.getClientRects().length) continue;
            range.setStart(node, at);
            range.setEnd(node, at + arguments[0].length);
            const box = range.getBoundingClientRect();
            if (box.width) return [box.left, box.right];
        }"""

    def sides(text: str) -> tuple[float, float]:
        begin, end = browser.execute_script(left, text)
        return float(begin), float(end)

    rank, votes, published = sides("#1"), sides("הצבעות"), sides("23")
    assert rank[0] > votes[1] > published[1]  # the kicker begins at the right
    names, others = sides("Ada, Bo, Cy"), sides("ועוד 2")
    assert names[0] > others[1]
    arxiv, pdf = sides("arXiv"), sides("PDF")
    assert arxiv[0] > pdf[1]  # the first link is at the right
    assert sides("Daily Papers")[1] > PHONE["width"] / 2  # the masthead is at the right
    assert sides("Paper number 1")[0] < PHONE["width"] / 2  # the English title is not
