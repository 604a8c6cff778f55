"""Papers in, the day's issue out: join duplicates, rank by upvotes, cut. Pure: no clock, no network, no files.

Order: most upvotes first; papers with equal upvotes keep the order their feed gave them (feeds in the order of the
config). In a feed that carries votes a missing figure counts as zero; a feed without votes keeps its own order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from datetime import date
from typing import Any

from newsletter.config import IssueConfig
from newsletter.model import Issue, Paper, ParsedFeed


def compose(feeds: Sequence[ParsedFeed], day: date, rules: IssueConfig) -> Issue:
    """Choose and rank the papers of `day`. An issue may be empty: `left_out` tells a filtered day from a quiet one."""
    offered = join_duplicates(paper for feed in feeds for paper in _with_votes(feed))
    wanted = [paper for paper in offered if _enough(paper, rules.min_upvotes)]
    ranked = sorted(wanted, key=_votes, reverse=True)  # stable: ties keep the feed's order
    chosen = tuple(ranked[: rules.max_papers])
    return Issue(
        day=day,
        papers=chosen,
        ranked_by_votes=any(paper.upvotes is not None for paper in chosen),
        left_out=len(offered) - len(chosen),
        skipped=sum(len(feed.skipped) for feed in feeds),
    )


def join_duplicates(papers: Iterable[Paper]) -> list[Paper]:
    """One paper per key, at the place of its first appearance, with what each listing knew."""
    joined: dict[str, Paper] = {}
    for paper in papers:
        joined[paper.key] = _join(joined[paper.key], paper) if paper.key in joined else paper
    return list(joined.values())


def _with_votes(feed: ParsedFeed) -> Iterable[Paper]:
    """Where a feed carries votes, a paper without a figure has none yet."""
    if not feed.has_votes:
        return feed.papers
    return (paper if paper.upvotes is not None else replace(paper, upvotes=0) for paper in feed.papers)


def _enough(paper: Paper, min_upvotes: int) -> bool:
    """Zero is no threshold, not even for the negative votes that some feeds have."""
    return not min_upvotes or paper.upvotes is None or paper.upvotes >= min_upvotes


def _votes(paper: Paper) -> int:
    return paper.upvotes or 0


def _join(first: Paper, second: Paper) -> Paper:
    """The first listing, completed by the second; the higher of two counts, as both only grow."""
    changes: dict[str, Any] = {
        field.name: getattr(second, field.name)
        for field in fields(Paper)
        if getattr(first, field.name) in (None, "", (), 0) and getattr(second, field.name) not in (None, "", ())
    }
    for count in ("upvotes", "comments", "author_count", "code_stars"):
        known = [value for value in (getattr(first, count), getattr(second, count)) if value is not None]
        if known:
            changes[count] = max(known)
    return replace(first, **changes)
