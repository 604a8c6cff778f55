"""RSS, Atom and RDF through feedparser, which is given bytes and reaches nothing: no URL, no DTD, no entity.

feedparser's own sanitiser is off: everything becomes plain text in `text`. Its forgiving parser takes over where XML is
not well-formed, so a feed with one bad entity keeps its other entries; but one that lacks its own end is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from io import BytesIO
from time import struct_time
from typing import Any, Final

import feedparser

from newsletter.feed.authors import split_authors
from newsletter.feed.description import Description
from newsletter.feed.entry import NotAFeed, Unusable, mappings, read_each
from newsletter.feed.identity import identify
from newsletter.feed.text import AUTHORS, KEYWORDS, NAME, TITLE, headline, lines, plain, plain_each, strip_tags
from newsletter.feed.urls import public_part, site, web_url
from newsletter.feed.votes import ELEMENTS, Votes, tally
from newsletter.model import Paper, ParsedFeed

# The prolog: white space, processing instructions, comments and one DOCTYPE, then the root element. Possessive, so
# that it is read once however it is made up.
_PROLOG: Final = re.compile(
    r"(?>\s++|<\?.*?\?>|<!--.*?-->|<!DOCTYPE(?P<doctype>[^<>\[]*+)>)*+<(?P<root>(?:[\w.-]+:)?(?P<name>[A-Za-z][\w.-]*))",
    re.DOTALL | re.IGNORECASE,
)
_SUBSET: Final = re.compile(r"<!DOCTYPE[^<>\[]*\[|<!ENTITY", re.IGNORECASE)
_FEEDS: Final = frozenset({"rss", "feed", "rdf", "channel"})
_PAGES: Final = frozenset({"html", "head", "body", "title", "meta", "script", "div", "p", "h1", "center", "br", "b"})
_PAGE_TITLE: Final = re.compile(r"<title[^>]*>([^<]*)", re.IGNORECASE)
_ILLEGAL: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0 section 2.2
_MARKUP: Final = frozenset({"text/html", "application/xhtml+xml"})

# Each reference is a step of its own to a forgiving parser; escaped HTML has at most a million in ten megabytes.
_MOST_REFERENCES: Final = 2_000_000
# The SAX reader of the standard library looks each attribute up in a list, and the forgiving one copies what might be a
# tag at each step: quadratic in time and memory.
_MONSTROUS_TAG: Final = re.compile(r"<(?![!?])(?:[^<>=]*+(?:=[^<>=]*+){100}|[^<>]{200000})")
# feedparser looks for an address in an author's name from each letter of a word to the word's end. This many steps take
# eight seconds; a word of 45,000 letters alone makes as many.
_LONG_WORD: Final = re.compile(r"[A-Za-z0-9_.+-]{100,}+")
_MOST_STEPS: Final = 2_000_000_000


def read(text: str, votes: str | None, source: str | None, url: str) -> ParsedFeed:
    """The entries in the feed's own order. `votes` is an element's name or a pattern; relative links start at `url`.

    Raises NotAFeed: a web page, other XML, an entity declaration, a document that is cut off, or one made to be slow.
    """
    root = _root(text)
    _require_measure(text)
    rule = Votes.of(votes, ELEMENTS)
    document = _feedparser(_bare(text, rule.places), public_part(url))
    _check_end(text, root, document)
    title = _text(document.feed, "title", NAME) or None
    name = source or title or site(url)
    papers, skipped = read_each(document.entries, lambda entry: _paper(entry, rule, name))
    return ParsedFeed(papers, skipped, title)


# --- the document ----------------------------------------------------------------------------------------------------


def _root(text: str) -> str:
    """The root element's name as written. Raises NotAFeed unless it is a feed's, and declares nothing (XXE, bombs)."""
    match = _PROLOG.match(text)
    if _SUBSET.search(text, 0, match.start("root") if match else len(text)):
        raise NotAFeed("it declares entities (a DOCTYPE of its own), which no feed needs")
    if match and match["name"].lower() in _FEEDS:
        return match["root"]
    if match is None:
        raise NotAFeed("neither a feed nor a web page")
    if match["name"].lower() in _PAGES or (match["doctype"] or "").strip().lower().startswith("html"):
        title = _PAGE_TITLE.search(text, 0, 10_000)
        named = plain(strip_tags(title[1]), 80) if title else ""
        raise NotAFeed(f"a web page instead of a feed{f': {named!r}' if named else ''}")
    raise NotAFeed(f"XML, but not a feed: its root is <{plain(match['root'], 40)}>")


def _bare(text: str, places: Iterable[str]) -> str:
    """The document as feedparser can use it: without illegal characters, and vote elements without attributes.

    feedparser loses the text of an element it does not know if it has attributes, as ``<re:rank scheme="...">13`` has.
    """
    text = _ILLEGAL.sub("", text)
    names = "|".join(map(re.escape, places))
    return re.sub(rf"<({names})\s[^<>]*(?<!/)>", r"<\1>", text) if names else text


def _feedparser(text: str, base: str) -> Any:
    headers = {"content-type": "application/xml; charset=utf-8", "content-location": base}
    stream = BytesIO(text.encode())
    try:
        return feedparser.parse(stream, response_headers=headers, sanitize_html=False, resolve_relative_uris=False)
    except Exception as error:  # its forgiving parser trips over such things as &#x110000;
        raise NotAFeed(f"broken XML: {plain(str(error), 80)}") from error


def _check_end(text: str, root: str, document: Any) -> None:
    """Raise NotAFeed where entries may be missing or cut short: the root is never closed, or nothing is readable."""
    if not document.bozo:
        return
    if not re.search(rf"</{re.escape(root)}\s*>", text[-10_000:]):
        raise NotAFeed(f"it is cut off: </{plain(root, 40)}> is missing")
    if not document.entries:
        raise NotAFeed(f"broken XML without a readable entry: {plain(str(document.get('bozo_exception')), 80)}")


def _require_measure(text: str) -> None:
    """Raise NotAFeed for XML that would keep feedparser, which knows no deadline, busy for minutes."""
    if text.count("&") > _MOST_REFERENCES:
        raise NotAFeed("nothing but character references")
    if _MONSTROUS_TAG.search(text):
        raise NotAFeed("a tag without end")
    if sum((word.end() - word.start()) ** 2 for word in _LONG_WORD.finditer(text)) > _MOST_STEPS:
        raise NotAFeed("words without end")


# --- one entry -------------------------------------------------------------------------------------------------------


def _paper(entry: Any, votes: Votes, source: str) -> Paper:
    description = Description.read(*_texts(entry))
    title = _text(entry, "title") or headline(next(iter(description.lines), ""))
    if not title:
        raise Unusable("neither title nor text")
    links = [link.get("href") for link in mappings(entry.get("links"), 10)]
    identity = identify(
        (entry.get("id"), entry.get("link"), entry.get("dc_identifier"), entry.get("prism_doi"), *links)
    )
    authors = _authors(entry) or description.authors
    comments = tally(entry.get("slash_comments"))
    return Paper(
        key=identity.key(title),
        title=title,
        url=web_url(entry.get("link")) or web_url(entry.get("id")) or identity.url,
        abstract=description.abstract(title),
        authors=authors,
        author_count=len(authors),
        published=_published(entry),
        upvotes=votes.find(lambda place: _element(entry, place), description.lines, description.upvotes),
        comments=description.comments if comments is None else comments,
        arxiv_id=identity.arxiv_id,
        arxiv_url=identity.arxiv_url,
        pdf_url=identity.pdf_url,
        discussion_url=web_url(entry.get("comments")) or description.discussion_url,
        keywords=_keywords(entry),
        source=source,
    )


def _element(entry: Any, name: str) -> object:
    """The text of an element by its name as the feed writes it, such as ``rsshub:upvotes``."""
    value = entry.get(name.lower().replace(":", "_"))
    return value if isinstance(value, str) else None


def _text(holder: Any, name: str, limit: int = TITLE) -> str:
    """A title as one line; where it is HTML, its text."""
    value = holder.get(name)
    if isinstance(value, str) and _is_markup(holder.get(f"{name}_detail")):
        return plain(" ".join(lines(value, markup=True)), limit)
    return plain(value, limit)


def _texts(entry: Any) -> list[tuple[str, bool]]:
    """The entry's summary and contents, each with whether it is HTML."""
    contents = mappings(entry.get("content"), 3)
    found = [(content.get("value"), _is_markup(content)) for content in contents]
    if "summary_detail" in entry or not contents:  # else feedparser has copied the content
        found.insert(0, (entry.get("summary"), _is_markup(entry.get("summary_detail"))))
    return [(value, markup) for value, markup in found if isinstance(value, str)]


def _is_markup(detail: object) -> bool:
    return isinstance(detail, dict) and detail.get("type") in _MARKUP


def _authors(entry: Any) -> tuple[str, ...]:
    """Each author, whether one element names one or all of them."""
    found = (split_authors(author.get("name")) for author in mappings(entry.get("authors"), AUTHORS))
    return tuple(name for names in found for name in names)[:AUTHORS]


def _keywords(entry: Any) -> tuple[str, ...]:
    return plain_each([tag.get("term") for tag in mappings(entry.get("tags"), KEYWORDS)], KEYWORDS)


def _published(entry: Any) -> date | None:
    """When it was published, else updated; feedparser gives both in UTC."""
    for name in ("published_parsed", "updated_parsed"):
        moment = entry.get(name) if name in entry else None  # `in` first: get() warns of a mapping that will go
        if isinstance(moment, struct_time):
            return date(moment.tm_year, moment.tm_mon, moment.tm_mday)
    return None
