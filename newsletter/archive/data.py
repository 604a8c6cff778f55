"""An issue as JSON, in the shape that docs/web.md describes, and its papers as COinS for reference managers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from typing import Any, Final
from urllib.parse import urlencode

from newsletter.model import Issue, Paper, Publication

MEDIA_TYPE: Final = "application/json"

_VERSION: Final = 1  # of the shape; new names may come without a new version

_IN_COINS: Final = 20  # authors; all of a long list would be most of the page


def issue_json(publication: Publication, issue: Issue, subject: str) -> str:
    """The issue as JSON. Every name is always there; what is not known is null, or empty for text and lists."""
    base = publication.base_url
    made = {
        "version": _VERSION,
        "publication": publication.title,
        "day": issue.day,
        "since": issue.since,
        "subject": subject,
        "url": f"{base}/archive/{issue.day}/" if base else None,
        "ranked_by_votes": issue.ranked_by_votes,
        "papers": list(_papers(issue)),
    }
    return json.dumps(made, default=date.isoformat, ensure_ascii=False, indent=1) + "\n"


def _papers(issue: Issue) -> Iterator[dict[str, Any]]:
    """All papers, late risers last."""
    place = 0
    for place, paper in enumerate(issue.papers, 1):
        yield _paper(place, paper) | {"rising_since": None}
    for number, rising in enumerate(issue.rising, place + 1):
        yield _paper(number, rising.paper) | {"rising_since": rising.day}


def _paper(place: int, paper: Paper) -> dict[str, Any]:
    return {
        "place": place,
        "title": paper.title,
        "authors": paper.authors,
        "author_count": max(paper.author_count, len(paper.authors)),
        "organisation": paper.organisation,
        "published": paper.published,
        "upvotes": paper.upvotes,
        "comments": paper.comments,
        "abstract": paper.abstract,
        "summary": paper.summary,
        "keywords": paper.keywords,
        "arxiv_id": paper.arxiv_id,
        "doi": doi(paper),
        "url": paper.url,
        "arxiv_url": paper.arxiv_url,
        "pdf_url": paper.pdf_url,
        "code_url": paper.code_url,
        "project_url": paper.project_url,
        "discussion_url": paper.discussion_url,
        "sources": [paper.source, *paper.also] if paper.source else list(paper.also),
    }


def doi(paper: Paper) -> str | None:
    """The paper's DOI, if it is known by it."""
    return paper.key.removeprefix("doi:") if paper.key.startswith("doi:") else None


def coins(paper: Paper) -> str:
    """The paper as a ContextObject in a key-value string (OpenURL 1.0, Z39.88-2004), the `title` of a COinS span."""
    pairs = [
        ("ctx_ver", "Z39.88-2004"),
        ("rft_val_fmt", "info:ofi/fmt:kev:mtx:journal"),
        ("rft.genre", "preprint" if paper.arxiv_id else "article"),
        ("rft.atitle", paper.title),
        *(("rft.au", author) for author in paper.authors[:_IN_COINS]),
        *([("rft.date", paper.published.isoformat())] if paper.published else []),
        *([("rft_id", f"info:doi/{doi(paper)}")] if doi(paper) else []),
        *([("rft_id", url)] if (url := paper.arxiv_url or paper.url) else []),
    ]
    return urlencode(pairs)
