"""Renders the gallery: docs/gallery/*.png, the sample day as readers see it, in the mail and on the pages.

`make pictures` calls it as `python -m docs.gallery`; it needs Debian's chromium and chromium-driver. Run it when the
look changes, and look at each picture.
"""

from __future__ import annotations

import base64
import html
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from newsletter.check.templates import sample_issue
from newsletter.languages import direction
from newsletter.mail.render import Renderer, legible
from newsletter.model import Issue, Publication, Slot
from tests.chromium import open_browser
from tests.conftest import PUBLICATION
from tests.pages import BASE, Site
from tests.test_archive import publish

if TYPE_CHECKING:
    from selenium import webdriver

FOLDER: Final = Path(__file__).with_name("gallery")

_DAYS: Final = 40  # days before the sample day, of which the archive shows those that are not at a weekend
_SATURDAY: Final = 5  # of date.weekday()


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture: its name, the page, and the screen's size in CSS px with `scale` dots each."""

    name: str
    page: str
    width: int = 375
    height: int = 780
    scale: float = 1
    scheme: str = "light"


def mail(publication: Publication, issue: Issue) -> str:
    """The HTML of an issue for a sample reader."""
    page = Renderer(publication).issue(issue).html
    return page.replace(Slot.ADDRESS, html.escape("reader@example.org"))


def archive(folder: Path, issue: Issue) -> tuple[str, str]:
    """The page of an issue, and the list of all, on a site with issues of several weeks."""
    renderer = Renderer(PUBLICATION)
    site = Site(folder)
    with closing(site.store):
        days = (issue.day - timedelta(days=ago) for ago in range(_DAYS, -1, -1))
        for number, day in enumerate(day for day in days if day.weekday() < _SATURDAY):
            at = number % len(issue.papers)
            dated = replace(
                issue, day=day, papers=issue.papers[at:] + issue.papers[:at] if day != issue.day else issue.papers
            )
            publish(site.store, renderer.issue(dated), PUBLICATION, legible(dated))
        return site.client.get(f"/archive/{issue.day}/").text, site.client.get("/archive/").text


def choices(folder: Path) -> str:
    """The page on which a reader chooses."""
    folder.mkdir()
    site = Site(folder)
    with closing(site.store):
        return site.client.get(site.preferences, base_url=BASE).text


def pictures(folder: Path) -> Iterator[Picture]:
    """All pictures; `folder` is for the files of the site."""
    issue = replace(sample_issue(), notes=())
    english = mail(PUBLICATION, issue)
    hebrew = mail(replace(PUBLICATION, language="he", direction=direction("he")), issue)
    of_issue, index = archive(folder, issue)
    yield Picture("phone-light", english)
    yield Picture("phone-dark", english, scheme="dark")
    yield Picture("desktop", english, width=800, height=900)
    yield Picture("hebrew", hebrew)
    yield Picture("archive-issue", of_issue, width=900, height=900)
    yield Picture("archive-index", index, width=900, height=700)
    yield Picture("choices", choices(folder / "choices"))


def take(browser: webdriver.Chrome, picture: Picture, folder: Path) -> bytes:
    """The picture as PNG."""
    page = folder / f"{picture.name}.html"
    page.write_text(picture.page, "utf-8")
    size = {"width": picture.width, "height": picture.height, "deviceScaleFactor": picture.scale, "mobile": True}
    media = {"features": [{"name": "prefers-color-scheme", "value": picture.scheme}]}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
    browser.get(page.as_uri())
    return base64.b64decode(browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})["data"])


def main() -> int:
    """Write all pictures; returns the exit code, 1 if there is no browser."""
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        print("the gallery needs Debian's chromium and chromium-driver", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        browser = open_browser(folder / "profile")
        try:
            for picture in pictures(folder):
                path = FOLDER / f"{picture.name}.png"
                path.write_bytes(take(browser, picture, folder))
                print(f"{path.relative_to(FOLDER.parents[1])}  {path.stat().st_size / 1000:.0f} kB")
        finally:
            browser.quit()
    return 0


if __name__ == "__main__":
    sys.exit(main())
