"""Suppressing readers for bounces and refusals: decisions wait for the end of a run, where the brake looks at them all.

    add_decision -> WAITING -> finish_suppressions -> DONE, or HELD -> the operator: CONFIRMED, or DROPPED

A decision is carried out only while it holds: the reader is still active, and has not come back since it was made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, and_, delete, exists, func, insert, or_, select, update

from newsletter.model import BouncePolicy, State, SubscriberStatus, SuppressionState
from newsletter.store import brake
from newsletter.store.database import Part
from newsletter.store.locks import status_change
from newsletter.store.schema import deliveries, issues, storable, subscribers, suppressions

_Rows = Sequence[Row[*tuple[Any, ...]]]

_OPEN: Final = (SuppressionState.WAITING, SuppressionState.HELD)
_KEPT: Final = timedelta(days=90)  # of a closed decision, whose only use is to be counted and to clear what led to it

_HOLDS: Final = and_(
    subscribers.c.status == SubscriberStatus.ACTIVE, subscribers.c.status_at <= suppressions.c.decided_at
)


@dataclass(frozen=True, slots=True)
class CarriedOut:
    """How many readers a run suppressed, and how many the brake held back."""

    done: int = 0
    held: int = 0


@dataclass(frozen=True, slots=True)
class HeldReason:
    """Readers whom the brake holds back for one reason: how many, and what was said about one of them."""

    rule: str
    readers: int
    example: str


class Suppressions(Part):
    """The part of the store that suppresses readers, unless they are too many."""

    def finish_suppressions(self) -> CarriedOut:
        """Carry out the decisions that wait, or hold them back; those that a run left when it died are among them."""
        with status_change(self._db) as connection:
            return _finish(connection, _open_decisions(connection, SuppressionState.WAITING), self._now())

    def held_suppressions(self) -> list[HeldReason]:
        """What the brake holds back, the reason with the most readers first; decisions that no longer hold left out."""
        query = (
            select(suppressions.c.rule, func.count(), func.min(suppressions.c.reason))
            .join(subscribers)
            .where(suppressions.c.state == SuppressionState.HELD, _HOLDS)
            .group_by(suppressions.c.rule)
            .order_by(func.count().desc(), suppressions.c.rule)
        )
        with self._db.read() as connection:
            return [HeldReason(*row) for row in connection.execute(query)]

    def confirm_suppressions(self) -> int:
        """Suppress the readers whom the brake holds back, where that still holds. Returns how many.

        The operator has then looked at these reasons, so what was suppressed for them before is no longer counted.
        """
        with status_change(self._db) as connection:
            now = self._now()
            found = _open_decisions(connection, SuppressionState.HELD)
            _suppress(connection, found, now, mark=" (confirmed)")
            _close(connection, found, SuppressionState.CONFIRMED, now)
            known = update(suppressions).where(
                suppressions.c.state == SuppressionState.DONE, suppressions.c.rule.in_({row.rule for row in found})
            )
            connection.execute(known.values(state=SuppressionState.CONFIRMED))
            _drop_held(connection, now)
            return len(found)

    def discard_suppressions(self) -> int:
        """Keep the readers whom the brake holds back; what led to it no longer counts. Returns how many."""
        with self._db.write() as connection:
            found = _open_decisions(connection, SuppressionState.HELD)
            _drop_held(connection, self._now())
            return len(found)

    def suppress_refused(self, issue_id: int, policy: BouncePolicy) -> CarriedOut:
        """Suppress readers whose address a server refused for good in this issue and in enough others.

        What the refusals mean is judged by the table of replies. A refusal while sending may be a relay's mistake, so
        one is never enough: it counts as `policy.soft` does. The brake holds here too.
        """
        if not policy.soft:
            return CarriedOut()
        with status_change(self._db) as connection:
            day = connection.execute(select(issues.c.day).where(issues.c.id == issue_id)).scalar_one()
            since = day - timedelta(days=policy.soft_days)
            refusals = connection.execute(_refusals(issue_id, since)).all()
            now = self._now()
            for subscriber_id, rule in _often_refused(refusals, issue_id, policy.soft):
                add_decision(connection, subscriber_id, rule, f"refused: {rule} in {policy.soft} issues", now)
            return _finish(connection, _open_decisions(connection, SuppressionState.WAITING), now)


def add_decision(connection: Connection, subscriber_id: int, rule: str, reason: str, now: datetime) -> None:
    """Note that a reader is to be suppressed, unless that is noted already."""
    known = select(suppressions.c.id).where(
        suppressions.c.subscriber_id == subscriber_id, suppressions.c.state.in_(_OPEN)
    )
    if connection.execute(known).first() is not None:
        return
    values = {
        "subscriber_id": subscriber_id,
        "state": SuppressionState.WAITING,
        "decided_at": now,
        "rule": storable(rule),
        "reason": storable(reason),
    }
    connection.execute(insert(suppressions), values)


def cleared_at(connection: Connection, subscriber_id: int) -> datetime | None:
    """When the operator last discarded a decision about this reader (UTC): what came before no longer counts."""
    query = select(func.max(suppressions.c.closed_at)).where(
        suppressions.c.subscriber_id == subscriber_id, suppressions.c.state == SuppressionState.DROPPED
    )
    found: datetime | None = connection.execute(query).scalar()
    return found


# --- the end of a run ------------------------------------------------------------------------------------------------


def _open_decisions(connection: Connection, state: SuppressionState) -> _Rows:
    """The decisions in `state` that still hold."""
    query = (
        select(suppressions.c.id, suppressions.c.subscriber_id, suppressions.c.rule, suppressions.c.reason)
        .join(subscribers)
        .where(suppressions.c.state == state, _HOLDS)
        .order_by(suppressions.c.id)
    )
    return connection.execute(query).all()


def _finish(connection: Connection, waiting: _Rows, now: datetime) -> CarriedOut:
    """Ask the brake about the decisions that wait, do what it says, and forget old ones."""
    active = connection.execute(
        select(func.count()).select_from(subscribers).where(subscribers.c.status == SubscriberStatus.ACTIVE)
    ).scalar_one()
    braked = brake.held([row.rule for row in waiting], _lately(connection, now), active)
    held = [row for row in waiting if row.rule in braked]
    done = [row for row in waiting if row.rule not in braked]
    _suppress(connection, done, now)
    _close(connection, done, SuppressionState.DONE, now)
    for part in _parts(row.id for row in held):
        hold = update(suppressions).where(suppressions.c.id.in_(part))
        connection.execute(hold.values(state=SuppressionState.HELD))
    stale = suppressions.c.state == SuppressionState.WAITING  # what is left does not hold any more
    connection.execute(delete(suppressions).where(or_(stale, suppressions.c.closed_at < now - _KEPT)))
    return CarriedOut(len(done), len(held))


def _lately(connection: Connection, now: datetime) -> dict[str, int]:
    """How many readers were suppressed without being asked about, or are held, for each rule."""
    done = and_(suppressions.c.state == SuppressionState.DONE, suppressions.c.closed_at > now - brake.REASON_DAYS)
    held = suppressions.c.state == SuppressionState.HELD
    query = select(suppressions.c.rule, func.count()).where(or_(done, held)).group_by(suppressions.c.rule)
    return {row[0]: row[1] for row in connection.execute(query)}


def _suppress(connection: Connection, decisions: _Rows, now: datetime, mark: str = "") -> None:
    for row in decisions:
        change = update(subscribers).where(
            subscribers.c.id == row.subscriber_id, subscribers.c.status == SubscriberStatus.ACTIVE
        )
        reason = storable(row.reason) + mark
        connection.execute(change.values(status=SubscriberStatus.SUPPRESSED, status_at=now, reason=reason))


def _close(connection: Connection, decisions: _Rows, state: SuppressionState, now: datetime) -> None:
    for part in _parts(row.id for row in decisions):
        connection.execute(update(suppressions).where(suppressions.c.id.in_(part)).values(state=state, closed_at=now))


def _drop_held(connection: Connection, now: datetime) -> None:
    held = update(suppressions).where(suppressions.c.state == SuppressionState.HELD)
    connection.execute(held.values(state=SuppressionState.DROPPED, closed_at=now))


def _parts(ids: Iterable[int], size: int = 500) -> Iterable[list[int]]:
    """`ids` in lists that fit into one statement (SQLite allows 32,766 parameters)."""
    every = list(ids)
    return (every[start : start + size] for start in range(0, len(every), size))


# --- refusals while sending ------------------------------------------------------------------------------------------


def _refusals(issue_id: int, since: date) -> Select[Any]:
    """The refusals, after `since`, of the active readers who were refused in this issue, as servers worded them.

    Refusals of before a reader came back, took this address, or was kept by the operator say nothing about them.
    """
    here = select(deliveries.c.subscriber_id).where(
        deliveries.c.issue_id == issue_id, deliveries.c.state == State.REFUSED
    )
    cleared = (
        select(suppressions.c.id)
        .where(
            suppressions.c.subscriber_id == deliveries.c.subscriber_id,
            suppressions.c.state == SuppressionState.DROPPED,
            suppressions.c.closed_at >= issues.c.frozen_at,
        )
        .correlate(deliveries, issues)
    )
    return (
        select(deliveries.c.subscriber_id, deliveries.c.issue_id, deliveries.c.reply_code, deliveries.c.reply_text)
        .join(subscribers, subscribers.c.id == deliveries.c.subscriber_id)
        .join(issues, issues.c.id == deliveries.c.issue_id)
        .where(
            deliveries.c.subscriber_id.in_(here),
            deliveries.c.state == State.REFUSED,
            issues.c.day > since,
            subscribers.c.status == SubscriberStatus.ACTIVE,
            subscribers.c.status_at <= issues.c.frozen_at,
            subscribers.c.address == deliveries.c.address,
            ~exists(cleared),
        )
    )


def _often_refused(refusals: _Rows, issue_id: int, limit: int) -> list[tuple[int, str]]:
    """The readers who were refused for good in `limit` issues, this one among them, with the rule of this one. Pure."""
    from newsletter.replies import Concern, Stage, judge  # every command opens the store, and few judge replies

    judged: dict[int, dict[int, str]] = {}
    for row in refusals:
        judgement = judge(Stage.RCPT, row.reply_code, row.reply_text or "")
        if judgement.concern is Concern.RECIPIENT and judgement.for_good:
            judged.setdefault(row.subscriber_id, {})[row.issue_id] = judgement.rule
    return [(reader, found[issue_id]) for reader, found in judged.items() if issue_id in found and len(found) >= limit]
