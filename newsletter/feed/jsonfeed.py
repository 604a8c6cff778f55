"""JSON Feed, versions 1 and 1.1 (jsonfeed.org)."""

from __future__ import annotations

from datetime import date, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from newsletter.config import FeedConfig
from newsletter.feed import text, votes
from newsletter.model import Paper, ParsedFeed, Skipped


def parse(document: dict[str, Any], feed: FeedConfig) -> ParsedFeed:
    """The papers of a document whose `version` says that it is a JSON Feed."""
    name = feed.name or _plain(document.get("title"), text.NAME)
    items = document.get("items")
    papers: list[Paper] = []
    skipped: list[Skipped] = []
    for position, item in enumerate(items if isinstance(items, list) else [], 1):
        found = _paper(item, feed, name) if isinstance(item, dict) else "it is not an object"
        if isinstance(found, Paper):
            papers.append(found)
        else:
            skipped.append(Skipped(position, found))
    return ParsedFeed(tuple(papers), tuple(skipped), name or None)


def walk(item: Any, path: str) -> Any:
    """What stands at a dotted `path` in nested objects, or None."""
    for name in path.split("."):
        if not isinstance(item, dict):
            return None
        item = item.get(name)
    return item


def _paper(item: dict[str, Any], feed: FeedConfig, name: str) -> Paper | str:
    title = _plain(item.get("title"), text.TITLE)
    if not title:
        return "it has no title"
    content = item.get("content_html") or item.get("content_text") or ""
    described = text.lines(content) if isinstance(content, str) else []
    url = text.web_url(item.get("url")) or text.web_url(item.get("external_url"))
    arxiv = text.arxiv_id_in(item.get("id"), item.get("url"), item.get("external_url"))
    authors = _authors(item)
    return Paper(
        key=text.key(title, arxiv, text.doi_in(item.get("id"), item.get("url"))),
        title=title,
        url=url or (f"https://arxiv.org/abs/{arxiv}" if arxiv else None),
        abstract=_plain(item.get("summary"), text.ABSTRACT) or text.fold(" ".join(described), text.ABSTRACT),
        authors=authors,
        author_count=len(authors),
        published=_day(item.get("date_published")),
        upvotes=votes.find(
            feed.votes, lambda path: walk(item, path), described, lambda: "\n".join([title, *described])
        ),
        arxiv_id=arxiv,
        arxiv_url=f"https://arxiv.org/abs/{arxiv}" if arxiv else None,
        pdf_url=f"https://arxiv.org/pdf/{arxiv}" if arxiv else None,
        thumbnail_url=text.web_url(item.get("image")),
        keywords=tuple(_plain(tag, 60) for tag in item.get("tags") or () if isinstance(tag, str)),
        source=name,
    )


def _plain(value: Any, limit: int) -> str:
    return text.plain(value, limit) if isinstance(value, str) else ""


def _authors(item: dict[str, Any]) -> tuple[str, ...]:
    """`authors` of version 1.1, else `author` of version 1."""
    listed = item.get("authors")
    people = listed if isinstance(listed, list) else [item.get("author")]
    names = (_plain(person.get("name"), text.NAME) for person in people if isinstance(person, dict))
    return tuple(name for name in names if name)


def _day(value: Any) -> date | None:
    """RFC 3339 as the format asks, or RFC 2822 as some feeds write."""
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            return read(value).date()
        except (TypeError, ValueError):
            continue
    return None
