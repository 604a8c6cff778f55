"""Read a description: the abstract, and labelled lines such as ``Upvotes: 52`` or ``Authors: A, B``. No I/O.

A label counts only if it begins a line and its value has the right type. Text such as "EditScore: 3" in a title or "we
count votes: 3 per user" in an abstract is not a label.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from newsletter.feed.authors import split_authors
from newsletter.feed.entry import Unusable
from newsletter.feed.text import join, lines, looks_like_html
from newsletter.feed.urls import web_url
from newsletter.feed.votes import figure, tally

_LABELLED: Final = re.compile(r"([#\w][\w ]{0,20}?) ?: ?(.+)")  # of a line with single spaces
# The notice that arXiv's feeds begin with. It is matched at the beginning only, and its quantifiers are possessive.
_ARXIV_NOTICE: Final = re.compile(r"arXiv:\S{1,40}+\s{1,10}+Announce Type:\s{0,10}+(\S{1,40}+)\s*+")
_READERS: Final = re.compile(r"comments?:?", re.IGNORECASE)

# The kind of each label's value, see `_keep`. "dropped" are labels to remove from the text: a ratio is not a count, and
# the URL of an article is the entry's link already.
_LABELS: Final = {
    "upvotes": "votes",
    "votes": "votes",
    "points": "votes",
    "likes": "votes",
    "# comments": "comments",
    "authors": "authors",
    "comments url": "discussion",
    "article url": "dropped",
    "upvote ratio": "dropped",
    "topic": "dropped",
    "abstract": "abstract",
    "summary": "abstract",
}


@dataclass
class Description:
    """The parts of an entry's text. `lines` holds all its lines for patterns, except comments quoted below the text."""

    lines: list[str] = field(default_factory=list)
    upvotes: int | None = None
    comments: int | None = None
    authors: tuple[str, ...] = ()
    discussion_url: str | None = None
    _rest: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, *texts: tuple[str, bool]) -> Description:
        """Read the texts of an entry, the best first, each with whether it is HTML.

        The abstract is that of the first text with one; labels are taken from all.
        """
        found = cls()
        for value, markup in dict.fromkeys(texts):  # feedparser can give the same text twice
            own = cls()
            for line in _lines(value, markup=markup):
                own._take(line)
            found._complete(own)
        return found

    def abstract(self, title: str) -> str:
        """The text without labels, and without a first line that is the title."""
        return join(self._rest[1:] if self._rest[:1] == [title] else self._rest)

    def _complete(self, other: Description) -> None:
        self.lines += other.lines
        self.upvotes = other.upvotes if self.upvotes is None else self.upvotes
        self.comments = other.comments if self.comments is None else self.comments
        self.authors = self.authors or other.authors
        self.discussion_url = self.discussion_url or other.discussion_url
        self._rest = self._rest or other._rest

    def _take(self, line: str) -> None:
        self.lines.append(line)
        match = _LABELLED.fullmatch(line)
        kind = _LABELS.get(match[1].lower()) if match else None
        if match is None or kind is None or not self._keep(kind, match[2]):
            self._rest.append(line)

    def _keep(self, kind: str, value: str) -> bool:
        """Store a labelled value unless there is one already; False if its type is wrong, so that the line is text."""
        if kind == "votes":
            try:
                votes = figure(value)
            except Unusable:
                return False
            self.upvotes = votes if self.upvotes is None else self.upvotes
        elif kind == "comments":
            self.comments = tally(value) if self.comments is None else self.comments
            return tally(value) is not None
        elif kind == "authors":
            self.authors = self.authors or split_authors(value)
        elif kind == "discussion":
            self.discussion_url = self.discussion_url or web_url(value)
        elif kind == "abstract":
            self._rest.append(value)
        return True


def announced(value: object) -> str | None:
    """The announce type in the notice of an arXiv description, such as ``replace-cross``; None without a notice."""
    notice = _ARXIV_NOTICE.match(value.lstrip()) if isinstance(value, str) else None
    return notice[1].lower() if notice else None


def _lines(value: str, *, markup: bool) -> list[str]:
    """The lines above a heading "Comments", without the notice that arXiv's feeds begin with."""
    text = value.lstrip()
    notice = _ARXIV_NOTICE.match(text)
    text = text[notice.end() :] if notice else value
    found = lines(text, markup=markup or looks_like_html(text))
    end = next((index for index, line in enumerate(found) if _READERS.fullmatch(line)), len(found))
    return found[:end]
