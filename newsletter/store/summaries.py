"""Summaries of papers that the operator's program made, so that it is run once for each paper."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from sqlalchemy import delete, select

from newsletter.store.database import Part
from newsletter.store.schema import storable, summaries

# An issue shows papers of the past 31 days at most (issue.look_back and catch_up).
_LIFETIME: Final = timedelta(days=40)


class Summaries(Part):
    """The part of the store that keeps summaries."""

    def summaries(self, keys: Iterable[str]) -> dict[str, str]:
        """The summaries of the papers `keys` (Paper.key), without those that have none."""
        found: dict[str, str] = {}
        with self._db.read() as connection:
            for key in keys:
                summary = connection.execute(select(summaries.c.summary).where(summaries.c.key == key)).scalar()
                if summary is not None:
                    found[key] = summary
        return found

    def keep_summary(self, key: str, summary: str) -> None:
        """Keep the summary of the paper `key`, and delete those older than 40 days."""
        values = {"key": key, "summary": storable(summary, 2_000), "made_at": self._now()}
        statement = self._db.insert(summaries).values(values)
        with self._db.write() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=[summaries.c.key], set_=values))
            connection.execute(delete(summaries).where(summaries.c.made_at < self._now() - _LIFETIME))
