"""What came back: every mail that was read from the bounce mailbox, once, and what it did to the reader it is about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, and_, func, not_, or_, select, update

from newsletter.addresses import identity
from newsletter.model import BouncePolicy, CopyReference, ReportKind, State, Strike, SubscriberStatus
from newsletter.store.database import Part
from newsletter.store.locks import status_change
from newsletter.store.schema import deliveries, issues, reports, storable, subscribers

# Refusals at SMTP time that speak of the address (RFC 3463 section 3.2); 5.1.7 and 5.1.8 are the sender's.
_REFUSED: Final = and_(
    deliveries.c.state == State.REFUSED,
    deliveries.c.reply_text.like("5.1.%"),
    not_(or_(*(deliveries.c.reply_text.like(f"5.1.{detail} %") for detail in (5, 7, 8, 9)))),
)


@dataclass(frozen=True, slots=True)
class NewReport:
    """A mail as it is to be kept: SHA-256 of its bytes in hex, what it is, and the copy it is tied to, if any."""

    digest: str
    kind: ReportKind
    tie: CopyReference | None = None
    status: str = ""
    words: str = ""


class Reports(Part):
    """The part of the store that remembers what came back."""

    def record_report(
        self, report: NewReport, decide: Callable[[Sequence[Strike]], SubscriberStatus | None]
    ) -> SubscriberStatus | None:
        """Keep the report and do to its reader what `decide` says of all reports about him, in one transaction.

        Returns the reader's new status; None when nothing changed, as for a report that is known. Only a reader who is
        active changes. Reports from before he joined, came back or took this address say nothing about him.
        """
        with status_change(self._db) as connection:
            about = None if report.tie is None else _about(connection, report.tie)
            if not self._insert_report(connection, report, about) or about is None or not _counts(about):
                return None
            newest = Strike(report.kind, report.status, about.day or self._now().date())
            status = decide([*_strikes(connection, about, report.digest), newest])
            if status is not None:
                reason = storable(f"{report.kind}: {report.status} {report.words}".strip(" :"))
                _set_status(connection, [about.id], status, reason, self._now)
            return status

    def _insert_report(self, connection: Connection, report: NewReport, about: Row[*tuple[Any, ...]] | None) -> bool:
        """False when the mail was read before."""
        values = {
            "digest": report.digest,
            "read_at": self._now(),
            "kind": report.kind,
            "subscriber_id": about and about.id,
            "issue_id": about and about.issue_id,
            "status": storable(report.status),
            "words": storable(report.words),
        }
        statement = self._db.insert(reports).on_conflict_do_nothing(index_elements=[reports.c.digest])
        # PostgreSQL's answer holds the new key instead of the number of rows, unless the number is asked for.
        return connection.execute(statement.execution_options(preserve_rowcount=True), values).rowcount > 0

    def has_report(self, digest: str) -> bool:
        """Whether the mail with this SHA-256 was read before."""
        with self._db.read() as connection:
            return connection.execute(select(reports.c.digest).where(reports.c.digest == digest)).first() is not None

    def copy_for(self, day: date, address: str) -> str | None:
        """The ref of the reader whose copy of the issue of `day` went to `address`; None when none did."""
        query = (
            select(subscribers.c.ref)
            .join_from(deliveries, subscribers)
            .join(issues, issues.c.id == deliveries.c.issue_id)
            .where(issues.c.day == day, subscribers.c.identity == identity(address))
        )
        with self._db.read() as connection:
            found: str | None = connection.execute(query).scalar()
        return found

    def count_reports(self) -> dict[str, int]:
        """How many mails of each kind were read; those that no copy of ours is tied to count as ``unverified``."""
        needs_tie = (ReportKind.PERMANENT, ReportKind.TEMPORARY, ReportKind.COMPLAINT, ReportKind.UNSUBSCRIBE)
        query = select(reports.c.kind, reports.c.subscriber_id.is_(None), func.count())
        with self._db.read() as connection:
            rows = connection.execute(query.group_by(reports.c.kind, reports.c.subscriber_id.is_(None))).all()
        counts: dict[str, int] = {str(kind): 0 for kind in ReportKind} | {"unverified": 0}
        for kind, untied, number in rows:
            counts["unverified" if untied and kind in needs_tie else kind] += number
        return counts

    def suppress_refused(self, issue_id: int, policy: BouncePolicy) -> int:
        """Suppress readers whose address a server refused (5.1.x) in this issue and in enough others.

        A refusal while sending may be a relay's mistake, so one is never enough: it counts as `policy.soft` does.
        Returns how many.
        """
        if not policy.soft:
            return 0
        with status_change(self._db) as connection:
            day = connection.execute(select(issues.c.day).where(issues.c.id == issue_id)).scalar_one()
            since = day - timedelta(days=policy.soft_days)
            found = [row[0] for row in connection.execute(_often_refused(issue_id, since, policy.soft))]
            reason = f"refused: 5.1.x in {policy.soft} issues"
            _set_status(connection, found, SubscriberStatus.SUPPRESSED, reason, self._now)
        return len(found)


def _often_refused(issue_id: int, since: date, limit: int) -> Select[Any]:
    """The readers who were refused in this issue and in `limit` issues, this one included, of days after `since`."""
    here = select(deliveries.c.subscriber_id).where(deliveries.c.issue_id == issue_id, _REFUSED)
    return (
        select(deliveries.c.subscriber_id)
        .join(subscribers, subscribers.c.id == deliveries.c.subscriber_id)
        .join(issues, issues.c.id == deliveries.c.issue_id)
        .where(
            deliveries.c.subscriber_id.in_(here),
            issues.c.day > since,
            _REFUSED,
            subscribers.c.status == SubscriberStatus.ACTIVE,
            subscribers.c.status_at <= issues.c.frozen_at,
            subscribers.c.address == deliveries.c.address,
        )
        .group_by(deliveries.c.subscriber_id)
        .having(func.count() >= limit)
    )


def _about(connection: Connection, tie: CopyReference) -> Row[*tuple[Any, ...]] | None:
    """The reader of a tie, with the issue and the address of that copy where the day is known."""
    copy = and_(deliveries.c.subscriber_id == subscribers.c.id, deliveries.c.issue_id == issues.c.id)
    query = (
        select(
            subscribers.c.id,
            subscribers.c.status,
            subscribers.c.status_at,
            subscribers.c.identity,
            issues.c.id.label("issue_id"),
            issues.c.day,
            issues.c.frozen_at,
            deliveries.c.address.label("written_to"),
        )
        .select_from(subscribers)
        .outerjoin(issues, issues.c.day == tie.day)
        .outerjoin(deliveries, copy)
        .where(subscribers.c.ref == tie.ref)
    )
    return connection.execute(query).one_or_none()


def _counts(about: Row[*tuple[Any, ...]]) -> bool:
    """Whether a report about this copy says something about the reader as he is now."""
    if about.status is not SubscriberStatus.ACTIVE:
        return False
    if about.issue_id is None:
        return True
    moved = about.written_to is not None and identity(about.written_to) != about.identity
    return about.frozen_at >= about.status_at and not moved


def _strikes(connection: Connection, about: Row[*tuple[Any, ...]], but: str) -> list[Strike]:
    """The reports about the reader since he became active, without the one whose digest is `but`."""
    query = (
        select(reports.c.kind, reports.c.status, issues.c.day, reports.c.read_at)
        .outerjoin_from(reports, issues)
        .where(reports.c.subscriber_id == about.id, reports.c.read_at >= about.status_at, reports.c.digest != but)
        .order_by(reports.c.read_at)
    )
    rows = connection.execute(query).all()
    return [Strike(ReportKind(row.kind), row.status, row.day or row.read_at.date()) for row in rows]


def _set_status(
    connection: Connection, ids: Sequence[int], status: SubscriberStatus, reason: str, now: Callable[[], datetime]
) -> None:
    if not ids:
        return
    change = update(subscribers).where(subscribers.c.id.in_(ids), subscribers.c.status == SubscriberStatus.ACTIVE)
    connection.execute(change.values(status=status, status_at=now(), reason=reason))
