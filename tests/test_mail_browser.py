"""The mail on a phone, in a real browser: how long it is, and what the first screens show."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver

from newsletter import feed
from newsletter.config import FeedConfig
from newsletter.issue.compose import compose
from newsletter.issue.rules import IssueRules
from newsletter.mail.render import Renderer
from newsletter.model import Issue
from tests.chromium import show_on, write
from tests.conftest import PUBLICATION, SHARED, issue, paper

PHONE = {"width": 375, "height": 812, "deviceScaleFactor": 1, "mobile": True}
LONGEST = 6_000  # px, also in DejaVu Sans, the widest font that Debian brings
DAYS = sorted((SHARED / "data" / "hf").glob("*.json"))

# As long as in a usual day of Hugging Face: a name and a title of 90 characters, two sentences, three authors.
TWENTY = issue(
    *(
        paper(
            n,
            title=f"Lamp-{n}: Bending the Beams of Small Lighthouses with Concentric Rings of Thin Glass on Coasts",
            summary="Fresnel, a lens of rings, bends the light of small lamps at a tenth of the weight of a mirror, "
            "which lets harbours without money have a beam. It is seen from thirty miles away.",
            authors=("Augustin Fresnel", "Ada Lovelace", "Grace Hopper", "Emmy Noether", "Mary Somerville"),
            author_count=5,
            organisation="Institute of Harbours and Tides",
            keywords=("lenses", "lighthouses", "harbours"),
            upvotes=300 - n,
            comments=4,
            code_url=f"https://github.com/example/lamp-{n}",
            discussion_url=f"https://huggingface.co/papers/{n}#community",
        )
        for n in range(1, 21)
    )
)


def measured(browser: webdriver.Chrome, shown: Issue) -> dict[str, Any]:
    """Height of the mail and places of its titles in px, on a phone."""
    show_on(browser, PHONE)
    write(browser, Renderer(PUBLICATION).issue(shown).html)
    found: dict[str, Any] = browser.execute_script(
        """const bottom = (each) => each.getBoundingClientRect().bottom;
        return {height: document.documentElement.scrollHeight, width: document.documentElement.scrollWidth,
                glance: [...document.querySelectorAll('.itemlink')].map(bottom),
                plain: [...document.querySelectorAll('a')].filter(
                    (a) => !getComputedStyle(a).textDecorationLine.includes('underline')).length}"""
    )
    return found


def check(found: dict[str, Any]) -> None:
    assert found["height"] < LONGEST
    assert found["width"] == PHONE["width"]
    assert found["plain"] == 0  # links are told by more than their colour
    assert len(found["glance"]) < 6 or found["glance"][5] < PHONE["height"] * 1.5


def test_twenty_papers_fit_and_the_sixth_is_on_the_first_screens(browser: webdriver.Chrome) -> None:
    found = measured(browser, TWENTY)
    assert len(found["glance"]) == 20
    assert found["glance"][-1] < PHONE["height"] * 1.5
    check(found)


@pytest.mark.slow
@pytest.mark.skipif(not DAYS, reason="no real data: ../shared/data is not beside this checkout")
@pytest.mark.parametrize("path", DAYS, ids=lambda path: path.stem)
def test_a_real_day_fits(browser: webdriver.Chrome, path: Path) -> None:
    parsed = feed.parse(path.read_bytes(), FeedConfig(str(path)))
    check(measured(browser, compose([parsed], date.fromisoformat(path.stem), IssueRules(max_papers=20))))
