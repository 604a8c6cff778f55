"""Find a paper's arXiv id or DOI in links and ids, and make the keys by which duplicates are joined. No I/O.

A paper with neither is known by the guid and the link of its entry, so that it stays the same when its title is edited,
and so that two papers called "Editorial" are two. A title identifies a paper only where there is nothing else.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from newsletter.feed.text import plain
from newsletter.feed.urls import public_part, site, web_url
from newsletter.model import BY_GUID, BY_LINK, title_key

# https://info.arxiv.org/help/arxiv_identifier.html. Subject class and version do not belong to the identity.
_ARXIV_ID: Final = r"(?P<id>\d{4}\.\d{4,5}|[a-z][a-z-]+(?:\.[A-Z]{2})?/\d{7})(?:v\d+)?"
_END: Final = r"(?:\.pdf)?/?(?:[?#].*)?$"

# Forms of links, guids and identifiers with an arXiv id. Each pattern must match the whole text.
_ARXIV_PLACES: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"https?://(?:[a-z]+\.)?arxiv\.org/(?:abs|pdf|html|format)/{_ARXIV_ID}{_END}",
        rf"https?://(?:www\.)?(?:(?:huggingface|hf)\.co/papers|alphaxiv\.org/abs)/{_ARXIV_ID}{_END}",
        rf"(?:oai:)?arxiv(?:\.org)?:{_ARXIV_ID}$",
        rf"(?:https?://(?:dx\.)?doi\.org/|doi:)?10\.48550/arxiv\.{_ARXIV_ID}$",
    )
)
_BARE: Final = re.compile(_ARXIV_ID)
# DOIs are case-insensitive (DOI Handbook, section 2.2: https://www.doi.org/doi-handbook).
_DOI: Final = re.compile(r"(?:https?://(?:dx\.)?doi\.org/|doi:\s?)?(10\.\d{4,9}/[^\s?#<>\"]{1,200})$", re.IGNORECASE)
# What publishers' hosts put behind a DOI in a path: the view of the paper. The version is bioRxiv's and medRxiv's.
_VIEW: Final = re.compile(
    r"[/.](?:abstract|abs|full|full-text|fulltext|full\.html|full\.pdf|html|pdf|epdf|pdfdirect|meta|summary|references"
    r"|figures|tables|metrics|citation)$"
)
_PREPRINT_VERSION: Final = re.compile(r"(10\.(?:1101|64898)/[\d.]+)v\d+$")
_PATH_DOI: Final = re.compile(r"10\.\d{4,9}/[^\s?#<>\"]{1,200}", re.IGNORECASE)
_TRACKING: Final = re.compile(
    r"(?:utm_\w{1,40}|af|rss|fbclid|gclid|ref|source|via|cmp|ftag|dgcid)(?:=|$)", re.IGNORECASE
)
_MOST_VIEWS: Final = 3  # of one path, such as /full/html
_TITLES_OF_ONE: Final = 2  # titles that one paper may have in a feed: before and after it was edited


@dataclass(frozen=True, slots=True)
class Identity:
    """The identifiers of a paper. At most one of arXiv id and DOI is set, and both may be None.

    `aliases` are the keys made from the guid and the link of its entry, the more reliable one first.
    """

    arxiv_id: str | None = None
    doi: str | None = None
    aliases: tuple[str, ...] = ()

    @property
    def arxiv_url(self) -> str | None:
        """URL of the abstract page on arXiv, or None."""
        return f"https://arxiv.org/abs/{self.arxiv_id}" if self.arxiv_id else None

    @property
    def url(self) -> str | None:
        """URL of the paper made from its identifier: on arXiv, else at doi.org; or None."""
        return self.arxiv_url or (f"https://doi.org/{self.doi}" if self.doi else None)

    @property
    def pdf_url(self) -> str | None:
        """URL of the PDF on arXiv, or None."""
        return f"https://arxiv.org/pdf/{self.arxiv_id}" if self.arxiv_id else None

    def key(self, title: str) -> str:
        """The value for `Paper.key`: made from the arXiv id, the DOI, the guid, the link, or else `title`."""
        if self.arxiv_id:
            return f"arxiv:{self.arxiv_id}"
        if self.doi:
            return f"doi:{self.doi}"
        return self.aliases[0] if self.aliases else title_key(title)


def identify(places: Iterable[object], links: Iterable[object] = (), aliases: tuple[str, ...] = ()) -> Identity:
    """The first arXiv id, or else the first DOI, in `places`: links, guids and identifiers, the most reliable first.

    In the path of `links`, such as ``/doi/abs/10.1000/x``, a DOI counts where there is no other.
    """
    texts = [place.strip() for place in places if isinstance(place, str) and len(place) < 500]
    found = (pattern.match(text) for text in texts for pattern in _ARXIV_PLACES)
    arxiv_id = next((_canonical(match["id"]) for match in found if match), None)
    doi = next((match[1].lower() for text in texts if (match := _DOI.match(text))), None)
    doi = doi or next((inside for link in links if (inside := _doi_in_path(link))), None)
    return Identity(arxiv_id, None if arxiv_id else doi, aliases)


def _doi_in_path(link: object) -> str | None:
    """The DOI in the path of a publisher's URL, or in its query as of PLOS (``?id=10.1371/...``); without the view."""
    if not isinstance(link, str) or len(link) > 500 or not link.startswith(("http://", "https://")):
        return None
    text = unquote(link)
    query = text.find("=10.")
    start = text.find("/10.", 8)
    if start < 0 or (0 <= text.find("?") < start):
        start = query
    match = _PATH_DOI.match(text, start + 1) if start >= 0 else None
    if match is None:
        return None
    doi = match[0].partition("&")[0].lower()
    for _ in range(_MOST_VIEWS):
        doi = _VIEW.sub("", doi.rstrip("/."))
    doi = _PREPRINT_VERSION.sub(r"\1", doi)
    return doi if doi.partition("/")[2] else None


@dataclass
class EntryKeys:
    """The guids and links of one feed's entries, which says what of them identifies an entry.

    A link or guid that several entries share, such as the address of the journal, identifies none of them. `feed` is
    the feed's URL: a guid that is not unique in the world, such as "17", is one of that feed.
    """

    feed: str
    _titles: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _guids: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def note(self, guid: object, link: object, title: object) -> None:
        """Take an entry into account, before any is asked for its `aliases`."""
        by_guid, by_link = self._guid(guid), _link(link)
        for key in filter(None, (by_guid, by_link)):
            self._titles[key].add(title_key(title) if isinstance(title, str) else "")
        if by_guid and by_link:
            self._guids[by_link].add(by_guid)

    def aliases(self, guid: object, link: object) -> tuple[str, ...]:
        """The keys of an entry by its guid and its link: those that no other entry shares."""
        keys = filter(None, (self._guid(guid), _link(link)))
        return tuple(key for key in keys if len(self._titles[key]) <= _TITLES_OF_ONE and len(self._guids[key]) <= 1)

    def _guid(self, guid: object) -> str | None:
        text = plain(guid, 500)
        if not text:
            return None
        return BY_GUID + (text if ":" in text else f"{self._scope} {text}")

    @cached_property
    def _scope(self) -> str:
        """What stands for the feed: its host and a hash, since its path may hold a key."""
        return f"{site(self.feed)} {hashlib.sha256(public_part(self.feed).encode()).hexdigest()[:16]}"


def _link(link: object) -> str | None:
    """The key of a link, without what only says who led there; None for a site's home page, which is no paper's."""
    url = web_url(link)
    if url is None:
        return None
    parts = urlsplit(url)
    query = "&".join(part for part in _parameters(parts.query) if not _TRACKING.match(part))
    if parts.path in ("", "/") and not query:
        return None
    return BY_LINK + urlunsplit(("", parts.netloc.removeprefix("www."), parts.path.rstrip("/"), query, "")).lstrip("/")


def _parameters(query: str) -> Iterator[str]:
    return (part for part in query.split("&") if part)


def arxiv_id(value: object) -> str | None:
    """`value` as an arXiv id without version, if it is a text that is nothing else; else None."""
    match = _BARE.fullmatch(value) if isinstance(value, str) else None
    return _canonical(match["id"]) if match else None


def _canonical(identifier: str) -> str:
    """The id without subject class: ``math/0309136`` for ``math.GT/0309136``."""
    archive, slash, number = identifier.partition("/")
    return archive.partition(".")[0].lower() + slash + number if slash else identifier
