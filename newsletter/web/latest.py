"""The latest issue as a part of the home page: the papers and the CSS of the mail as it was sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from newsletter.languages import Language
from newsletter.model import SLOT_HOST, FrozenIssue
from newsletter.text import enclosed


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The part of an issue that the home page shows."""

    day: str  # in words, such as 24 November 2026
    url: str  # of the whole issue
    rows: str  # HTML: a table row for each paper
    style: str  # CSS of the mail


def excerpt(issue: FrozenIssue, url: str, language: Language) -> Excerpt | None:
    """The papers of `issue`; None if its template does not mark them, or puts a subscriber's slot among them.

    The HTML needs no escaping: text from feeds was escaped when the mail was rendered.
    """
    html = issue.rendered.html
    _, begins, rest = html.partition("<!--paper-->")
    papers, ends, _ = rest.rpartition("<!--end-->")
    if not begins or not ends or SLOT_HOST in papers:
        return None
    rows = papers.replace("<a ", '<a rel="noopener" ')
    return Excerpt(language.long_date(issue.rendered.day), url, rows, "\n".join(_styles(html)))


def _styles(html: str) -> Iterator[str]:
    """The CSS of each <style> element."""
    for start, end in enclosed(html, "<style", "</style>"):
        yield html[start:end].partition(">")[2].removesuffix("</style>")
