"""A paper as its feed lists it, and the feed itself: what is read, before anything is chosen."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from typing import Final


@dataclass(frozen=True, slots=True)
class Paper:
    """One paper as its feed described it: plain text without HTML, each run of white space made one space.

    `key` is the identity by which duplicates are joined: ``arxiv:2401.01234`` (without version), ``doi:10.1000/x``,
    else ``guid:...`` or ``link:...`` as its feed identifies the entry, else ``title:...``. `aliases` are all guid: and
    link: keys that the paper has. Every URL is absolute, with scheme http or https. An unknown figure is None; 0 is a
    known zero.
    """

    key: str
    title: str
    aliases: tuple[str, ...] = field(default=(), kw_only=True)
    url: str | None = None
    abstract: str = ""
    authors: tuple[str, ...] = ()
    author_count: int = 0  # may exceed len(authors): some feeds give the number and not all the names
    organisation: str | None = None
    published: date | None = None
    upvotes: int | None = None
    comments: int | None = None
    arxiv_id: str | None = None
    arxiv_url: str | None = None
    pdf_url: str | None = None
    code_url: str | None = None
    code_stars: int | None = None
    project_url: str | None = None
    discussion_url: str | None = None
    summary: str | None = None  # the machine-written summary that the feed gives (`ai_summary` of Hugging Face)
    keywords: tuple[str, ...] = ()
    source: str = ""  # display name of the feed it came from
    also: tuple[str, ...] = ()  # display names of other feeds that list it

    @property
    def names(self) -> tuple[str, ...]:
        """Keys under which this paper is remembered: its own, its aliases, and its title's for other kinds."""
        if self.key.startswith(BY_TITLE):
            return (self.key, *self.aliases)
        prefix = _LINKED if self.key.startswith(_BY_ENTRY) else _TITLED
        return tuple(dict.fromkeys((self.key, *self.aliases, *_titled(self.title, prefix))))

    @property
    def lookup_keys(self) -> tuple[str, ...]:
        """Keys to look up among other papers' `names`.

        Two papers that both have an arXiv id or DOI never match by title, nor do two that both have a link or guid.
        Stores of version 0.2 know papers with a link, or with a DOI in it, only by their title. So that is looked up
        too, unless it is one that many papers have.
        """
        if self.key.startswith(BY_TITLE):
            by_title = (*_titled(self.title, _TITLED), *_titled(self.title, _LINKED))
        elif self.key.startswith(_BY_ENTRY):
            by_title = (*_titled(self.title, _TITLED), *_former(self.title))
        else:
            by_title = (*_titled(self.title, _LINKED), *_former(self.title))
        return tuple(dict.fromkeys((self.key, *self.aliases, *by_title)))


BY_TITLE: Final = "title:"
BY_LINK: Final = "link:"
BY_GUID: Final = "guid:"
_BY_ENTRY: Final = (BY_LINK, BY_GUID)
_TITLED: Final = "titled:"  # the title of a paper with an arXiv id or DOI
_LINKED: Final = "linked:"  # the title of a paper with a link or guid only
_DISTINCT: Final = 16  # least number of letters and digits for a title to identify a paper


def key_kind(key: str) -> str:
    """What a Paper.key identifies: ``id``, a paper by its arXiv id or DOI; ``entry``, one of a feed; or a ``title``."""
    return "title" if key.startswith(BY_TITLE) else "entry" if key.startswith(_BY_ENTRY) else "id"


@lru_cache(maxsize=1_024)  # a title is asked for many times: of each listing, as a name and as a key to look up
def title_key(title: str) -> str:
    """The key of a paper without an id: its title's letters and digits, case folded.

    A title with fewer than 16 of them, such as "C++", keeps its other characters too.
    """
    folded = unicodedata.normalize("NFKC", title).casefold()
    letters = "".join(filter(str.isalnum, folded))
    return BY_TITLE + (letters if len(letters) >= _DISTINCT else folded)


# Titles that journals give to many papers (letters only, lower case, as in `title_key`). They identify no paper.
_COMMON_TITLES: Final = frozenset(
    """addendum announcement announcements bookreview bookreviews commentary comment contents contributors correction
    corrections corrigendum corrigenda cover coverimage coverpicture discussion editorial editorialboard editorsnote
    errata erratum expressionofconcern foreword frontmatter backmatter graphicalabstract highlights inmemoriam
    inthisissue introduction issueinformation letter letters lettertotheeditor masthead news obituary perspective
    preface publishersnote publishererratum publishercorrection reply response retraction retractionnote review
    tableofcontents thisweek titlepage""".split()
)


@lru_cache(maxsize=1_024)
def _former(title: str) -> tuple[str, ...]:
    """The key that version 0.2 gave a paper without an arXiv id or DOI; empty for a title that many papers have."""
    key = title_key(title)
    letters = "".join(filter(str.isalpha, key.removeprefix(BY_TITLE)))
    return () if letters in _COMMON_TITLES else (key,)


def _titled(title: str, prefix: str) -> tuple[str, ...]:
    """The title's letters and digits after `prefix`; empty if the title is too short to identify a paper."""
    letters = title_key(title).removeprefix(BY_TITLE)
    return (prefix + letters,) if len(letters) >= _DISTINCT else ()


@dataclass(frozen=True, slots=True)
class Skipped:
    """A feed entry that could not be used: its position (from 1) and the reason, in words for the operator."""

    position: int
    reason: str


@dataclass(frozen=True, slots=True)
class ParsedFeed:
    """A feed's content: its papers in the feed's order, and the entries that had to be skipped."""

    papers: tuple[Paper, ...]
    skipped: tuple[Skipped, ...] = ()
    title: str | None = None

    @property
    def has_votes(self) -> bool:
        """Whether any paper has an upvote count. A feed without votes keeps its order."""
        return any(paper.upvotes is not None for paper in self.papers)


@dataclass(frozen=True, slots=True)
class CachedResponse:
    """A feed's last response with its validators (RFC 9110 section 8.8): the body to use after 304 Not Modified."""

    url: str
    body: bytes
    content_type: str | None
    etag: str | None
    last_modified: str | None
    fetched_at: datetime  # UTC
