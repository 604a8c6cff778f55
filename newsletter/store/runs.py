"""How the last runs ended, so that `status` can say why there was no mail."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Select, func, insert, select, update

from newsletter.model import RunReport, Verdict
from newsletter.store.database import Part
from newsletter.store.issues import WAS_ACCEPTED
from newsletter.store.schema import issues, runs, storable

# Verdicts that say nothing about whether an issue should have gone out.
_NORMAL: Final = (
    Verdict.ALREADY_RUNNING,
    Verdict.ALREADY_SENT,
    Verdict.DRY_RUN,
    Verdict.FILTERED_OUT,
    Verdict.NO_SUBSCRIBERS,
    Verdict.WEEKEND,
)


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
        """Record how a run that began at `started_at` (UTC) has just ended."""
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
        """On how many days (by UTC) runs served nobody since the last issue that somebody got; 0 right after one.

        A day is served when a copy of its issue was accepted, whatever became of the others. Days on which it is normal
        that nothing goes out (`_NORMAL`) do not count.
        """
        query = self._since_the_last_issue(select(runs.c.started_at)).where(runs.c.verdict.not_in(_NORMAL))
        with self._db.read() as connection:
            return len({started.date() for started in connection.execute(query).scalars()})

    def last_alert(self) -> date | None:
        """The day (by UTC) of the last alert since the last issue that somebody got."""
        query = self._since_the_last_issue(select(func.max(runs.c.started_at)).where(runs.c.alerted))
        with self._db.read() as connection:
            found = connection.execute(query).scalar()
        return None if found is None else found.date()

    def note_alert(self) -> None:
        """The operator was written to after the latest run."""
        latest = select(func.max(runs.c.id)).scalar_subquery()
        with self._db.write() as connection:
            connection.execute(update(runs).where(runs.c.id == latest).values(alerted=True))

    @staticmethod
    def _since_the_last_issue(query: Select[Any]) -> Select[Any]:
        """Only the runs for days after the last one whose issue was accepted by somebody."""
        served = select(func.max(issues.c.day)).where(WAS_ACCEPTED).scalar_subquery()
        return query.where(runs.c.day.is_not(None), runs.c.day > func.coalesce(served, date.min))

    def runs(self, limit: int) -> list[RunRecord]:
        """The last `limit` runs, latest first."""
        columns = (runs.c.started_at, runs.c.ended_at, runs.c.day, runs.c.verdict, runs.c.explanation, runs.c.exit_code)
        with self._db.read() as connection:
            rows = connection.execute(select(*columns).order_by(runs.c.id.desc()).limit(limit))
            return [RunRecord(*row) for row in rows]
