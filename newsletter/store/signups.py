"""Sign-ups: requests made on the web, the confirmations that are due, and what confirming does.

A sign-up is a subscriber's row with `asked_at`: a new row is PENDING, and the row of a reader who had left keeps its
status until the address confirms. So a crash loses no request, and a request alone changes nothing for the reader.
"""

from __future__ import annotations

import secrets
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Executable, Row, and_, case, delete, or_, select, update

from newsletter.addresses import identity
from newsletter.model import SignUp, State, SubscriberStatus
from newsletter.store.database import Part
from newsletter.store.locks import confirmations_lock, status_change
from newsletter.store.schema import ASKED, OPEN_ROWS, deliveries, reports, subscribers
from newsletter.store.subscribers import recognising, stored_key

# How long a request waits for its confirmation, and how long its link is valid.
OPEN_FOR: Final = timedelta(days=7)

# An address gets no second confirmation mail within this time, however many people ask for it and however often.
QUIET_FOR: Final = timedelta(hours=24)

_ROW: Final = subscribers.c

# Copies that were handed to a server, or are on their way to it: their reader has had this issue.
_OUT: Final = (State.SENDING, State.ACCEPTED, State.UNCERTAIN)

_WAITING: Final = (State.PENDING, State.DEFERRED)


class ConfirmationState(StrEnum):
    """What a confirmation link can still do."""

    OPEN = "open"  # confirm the request, which waits for it
    CONFIRMED = "confirmed"  # nothing: its address is subscribed already
    VOID = "void"  # nothing: it is too old or used, or the reader has left since


class Signups(Part):
    """The part of the store that keeps sign-ups. Addresses that come in are normalised."""

    # --- asking ---

    def ask(self, address: str) -> None:
        """Record that somebody asked for mails to `address`; a confirmation becomes due, unless it had one today.

        The caller cannot tell whether the address was known, neither from the result nor from the time it takes: every
        case is the same single statement and commit. A reader who is subscribed gets no mail.
        """
        self._ask(address, None)

    def ask_move(self, ref: str, address: str) -> None:
        """Record that the reader `ref`, who is subscribed, wants their mails at `address` from now on."""
        self._ask(address, ref)

    def _ask(self, address: str, mover: str | None) -> None:
        with self._db.write() as connection:
            key = stored_key(connection, identity(address), recognising(connection, self._db, self._hasher))
            connection.execute(self._asking(address, key, mover))

    def _asking(self, address: str, key: str, mover: str | None) -> Executable:
        """The statement that records the request; a forgotten reader's row has an address while the request waits."""
        now = _milliseconds(self._now())
        replaces = None if mover is None else select(_ROW.id).where(_ROW.ref == mover).scalar_subquery()
        statement = self._db.insert(subscribers).values(
            ref=secrets.token_hex(8),
            address=address,
            identity=key,
            status=SubscriberStatus.PENDING,
            created_at=now,
            status_at=now,
            asked_at=now,
            replaces=replaces,
        )
        may = and_(
            or_(_ROW.mailed_at.is_(None), _ROW.mailed_at <= now - QUIET_FOR),
            or_(_ROW.asked_at.is_(None), _ROW.asked_at <= _ROW.mailed_at),  # else one is due already
        )
        if mover is None:
            may = and_(may, _ROW.status != SubscriberStatus.ACTIVE)
        forgotten = _ROW.status == SubscriberStatus.FORGOTTEN
        return statement.on_conflict_do_update(
            index_elements=[_ROW.identity],
            set_={
                "address": case((forgotten, statement.excluded.address), else_=_ROW.address),
                "asked_at": case((may, now), else_=_ROW.asked_at),
                "replaces": case((may, replaces), else_=_ROW.replaces),
            },
        )

    # --- mailing ---

    def confirmations_lock(self) -> AbstractContextManager[bool]:
        """The lock of who sends confirmations, held while the block runs; gives False when another process has it."""
        return confirmations_lock(self._db)

    def due_sign_ups(self, limit: int) -> list[SignUp]:
        """Up to `limit` sign-ups whose confirmation mail has not been sent, oldest first."""
        query = (
            select(_ROW.id, _ROW.ref, _ROW.address, _ROW.asked_at, _ROW.replaces)
            .where(
                ASKED,
                _ROW.asked_at > self._now() - OPEN_FOR,
                or_(_ROW.mailed_at.is_(None), _ROW.mailed_at < _ROW.asked_at),
                or_(_ROW.status != SubscriberStatus.ACTIVE, _ROW.replaces.is_not(None)),
            )
            .order_by(_ROW.asked_at)
            .limit(limit)
        )
        with self._db.read() as connection:
            return [SignUp(*row[:4], moves=row.replaces is not None) for row in connection.execute(query)]

    def note_mailed(self, sign_up: SignUp) -> None:
        """Record that its confirmation is being sent; committed before the final dot, so a crash never sends two."""
        self._mailed(sign_up, max(_milliseconds(self._now()), sign_up.asked_at))

    def take_back(self, sign_up: SignUp) -> None:
        """Undo `note_mailed`: no server has accepted it, so it is due again."""
        self._mailed(sign_up, None)

    def _mailed(self, sign_up: SignUp, at: datetime | None) -> None:
        with self._db.write() as connection:
            connection.execute(update(subscribers).where(_ROW.id == sign_up.id).values(mailed_at=at))

    # --- confirming ---

    def standing(self, ref: str, asked_at: datetime) -> ConfirmationState:
        """What the link for the request of `asked_at` (UTC) by the reader `ref` can still do. Changes nothing."""
        with self._db.read() as connection:
            return self._standing(connection, _asked(connection, ref), asked_at)

    def confirm(self, ref: str, asked_at: datetime, consent: str) -> ConfirmationState:
        """Subscribe the address if the request is open; returns its new state. `consent` says how the reader agreed.

        A reader who moves takes along weekdays, pause and the copies that have not begun. All of it is one transaction;
        of several confirmations at once, one has an effect.
        """
        with status_change(self._db) as connection:
            row = _asked(connection, ref, lock=True)
            standing = self._standing(connection, row, asked_at)
            if row is None or standing is not ConfirmationState.OPEN:
                return standing
            now = self._now()
            kept: dict[str, Any] = {}
            if row.replaces is not None:
                kept = _move_out(connection, row, now)
                _move_copies(connection, row)
                _follow(connection, row)
            change = update(subscribers).where(_ROW.id == row.id)
            kept["identity"] = identity(row.address)  # the row of a forgotten reader has the address again
            values = {"asked_at": None, "replaces": None, "moved_to": None, "consent": consent, "reason": "", **kept}
            connection.execute(change.values(status=SubscriberStatus.ACTIVE, status_at=now, **values))
            return ConfirmationState.CONFIRMED

    def _standing(self, connection: Connection, row: Row[Any] | None, asked_at: datetime) -> ConfirmationState:
        if row is None or asked_at <= self._now() - OPEN_FOR:
            return ConfirmationState.VOID
        if row.asked_at is not None and asked_at >= row.status_at:
            return ConfirmationState.OPEN if _mover_stays(connection, row, asked_at) else ConfirmationState.VOID
        return ConfirmationState.CONFIRMED if row.status is SubscriberStatus.ACTIVE else ConfirmationState.VOID

    def drop_unconfirmed(self) -> int:
        """Delete addresses that did not confirm in time, and old requests of others; returns how many were deleted."""
        late = and_(ASKED, _ROW.asked_at <= self._now() - OPEN_FOR)
        strangers = and_(late, _ROW.status == SubscriberStatus.PENDING)
        with self._db.write() as connection:
            ids = select(_ROW.id).where(strangers)
            connection.execute(update(reports).where(reports.c.subscriber_id.in_(ids)).values(subscriber_id=None))
            dropped = connection.execute(delete(subscribers).where(strangers)).rowcount
            again = case((_ROW.status == SubscriberStatus.FORGOTTEN, ""), else_=_ROW.address)
            connection.execute(update(subscribers).where(late).values(asked_at=None, replaces=None, address=again))
            return dropped


def _milliseconds(moment: datetime) -> datetime:
    """`moment` rounded up to what a link can carry, so that a request is never older than what came before it."""
    return moment + timedelta(microseconds=-moment.microsecond % 1000)


def _asked(connection: Connection, ref: str, *, lock: bool = False) -> Row[Any] | None:
    query = select(subscribers).where(_ROW.ref == ref)
    return connection.execute(query.with_for_update() if lock else query).one_or_none()


def _mover_stays(connection: Connection, row: Row[Any], asked_at: datetime) -> bool:
    """Whether the reader who asked to move is still subscribed; True when the request is no move."""
    if row.replaces is None:
        return True
    old = connection.execute(select(_ROW.status, _ROW.status_at).where(_ROW.id == row.replaces)).one()
    if old.status is SubscriberStatus.SUPPRESSED:  # its bounces may well be the reason to move
        return True
    return old.status is SubscriberStatus.ACTIVE and bool(asked_at >= old.status_at)


def _move_out(connection: Connection, row: Row[Any], now: datetime) -> dict[str, Any]:
    """Take the old address off the list; returns what the new one inherits unless it was subscribed by itself."""
    old = connection.execute(select(_ROW.days, _ROW.paused_until).where(_ROW.id == row.replaces)).one()
    leave = update(subscribers).where(_ROW.id == row.replaces, _ROW.status == SubscriberStatus.ACTIVE)
    left = {"status": SubscriberStatus.UNSUBSCRIBED, "status_at": now, "reason": "changed address"}
    connection.execute(leave.values(left))
    if row.status is SubscriberStatus.ACTIVE:
        return {}
    return {"days": old.days, "paused_until": old.paused_until}


def _follow(connection: Connection, row: Row[Any]) -> None:
    """Remember which address the reader left for which, so that `forget` finds both."""
    connection.execute(update(subscribers).where(_ROW.id == row.replaces).values(moved_to=row.id))


def _move_copies(connection: Connection, row: Row[Any]) -> None:
    """Redirect copies that have not begun to the new address, but none to a reader who has had that issue."""
    of_old, of_new = deliveries.c.subscriber_id == row.replaces, deliveries.c.subscriber_id == row.id
    had = select(deliveries.c.issue_id).where(of_old, deliveries.c.state.in_(_OUT))
    waiting = deliveries.c.state.in_(_WAITING)
    second = update(deliveries).where(OPEN_ROWS, of_new, waiting, deliveries.c.issue_id.in_(had))
    connection.execute(second.values(state=State.WITHDRAWN))
    known = select(deliveries.c.issue_id).where(of_new)
    waits = or_(waiting, deliveries.c.state == State.CLAIMED)  # one that is claimed has not begun
    mine = update(deliveries).where(OPEN_ROWS, of_old, waits, deliveries.c.issue_id.not_in(known))
    connection.execute(mine.values(subscriber_id=row.id, address=row.address, not_before=None))
