"""Hugging Face Daily Papers: a JSON list with an object per paper, in all the schemas used since 2024. No I/O.

Upvotes are only in ``paper.upvotes``; without this key the count is unknown. The date is ``paper.publishedAt``, the
day when the paper came out, as its page shows. No other date has kept its meaning: the top-level ``publishedAt`` was
the time of listing until March 2025, and has been the paper's date in the time zone of New York since.
"""

from __future__ import annotations

import re
from typing import Any, Final

from newsletter.feed.dates import day_of
from newsletter.feed.entry import Unusable, dig, mappings, read_each
from newsletter.feed.identity import Identity, arxiv_id
from newsletter.feed.text import ABSTRACT, AUTHORS, KEYWORDS, NAME, plain, plain_each
from newsletter.feed.urls import web_url
from newsletter.feed.votes import HUGGING_FACE, Votes, tally
from newsletter.model import Paper, ParsedFeed

SOURCE: Final = "Hugging Face"
_PAGE_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def recognise(document: object) -> bool:
    """Whether `document` is a response of the API: a list with a paper, or an empty list, which is a quiet day."""
    return isinstance(document, list) and (
        not document or any(isinstance(item, dict) and "paper" in item for item in document)
    )


def read(document: list[object], votes: str | None, source: str | None) -> ParsedFeed:
    """The papers in the order of the list, which is not by upvotes. `votes` is a dotted path, a pattern or None.

    `source` is the feed's display name, None for the default. Raises NotAFeed if there are too many entries.
    """
    rule = Votes.of(votes, HUGGING_FACE)
    papers, skipped = read_each(document, lambda item: _paper(item, rule, source or SOURCE))
    return ParsedFeed(papers, skipped, SOURCE)


def _paper(item: object, votes: Votes, source: str) -> Paper:
    paper = dig(item, "paper")
    if not isinstance(item, dict) or not isinstance(paper, dict):
        raise Unusable("not a paper")
    if paper.get("withdrawnAt"):
        raise Unusable("withdrawn")
    title = _whole_title(plain(paper.get("title")), plain(item.get("title")))
    if not title:
        raise Unusable("no title")
    identity = Identity(arxiv_id(paper.get("id")))
    page = _page(identity.arxiv_id or paper.get("id"))
    abstract = plain(paper.get("summary") or item.get("summary"), ABSTRACT)
    authors = _authors(paper.get("authors"))
    return Paper(
        key=identity.key(title),
        title=title,
        url=page or identity.url,
        abstract=abstract,
        authors=authors,
        author_count=len(authors),
        organisation=_organisation(item, paper),
        published=day_of(paper.get("publishedAt")),
        upvotes=votes.find(lambda place: dig(item, place), [abstract]),
        comments=tally(item.get("numComments")),
        arxiv_id=identity.arxiv_id,
        arxiv_url=identity.arxiv_url,
        pdf_url=identity.pdf_url,
        code_url=web_url(paper.get("githubRepo")),
        code_stars=tally(paper.get("githubStars")),
        project_url=web_url(paper.get("projectPage")),
        discussion_url=f"{page}#community" if page else None,
        summary=plain(paper.get("ai_summary"), ABSTRACT) or None,
        keywords=plain_each(paper.get("ai_keywords"), KEYWORDS),
        source=source,
    )


def _whole_title(inner: str, outer: str) -> str:
    """The title of the paper, or that of its listing if the first is missing or truncated."""
    if not inner or outer.startswith(inner.rstrip("….")):
        return outer or inner
    return inner


def _page(identifier: object) -> str | None:
    if isinstance(identifier, str) and _PAGE_ID.fullmatch(identifier):
        return f"https://huggingface.co/papers/{identifier}"
    return None


def _authors(value: object) -> tuple[str, ...]:
    """The authors' names, without those who are marked hidden."""
    shown = (author for author in mappings(value, AUTHORS) if not author.get("hidden"))
    return tuple(name for author in shown if (name := plain(author.get("name"), NAME)))


def _organisation(item: dict[str, Any], paper: dict[str, Any]) -> str | None:
    """The paper's organisation. `submitterOrganization` is not used: it belongs to the person who listed the paper."""
    for holder in (item, paper):
        for name in ("organization.fullname", "organization.name"):
            if found := plain(dig(holder, name), NAME):
                return found
    return None
