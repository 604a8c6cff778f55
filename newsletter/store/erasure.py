"""Erasure on request (GDPR article 17): a reader's rows stay, because the ledger refers to them, but name nobody."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Iterable
from typing import Any, Final

from sqlalchemy import Column, Connection, Row, Table, delete, exists, func, or_, select, update

from newsletter.addresses import identity
from newsletter.errors import StoreError
from newsletter.model import EVERY_DAY, State, SubscriberStatus
from newsletter.store.claims import move
from newsletter.store.database import AddressHasher, Part
from newsletter.store.locks import status_change
from newsletter.store.schema import (
    OPEN_ROWS,
    choices,
    deliveries,
    issues,
    moves,
    renderings,
    reports,
    runs,
    shards,
    subscribers,
    suppressions,
)
from newsletter.store.shard_table import close_finished
from newsletter.store.subscribers import look_up

# Columns with words of ours or of a server that may name an address, in whoever's row. `deliveries` is not listed: a
# server names the recipient of the copy that it refuses, and those rows are found by their reader.
_WORDS: Final = (
    (reports, reports.c.words),
    (issues, issues.c.paused),
    (runs, runs.c.explanation),
    (subscribers, subscribers.c.reason),
    (suppressions, suppressions.c.reason),
)

# The tables whose rows are overwritten.
_REWRITTEN: Final = (subscribers, choices, renderings, moves, deliveries, reports, suppressions, issues, runs)

_WAITING: Final = (State.PENDING, State.DEFERRED)

_ROW: Final = subscribers.c


class Erasure(Part):
    """The part of the store that forgets readers."""

    def forget(self, address: str) -> bool:
        """Erase the normalised `address` for good, with the addresses that its reader moved from and to.

        Returns False when it is not known; may be repeated. What stays is a keyed hash of each address, by which no
        import takes it in again, and of the reader's copies that they existed and how they ended. Copies still owed do
        not begin. Raises StoreError without a hasher, and when others use the database (StoreBusy) or there is no room
        to rewrite it: then the address is out of use, but its bytes may still be on the disk.
        """
        if self._hasher is None:
            raise StoreError(
                f"{self._db.name}: forgetting needs the secret, by which the address is recognised from then on"
            )
        key = identity(address)
        with status_change(self._db) as connection:
            known = look_up(connection, [key], self._hasher).get(key)
            rows = [] if known is None else _linked(connection, known.id)
            if not _drop_moves(connection, key, [row.id for row in rows]) and known is None:
                return False
            hashed = self._hashes(rows, self._hasher)
            if known is not None:
                hashed[known.id] = self._hasher(key)[0]
            for row, each in hashed.items():
                self._blank(connection, row, each)
            spellings = {key, address, *(row.identity for row in rows), *(row.address for row in rows)} - {""}
            for table, column in _WORDS:
                _redact(connection, table, column, spellings)
        try:
            self._db.scrub(_REWRITTEN)
        except StoreError as error:
            raise type(error)(
                f"{error}; the address is forgotten, but the disk may still hold traces of it: repeat the command"
            ) from error
        return True

    @staticmethod
    def _hashes(rows: Iterable[Row[Any]], hasher: AddressHasher) -> dict[int, str]:
        """What replaces the identity of each of `rows`, by id; one that was forgotten before has its hash already."""
        return {row.id: hasher(row.identity)[0] for row in rows if row.status is not SubscriberStatus.FORGOTTEN}

    def _blank(self, connection: Connection, row: int, hashed: str) -> None:
        now = self._now()
        blank = update(subscribers).where(_ROW.id == row)
        connection.execute(
            blank.values(
                ref=secrets.token_hex(8),  # the reader's old links lead nowhere
                address="",
                identity=hashed,
                status=SubscriberStatus.FORGOTTEN,
                created_at=now,
                status_at=now,
                days=EVERY_DAY,
                paused_until=None,
                consent="",
                reason="",
                asked_at=None,
                mailed_at=None,
                moved_to=None,
            )
        )
        # The issues are named because the ledger's index begins with them.
        theirs = (deliveries.c.issue_id.in_(select(issues.c.id)), deliveries.c.subscriber_id == row)
        _give_up(connection, row)
        blank = update(deliveries).where(*theirs)
        connection.execute(
            blank.values(address="", reply_text=None, due_at=None, ends_at=None)
        )  # their hour is a choice
        connection.execute(update(reports).where(reports.c.subscriber_id == row).values(words=""))
        connection.execute(delete(suppressions).where(suppressions.c.subscriber_id == row))
        connection.execute(delete(choices).where(choices.c.subscriber_id == row))
        _drop_editions(connection, row)


def _give_up(connection: Connection, row: int) -> None:
    """Withdraw the copies that still wait for this reader, so that none tells when it would have been due."""
    waiting = (OPEN_ROWS, deliveries.c.subscriber_id == row, deliveries.c.state.in_(_WAITING))
    of_issues = deliveries.c.issue_id.in_(select(shards.c.issue_id).where(shards.c.open))
    ids = connection.execute(select(deliveries.c.issue_id).where(*waiting, of_issues)).scalars().all()
    move(connection, _WAITING, State.WITHDRAWN, deliveries.c.issue_id.in_(ids), deliveries.c.subscriber_id == row)
    for issue in ids:
        close_finished(connection, issue)


def _drop_editions(connection: Connection, row: int) -> None:
    """Delete the editions that nobody else got: their cards say what this reader chose."""
    theirs = (deliveries.c.issue_id.in_(select(issues.c.id)), deliveries.c.subscriber_id == row)
    query = select(deliveries.c.id, deliveries.c.issue_id, deliveries.c.rendering_id).join(renderings)
    for copy in connection.execute(query.where(*theirs, renderings.c.edition.is_not(None))).all():
        others = exists().where(
            deliveries.c.issue_id == copy.issue_id,
            deliveries.c.rendering_id == copy.rendering_id,
            deliveries.c.subscriber_id != row,
        )
        if not connection.execute(select(others)).scalar():
            main = select(renderings.c.id).where(renderings.c.issue_id == copy.issue_id, renderings.c.edition.is_(None))
            change = update(deliveries).where(deliveries.c.id == copy.id)
            connection.execute(change.values(rendering_id=main.scalar_subquery()))
            connection.execute(delete(renderings).where(renderings.c.id == copy.rendering_id))


def _linked(connection: Connection, row: int) -> list[Row[Any]]:
    """The row, and those of all addresses that its reader moved from and to, over any number of moves."""
    query = select(_ROW.id, _ROW.identity, _ROW.address, _ROW.status, _ROW.moved_to)
    found: dict[int, Row[Any]] = {}
    asked: set[int] = set()
    waiting = {row}
    while waiting:
        rows = connection.execute(query.where(or_(_ROW.id.in_(waiting), _ROW.moved_to.in_(waiting)))).all()
        found |= {each.id: each for each in rows}
        asked |= waiting
        waiting = {each for known in rows for each in (known.id, known.moved_to) if each is not None} - asked
    return list(found.values())


def _drop_moves(connection: Connection, key: str, rows: Collection[int]) -> int:
    """Delete requests to move by these rows and to the address of this identity; returns how many."""
    theirs = or_(moves.c.identity == key, moves.c.mover_id.in_(rows), moves.c.moved_id.in_(rows))
    return connection.execute(delete(moves).where(theirs)).rowcount


def _redact(connection: Connection, table: Table, column: Column[Any], spellings: Collection[str]) -> None:
    """Take the addresses out of what a column says, in upper or lower case."""
    (key,) = table.primary_key
    named = or_(*(func.lower(column).contains(each.lower(), autoescape=True) for each in spellings))
    pattern = re.compile("|".join(map(re.escape, sorted(spellings, key=len, reverse=True))), re.IGNORECASE)
    for row in connection.execute(select(key, column).where(named)).all():
        connection.execute(update(table).where(key == row[0]).values({column: pattern.sub("(forgotten)", row[1])}))
