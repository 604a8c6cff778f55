"""RSS, Atom and RDF, parsed by feedparser. It gets bytes and opens neither URLs nor DTDs nor entities. No I/O.

feedparser's sanitiser is off, because text.py makes plain text of everything. For XML that is not well-formed
feedparser uses its forgiving parser, so a feed with one bad entity keeps its other entries. A truncated feed is
refused.
"""

from __future__ import annotations

import re
from datetime import date
from html import unescape
from io import BytesIO
from typing import Any, Final
from urllib.parse import urljoin

import feedparser

from newsletter.feed.authors import authors_of
from newsletter.feed.dates import day_of
from newsletter.feed.description import Description, announced
from newsletter.feed.entry import NotAFeed, Unusable, mappings, read_each
from newsletter.feed.identity import EntryKeys, identify
from newsletter.feed.mend import AT, mended
from newsletter.feed.text import AUTHORS, KEYWORDS, NAME, TITLE, headline, lines, plain, plain_each, strip_tags
from newsletter.feed.urls import public_part, site, web_url
from newsletter.feed.votes import ELEMENTS, Votes, tally
from newsletter.model import Paper, ParsedFeed

# The prolog (white space, processing instructions, comments, DOCTYPE) and the root element. Possessive quantifiers keep
# the match linear in the length.
_PROLOG: Final = re.compile(
    r"(?>\s++|<\?.*?\?>|<!--.*?-->|<!DOCTYPE(?P<doctype>[^<>\[]*+)>)*+<(?P<root>(?:[\w.-]+:)?(?P<name>[A-Za-z][\w.-]*))",
    re.DOTALL | re.IGNORECASE,
)
_SUBSET: Final = re.compile(r"<!DOCTYPE[^<>\[]*\[|<!ENTITY", re.IGNORECASE)
_FEEDS: Final = frozenset({"rss", "feed", "rdf", "channel"})
_PAGES: Final = frozenset({"html", "head", "body", "title", "meta", "script", "div", "p", "h1", "center", "br", "b"})
_PAGE_TITLE: Final = re.compile(r"<title\b[^<>]{0,200}+>([^<]*+)", re.IGNORECASE)
_LINK: Final = re.compile(r"<link\b([^<>]{0,1000}+)>", re.IGNORECASE)
_ATTRIBUTE: Final = re.compile(r"(?<![\w-])([A-Za-z]{1,20}+)=[\"']([^\"'<>]{0,500}+)[\"']")
_FEED_TYPES: Final = frozenset({"application/rss+xml", "application/atom+xml", "application/feed+json"})
_HEAD: Final = 20_000  # characters of a web page that are looked at
_REPLACEMENTS: Final = frozenset({"replace", "replace-cross"})
_API_ERROR: Final = re.compile(r"https?://(?:[a-z]{1,20}\.)?arxiv\.org/api/errors")
# feedparser's names of elements with a date. prism: https://www.w3.org/submissions/2020/SUBM-prism-20200910/.
_DATES: Final = ("published", "updated", "prism_publicationdate", "prism_coverdate")
_MARKUP: Final = frozenset({"text/html", "application/xhtml+xml"})

# The forgiving parser takes a step for each character reference. 10 MB of escaped HTML have at most a million.
_MOST_REFERENCES: Final = 2_000_000
# Tags with 100 attributes or 200,000 characters. The standard library's SAX parser searches a list for each attribute,
# and the forgiving parser copies an unfinished tag at each step; both are quadratic.
_MONSTROUS_TAG: Final = re.compile(r"<(?![!?])(?:[^<>=]*+(?:=[^<>=]*+){100}|[^<>]{200000})")
# feedparser searches authors' names for addresses in quadratic time per word. The limit is on the sum of the squares of
# the lengths: 2e9 take eight seconds, and are one word of 45,000 letters.
_LONG_WORD: Final = re.compile(r"[A-Za-z0-9_.+-]{100,}+")
_MOST_STEPS: Final = 2_000_000_000


def read(text: str, votes: str | None, source: str | None, url: str, *, replacements: bool = False) -> ParsedFeed:
    """The entries in the feed's order. `votes` is an element's name, a pattern or None.

    `source` is the feed's display name; if it is None, the title or the host of `url`. Relative links are resolved
    against `url`. `replacements`: arXiv's new versions of old papers are wanted too. Raises NotAFeed for a web page,
    other XML, declared entities, a truncated document, and one that would take minutes to parse.
    """
    root = _root(text, url)
    _require_parsable(text)
    rule = Votes.of(votes, ELEMENTS)
    document = _feedparser(mended(text, rule.places), public_part(url))
    _check_end(text, root, document)
    title = _text(document.feed, "title", NAME) or None
    name = source or title or site(url)
    _require_arxiv_s_answer(document)
    entries = document.entries if replacements else [each for each in document.entries if not _is_replacement(each)]
    keys = EntryKeys(url)
    for entry in entries:
        keys.note(entry.get("id"), entry.get("link"), entry.get("title"))
    papers, skipped = read_each(entries, lambda entry: _paper(entry, rule, name, keys))
    return ParsedFeed(papers, skipped, title)


# --- the document ----------------------------------------------------------------------------------------------------


def _root(text: str, url: str) -> str:
    """The root element's name as written. Raises NotAFeed if it is not a feed's, or if entities are declared (XXE)."""
    match = _PROLOG.match(text)
    if _SUBSET.search(text, 0, match.start("root") if match else len(text)):
        raise NotAFeed("it declares entities (in its own DOCTYPE), which are not accepted")
    if match and match["name"].lower() in _FEEDS:
        return match["root"]
    if match is None:
        raise NotAFeed("neither a feed nor a web page")
    if match["name"].lower() in _PAGES or (match["doctype"] or "").strip().lower().startswith("html"):
        title = _PAGE_TITLE.search(text, 0, 10_000)
        named = plain(strip_tags(title[1]), 80) if title else ""
        feed = _feed_of(text[:_HEAD], public_part(url))
        there = f"; it names the feed {feed}" if feed else ""
        raise NotAFeed(f"a web page instead of a feed{f': {named!r}' if named else ''}{there}", feed or "")
    raise NotAFeed(f"XML, but not a feed: its root is <{plain(match['root'], 40)}>")


def _feed_of(page: str, url: str) -> str | None:
    """The feed that a web page at `url` names (https://www.rssboard.org/rss-autodiscovery), None if it names none."""
    for tag in _LINK.findall(page):
        words = {name.lower(): value for name, value in _ATTRIBUTE.findall(tag)}
        if words.get("rel", "").lower() == "alternate" and words.get("type", "").lower() in _FEED_TYPES:
            try:
                found = urljoin(url, unescape(words.get("href", "")))
            except ValueError:
                continue
            if found.startswith(("http://", "https://")) and found.isprintable() and " " not in found:
                return found[:500]
    return None


def _feedparser(text: str, base: str) -> Any:
    headers = {"content-type": "application/xml; charset=utf-8", "content-location": base}
    stream = BytesIO(text.encode())
    try:
        return feedparser.parse(stream, response_headers=headers, sanitize_html=False, resolve_relative_uris=False)
    except Exception as error:  # its forgiving parser raises various errors, for example for &#x110000;
        raise NotAFeed(f"broken XML: {plain(str(error), 80)}") from error


def _check_end(text: str, root: str, document: Any) -> None:
    """Raise NotAFeed if the root element of malformed XML is not closed, or none of its entries can be read."""
    if not document.bozo:
        return
    if not re.search(rf"</{re.escape(root)}\s*>", text[-10_000:]):
        raise NotAFeed(f"it is cut off: </{plain(root, 40)}> is missing")
    if not document.entries:
        raise NotAFeed(f"broken XML without a readable entry: {plain(str(document.get('bozo_exception')), 80)}")


def _require_parsable(text: str) -> None:
    """Raise NotAFeed for XML that would take feedparser, which has no timeout, minutes to parse."""
    if text.count("&") > _MOST_REFERENCES:
        raise NotAFeed("too many character references for a feed")
    if _MONSTROUS_TAG.search(text):
        raise NotAFeed("a tag that is too long for a feed")
    if sum((word.end() - word.start()) ** 2 for word in _LONG_WORD.finditer(text)) > _MOST_STEPS:
        raise NotAFeed("words that are too long for a feed")


def _require_arxiv_s_answer(document: Any) -> None:
    """Raise NotAFeed if arXiv's API answers with an error, or with none of the results that it has.

    Both come with status 200 (https://info.arxiv.org/help/api/user-manual.html, section 3.4, and experience).
    """
    entries = document.entries
    for entry in entries[:1]:
        if _API_ERROR.match(str(entry.get("id"))) and str(entry.get("title")).strip() == "Error":
            raise NotAFeed(f"the server says: {plain(entry.get('summary'), 200) or 'Error'}")
    total = tally(document.feed.get("opensearch_totalresults")) or 0
    start = tally(document.feed.get("opensearch_startindex")) or 0
    if not entries and total > start:
        raise NotAFeed(f"the server says that there are {total:,} results, and gives none of them")


# --- one entry -------------------------------------------------------------------------------------------------------


def _paper(entry: Any, votes: Votes, source: str, keys: EntryKeys) -> Paper:
    description = Description.read(*_texts(entry))
    title = _text(entry, "title") or headline(next(iter(description.lines), ""))
    if not title:
        raise Unusable("neither title nor text")
    links = [link.get("href") for link in mappings(entry.get("links"), 10)]
    identity = identify(
        (entry.get("id"), entry.get("link"), entry.get("dc_identifier"), entry.get("prism_doi"), *links),
        (entry.get("link"), entry.get("id")),
        keys.aliases(entry.get("id"), entry.get("link")),
    )
    authors = _authors(entry) or description.authors
    comments = tally(entry.get("slash_comments"))
    return Paper(
        key=identity.key(title),
        title=title,
        aliases=identity.aliases,
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


def _is_replacement(entry: Any) -> bool:
    """Whether arXiv announces a new version of an old paper (https://info.arxiv.org/help/rss.html)."""
    kind = _element(entry, "arxiv:announce_type") or announced(entry.get("summary"))
    return str(kind).strip().lower() in _REPLACEMENTS


def _element(entry: Any, name: str) -> object:
    """The text of the entry's element `name`, with its prefix as in the feed, such as ``rsshub:upvotes``; or None."""
    value = entry.get(name.lower().replace(":", "_"))
    return value if isinstance(value, str) else None


def _text(holder: Any, name: str, limit: int = TITLE) -> str:
    """A title as one line of plain text, without HTML tags if it is HTML."""
    value = holder.get(name)
    if isinstance(value, str) and _is_markup(holder.get(f"{name}_detail")):
        return plain(" ".join(lines(value, markup=True)), limit)
    return plain(value, limit)


def _texts(entry: Any) -> list[tuple[str, bool]]:
    """The entry's summary and contents, each with whether it is HTML."""
    contents = mappings(entry.get("content"), 3)
    found = [(content.get("value"), _is_markup(content)) for content in contents]
    if "summary_detail" in entry or not contents:  # otherwise the summary is feedparser's copy of the content
        found.insert(0, (entry.get("summary"), _is_markup(entry.get("summary_detail"))))
    return [(value, markup) for value, markup in found if isinstance(value, str)]


def _is_markup(detail: object) -> bool:
    return isinstance(detail, dict) and detail.get("type") in _MARKUP


def _authors(entry: Any) -> tuple[str, ...]:
    """The authors' names, whether each has an element or all share one."""
    found = [author.get("name") for author in mappings(entry.get("authors"), AUTHORS)]
    return authors_of([name.replace(AT, "@") for name in found if isinstance(name, str)])[:AUTHORS]


def _keywords(entry: Any) -> tuple[str, ...]:
    return plain_each([tag.get("term") for tag in mappings(entry.get("tags"), KEYWORDS)], KEYWORDS)


def _published(entry: Any) -> date | None:
    """The publisher's day of publication, else of the last update; None if there is neither."""
    for name in _DATES:
        if name in entry and (day := day_of(entry[name])):  # get() alone warns of a deprecated fallback
            return day
    return None
