"""Every mail that was read from the bounce mailbox, each once, and what it did to the reader it is about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, bindparam, func, select, update

from newsletter.addresses import identity
from newsletter.model import CopyReference, ReportKind, Strike, SubscriberStatus, Weight
from newsletter.store.database import Part
from newsletter.store.locks import status_change
from newsletter.store.schema import deliveries, issues, reports, storable, subscribers
from newsletter.store.suppressions import add_decision, cleared_at

_WORDS: Final = 300  # characters of a server's words that are kept

# Weights whose suppressions the brake looks at. A complaint is the reader's own act, and takes effect at once.
_BRAKED: Final = frozenset({Weight.HARD, Weight.SOFT})


@dataclass(frozen=True, slots=True)
class NewReport:
    """A mail as it is to be kept.

    `digest` is the SHA-256 of its bytes in hex; `tie` the copy it is about, if any; `status` an RFC 3463 code or empty;
    `words` the server's, without addresses; `weight` what the mail counts as, and `rule` why (replies.Judgement.rule).
    """

    digest: str
    kind: ReportKind
    tie: CopyReference | None = None
    status: str = ""
    words: str = ""
    weight: Weight = Weight.NONE
    rule: str = ""


# Statements that are executed for each mail, made once.
_KNOWN: Final = select(reports.c.digest).where(reports.c.digest == bindparam("digest"))
_ABOUT: Final = (
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
    .outerjoin(issues, issues.c.day == bindparam("day"))
    .outerjoin(deliveries, and_(deliveries.c.subscriber_id == subscribers.c.id, deliveries.c.issue_id == issues.c.id))
    .where(subscribers.c.ref == bindparam("ref"))
)
_STRIKES: Final = (
    select(reports.c.kind, reports.c.weight, issues.c.day, reports.c.read_at)
    .outerjoin_from(reports, issues)
    .where(
        reports.c.subscriber_id == bindparam("reader"),
        reports.c.read_at >= bindparam("since"),
        reports.c.digest != bindparam("but"),
    )
    .order_by(reports.c.read_at)
)


class Reports(Part):
    """The part of the store that keeps what came back."""

    def record_report(
        self, report: NewReport, decide: Callable[[Sequence[Strike]], SubscriberStatus | None]
    ) -> SubscriberStatus | None:
        """Keep the report, and let `decide` say what all reports about its reader lead to; in one transaction.

        Returns the reader's new status; None when nothing changes now, as for a report that is known. Suppressions for
        bounces wait for `finish_suppressions`. Only an active reader changes. Reports from before the reader joined,
        came back or took this address do not count.
        """
        with status_change(self._db) as connection:
            about = None if report.tie is None else _about(connection, report.tie)
            if not self._insert_report(connection, report, about) or about is None or not _counts(about):
                return None
            newest = Strike(report.kind, report.weight, about.day or self._now().date())
            status = decide([*_strikes(connection, about, report.digest), newest])
            if status is None:
                return None
            reason = storable(f"{report.kind}: {report.status} {report.words}".strip(" :"))
            if status is SubscriberStatus.SUPPRESSED and report.weight in _BRAKED:
                add_decision(connection, about.id, report.rule, reason, self._now())
                return None
            change = update(subscribers).where(
                subscribers.c.id == about.id, subscribers.c.status == SubscriberStatus.ACTIVE
            )
            connection.execute(change.values(status=status, status_at=self._now(), reason=reason))
            return status

    def _insert_report(self, connection: Connection, report: NewReport, about: Row[*tuple[Any, ...]] | None) -> bool:
        """Returns False when the mail was read before.

        The server's words are kept only beside a reader: in a row without one, `forget` would not find them.
        """
        known = about is not None and about.status is not SubscriberStatus.FORGOTTEN
        values = {
            "digest": report.digest,
            "read_at": self._now(),
            "kind": report.kind,
            "subscriber_id": about and about.id,
            "issue_id": about and about.issue_id,
            "status": storable(report.status),
            "words": storable(report.words, _WORDS) if known else "",
            "weight": report.weight,
        }
        statement = self._db.insert_new(reports, reports.c.digest)
        return connection.execute(statement, values).rowcount > 0

    def has_report(self, digest: str) -> bool:
        """Whether the mail with this SHA-256 was read before."""
        with self._db.read() as connection:
            return connection.execute(_KNOWN, {"digest": digest}).first() is not None

    def copy_for(self, day: date, address: str) -> str | None:
        """The ref of the reader whose copy of the issue of `day` went to `address`; None without such a copy."""
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
        """How many mails of each kind were read; those that are tied to no copy of ours count as ``unverified``."""
        needs_tie = (ReportKind.PERMANENT, ReportKind.TEMPORARY, ReportKind.COMPLAINT, ReportKind.UNSUBSCRIBE)
        query = select(reports.c.kind, reports.c.subscriber_id.is_(None), func.count())
        with self._db.read() as connection:
            rows = connection.execute(query.group_by(reports.c.kind, reports.c.subscriber_id.is_(None))).all()
        counts: dict[str, int] = {str(kind): 0 for kind in ReportKind} | {"unverified": 0}
        for kind, untied, number in rows:
            counts["unverified" if untied and kind in needs_tie else kind] += number
        return counts


def _about(connection: Connection, tie: CopyReference) -> Row[*tuple[Any, ...]] | None:
    """The reader of a tie, with the issue and the address of that copy where the day is known."""
    return connection.execute(_ABOUT, {"day": tie.day, "ref": tie.ref}).one_or_none()


def _counts(about: Row[*tuple[Any, ...]]) -> bool:
    """Whether a report about this copy says something about the reader as they are now."""
    if about.status is not SubscriberStatus.ACTIVE:
        return False
    if about.issue_id is None:
        return True
    moved = about.written_to is not None and identity(about.written_to) != about.identity
    return about.frozen_at >= about.status_at and not moved


def _strikes(connection: Connection, about: Row[*tuple[Any, ...]], but: str) -> list[Strike]:
    """The reports about the reader since they became active, without the one whose digest is `but`.

    Reports from before the operator discarded a suppression no longer count.
    """
    since = max(filter(None, (about.status_at, cleared_at(connection, about.id))))
    rows = connection.execute(_STRIKES, {"reader": about.id, "since": since, "but": but}).all()
    return [Strike(ReportKind(row.kind), row.weight, row.day or row.read_at.date()) for row in rows]
