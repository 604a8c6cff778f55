"""The store: subscribers, sign-ups, issues, the ledger of deliveries, runs and the feed cache, in one database.

SQLAlchemy and Alembic live here only. What goes in and comes out are the values of model.py; what goes wrong is a
StoreError, and nothing is ever sent without a store.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Final, Self

from newsletter.runtime import utc_now
from newsletter.store import upgrade
from newsletter.store.corrections import Corrections
from newsletter.store.database import AddressHasher, Database
from newsletter.store.erasure import Erasure
from newsletter.store.feed_cache import FeedCache
from newsletter.store.history import History, PastCopy, PastReport
from newsletter.store.issues import Issues
from newsletter.store.ledger import Ledger, Refusal
from newsletter.store.reports import NewReport, Reports
from newsletter.store.runs import RunRecord, Runs
from newsletter.store.servers import Servers
from newsletter.store.signups import ConfirmationState, Signups
from newsletter.store.subscribers import Added, Subscribers
from newsletter.store.suppressions import CarriedOut, HeldReason, Suppressions

__all__ = [
    "Added",
    "CarriedOut",
    "ConfirmationState",
    "HeldReason",
    "NewReport",
    "PastCopy",
    "PastReport",
    "Refusal",
    "RunRecord",
    "Store",
]

_BUSY_TIMEOUT: Final = 30.0  # seconds; an import of 100,000 addresses holds the lock for a tenth of this


class Store(
    Subscribers,
    Signups,
    Erasure,
    History,
    Issues,
    Corrections,
    Ledger,
    Reports,
    Suppressions,
    Runs,
    Servers,
    FeedCache,
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
    ) -> Self:
        """Open the database at ``sqlite:////absolute/path`` or ``postgresql://...``; create and upgrade it as needed.

        A new SQLite file is for its owner only, since it holds the readers' addresses. `busy_timeout` is in seconds.
        With `hasher` the store recognises addresses that it has forgotten; what would take one in raises StoreError
        without, once there is any.
        Raises StoreError, StoreBusy when another process keeps the database locked, and ConfigError for a wrong `url`.
        """
        database = Database(url, busy_timeout)
        try:
            database.check()
            upgrade.to_head(database)
        except BaseException:
            database.close()
            raise
        store = cls(database, now)
        store._hasher = hasher
        return store

    def close(self) -> None:
        """Give the database back."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
