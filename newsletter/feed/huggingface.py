"""The answer of Hugging Face's Daily Papers API: a bare list, votes at `paper.upvotes`, whatever its schema's year."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

from newsletter.config import FeedConfig
from newsletter.feed import text, votes
from newsletter.feed.jsonfeed import walk
from newsletter.model import Paper, ParsedFeed, Skipped

_SITE: Final = "https://huggingface.co/papers"
_NAME: Final = "Hugging Face"


def parse(entries: list[Any], feed: FeedConfig) -> ParsedFeed:
    """The papers of one day. An empty list is an empty day."""
    papers: list[Paper] = []
    skipped: list[Skipped] = []
    for position, entry in enumerate(entries, 1):
        found = _paper(entry, feed)
        if isinstance(found, Paper):
            papers.append(found)
        else:
            skipped.append(Skipped(position, found))
    return ParsedFeed(tuple(papers), tuple(skipped), feed.name or _NAME)


def _paper(entry: Any, feed: FeedConfig) -> Paper | str:
    """One paper, or why the entry is none."""
    if not isinstance(entry, dict) or not isinstance(entry.get("paper"), dict):
        return "it holds no paper"
    paper = entry["paper"]
    # One of the two titles has been cut short at times.
    title = max(_text(paper.get("title"), text.TITLE), _text(entry.get("title"), text.TITLE), key=len)
    if not title:
        return "it has no title"
    if paper.get("withdrawnAt"):
        return "it was withdrawn"
    authors = _authors(paper.get("authors"))
    arxiv = text.arxiv_id(paper["id"]) if isinstance(paper.get("id"), str) else None
    page = f"{_SITE}/{arxiv}" if arxiv else None
    return Paper(
        key=text.key(title, arxiv),
        title=title,
        url=page,
        abstract=_text(paper.get("summary"), text.ABSTRACT) or _text(entry.get("summary"), text.ABSTRACT),
        authors=authors,
        author_count=len(authors),
        organisation=_organisation(entry) or _organisation(paper),
        published=_day(paper.get("publishedAt")) or _day(paper.get("submittedOnDailyAt")),
        upvotes=_votes(entry, paper, feed),
        comments=text.whole(entry.get("numComments")),
        arxiv_id=arxiv,
        arxiv_url=f"https://arxiv.org/abs/{arxiv}" if arxiv else None,
        pdf_url=f"https://arxiv.org/pdf/{arxiv}" if arxiv else None,
        code_url=text.web_url(paper.get("githubRepo")),
        code_stars=text.whole(paper.get("githubStars")),
        project_url=text.web_url(paper.get("projectPage")),
        discussion_url=f"{page}#community" if page else None,
        thumbnail_url=_https(entry.get("thumbnail")),
        summary=_text(paper.get("ai_summary"), text.ABSTRACT) or None,
        keywords=_keywords(paper.get("ai_keywords")),
        source=feed.name or _NAME,
    )


def _text(value: Any, limit: int) -> str:
    return text.fold(value, limit) if isinstance(value, str) else ""


def _votes(entry: dict[str, Any], paper: dict[str, Any], feed: FeedConfig) -> int | None:
    if feed.votes is None:
        return text.whole(paper.get("upvotes"))
    return votes.find(
        feed.votes, lambda path: walk(entry, path), (), lambda: _text(paper.get("summary"), text.ABSTRACT)
    )


def _authors(value: Any) -> tuple[str, ...]:
    """The names, without those that asked to be hidden."""
    people = value if isinstance(value, list) else []
    names = (
        _text(person.get("name"), text.NAME)
        for person in people
        if isinstance(person, dict) and not person.get("hidden")
    )
    return tuple(name for name in names if name)[: text.AUTHORS]


def _organisation(holder: dict[str, Any]) -> str | None:
    """The paper's own; `submitterOrganization` is that of whoever listed it."""
    found = holder.get("organization")
    return (_text(found.get("fullname"), text.NAME) or None) if isinstance(found, dict) else None


def _keywords(value: Any) -> tuple[str, ...]:
    words = value if isinstance(value, list) else []
    return tuple(word for word in (_text(each, 60) for each in words[:50]) if word)


def _day(value: Any) -> date | None:
    try:
        return date.fromisoformat(value[:10]) if isinstance(value, str) else None
    except ValueError:
        return None


def _https(value: Any) -> str | None:
    url = text.web_url(value)
    return url if url and url.startswith("https:") else None
