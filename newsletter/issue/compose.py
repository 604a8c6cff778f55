"""Make a day's issue from its feeds: join duplicates, filter, rank by upvotes, cut. Pure.

Pinned papers come first, then the others by upvotes, most first. Papers with equal upvotes keep the order of their feed
(feeds in the order of the configuration). In a feed with votes a missing count is zero; a feed without votes keeps its
order. With a section per source, a paper that several sources list stands in the section of the first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields, replace
from datetime import date
from operator import attrgetter
from typing import Any, Final

from newsletter.issue.filters import Filters, apply
from newsletter.issue.rules import IssueRules
from newsletter.model import Issue, Paper, ParsedFeed, key_kind

# The kinds of keys, the most reliable first: an id of the paper, one of the entry, a title.
_RELIABLE: Final = ("id", "entry", "title")

_FIELDS: Final = tuple(field.name for field in fields(Paper))
_VALUES: Final = attrgetter(*_FIELDS)


def compose(
    feeds: Sequence[ParsedFeed],
    day: date,
    rules: IssueRules,
    filters: Filters | None = None,
    shown: Collection[str] = (),
) -> Issue:
    """Choose and rank the papers of `day`. Papers whose key is in `shown` were in an earlier issue and are left out.

    The issue may be empty. Then `left_out` counts the papers that the filters dropped, and `seen` those that are old;
    if both are 0, the feeds have no papers.
    """
    offered = join_duplicates(paper for feed in feeds for paper in _with_votes(feed))
    new = [paper for paper in offered if paper.key not in shown]
    ranked = sorted(new, key=_votes, reverse=True)  # stable: equal votes keep the feed's order
    filtered = apply(ranked, replace(filters or Filters(), min_upvotes=rules.min_upvotes))
    chosen = _cut(filtered.kept, feeds, rules)
    return Issue(
        day=day,
        papers=chosen,
        ranked_by_votes=any(paper.upvotes is not None for paper in chosen),
        by_source=rules.sections == "source",
        left_out=len(new) - len(chosen),
        skipped=sum(len(feed.skipped) for feed in feeds),
        seen=len(offered) - len(new),
        pinned={paper.key: filtered.pinned[paper.key] for paper in chosen if paper.key in filtered.pinned},
    )


def _cut(ranked: Sequence[Paper], feeds: Sequence[ParsedFeed], rules: IssueRules) -> tuple[Paper, ...]:
    """The first `max_papers` papers; with a section per source those of each section, in the order of the feeds."""
    if rules.sections == "merged":
        return tuple(ranked[: rules.max_papers])
    sections: dict[str, list[Paper]] = {paper.source: [] for feed in feeds for paper in feed.papers}
    for paper in ranked:
        sections[paper.source].append(paper)
    return tuple(paper for section in sections.values() for paper in section[: rules.max_papers])


def join_duplicates(papers: Iterable[Paper]) -> list[Paper]:
    """Join papers that are the same (`Paper.names`), each at its first place and with the data of all its listings."""
    joined: list[Paper] = []
    places: dict[str, int] = {}
    for paper in papers:
        place = next((places[name] for name in paper.lookup_keys if name in places), None)
        if place is None:
            place = len(joined)
            joined.append(paper)
        else:
            first = joined[place]
            joined[place] = _join(first, paper)
            if joined[place] is first:
                continue
            places.pop(first.key)  # the joined paper's key may be another: an id instead of the title
        for name in joined[place].names:
            places.setdefault(name, place)
    return joined


def _with_votes(feed: ParsedFeed) -> Iterable[Paper]:
    """The feed's papers. If it has votes, a paper without a count gets 0."""
    if not feed.has_votes:
        return feed.papers
    return (paper if paper.upvotes is not None else replace(paper, upvotes=0) for paper in feed.papers)


def _votes(paper: Paper) -> int:
    return paper.upvotes or 0


def _join(first: Paper, second: Paper) -> Paper:
    """The first listing, completed from the second; of two counts the higher one, because counts only grow."""
    changes: dict[str, Any] = {
        name: other
        for name, own, other in zip(_FIELDS, _VALUES(first), _VALUES(second), strict=True)
        if not own and other not in (None, "", ())
    }
    for count in ("upvotes", "comments", "author_count", "code_stars"):
        known = [value for value in (getattr(first, count), getattr(second, count)) if value is not None]
        if known:
            changes[count] = max(known)
    listings = dict.fromkeys((*first.also, second.source, *second.also))
    changes["aliases"] = tuple(dict.fromkeys((*first.aliases, *second.aliases)))
    if _RELIABLE.index(key_kind(second.key)) < _RELIABLE.index(key_kind(first.key)):
        changes["key"] = second.key
    changes["also"] = tuple(name for name in listings if name not in ("", first.source))
    if all(getattr(first, name) == value for name, value in changes.items()):
        return first
    return replace(first, **changes)
