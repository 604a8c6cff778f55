"""The papers of past issues: those of one issue, and a search over the titles and authors of all."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

from sqlalchemy import TextClause, func, select, text

from newsletter.model import FoundPaper, Issue
from newsletter.store import contents, search_words
from newsletter.store.database import Part
from newsletter.store.issues import MAIN, WAS_ACCEPTED
from newsletter.store.schema import issue_papers, issues, renderings

# `:query` is made of letters and digits alone, so there is no syntax in it that a stranger wrote.
_SQLITE: Final = text("issue_papers.id IN (SELECT rowid FROM paper_index WHERE paper_index MATCH :query)")
_POSTGRESQL: Final = text("to_tsvector('simple', issue_papers.words) @@ to_tsquery('simple', :query)")


class Papers(Part):
    """The part of the store that knows the papers of past issues."""

    def contents(self, day: date) -> Issue | None:
        """The issue of `day` with its papers, when it is one of `archive`.

        None also for an issue that was frozen by version 0.2 or before, which kept only the mail.
        """
        query = (
            select(renderings.c.contents).join_from(renderings, issues).where(issues.c.day == day, MAIN, WAS_ACCEPTED)
        )
        with self._db.read() as connection:
            kept: str | None = connection.execute(query.limit(1)).scalar()
        return None if kept is None else contents.loaded(kept)

    def search(self, query: str, *, limit: int, skip: int = 0) -> tuple[list[FoundPaper], int]:
        """Papers of issues in the archive whose title and authors have every word of `query`, newest issue first.

        The beginning of a word is enough. Returns up to `limit` papers after the first `skip`, and how many there are
        in all. Of `query`, which may be any text, the first 200 characters and eight words count.
        """
        terms = search_words.wanted(query)
        if not terms:
            return [], 0
        matching, asked = self._matching(terms)
        found = select(issues.c.day, issue_papers.c.place, issue_papers.c.title, issue_papers.c.authors)
        found = found.join_from(issue_papers, issues).where(matching, WAS_ACCEPTED)
        page = found.order_by(issues.c.day.desc(), issue_papers.c.place).limit(limit).offset(skip)
        with self._db.read() as connection:
            number: int = connection.execute(select(func.count()).select_from(found.subquery()), asked).scalar_one()
            return [FoundPaper(*row) for row in connection.execute(page, asked)], number

    def _matching(self, terms: list[search_words.Term]) -> tuple[TextClause, dict[str, Any]]:
        if self._db.file is not None:
            return _SQLITE, {"query": search_words.fts5(terms)}
        return _POSTGRESQL, {"query": search_words.tsquery(terms)}
