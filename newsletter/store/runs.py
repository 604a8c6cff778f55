"""How the last runs ended, so that `status` can say why there was no mail."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Select, exists, func, insert, not_, or_, select, update

from newsletter.model import RunReport, SubscriberStatus, Verdict
from newsletter.store.database import Part
from newsletter.store.issues import WAS_ACCEPTED
from newsletter.store.schema import deliveries, delivery_counts, issues, list_sizes, runs, storable, subscribers

# Verdicts that say nothing about whether an issue should have gone out.
_NORMAL: Final = (
    Verdict.ALREADY_RUNNING,
    Verdict.ALREADY_SENT,
    Verdict.DRY_RUN,
    Verdict.FILTERED_OUT,
    Verdict.NO_SUBSCRIBERS,
    Verdict.WEEKEND,
)

_COLUMNS: Final = (
    *(runs.c.started_at, runs.c.ended_at, runs.c.day, runs.c.verdict, runs.c.explanation, runs.c.exit_code),
    *(runs.c.accepted, runs.c.sending_ms),
)


@dataclass(frozen=True, slots=True)
class Rate:
    """Copies that servers accepted in one run, and the seconds from its first answer to its last."""

    accepted: int
    seconds: float

    @property
    def per_minute(self) -> int | None:
        """Copies a minute; None where too few copies or seconds make it mean nothing."""
        return round(self.accepted * 60 / self.seconds) if self.accepted > 1 and self.seconds >= 1 else None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run: its times (UTC), the day it was for (None: whatever was owed), how it ended, and how fast it sent.

    `rate` is None if it sent nothing.
    """

    started_at: datetime
    ended_at: datetime
    day: date | None
    verdict: Verdict
    explanation: str
    exit_code: int
    rate: Rate | None = None


class Runs(Part):
    """The part of the store that remembers runs."""

    def record_run(self, report: RunReport, started_at: datetime, rate: Rate | None = None) -> None:
        """Record how a run that began at `started_at` (UTC) has just ended, and how many readers the list has today."""
        statement = insert(runs).values(
            started_at=started_at,
            ended_at=self._now(),
            day=report.day,
            verdict=report.verdict,
            explanation=storable(report.explanation, 2000),
            exit_code=report.exit,
            accepted=rate and rate.accepted,
            sending_ms=rate and round(rate.seconds * 1000),
        )
        active = select(func.count()).where(subscribers.c.status == SubscriberStatus.ACTIVE).scalar_subquery()
        size = self._db.insert(list_sizes).values(day=self._now().date(), active=active)
        with self._db.write() as connection:
            connection.execute(statement)
            newer = {"active": size.excluded.active}
            connection.execute(size.on_conflict_do_update(index_elements=[list_sizes.c.day], set_=newer))

    def days_without_issue(self) -> int:
        """On how many days (by UTC) runs served nobody since the last issue that somebody got; 0 right after one.

        A day is served when a copy of its issue was accepted, whatever became of the others. Days on which it is normal
        that nothing goes out (`_NORMAL`) do not count, nor those of an issue without copies: its readers want one a
        week, or no paper fits what they chose.
        """
        copies = (exists().where(table.c.issue_id == issues.c.id) for table in (deliveries, delivery_counts))
        for_nobody = exists().where(issues.c.day == runs.c.day, not_(or_(*copies)))
        query = self._since_the_last_issue(select(runs.c.started_at))
        query = query.where(runs.c.verdict.not_in(_NORMAL), not_(for_nobody))
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
        return self._runs_where(select(*_COLUMNS).limit(limit))

    def last_daily_run(self) -> RunRecord | None:
        """The last run for a day, as the schedule starts it; a `send` of whatever was owed is none."""
        return next(iter(self._runs_where(select(*_COLUMNS).where(runs.c.day.is_not(None)).limit(1))), None)

    def runs_since(self, moment: datetime) -> list[RunRecord]:
        """The runs that began at `moment` (UTC) or later, latest first."""
        return self._runs_where(select(*_COLUMNS).where(runs.c.started_at >= moment))

    def _runs_where(self, query: Select[Any]) -> list[RunRecord]:
        with self._db.read() as connection:
            rows = connection.execute(query.order_by(runs.c.id.desc())).all()
        return [
            RunRecord(
                row.started_at,
                row.ended_at,
                row.day,
                row.verdict,
                row.explanation,
                row.exit_code,
                None if row.accepted is None else Rate(row.accepted, (row.sending_ms or 0) / 1000),
            )
            for row in rows
        ]
