"""Erasure on request (GDPR article 17): a reader's rows stay for the ledger's sake, and nothing in them tells whose."""

from __future__ import annotations

import re
import secrets
from typing import Any, Final

from sqlalchemy import Column, Connection, Table, delete, exists, func, or_, select, update

from newsletter.addresses import identity
from newsletter.errors import StoreError
from newsletter.model import EVERY_DAY, SubscriberStatus
from newsletter.store.database import Part
from newsletter.store.locks import status_change
from newsletter.store.schema import deliveries, issues, reports, runs, subscribers
from newsletter.store.subscribers import look_up

# Columns with words of ours or of a server that may name an address, whoever's row it is. `deliveries` is not one: a
# server names the recipient of the copy it refuses, and those rows are found by their reader.
_WORDS: Final = ((reports, reports.c.words), (issues, issues.c.paused), (runs, runs.c.explanation))


class Erasure(Part):
    """The part of the store that forgets readers."""

    def forget(self, address: str) -> bool:
        """Erase the normalised `address` for good; False when it is not known. May be repeated.

        What stays is a keyed hash, by which no import takes the address in again; of the reader's copies, that there
        were any, and how they ended. Copies still owed to them are withdrawn by the next `claim`. Raises
        StoreError without a hasher, and when others use the file (StoreBusy) or there is no room to rewrite it: then
        the address is out of use, but not out of the file.
        """
        if self._hasher is None:
            raise StoreError(f"{self._db.name}: forgetting needs the secret, to recognise the address ever after")
        key = identity(address)
        with status_change(self._db) as connection:
            known = look_up(connection, [key], self._hasher).get(key)
            if known is None:
                return False
            _drop_requests(connection, known.id)
            self._blank(connection, known.id, self._hasher(key)[0])
            for table, column in _WORDS:
                _redact(connection, table, column, (key, address))
        try:
            self._db.scrub()
        except StoreError as error:
            raise type(error)(
                f"{error}; the address is forgotten, but the file may still hold traces of it: repeat the command"
            ) from error
        return True

    def _blank(self, connection: Connection, row: int, hashed: str) -> None:
        now = self._now()
        blank = update(subscribers).where(subscribers.c.id == row)
        connection.execute(
            blank.values(
                ref=secrets.token_hex(8),  # the links he has lead nowhere
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
                replaces=None,
            )
        )
        # The issues are named because the ledger's index begins with them.
        his = (deliveries.c.issue_id.in_(select(issues.c.id)), deliveries.c.subscriber_id == row)
        connection.execute(update(deliveries).where(*his).values(address="", reply_text=None))
        connection.execute(update(reports).where(reports.c.subscriber_id == row).values(words=""))


def _drop_requests(connection: Connection, row: int) -> None:
    """A new address of the reader's that waits for its confirmation goes too, unless it has been a reader itself."""
    waiting = (subscribers.c.replaces == row, subscribers.c.status == SubscriberStatus.PENDING)
    unused = [~exists().where(table.c.subscriber_id == subscribers.c.id) for table in (deliveries, reports)]
    connection.execute(delete(subscribers).where(*waiting, *unused))
    connection.execute(update(subscribers).where(subscribers.c.replaces == row).values(asked_at=None, replaces=None))


def _redact(connection: Connection, table: Table, column: Column[Any], spellings: tuple[str, ...]) -> None:
    """Take the address out of what a column says, however its case."""
    (key,) = table.primary_key
    named = or_(*(func.lower(column).contains(each.lower(), autoescape=True) for each in spellings))
    pattern = re.compile("|".join(map(re.escape, spellings)), re.IGNORECASE)
    for row in connection.execute(select(key, column).where(named)).all():
        connection.execute(update(table).where(key == row[0]).values({column: pattern.sub("(forgotten)", row[1])}))
