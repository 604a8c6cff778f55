"""One reader's copies and how they ended, and the mails that came back about them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import select

from newsletter.model import State
from newsletter.store.database import Part
from newsletter.store.schema import deliveries, issues, reports


@dataclass(frozen=True, slots=True)
class PastCopy:
    """A reader's copy of the issue of `day`, and the server's last words about it."""

    day: date
    state: State
    code: int | None
    text: str


@dataclass(frozen=True, slots=True)
class PastReport:
    """A mail that came back about a reader; `status` is RFC 3463's, `read_at` UTC."""

    read_at: datetime
    kind: str
    status: str
    words: str


class History(Part):
    """The part of the store that answers questions about one reader."""

    def copies(self, subscriber_id: int, limit: int) -> list[PastCopy]:
        """The reader's last `limit` copies, newest first."""
        query = (
            select(issues.c.day, deliveries.c.state, deliveries.c.reply_code, deliveries.c.reply_text)
            .join_from(issues, deliveries)
            .where(deliveries.c.subscriber_id == subscriber_id)
            .order_by(issues.c.day.desc())
            .limit(limit)
        )
        with self._db.read() as connection:
            return [PastCopy(row[0], row[1], row[2], row[3] or "") for row in connection.execute(query)]

    def reports_about(self, subscriber_id: int, limit: int) -> list[PastReport]:
        """The last `limit` mails that came back about the reader, newest first."""
        query = (
            select(reports.c.read_at, reports.c.kind, reports.c.status, reports.c.words)
            .where(reports.c.subscriber_id == subscriber_id)
            .order_by(reports.c.read_at.desc())
            .limit(limit)
        )
        with self._db.read() as connection:
            return [PastReport(*row) for row in connection.execute(query)]
