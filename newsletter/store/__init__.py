"""The store: subscribers, sign-ups, issues, the ledger of deliveries, runs and the feed cache, in one database.

Only this room uses SQLAlchemy and Alembic. It takes and returns the values of `model` and raises StoreError; nothing
is ever sent without a store.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from newsletter.runtime import utc_now
from newsletter.store import upgrade
from newsletter.store.choices import Choices
from newsletter.store.copying import check_copy, readers_in, snapshot
from newsletter.store.copying import restore as restore_copy
from newsletter.store.corrections import Corrections
from newsletter.store.database import AddressHasher, Database
from newsletter.store.editions import JoinedEditions
from newsletter.store.engines import file_of
from newsletter.store.erasure import Erasure
from newsletter.store.feed_cache import FeedCache
from newsletter.store.first_copies import FirstCopies
from newsletter.store.history import History, PastCopy, PastReport
from newsletter.store.issues import Issues
from newsletter.store.jobs import QUEUE, SHARD_TASK
from newsletter.store.leases import Connections
from newsletter.store.ledger import Refusal
from newsletter.store.moves import UNDO_FOR, Moves
from newsletter.store.notices import SUMMARY, WEBHOOK, Notice, Notices
from newsletter.store.overview import Departure, FeedFault, IssueFate, Overview, ServerWords
from newsletter.store.papers import Papers
from newsletter.store.reports import NewReport, Reports
from newsletter.store.retention import Retention
from newsletter.store.runs import Rate, RunRecord, Runs
from newsletter.store.schema import HEAD
from newsletter.store.senders import ActiveSender, ShardCounts
from newsletter.store.servers import Servers
from newsletter.store.shards import Shards
from newsletter.store.signup_states import ConfirmationState
from newsletter.store.signups import Signups
from newsletter.store.slots import Slots
from newsletter.store.subscribers import Added, Subscribers
from newsletter.store.summaries import Summaries
from newsletter.store.suppressions import CarriedOut, HeldReason, Suppressions

__all__ = [
    "HEAD",
    "QUEUE",
    "SHARD_TASK",
    "SUMMARY",
    "UNDO_FOR",
    "WEBHOOK",
    "ActiveSender",
    "Added",
    "CarriedOut",
    "ConfirmationState",
    "Departure",
    "FeedFault",
    "HeldReason",
    "IssueFate",
    "NewReport",
    "Notice",
    "PastCopy",
    "PastReport",
    "Rate",
    "Refusal",
    "RunRecord",
    "ServerWords",
    "ShardCounts",
    "Store",
    "check_copy",
    "file_of",
    "readers_in",
    "restore_copy",
    "snapshot",
]

_BUSY_TIMEOUT: Final = 30.0  # seconds; an import of 100,000 addresses holds the lock for three


class Store(
    Subscribers,
    Signups,
    Moves,
    Erasure,
    History,
    Issues,
    Papers,
    Choices,
    FirstCopies,
    JoinedEditions,
    Corrections,
    Shards,
    Reports,
    Suppressions,
    Runs,
    Notices,
    Overview,
    Servers,
    Slots,
    Connections,
    FeedCache,
    Retention,
    Summaries,
):
    """An open store; a context manager that closes it. Threads may share it."""

    @classmethod
    def open(
        cls,
        url: str,
        *,
        now: Callable[[], datetime] = utc_now,
        busy_timeout: float = _BUSY_TIMEOUT,
        hasher: AddressHasher | None = None,
        witness: Path | None = None,
    ) -> Self:
        """Open the database at ``sqlite:////absolute/path`` or ``postgresql://...``; create and upgrade it as needed.

        A new SQLite file is for its owner only, since it holds the readers' addresses. `busy_timeout` is in seconds.
        With `hasher` the store recognises addresses that it has forgotten; once there are any, calls that would take
        one in raise StoreError without it. `witness` is the file that tells when the database is older than what was
        sent; without it, one beside an SQLite file, and none for PostgreSQL.
        Raises StoreError, StoreBusy when another process keeps the database locked, and ConfigError for a wrong `url`.
        """
        database = Database(url, busy_timeout)
        try:
            upgrade.to_head(database)
        except BaseException:
            database.close()
            raise
        store = cls(database, now)
        store._hasher = hasher
        store.witness = witness or (database.file and database.file.with_name(f"{database.file.name}.witness"))
        return store

    def check(self) -> None:
        """Read a whole SQLite file in search of damage, which takes seconds for a large one. Raises StoreError."""
        self._db.check()

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
