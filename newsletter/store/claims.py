"""Claims: which copies are due, taken in batches by one Store, and given back when it was cut off.

SQLite has one sender. It finds copies that can still move in a partial index, so that a claim reads only what it takes.
PostgreSQL has a sender for each shard (shards.py), and no index whose condition a copy's state could change: then its
updates stay within their page (PostgreSQL's chapter on heap-only tuples), and a claim goes on after the last row that
it took (a keyset cursor). Either way a claim costs the same however many copies were sent before it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    exists,
    func,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.engine.interfaces import DBAPICursor

from newsletter.errors import StoreError
from newsletter.model import TRANSITIONS, Delivery, State, SubscriberStatus
from newsletter.store.database import Database, Prepared
from newsletter.store.provenance import Provenance
from newsletter.store.schema import OPEN_ROWS, deliveries, in_states, issues, subscribers

_ROW: Final = deliveries.c

# The states from which each state may be reached: TRANSITIONS read backwards.
SOURCES: Final[Mapping[State, frozenset[State]]] = {
    to: frozenset(source for source, targets in TRANSITIONS.items() if to in targets) for to in State
}

# Whether the reader of a copy still wants it: they are active, have not paused beyond the issue's day, and the row has
# an address. A row without one belongs to a reader who was forgotten; they may have subscribed again since.
_READER_WANTS: Final = and_(
    subscribers.c.status == SubscriberStatus.ACTIVE,
    or_(
        subscribers.c.paused_until.is_(None),
        subscribers.c.paused_until
        <= select(issues.c.day).where(issues.c.id == _ROW.issue_id).correlate(deliveries).scalar_subquery(),
    ),
)
WANTED: Final = and_(
    _ROW.address != "", exists().where(subscribers.c.id == _ROW.subscriber_id, _READER_WANTS).correlate(deliveries)
)

# The kinds of copies in the order in which they are claimed: those that were never tried, those that were tried in
# vain, and the uncertain ones. What killed the last run may kill this one too, and would use up a copy's only
# repetition.
_OWED_ROW: Final = in_states(SOURCES[State.CLAIMED] - {State.UNCERTAIN})
_KINDS: Final = (
    and_(_OWED_ROW, _ROW.doubts == 0, _ROW.not_before.is_(None)),
    and_(_OWED_ROW, _ROW.doubts == 0, _ROW.not_before.is_not(None)),
    or_(
        and_(_OWED_ROW, _ROW.doubts > 0),  # claimed to be sent again, when its run ended
        and_(_ROW.state == State.UNCERTAIN, _ROW.doubts <= bindparam("doubts")),
    ),
)

# Copies that may be claimed as far as their issue and the time are concerned.
_DUE: Final = (
    select(
        _ROW.id,
        _ROW.rendering_id,
        _ROW.subscriber_id,
        subscribers.c.ref,
        _ROW.address,
        _ROW.attempts,
        _ROW.doubts,
        and_(_ROW.address != "", _READER_WANTS).label("wanted"),
    )
    .join_from(deliveries, subscribers)
    .where(
        exists().where(
            issues.c.id == bindparam("issue"), func.coalesce(_ROW.ends_at, issues.c.expires_at) > bindparam("now")
        ),
        or_(_ROW.due_at.is_(None), _ROW.due_at <= bindparam("now")),
        or_(_ROW.not_before.is_(None), _ROW.not_before <= bindparam("now")),
    )
    .limit(bindparam("most"))
    .with_for_update(of=deliveries, skip_locked=True)  # PostgreSQL's; SQLite has one writer at a time
)
_OF_ISSUE: Final = _DUE.where(OPEN_ROWS, _ROW.issue_id == bindparam("issue")).order_by(_ROW.id)

# The ids stand in the statement as numbers: SQLAlchemy takes longer to bind them than SQLite to read them.
_IDS: Final = bindparam("ids", expanding=True, literal_execute=True, type_=_ROW.id.type)
_CLAIM: Final = (
    update(deliveries)
    .where(OPEN_ROWS, _ROW.state.in_(SOURCES[State.CLAIMED]), _ROW.id.in_(_IDS))
    .values(state=State.CLAIMED, claimed_by=bindparam("holder"))
)

# Rows are compared as one key, as the index has it: so the plan is the same whatever the statistics say of a new issue.
_KEY: Final = (_ROW.issue_id, _ROW.shard, _ROW.id)
_OF_SHARD: Final = _DUE.where(
    tuple_(*_KEY) > tuple_(bindparam("issue"), bindparam("shard"), bindparam("after")),
    tuple_(*_KEY) < tuple_(bindparam("issue"), bindparam("shard") + 1, 0),
).order_by(*_KEY)

_OF_READER: Final = _ROW.subscriber_id == bindparam("reader")
EACH_OF_ISSUE: Final = tuple((due, due.where(_OF_READER)) for due in map(_OF_ISSUE.where, _KINDS))
EACH_OF_SHARD: Final = tuple((due, due.where(_OF_READER)) for due in map(_OF_SHARD.where, _KINDS))


@dataclass
class Held:
    """A shard whose lock this Store holds, and where its next claim goes on: the kind of copies, and the last row."""

    issue_id: int
    shard: int
    kind: int = 0
    after: int = 0
    counted: bool = False  # as a sending, see provenance.py

    @property
    def at_start(self) -> bool:
        """Whether the next claim looks at every row."""
        return (self.kind, self.after) == (0, 0)


@dataclass(frozen=True, slots=True)
class _Due:
    """What asks for the copies of a kind that are due: for all readers, or for one."""

    all: Prepared
    of_reader: Prepared


class Claims(Provenance):
    """The part of the store that hands out copies to this process."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        super().__init__(database, now)
        self._holder = secrets.token_hex(8)
        self._held: Held | None = None
        self._of_issue, self._of_shard = (
            [_Due(database.prepare(all_), database.prepare(of_reader)) for all_, of_reader in each]
            for each in (EACH_OF_ISSUE, EACH_OF_SHARD)
        )

    def recover(self) -> int:
        """Release what a cut-off process left; needs `sending_lock`. Returns how many copies became uncertain.

        With a shard held, only its copies are touched: those of other shards may be under way elsewhere.
        """
        held = self._held
        mine = () if held is None else (_ROW.issue_id == held.issue_id, _ROW.shard == held.shard)
        with self._db.mine() as connection:
            move(connection, {State.CLAIMED}, State.PENDING, *mine, claimed_by=None)
            return move(
                connection,
                {State.SENDING},
                State.UNCERTAIN,
                *mine,
                claimed_by=None,
                attempts=_ROW.attempts + 1,
                doubts=_ROW.doubts + 1,
            )

    def claim(
        self, issue_id: int, limit: int, *, resend_uncertain: int, subscriber_id: int | None = None
    ) -> list[Delivery]:
        """Up to `limit` copies that are due, oldest subscriber first, now CLAIMED by this Store; empty when none is.

        Copies with a `not_before`, which were tried before, come after those without. An uncertain copy is due until it
        has been uncertain more than `resend_uncertain` times (0 holds it), and comes last: what killed the last run may
        kill this one too, and would use up the copy's only repetition. A copy whose `due_at` or `not_before` lies
        ahead is not due, nor is any that is too old. Copies of readers who left become WITHDRAWN instead.
        `subscriber_id` limits it to one reader. With a shard of the issue held, only its copies are taken. Raises
        StoreOutdated when the database is older than its witness.
        """
        self._prepare_witness()
        asked = {"issue": issue_id, "now": self._now(), "most": limit, "doubts": resend_uncertain}
        held = self._held
        with self._db.mine() as connection:
            if held is None:
                claimed = self._claim_first(connection, self._of_issue, asked, subscriber_id)
            elif subscriber_id is None:
                claimed = self._claim_on(connection, held, asked)
            else:
                whole = asked | {"shard": held.shard, "after": 0}
                claimed = self._claim_first(connection, self._of_shard, whole, subscriber_id)
            # One row counts all sendings. Workers would wait for one another if each batch of a shard changed it.
            counts = bool(claimed) and (held is None or not held.counted)
            mark = self._next_sending(connection) if counts else None
        if held is not None and counts:
            held.counted = True
        self._testify(mark)
        return claimed

    def _claim_first(
        self,
        connection: Connection,
        kinds: Sequence[_Due],
        asked: Mapping[str, Any],
        subscriber_id: int | None,
    ) -> list[Delivery]:
        """The first copies that are due, of the first kind of which there are any."""
        for due in kinds:
            query = due.all if subscriber_id is None else due.of_reader
            while rows := query.query(_cursor(connection), {**asked, "reader": subscriber_id}):
                if claimed := self._claim(connection, rows):
                    return claimed
        return []

    def _claim_on(self, connection: Connection, held: Held, asked: Mapping[str, Any]) -> list[Delivery]:
        """The next copies of the shard that are due, after those that were claimed last.

        What became due behind the cursor is found when it starts again; there is nothing more only if it found nothing
        from the first row on.
        """
        while True:
            whole = held.at_start
            while held.kind < len(EACH_OF_SHARD):
                place = {**asked, "shard": held.shard, "after": held.after}
                rows = self._of_shard[held.kind].all.query(_cursor(connection), place)
                if not rows:
                    held.kind, held.after = held.kind + 1, 0
                    continue
                held.after = rows[-1][0]
                if claimed := self._claim(connection, rows):
                    return claimed
            held.kind = held.after = 0
            if whole:
                return []

    def _claim(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> list[Delivery]:
        """Claim the rows of `_DUE` whose readers want them. They are the driver's, of numbers and words alone."""
        staying = [Delivery._make(row[:-1]) for row in rows if row[-1]]
        leaving = [row[0] for row in rows if not row[-1]] if len(staying) < len(rows) else []
        if leaving:
            move(connection, SOURCES[State.WITHDRAWN], State.WITHDRAWN, _ROW.id.in_(leaving))
        connection.execute(_CLAIM, {"ids": [delivery.id for delivery in staying], "holder": self._holder})
        return staying


def _cursor(connection: Connection) -> DBAPICursor:
    """The driver's cursor, in the transaction of `connection`."""
    return connection.connection.cursor()


def move(
    connection: Connection, sources: Collection[State], to: State, *which: ColumnElement[bool], **values: object
) -> int:
    """Move those of the rows that are in one of `sources`; returns how many."""
    for source in sources:
        checked(source, to)
    change = update(deliveries).where(OPEN_ROWS, _ROW.state.in_(sources), *which)
    return connection.execute(change.values(state=to, **values)).rowcount


def checked(source: State, to: State) -> State:
    """`to`, when TRANSITIONS lets it follow `source`. Raises StoreError otherwise."""
    if to not in TRANSITIONS[source]:
        raise StoreError(f"a delivery that is {source} cannot become {to}")
    return to
