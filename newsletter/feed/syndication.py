"""RSS, Atom and RDF through feedparser, which gets bytes and never a URL: it has no timeout of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from io import BytesIO
from itertools import takewhile
from typing import Any, Final

import feedparser

from newsletter.config import FeedConfig
from newsletter.errors import FeedFormatError
from newsletter.feed import text, votes
from newsletter.model import Paper, ParsedFeed, Skipped

# Entities of a document's own are how bombs and file readers work; no feed needs them (XXE, billion laughs).
_ENTITIES: Final = re.compile(rb"<!\s*ENTITY|<\0!\0E\0N\0T\0I\0T\0Y|\0<\0!\0E\0N\0T\0I\0T\0Y", re.IGNORECASE)

# The end that a whole document has; an answer that was cut off on its way has none.
_END: Final = re.compile(r"</\s*(?:\w+:)?(?:rss|feed|rdf)\s*>", re.IGNORECASE)

# Labelled lines of a description: what they label, and the text after the label.
_LABEL: Final = re.compile(
    r"(authors?|summary|abstract|article url|comments url|# comments|comments)\s*:\s*(.*)", re.IGNORECASE
)
_NOT_ABSTRACT: Final = re.compile(
    r"(?:authors?|upvotes|upvote ratio|votes|points|likes|topic|article url|comments url|# comments)\s*:", re.IGNORECASE
)
_COMMENTS: Final = re.compile(r"comments\s*:?", re.IGNORECASE)
_INITIALS: Final = re.compile(r"(?:\w\.[ -]?)+")
_ARXIV_PREFIX: Final = re.compile(r"arXiv:\S+\s+Announce Type:\s*\S+\s+(?:Abstract:\s*)?", re.IGNORECASE)


def parse(body: bytes, feed: FeedConfig, content_type: str | None) -> ParsedFeed:
    """The papers of an XML feed. Raises FeedFormatError when it is none, is cut off, or declares entities."""
    if _ENTITIES.search(body):
        raise FeedFormatError(f"{feed.url}: the feed declares entities of its own, which is refused")
    headers = {"content-type": content_type} if content_type else {}
    parsed = feedparser.parse(
        BytesIO(_bare_votes(body, feed.votes)),
        response_headers=headers,
        sanitize_html=False,
        resolve_relative_uris=True,
    )
    if not parsed.version and not parsed.entries:
        raise FeedFormatError(f"{feed.url}: not a feed: {_why(parsed)}")
    if not _END.search(_tail(body)):
        raise FeedFormatError(f"{feed.url}: the feed is cut off before its end")
    name = feed.name or text.plain(parsed.feed.get("title", ""), text.NAME)
    papers: list[Paper] = []
    skipped: list[Skipped] = []
    for position, entry in enumerate(parsed.entries, 1):
        found = _Entry(entry, feed, name).paper()
        if found is None:
            skipped.append(Skipped(position, "it has no title"))
        else:
            papers.append(found)
    return ParsedFeed(tuple(papers), tuple(skipped), name or None)


def _bare_votes(body: bytes, named: str | None) -> bytes:
    """`body` with the attributes of voting elements dropped: feedparser keeps either those or the text, never both."""
    names = ["rsshub:upvotes", "re:rank", *([named] if named and not named.startswith("/") else [])]
    alternatives = "|".join(map(re.escape, names)).encode()
    return re.sub(rb"<(" + alternatives + rb")\s[^<>]*?>", rb"<\1>", body)


def _tail(body: bytes) -> str:
    return body[-2000:].replace(b"\0", b"").decode("latin-1")


def _why(parsed: Any) -> str:
    error = parsed.get("bozo_exception")
    return text.fold(str(error), 200) if error else "it holds no entries"


class _Entry:
    """One entry, and the ways to read it."""

    def __init__(self, entry: Any, feed: FeedConfig, name: str) -> None:
        self._entry, self._feed, self._name = entry, feed, name
        markup = max([entry.get("summary", ""), *(part.get("value", "") for part in entry.get("content", ()))], key=len)
        self._lines = text.lines(markup)
        self._labelled = {
            match.group(1).lower(): match.group(2) for line in self._lines if (match := _LABEL.match(line))
        }

    def paper(self) -> Paper | None:
        """The paper, or None when the entry has no title."""
        entry = self._entry
        title = text.plain(entry.get("title", ""), text.TITLE)
        if not title:
            return None
        link = text.web_url(entry.get("link"))
        arxiv = text.arxiv_id_in(entry.get("id"), entry.get("link"))
        authors = tuple(self._authors())
        return Paper(
            key=text.key(
                title, arxiv, text.doi_in(entry.get("prism_doi"), entry.get("dc_identifier"), entry.get("id"))
            ),
            title=title,
            url=link or (f"https://arxiv.org/abs/{arxiv}" if arxiv else None),
            abstract=self._abstract(),
            authors=authors[: text.AUTHORS],
            author_count=len(authors),
            published=_day(entry),
            upvotes=votes.find(self._feed.votes, self._element, self._lines, lambda: "\n".join([title, *self._lines])),
            comments=text.whole(entry.get("slash_comments")) if "slash_comments" in entry else self._comments(),
            arxiv_id=arxiv,
            arxiv_url=f"https://arxiv.org/abs/{arxiv}" if arxiv else None,
            pdf_url=f"https://arxiv.org/pdf/{arxiv}" if arxiv else None,
            discussion_url=text.web_url(entry.get("comments")),
            keywords=tuple(text.fold(tag.term, 60) for tag in entry.get("tags", ())[:20] if tag.get("term")),
            source=self._name,
        )

    def _element(self, name: str) -> object:
        """An element of the entry: feedparser calls rsshub:upvotes rsshub_upvotes."""
        value = self._entry.get(name.replace(":", "_").lower())
        return value.get("value") if isinstance(value, dict) else value

    def _abstract(self) -> str:
        if found := self._labelled.get("summary") or self._labelled.get("abstract"):
            return found
        body = takewhile(lambda line: not _COMMENTS.fullmatch(line), self._lines)
        title = text.plain(self._entry.get("title", ""), text.TITLE)
        prose = " ".join(line for line in body if not _NOT_ABSTRACT.match(line) and line != title)
        return text.fold(_ARXIV_PREFIX.sub("", prose, count=1), text.ABSTRACT)

    def _authors(self) -> Iterable[str]:
        listed = [person.get("name", "") for person in self._entry.get("authors", ())]
        names = self._labelled.get("authors") or self._labelled.get("author")
        for written in [names] if names else listed:
            yield from filter(None, (text.plain(name, text.NAME) for name in _split_names(written)))

    def _comments(self) -> int | None:
        return text.whole(self._labelled.get("# comments") or self._labelled.get("comments"))


def _split_names(written: str) -> list[str]:
    """The people of one author element: "A B, C D", or "B, A., D, C." with the surname first, or "B, A" alone."""
    parts = [part.strip() for part in written.split(",") if part.strip()]
    if len(parts) > 1 and all(map(_INITIALS.fullmatch, parts[1::2])):
        return [f"{initials} {surname}" for surname, initials in zip(parts[::2], parts[1::2], strict=False)]
    return parts if len(parts) > 2 or any(" " in part for part in parts) else [written]


def _day(entry: Any) -> date | None:
    moment = entry.get("published_parsed") or entry.get("updated_parsed")
    try:
        return date(*moment[:3]) if moment else None
    except ValueError:
        return None
