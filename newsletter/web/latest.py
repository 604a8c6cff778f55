"""The latest issue as a part of the home page: the papers and the CSS of the mail as it was sent."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from newsletter.mail.render import long_date
from newsletter.model import SLOT_HOST, FrozenIssue

_STYLE: Final = re.compile(r"<style[^>]*>(.*?)</style>", re.DOTALL)
_PAPERS: Final = re.compile(r"<!--paper-->(.*)<!--end-->", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The part of an issue that the home page shows."""

    day: str  # in words, such as 24 November 2026
    url: str  # of the whole issue
    rows: str  # HTML: a table row for each paper
    style: str  # CSS of the mail


def excerpt(issue: FrozenIssue, url: str) -> Excerpt | None:
    """The papers of `issue`; None if its template does not mark them, or puts a subscriber's slot among them.

    The HTML needs no escaping: text from feeds was escaped when the mail was rendered.
    """
    html = issue.rendered.html
    papers = _PAPERS.search(html)
    if papers is None or SLOT_HOST in papers[1]:
        return None
    rows = papers[1].replace("<a ", '<a rel="noopener" ')
    return Excerpt(long_date(issue.rendered.day), url, rows, "\n".join(_STYLE.findall(html)))
