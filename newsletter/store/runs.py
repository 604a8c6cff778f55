"""What the last runs came to, so that `status` can say why there was no mail."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import func, insert, select

from newsletter.model import RunReport, Verdict
from newsletter.store.database import Part
from newsletter.store.schema import runs, storable


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run: its times (UTC), the day it was for (None: whatever was owed), and how it ended."""

    started_at: datetime
    ended_at: datetime
    day: date | None
    verdict: Verdict
    explanation: str
    exit_code: int


class Runs(Part):
    """The part of the store that remembers runs."""

    def record_run(self, report: RunReport, started_at: datetime) -> None:
        """Keep how a run that began at `started_at` (UTC) has just ended."""
        statement = insert(runs).values(
            started_at=started_at,
            ended_at=self._now(),
            day=report.day,
            verdict=report.verdict,
            explanation=storable(report.explanation, 2000),
            exit_code=report.exit,
        )
        with self._db.write() as connection:
            connection.execute(statement)

    def days_without_issue(self) -> int:
        """On how many days there were runs since the last one that made an issue (by UTC); 0 right after one."""
        last = select(func.max(runs.c.id)).where(runs.c.verdict == Verdict.NEW_ISSUE).scalar_subquery()
        query = select(runs.c.started_at).where(runs.c.id > func.coalesce(last, 0), runs.c.day.is_not(None))
        with self._db.read() as connection:
            return len({started.date() for started in connection.execute(query).scalars()})

    def runs(self, limit: int) -> list[RunRecord]:
        """The last `limit` runs, latest first."""
        columns = (runs.c.started_at, runs.c.ended_at, runs.c.day, runs.c.verdict, runs.c.explanation, runs.c.exit_code)
        with self._db.read() as connection:
            rows = connection.execute(select(*columns).order_by(runs.c.id.desc()).limit(limit))
            return [RunRecord(*row) for row in rows]
