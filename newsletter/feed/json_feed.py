"""JSON Feed 1 and 1.1 (https://www.jsonfeed.org/version/1.1/). Opens nothing."""

from __future__ import annotations

import html
from typing import Any

from newsletter.feed.dates import iso_date
from newsletter.feed.description import Description
from newsletter.feed.entry import Unusable, dig, mappings, read_each
from newsletter.feed.identity import identify
from newsletter.feed.text import AUTHORS, KEYWORDS, NAME, TITLE, headline, plain, plain_each
from newsletter.feed.urls import site, web_url
from newsletter.feed.votes import Votes
from newsletter.model import Paper, ParsedFeed


def recognise(document: object) -> bool:
    """Whether this says that it is one, as the specification demands."""
    return isinstance(document, dict) and "jsonfeed.org/version/" in str(document.get("version"))[:100]


def read(document: dict[str, object], votes: str | None, source: str | None, url: str) -> ParsedFeed:
    """The items in the feed's own order. JSON Feed has no place for votes: without the setting, only labels count."""
    title = _title(document, NAME) or None
    rule = Votes.of(votes, ())
    items = document.get("items")
    name = source or title or site(url)
    papers, skipped = read_each(items if isinstance(items, list) else [], lambda item: _paper(item, rule, name))
    return ParsedFeed(papers, skipped, title)


def _paper(item: object, votes: Votes, source: str) -> Paper:
    if not isinstance(item, dict):
        raise Unusable("not an item")
    description = _description(item)
    title = _title(item) or headline(next(iter(description.lines), ""))
    if not title:
        raise Unusable("neither title nor text")
    identity = identify(item.get(name) for name in ("id", "url", "external_url"))
    authors = _authors(item) or description.authors
    return Paper(
        key=identity.key(title),
        title=title,
        url=web_url(item.get("url")) or web_url(item.get("external_url")) or identity.url,
        abstract=description.abstract(title),
        authors=authors,
        author_count=len(authors),
        published=iso_date(item.get("date_published")),
        upvotes=votes.find(lambda place: dig(item, place), description.lines, description.upvotes),
        comments=description.comments,
        arxiv_id=identity.arxiv_id,
        arxiv_url=identity.arxiv_url,
        pdf_url=identity.pdf_url,
        discussion_url=description.discussion_url,
        keywords=plain_each(item.get("tags"), KEYWORDS),
        source=source,
    )


def _title(holder: dict[str, Any], limit: int = TITLE) -> str:
    """Plain text by the specification; with entities in practice."""
    value = holder.get("title")
    return plain(html.unescape(value[: 4 * limit]) if isinstance(value, str) else "", limit)


def _description(item: dict[str, Any]) -> Description:
    """The summary if there is one, and the text."""
    texts = [(item.get("summary"), False), (item.get("content_text"), False), (item.get("content_html"), True)]
    return Description.read(*((value, markup) for value, markup in texts if isinstance(value, str)))


def _authors(item: dict[str, Any]) -> tuple[str, ...]:
    """`authors` of 1.1, else `author` of 1."""
    listed = mappings(item.get("authors"), AUTHORS) or mappings([item.get("author")], 1)
    return tuple(name for author in listed if (name := plain(author.get("name"), NAME)))
