"""JSON Feed 1 and 1.1 (https://www.jsonfeed.org/version/1.1/). No I/O."""

from __future__ import annotations

import html
from typing import Any

from newsletter.feed.dates import day_of
from newsletter.feed.description import Description
from newsletter.feed.entry import Unusable, dig, mappings, read_each
from newsletter.feed.identity import EntryKeys, identify
from newsletter.feed.text import AUTHORS, KEYWORDS, NAME, TITLE, headline, plain, plain_each
from newsletter.feed.urls import site, web_url
from newsletter.feed.votes import Votes
from newsletter.model import Paper, ParsedFeed


def recognise(document: object) -> bool:
    """Whether `document` has the `version` that the specification requires."""
    return isinstance(document, dict) and "jsonfeed.org/version/" in str(document.get("version"))[:100]


def read(document: dict[str, object], votes: str | None, source: str | None, url: str) -> ParsedFeed:
    """The items in the feed's order. `votes` is a dotted path, a pattern or None.

    JSON Feed has no element for votes, so with None only labels in the text count. `source` is the feed's display name;
    if it is None, the title or the host of `url`. Raises NotAFeed if there are too many items.
    """
    title = _title(document, NAME) or None
    rule = Votes.of(votes, ())
    items = document.get("items")
    name = source or title or site(url)
    listed = items if isinstance(items, list) else []
    keys = EntryKeys(url)
    for item in mappings(listed, len(listed)):
        keys.note(item.get("id"), _link(item), item.get("title"))
    papers, skipped = read_each(listed, lambda item: _paper(item, rule, name, keys))
    return ParsedFeed(papers, skipped, title)


def _link(item: dict[str, Any]) -> object:
    return item.get("url") or item.get("external_url")


def _paper(item: object, votes: Votes, source: str, keys: EntryKeys) -> Paper:
    if not isinstance(item, dict):
        raise Unusable("not an item")
    description = _description(item)
    title = _title(item) or headline(next(iter(description.lines), ""))
    if not title:
        raise Unusable("neither title nor text")
    places = [item.get(name) for name in ("id", "url", "external_url")]
    identity = identify(places, places[1:], keys.aliases(item.get("id"), _link(item)))
    authors = _authors(item) or description.authors
    return Paper(
        key=identity.key(title),
        title=title,
        aliases=identity.aliases,
        url=web_url(item.get("url")) or web_url(item.get("external_url")) or identity.url,
        abstract=description.abstract(title),
        authors=authors,
        author_count=len(authors),
        published=day_of(item.get("date_published")),
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
    """The title. The specification says plain text, but some feeds have HTML entities, so these are decoded."""
    value = holder.get("title")
    return plain(html.unescape(value[: 4 * limit]) if isinstance(value, str) else "", limit)


def _description(item: dict[str, Any]) -> Description:
    """The item's summary and text, taken apart."""
    texts = [(item.get("summary"), False), (item.get("content_text"), False), (item.get("content_html"), True)]
    return Description.read(*((value, markup) for value, markup in texts if isinstance(value, str)))


def _authors(item: dict[str, Any]) -> tuple[str, ...]:
    """The names in `authors` (version 1.1), else in `author` (version 1)."""
    listed = mappings(item.get("authors"), AUTHORS) or mappings([item.get("author")], 1)
    return tuple(name for author in listed if (name := plain(author.get("name"), NAME)))
