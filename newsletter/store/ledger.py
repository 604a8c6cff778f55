"""The ledger: one row per copy, and the moves of model.TRANSITIONS, each of which is on the disk when its call returns.

A move is an UPDATE that names the state it starts from and the Store that claimed the row. A row that is elsewhere is
not moved, and the caller gets an error. So two processes never send the same copy, even when the first has lost the
sender's lock without noticing, as happens on PostgreSQL when its idle connection is cut.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import (
    and_,
    bindparam,
    case,
    func,
    not_,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.engine.interfaces import DBAPICursor

from newsletter.errors import StoreError
from newsletter.model import (
    OUTCOME_STATE,
    UNCHARGED,
    Delivery,
    OutcomeKind,
    Result,
    State,
)
from newsletter.slots import SlotOrder
from newsletter.store.claims import SOURCES, WANTED, Claims, checked, move
from newsletter.store.database import Database
from newsletter.store.locks import hold_statuses, sending_lock, status_change
from newsletter.store.schema import OPEN_ROWS, deliveries, delivery_counts, issues, shards, storable
from newsletter.store.senders import SenderDesk, Senders
from newsletter.store.shard_table import close_finished, may_have_open_rows, reopen
from newsletter.store.slots import SlotDesk

_ROW: Final = deliveries.c

# The copies that `status` lists besides the counts: their readers did not get them, or may not have. An expired copy is
# listed when a server had answered for it; one that was never tried says nothing about its reader.
_NOT_ACCEPTED: Final = or_(
    _ROW.state.in_((State.REFUSED, State.DEFERRED, State.UNCERTAIN)),
    and_(_ROW.state == State.EXPIRED, _ROW.reply_text.is_not(None)),
)

_RECORD: Final = (
    update(deliveries)
    .where(
        _ROW.id == bindparam("row"),
        _ROW.state == bindparam("source"),
        _ROW.claimed_by == bindparam("holder"),
    )
    .values(
        state=bindparam("to"),
        attempts=_ROW.attempts + bindparam("charged"),
        doubts=_ROW.doubts + bindparam("doubted"),
        not_before=bindparam("not_before"),
        reply_code=bindparam("reply_code"),
        # A server may name the recipient in any reply, so a row whose reader was forgotten keeps no words.
        reply_text=case((_ROW.address == "", null()), else_=bindparam("reply_text")),
        claimed_by=bindparam("next_holder"),
    )
)

_MINE: Final = and_(_ROW.id == bindparam("row"), _ROW.state == State.CLAIMED, _ROW.claimed_by == bindparam("holder"))
# The address is compared because a reader who changes it takes along a copy that is claimed (signups.confirm).
_BEGIN: Final = (
    update(deliveries).where(_MINE, WANTED, _ROW.address == bindparam("address")).values(state=State.SENDING)
)
_WITHDRAW: Final = update(deliveries).where(_MINE, not_(WANTED)).values(state=State.WITHDRAWN, claimed_by=null())
_PUT_BACK: Final = (
    update(deliveries).where(_MINE, _ROW.address != bindparam("address")).values(state=State.PENDING, claimed_by=null())
)
# An issue may be withdrawn while its copies are claimed. This changes nothing; it tells whether a row is in that state.
_WITHDRAWN: Final = (
    update(deliveries).where(_ROW.id == bindparam("row"), _ROW.state == State.WITHDRAWN).values(claimed_by=null())
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A copy that was not accepted, or not yet: its `state` and the server's last reply."""

    address: str
    state: State
    code: int | None
    text: str


class Ledger(Claims, Senders):
    """The part of the store that keeps the ledger. Raises StoreError for a move that is not in TRANSITIONS."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        super().__init__(database, now)
        self._record = database.prepare(_RECORD)
        self._begin = database.prepare(_BEGIN)
        self._not_begun = [database.prepare(each) for each in (_WITHDRAW, _PUT_BACK, _WITHDRAWN)]
        self._desk = SlotDesk(database, now)
        self._told = SenderDesk(database, self._holder, now)

    @contextmanager
    def sending_lock(self) -> Iterator[bool]:
        """The sender's lock, held while the block runs; gives False when another process holds it. Raises StoreError.

        When the last holder was cut off, an SQLite file is checked for damage first.
        """
        with sending_lock(self._db) as alone:
            try:
                yield alone
            finally:
                with suppress(StoreError):  # the block's own error, if any, is the one to report
                    self._conclude()

    # --- before sending ---

    def expire(self) -> dict[date, int]:
        """Give up what is owed or uncertain past its time; returns how many copies, by the issue's day.

        The time of a copy with an hour of its reader's counts from that hour, else that of its issue is over.
        """
        past = or_(_ROW.ends_at.is_(None), _ROW.ends_at <= self._now())
        expired: dict[date, int] = {}
        with self._db.write() as connection:
            late = select(issues.c.id, issues.c.day).where(issues.c.expires_at <= self._now())
            some = late.where(may_have_open_rows(self._db, issues.c.id)).order_by(issues.c.day)
            for row in connection.execute(some).all():
                number = move(connection, SOURCES[State.EXPIRED], State.EXPIRED, _ROW.issue_id == row.id, past)
                close_finished(connection, row.id)
                expired |= {row.day: number} if number else {}
        return expired

    def retry_uncertain(self, issue_id: int, *, resend_uncertain: int) -> None:
        """Let every uncertain copy be sent once more, however often it was sent: the operator has decided so.

        `resend_uncertain` is as for `claim`: a copy that becomes uncertain again stays so until this is called again.
        """
        held = (_ROW.issue_id == issue_id, _ROW.state == State.UNCERTAIN, _ROW.doubts > resend_uncertain)
        with self._db.write() as connection:
            reopen(connection, issue_id)
            connection.execute(update(deliveries).where(*held).values(doubts=resend_uncertain))

    # --- around the final dot ---

    def turn(
        self, results: Sequence[Result], begin: Sequence[Delivery], orders: Sequence[SlotOrder] = ()
    ) -> list[Delivery]:
        """Record what the servers said, and that the copies of `begin` are being sent, all in one transaction.

        A result moves its row from `source` to where model.OUTCOME_STATE says; NOT_SENT charges no attempt. A copy that
        begins moves from CLAIMED to SENDING, on the disk when this returns and so before its final dot (RFC 1047).
        Returns the copies that do not begin, of which nothing may go out: the issue was withdrawn or readers have left
        since the claim, and these copies are WITHDRAWN, or readers have changed their address, and these are PENDING.
        Where a shard is held, none begins while the issue is paused, by whichever process; these stay CLAIMED.
        `orders` ask for slots of servers that have a limit, and are filled in.
        """
        if not (results or begin or orders):
            return []
        changes = [self._change(result) for result in results]
        with self._db.quickly() as cursor:
            issue_id = None if self._held is None else self._held.issue_id
            paused = bool(begin) and hold_statuses(self._db, cursor, issue_id)
            if changes and self._record.execute(cursor, changes) != len(changes):
                raise self._forbidden([(change["row"], change["to"], change["source"]) for change in changes])
            stopped = list(begin) if paused else self._begin_all(cursor, begin)
            self._desk.fill(cursor, orders)
            if results or begin:
                self._told.note(cursor, sum(result.outcome.kind is OutcomeKind.ACCEPTED for result in results))
        return stopped

    def _begin_all(self, cursor: DBAPICursor, begin: Sequence[Delivery]) -> list[Delivery]:
        """Move `begin` to SENDING; returns those that were withdrawn or whose readers left or moved since the claim."""
        rows = [{"row": delivery.id, "holder": self._holder, "address": delivery.address} for delivery in begin]
        if not rows or (begun := self._begin.execute(cursor, rows)) == len(rows):
            return []
        stopped = [
            delivery
            for delivery, row in zip(begin, rows, strict=True)
            if any(statement.execute(cursor, [row]) for statement in self._not_begun)
        ]
        if begun + len(stopped) != len(rows):
            raise self._forbidden([(delivery.id, State.SENDING, State.CLAIMED) for delivery in begin])
        return stopped

    def end_sending(self) -> None:
        """This process sends no more for now: it is no longer among the active senders. Raises StoreError."""
        if self._told.end():
            self._forget_sender(self._holder)

    def _change(self, result: Result) -> dict[str, Any]:
        """The parameters of _RECORD for a copy that was answered."""
        outcome = result.outcome
        return {
            "row": result.delivery.id,
            "source": result.source,
            "holder": self._holder,
            "to": checked(result.source, OUTCOME_STATE[outcome.kind]),
            "next_holder": None,
            "charged": int(outcome.kind not in UNCHARGED),
            "doubted": int(outcome.kind is OutcomeKind.UNCERTAIN),
            "not_before": result.not_before,
            "reply_code": outcome.code,
            "reply_text": storable(outcome.text),
        }

    def release(self, deliveries: Sequence[Delivery]) -> None:
        """CLAIMED -> PENDING: the run stops before their turn. Copies that were withdrawn meanwhile stay so.

        Raises StoreError when a copy is in another state or another's.
        """
        if not deliveries:
            return
        ids = [delivery.id for delivery in deliveries]
        with status_change(self._db) as connection:
            rows = connection.execute(select(_ROW.id, _ROW.state).where(_ROW.id.in_(ids))).all()
            waiting = [row.id for row in rows if row.state is not State.WITHDRAWN]
            mine = (_ROW.id.in_(waiting), _ROW.claimed_by == self._holder)
            if move(connection, {State.CLAIMED}, State.PENDING, *mine, claimed_by=None) != len(waiting):
                raise self._forbidden([(row_id, State.PENDING, State.CLAIMED) for row_id in waiting])

    def _forbidden(self, moves: Sequence[tuple[int, State, State]]) -> StoreError:
        """The error that names the row which is not in the state where its move starts, as last committed."""
        asked = select(_ROW.id, _ROW.state, _ROW.claimed_by).where(_ROW.id.in_([move[0] for move in moves]))
        with self._db.read() as connection:
            found = {row.id: row for row in connection.execute(asked)}
        for row_id, to, source in moves:
            row = found.get(row_id)
            if row is None:
                return StoreError(f"{self._db.name}: delivery {row_id} does not exist, so it cannot become {to}")
            if row.claimed_by not in (None, self._holder):
                return StoreError(
                    f"{self._db.name}: another process has taken over delivery {row_id}; it cannot become {to}"
                )
            if row.state is not source or row.claimed_by is None:
                return StoreError(f"{self._db.name}: delivery {row_id} is {row.state}, so it cannot become {to}")
        return StoreError(f"{self._db.name}: delivery {moves[0][0]} was to move twice at once")

    # --- questions ---

    def counts(self, issue_id: int) -> dict[State, int]:
        """How many copies of the issue are in each state, zeros included; also of an issue that was pruned."""
        rows = select(_ROW.state, func.count()).where(_ROW.issue_id == issue_id).group_by(_ROW.state)
        pruned = select(delivery_counts.c.state, delivery_counts.c.copies).where(delivery_counts.c.issue_id == issue_id)
        found: Counter[State] = Counter()
        with self._db.read() as connection:
            for query in (rows, pruned):
                found.update({row[0]: row[1] for row in connection.execute(query)})
        return {state: found[state] for state in State}

    def state_of(self, issue_id: int, subscriber_id: int) -> State | None:
        """The state of one reader's copy; None when there is none, or no longer (`retention.deliveries`)."""
        query = select(_ROW.state).where(_ROW.issue_id == issue_id, _ROW.subscriber_id == subscriber_id)
        with self._db.read() as connection:
            found: State | None = connection.execute(query).scalar()
        return found

    def next_due(self, issue_id: int) -> datetime | None:
        """When the first of the deferred copies may be tried again (UTC); None when there is none."""
        query = select(func.min(_ROW.not_before)).where(
            OPEN_ROWS, _ROW.issue_id == issue_id, _ROW.state == State.DEFERRED
        )
        if self._db.file is None:  # it has no index of the rows, and knows the shards that may have some
            some = select(shards.c.shard).where(shards.c.issue_id == issue_id, shards.c.open)
            query = query.where(_ROW.shard.in_(some))
        with self._db.read() as connection:
            return connection.execute(query).scalar()

    def not_yet_due(self, issue_id: int) -> tuple[int, datetime | None]:
        """How many copies wait for the hour of their readers, and the first of these hours (UTC); None without one."""
        query = select(func.count(), func.min(_ROW.due_at)).where(
            OPEN_ROWS, _ROW.issue_id == issue_id, _ROW.state == State.PENDING, _ROW.due_at > self._now()
        )
        if self._db.file is None:
            some = select(shards.c.shard).where(shards.c.issue_id == issue_id, shards.c.open)
            query = query.where(_ROW.shard.in_(some))
        with self._db.read() as connection:
            number, first = connection.execute(query).one()
        return number, first

    def refusals(self, issue_id: int) -> Iterator[Refusal]:
        """The copies that are refused, deferred, uncertain, or expired after a try, with the server's last reply.

        Memory use does not grow with their number.
        """
        query = select(_ROW.id, _ROW.address, _ROW.state, _ROW.reply_code, _ROW.reply_text)
        rows = self._db.pages(query.where(_ROW.issue_id == issue_id, _NOT_ACCEPTED))
        return (Refusal(row.address, row.state, row.reply_code, row.reply_text or "") for row in rows)
