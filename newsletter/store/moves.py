"""Requests to move: a reader wants the mails at another address, confirms there, and the old address may undo it.

A request is a row of its own until the new address confirms. So it changes nothing for whoever has that address: not
what they have chosen, and not what they choose later.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, delete, insert, or_, select, update

from newsletter.addresses import identity
from newsletter.model import MoveNotice, RequestKind, SignUp, State, SubscriberStatus
from newsletter.store import signup_limits
from newsletter.store.choices import copy_choice
from newsletter.store.database import AddressHasher, Part
from newsletter.store.locks import status_change
from newsletter.store.schema import OPEN_ROWS, deliveries, moves, shards, subscribers
from newsletter.store.signup_states import OPEN_FOR, ConfirmationState, milliseconds
from newsletter.store.subscribers import stored_key

# How long the old address may undo a move.
UNDO_FOR: Final = timedelta(days=14)

_LEFT: Final = "changed address"  # why the old address is off the list
_MOST_MOVES: Final = 20  # in a row, that one link undoes

_ROW: Final = moves.c
_READER: Final = subscribers.c

# Copies that were handed to a server, or are on their way to it: their reader has had this issue.
_OUT: Final = (State.SENDING, State.ACCEPTED, State.UNCERTAIN)

_WAITING: Final = (State.PENDING, State.DEFERRED)

# What is due, built once, because it is asked after every sign-up.
_NOTICES: Final = (
    select(_ROW.id, _ROW.ref, _READER.address, _ROW.address)
    .join(subscribers, _READER.id == _ROW.mover_id)
    .where(
        _ROW.told_at.is_(None),
        _ROW.undone_at.is_(None),
        _ROW.confirmed_at > bindparam("since"),
        _READER.status == SubscriberStatus.UNSUBSCRIBED,
    )
    .order_by(_ROW.confirmed_at)
    .limit(bindparam("most"))
)
_DUE: Final = (
    select(_ROW.id, _ROW.ref, _ROW.address, _ROW.asked_at)
    .join(subscribers, _READER.id == _ROW.mover_id)
    .where(
        _ROW.mailed_at.is_(None),
        _ROW.confirmed_at.is_(None),
        _ROW.asked_at > bindparam("since"),
        _READER.status.in_((SubscriberStatus.ACTIVE, SubscriberStatus.SUPPRESSED)),
    )
    .order_by(_ROW.asked_at)
    .limit(bindparam("most"))
)


class Moves(Part):
    """The part of the store that changes readers' addresses. Addresses that come in are normalised."""

    def ask_move(self, ref: str, address: str) -> None:
        """Note that the reader `ref`, who is subscribed, wants the mails at `address` from now on.

        A mail that asks to confirm becomes due there within the limits of signup_limits.py. Neither a return value nor
        the time taken reveals whether the address was known.
        """
        now = milliseconds(self._now())
        with status_change(self._db) as connection:
            mover = connection.execute(select(_READER.id, _READER.status).where(_READER.ref == ref)).one_or_none()
            if mover is None or mover.status is not SubscriberStatus.ACTIVE:
                return
            if signup_limits.admit(connection, RequestKind.MOVE, address, now, self._hasher):
                values = {"ref": secrets.token_hex(8), "mover_id": mover.id, "asked_at": now}
                connection.execute(insert(moves).values(address=address, identity=identity(address), **values))

    def due_notices(self, limit: int) -> list[MoveNotice]:
        """Up to `limit` mails that tell an old address of a move, oldest first. One that bounces is not written to."""
        asked = {"since": self._now() - OPEN_FOR, "most": limit}
        with self._db.read() as connection:
            return [MoveNotice(*row) for row in connection.execute(_NOTICES, asked)]

    def undo_state(self, ref: str) -> ConfirmationState:
        """What the link to undo the move `ref` is good for; CONFIRMED if it was undone. Changes nothing."""
        with self._db.read() as connection:
            return self._undo_state(connection, request_to_move(connection, ref))

    def undo(self, ref: str) -> ConfirmationState:
        """Let the old address of the move `ref` have the mails again, with its choices, and no address after it.

        A new address that was on the list by its own wish stays on it. Returns the new state.
        """
        with status_change(self._db) as connection:
            move = request_to_move(connection, ref)
            state = self._undo_state(connection, move)
            if move is not None and state is ConfirmationState.OPEN:
                self._undo(connection, move)
                return ConfirmationState.CONFIRMED
            return state

    def _undo_state(self, connection: Connection, move: Row[Any] | None) -> ConfirmationState:
        if move is None or move.confirmed_at is None or move.confirmed_at <= self._now() - UNDO_FOR:
            return ConfirmationState.VOID
        old = connection.execute(select(subscribers).where(_READER.id == move.mover_id)).one()
        if old.status is SubscriberStatus.ACTIVE:
            return ConfirmationState.CONFIRMED
        left_by_it = old.status is SubscriberStatus.UNSUBSCRIBED and old.status_at == move.confirmed_at
        return ConfirmationState.OPEN if left_by_it else ConfirmationState.VOID

    def _undo(self, connection: Connection, move: Row[Any]) -> None:
        now = self._now()
        later = _from_there(connection, move)
        last = later[-1]
        gone = update(subscribers).where(
            _READER.id == last.moved_id,
            _READER.status == SubscriberStatus.ACTIVE,
            _READER.status_at == last.confirmed_at,  # not confirmed by its own wish since
        )
        if last.fresh:
            values = {"status": SubscriberStatus.UNSUBSCRIBED, "status_at": now, "reason": "change of address undone"}
            connection.execute(gone.values(values))
        old = connection.execute(select(_READER.id, _READER.address).where(_READER.id == move.mover_id)).one()
        _move_copies(connection, last.moved_id, old.id, old.address)
        back = {"status": SubscriberStatus.ACTIVE, "status_at": now, "reason": "", "moved_to": None}
        connection.execute(update(subscribers).where(_READER.id == old.id).values(back))
        connection.execute(update(moves).where(_ROW.id.in_([each.id for each in later])).values(undone_at=now))


def due_moves(connection: Connection, now: datetime, limit: int) -> list[SignUp]:
    """Up to `limit` requests to move whose mail to the new address is due, oldest first."""
    asked = {"since": now - OPEN_FOR, "most": limit}
    return [SignUp(*row, moves=True) for row in connection.execute(_DUE, asked)]


def request_to_move(connection: Connection, ref: str) -> Row[Any] | None:
    """The request to move with this ref."""
    return connection.execute(select(moves).where(_ROW.ref == ref)).one_or_none()


def move_state(
    connection: Connection, move: Row[Any], asked_at: datetime, now: datetime, hasher: AddressHasher
) -> ConfirmationState:
    """What the link to confirm this request is good for."""
    if move.asked_at != asked_at or asked_at <= now - OPEN_FOR:
        return ConfirmationState.VOID
    new = _at(connection, move, hasher)
    if new is not None and (move.confirmed_at is not None or asked_at < new.status_at):
        return ConfirmationState.CONFIRMED if new.status is SubscriberStatus.ACTIVE else ConfirmationState.VOID
    return ConfirmationState.OPEN if _mover_stays(connection, move) else ConfirmationState.VOID


def confirm_move(connection: Connection, move: Row[Any], now: datetime, consent: str, hasher: AddressHasher) -> None:
    """Put the new address on the list in the place of the old one; the caller has found the request open.

    Weekdays, pause and choice come along, unless the new address was on the list, or has asked for the mails itself.
    """
    new = _at(connection, move, hasher)
    old = connection.execute(select(subscribers).where(_READER.id == move.mover_id)).one()
    fresh = new is None or new.status is not SubscriberStatus.ACTIVE
    values: dict[str, Any] = {"status": SubscriberStatus.ACTIVE, "status_at": now, "consent": consent, "reason": ""}
    values |= {"asked_at": None, "mailed_at": None, "moved_to": None, "identity": move.identity}
    if fresh and (new is None or new.asked_at is None):
        values |= {"days": old.days, "paused_until": old.paused_until}
    if new is None:
        values |= {"ref": secrets.token_hex(8), "address": move.address, "created_at": now}
        moved_id = connection.execute(insert(subscribers).values(values).returning(_READER.id)).scalar_one()
    else:
        moved_id = new.id
        values |= {"address": new.address or move.address}
        connection.execute(update(subscribers).where(_READER.id == new.id).values(values))
    if fresh and (new is None or new.asked_at is None):
        copy_choice(connection, old.id, moved_id)
    # `forget` finds both addresses by `moved_to`.
    connection.execute(update(subscribers).where(_READER.id == old.id).values(moved_to=moved_id))
    leave = update(subscribers).where(_READER.id == old.id, _READER.status == SubscriberStatus.ACTIVE)
    connection.execute(leave.values(status=SubscriberStatus.UNSUBSCRIBED, status_at=now, reason=_LEFT))
    _move_copies(connection, old.id, moved_id, values["address"])
    done = update(moves).where(_ROW.id == move.id)
    connection.execute(done.values(confirmed_at=now, moved_id=moved_id, fresh=fresh))


def drop_old_moves(connection: Connection, now: datetime) -> None:
    """Delete requests that were not confirmed in time, and moves that cannot be undone any more."""
    late = (_ROW.confirmed_at.is_(None)) & (_ROW.asked_at <= now - OPEN_FOR)
    connection.execute(delete(moves).where(or_(late, _ROW.confirmed_at <= now - UNDO_FOR)))


def _at(connection: Connection, move: Row[Any], hasher: AddressHasher) -> Row[Any] | None:
    """The row of the new address, on the list or not."""
    key = stored_key(connection, move.identity, hasher)
    return connection.execute(select(subscribers).where(_READER.identity == key)).one_or_none()


def _mover_stays(connection: Connection, move: Row[Any]) -> bool:
    """Whether the reader who asked to move is still there."""
    old = connection.execute(select(_READER.status, _READER.status_at).where(_READER.id == move.mover_id)).one()
    if old.status is SubscriberStatus.SUPPRESSED:  # bounces of the old address may be why its reader moves
        return True
    return old.status is SubscriberStatus.ACTIVE and bool(move.asked_at >= old.status_at)


def _from_there(connection: Connection, move: Row[Any]) -> list[Row[Any]]:
    """The move, and those that its new address has made since, one after another."""
    found = [move]
    while len(found) < _MOST_MOVES:
        later = select(moves).where(
            _ROW.mover_id == found[-1].moved_id,
            _ROW.confirmed_at >= found[-1].confirmed_at,
            _ROW.undone_at.is_(None),
            _ROW.id.not_in([each.id for each in found]),
        )
        following = connection.execute(later.order_by(_ROW.confirmed_at).limit(1)).one_or_none()
        if following is None:
            break
        found.append(following)
    return found


def _move_copies(connection: Connection, old: int, new: int, address: str) -> None:
    """Let copies that wait for the row `old` go to `new` at `address`, and none to a reader who has had that issue."""
    of_old, of_new = deliveries.c.subscriber_id == old, deliveries.c.subscriber_id == new
    had = select(deliveries.c.issue_id).where(of_old, deliveries.c.state.in_(_OUT))
    waiting = deliveries.c.state.in_(_WAITING)
    # By the issues first: PostgreSQL finds a reader's copies by issue and reader, and knows which issues may have some.
    some = deliveries.c.issue_id.in_(select(shards.c.issue_id).where(shards.c.open))
    second = update(deliveries).where(OPEN_ROWS, some, of_new, waiting, deliveries.c.issue_id.in_(had))
    connection.execute(second.values(state=State.WITHDRAWN))
    known = select(deliveries.c.issue_id).where(of_new)
    waits = or_(waiting, deliveries.c.state == State.CLAIMED)  # one that is claimed has not begun
    mine = update(deliveries).where(OPEN_ROWS, some, of_old, waits, deliveries.c.issue_id.not_in(known))
    connection.execute(mine.values(subscriber_id=new, address=address, not_before=None))
