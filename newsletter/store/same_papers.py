"""Papers that several feeds list under different keys: by an arXiv id in one, by a link or a title in another."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from sqlalchemy import Connection, func, select

from newsletter.model import Paper, key_kind
from newsletter.store import contents
from newsletter.store.schema import issues, listed, renderings

_PREFIX: Final = 6  # characters of a key that tell its kind


def keys_before(connection: Connection, papers: Collection[Paper], besides: int | None) -> dict[str, tuple[str, ...]]:
    """The keys that `papers` have now, or had in an earlier issue, each with those of the same paper now.

    As in `Issues.shown`, papers are the same if one has a name that the other looks for. Names are compared only on a
    list whose papers have keys of several kinds; on others a paper keeps its key. Of earlier issues the candidates are
    known, for 60 days. The issue of the id `besides` is being made anew.
    """
    same: dict[str, tuple[str, ...]] = {paper.key: (paper.key,) for paper in papers}
    before = connection.execute(select(func.substr(listed.c.key, 1, _PREFIX)).distinct()).scalars()
    if len(set(map(key_kind, (*same, *before)))) < 2:
        return same
    sought: dict[str, list[str]] = {}
    for paper in papers:
        for name in paper.lookup_keys:
            sought.setdefault(name, []).append(paper.key)
    others = (issues.c.id != (besides or 0), renderings.c.candidates.is_not(None))
    kept = select(renderings.c.candidates).join_from(renderings, issues).where(*others)
    for text in connection.execute(kept.execution_options(yield_per=1)).scalars():
        issue = contents.loaded(text)
        for paper in (*issue.papers, *(rising.paper for rising in issue.rising)):
            if now := [key for name in paper.names for key in sought.get(name, ())]:
                same[paper.key] = tuple(dict.fromkeys((*same.get(paper.key, ()), *now)))
    return same
