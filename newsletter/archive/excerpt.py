"""The middle of a mail, as a part of a page: for issues that were sent by a version which did not keep their papers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from newsletter.model import SLOT_HOST, FrozenIssue
from newsletter.text import enclosed


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The part of a mail that a page shows."""

    rows: str  # HTML: a table row for each paper
    style: str  # CSS of the mail


def excerpt(issue: FrozenIssue) -> Excerpt | None:
    """The papers of `issue`; None if its template does not mark them, or puts a subscriber's slot among them.

    The HTML needs no escaping: text from feeds was escaped when the mail was rendered.
    """
    html = issue.rendered.html
    _, begins, rest = html.partition("<!--paper-->")
    papers, ends, _ = rest.rpartition("<!--end-->")
    if not begins or not ends or SLOT_HOST in papers:
        return None
    rows = papers.replace("<a ", '<a rel="noopener" ')
    return Excerpt(rows, "\n".join(_styles(html)))


def _styles(html: str) -> Iterator[str]:
    """The CSS of each <style> element."""
    for start, end in enclosed(html, "<style", "</style>"):
        yield html[start:end].partition(">")[2].removesuffix("</style>")
