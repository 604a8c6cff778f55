"""The latest issue as a part of the home page: the papers of the mail as it was sent, and the rules for its colours."""

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
    """`rows` of a table, one for each paper, and the `style` rules of the mail; `day` in words, `url` of the whole."""

    day: str
    url: str
    rows: str
    style: str


def excerpt(issue: FrozenIssue, url: str) -> Excerpt | None:
    """The papers of `issue`; None when its template did not mark them, or something of a reader's own stands there.

    The HTML is the mail's: feed text was escaped before it was frozen.
    """
    html = issue.rendered.html
    papers = _PAPERS.search(html)
    if papers is None or SLOT_HOST in papers[1]:
        return None
    rows = papers[1].replace("<a ", '<a rel="noopener" ')
    return Excerpt(long_date(issue.rendered.day), url, rows, "\n".join(_STYLE.findall(html)))
