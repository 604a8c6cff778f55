"""Sign-ups: who asked on the web, whose confirmation is due, and what confirming does.

A sign-up is a subscriber's row with `asked_at`: a new one is PENDING, one who had left keeps its status until the
address confirms. So a crash loses no request, and a request alone changes nothing for a reader. A request to move is a
row of another table (moves.py), and confirmed here too.
"""

from __future__ import annotations

import secrets
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, bindparam, case, delete, insert, or_, select, update

from newsletter.addresses import identity
from newsletter.model import MoveNotice, RequestKind, SignUp, SubscriberStatus
from newsletter.store import moves, signup_limits
from newsletter.store.database import Part
from newsletter.store.issues import add_copy
from newsletter.store.locks import confirmations_lock, status_change
from newsletter.store.schema import ASKED, reports, subscribers
from newsletter.store.schema import moves as move_rows
from newsletter.store.signup_states import OPEN_FOR, ConfirmationState, milliseconds
from newsletter.store.subscribers import recognising, stored_key

_ROW: Final = subscribers.c

# Built once, because they are executed at every sign-up, and most of them while all other writers wait.
_DUE: Final = (
    select(_ROW.id, _ROW.ref, _ROW.address, _ROW.asked_at)
    .where(
        ASKED,
        _ROW.asked_at > bindparam("since"),
        or_(_ROW.mailed_at.is_(None), _ROW.mailed_at < _ROW.asked_at),
        _ROW.status != SubscriberStatus.ACTIVE,
    )
    .order_by(_ROW.asked_at)
    .limit(bindparam("most"))
)
_OF_IDENTITY: Final = select(subscribers).where(_ROW.identity == bindparam("key"))
_ASKED_AGAIN: Final = (
    update(subscribers).where(_ROW.id == bindparam("row")).values(asked_at=bindparam("now"), address=bindparam("own"))
)
_NEW: Final = insert(subscribers)
_MAILED: Final = update(subscribers).where(_ROW.id == bindparam("row")).values(mailed_at=bindparam("at"))
_MOVE_MAILED: Final = update(move_rows).where(move_rows.c.id == bindparam("row")).values(mailed_at=bindparam("at"))
_MOVE_TOLD: Final = update(move_rows).where(move_rows.c.id == bindparam("row")).values(told_at=bindparam("at"))

# What was not confirmed in time. Who asked again after they had been forgotten has no address any more.
_LATE: Final = and_(ASKED, _ROW.asked_at <= bindparam("until"))
_STRANGERS: Final = and_(_LATE, _ROW.status == SubscriberStatus.PENDING)
_UNTIE_STRANGERS: Final = (
    update(reports).where(reports.c.subscriber_id.in_(select(_ROW.id).where(_STRANGERS))).values(subscriber_id=None)
)
_DROP_STRANGERS: Final = delete(subscribers).where(_STRANGERS)
_VOID: Final = (
    update(subscribers)
    .where(_LATE)
    .values(
        asked_at=None,
        mailed_at=None,
        address=case((_ROW.status == SubscriberStatus.FORGOTTEN, ""), else_=_ROW.address),
    )
)


class Signups(Part):
    """The part of the store that keeps sign-ups. Addresses that come in are normalised."""

    # --- asking ---

    def ask(self, address: str) -> None:
        """Note that somebody wants mails to come to `address`; a confirmation becomes due within the limits.

        Neither a return value nor the time taken reveals whether the address was known, since every request is
        recorded and committed. A reader who is subscribed gets no mail.
        """
        now = milliseconds(self._now())
        with status_change(self._db) as connection:
            key = stored_key(connection, identity(address), recognising(connection, self._db, self._hasher))
            row = connection.execute(_OF_IDENTITY, {"key": key}).one_or_none()
            wanted = row is None or _wants_mail(row, now)
            if signup_limits.admit(connection, RequestKind.SIGN_UP, address, now, self._hasher, wanted=wanted):
                _note(connection, row, address, key, now)

    def sign_ups_full_until(self, limit: int, within: timedelta) -> datetime | None:
        """The moment (UTC) until which no further sign-up may make a mail due, or None: there were fewer than `limit`.

        Counted are the sign-ups of the time `within` that made a mail due.
        """
        with self._db.read() as connection:
            return signup_limits.full_until(connection, limit, within, self._now())

    # --- mailing ---

    def confirmations_lock(self) -> AbstractContextManager[bool]:
        """The lock of who sends confirmations, held while the block runs; gives False when another process has it."""
        return confirmations_lock(self._db)

    def due_sign_ups(self, limit: int) -> list[SignUp]:
        """Up to `limit` requests whose confirmation mail has not been sent, oldest first."""
        now = self._now()
        with self._db.read() as connection:
            rows = connection.execute(_DUE, {"since": now - OPEN_FOR, "most": limit})
            found = [SignUp(*row, moves=False) for row in rows]
            found += moves.due_moves(connection, now, limit)
        return sorted(found, key=lambda each: each.asked_at)[:limit]

    def note_mailed(self, mail: SignUp | MoveNotice) -> None:
        """Note that this mail is being sent: committed before its final dot, so that a crash never makes it two."""
        now = milliseconds(self._now())
        self._mailed(mail, max(now, mail.asked_at) if isinstance(mail, SignUp) else now)

    def take_back(self, mail: SignUp | MoveNotice) -> None:
        """Undo `note_mailed`: no server has taken the mail, so it is due again."""
        self._mailed(mail, None)

    def _mailed(self, mail: SignUp | MoveNotice, at: datetime | None) -> None:
        change = _MOVE_TOLD if isinstance(mail, MoveNotice) else _MOVE_MAILED if mail.moves else _MAILED
        with self._db.write() as connection:
            connection.execute(change, {"row": mail.id, "at": at})

    # --- confirming ---

    def standing(self, ref: str, asked_at: datetime) -> ConfirmationState:
        """What the link for the request `ref` of `asked_at` (UTC) is good for. Changes nothing."""
        with self._db.read() as connection:
            move = moves.request_to_move(connection, ref)
            if move is not None:
                hasher = recognising(connection, self._db, self._hasher)
                return moves.move_state(connection, move, asked_at, self._now(), hasher)
            return self._standing(_asked(connection, ref), asked_at)

    def confirm(self, ref: str, asked_at: datetime, consent: str, *, first_copy: bool = False) -> ConfirmationState:
        """Subscribe the address if the request stands; the new standing. `consent` notes how the reader agreed.

        With `first_copy`, a new reader is given a copy of the latest issue, see `issues.add_copy`. A reader who moves
        takes weekdays, pause and copies that wait along. All of it is one transaction, and however many confirm at
        once, one does it.
        """
        with status_change(self._db) as connection:
            now = self._now()
            move = moves.request_to_move(connection, ref)
            if move is not None:
                hasher = recognising(connection, self._db, self._hasher)
                standing = moves.move_state(connection, move, asked_at, now, hasher)
                if standing is ConfirmationState.OPEN:
                    moves.confirm_move(connection, move, now, consent, hasher)
                    signup_limits.answered(connection, move.address, self._hasher)
                    return ConfirmationState.CONFIRMED
                return standing
            row = _asked(connection, ref, lock=True)
            standing = self._standing(row, asked_at)
            if row is None or standing is not ConfirmationState.OPEN:
                return standing
            # The reader is no longer forgotten, so the identity is the address again.
            values = {"asked_at": None, "moved_to": None, "consent": consent, "reason": "", "status_at": now}
            change = update(subscribers).where(_ROW.id == row.id)
            connection.execute(change.values(status=SubscriberStatus.ACTIVE, identity=identity(row.address), **values))
            signup_limits.answered(connection, row.address, self._hasher)
            if first_copy:
                add_copy(connection, row.id, now)
            return ConfirmationState.CONFIRMED

    def subscriber_of(self, ref: str) -> str:
        """The ref of the subscriber at the address of the request `ref`, which is confirmed."""
        with self._db.read() as connection:
            move = moves.request_to_move(connection, ref)
            if move is None:
                return ref
            return str(connection.execute(select(_ROW.ref).where(_ROW.identity == move.identity)).scalar_one())

    def _standing(self, row: Row[Any] | None, asked_at: datetime) -> ConfirmationState:
        if row is None or asked_at <= self._now() - OPEN_FOR:
            return ConfirmationState.VOID
        if row.asked_at is not None and asked_at >= row.status_at:
            return ConfirmationState.OPEN
        return ConfirmationState.CONFIRMED if row.status is SubscriberStatus.ACTIVE else ConfirmationState.VOID

    def drop_unconfirmed(self) -> int:
        """Delete the addresses that never confirmed in time, and all that their requests left; how many addresses."""
        now = self._now()
        late = {"until": now - OPEN_FOR}
        with self._db.write() as connection:
            connection.execute(_UNTIE_STRANGERS, late)
            dropped = connection.execute(_DROP_STRANGERS, late).rowcount
            connection.execute(_VOID, late)
            moves.drop_old_moves(connection, now)
            signup_limits.prune(connection, now)
            return dropped


def _wants_mail(row: Row[Any], now: datetime) -> bool:
    """Whether a request for the address of this row may make a mail due: not for a reader, and not if one is due."""
    if row.status is SubscriberStatus.ACTIVE:
        return False
    if row.mailed_at is not None and row.mailed_at > now - signup_limits.DAY:
        return False
    return row.asked_at is None or (row.mailed_at is not None and row.asked_at <= row.mailed_at)


def _note(connection: Connection, row: Row[Any] | None, address: str, key: str, now: datetime) -> None:
    """Write the sign-up into the row of its address. Who was forgotten has an address as long as the request waits."""
    if row is not None:
        own = address if row.status is SubscriberStatus.FORGOTTEN else row.address
        connection.execute(_ASKED_AGAIN, {"row": row.id, "now": now, "own": own})
        return
    values = {"ref": secrets.token_hex(8), "address": address, "identity": key, "status": SubscriberStatus.PENDING}
    connection.execute(_NEW, {"created_at": now, "status_at": now, "asked_at": now, **values})


def _asked(connection: Connection, ref: str, *, lock: bool = False) -> Row[Any] | None:
    query = select(subscribers).where(_ROW.ref == ref)
    return connection.execute(query.with_for_update() if lock else query).one_or_none()
