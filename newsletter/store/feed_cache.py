"""The last responses of feeds with their validators (RFC 9110 section 8.8): the implementation of feed.Cache."""

from __future__ import annotations

from dataclasses import asdict, fields
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, delete, select

from newsletter.model import CachedResponse
from newsletter.store.database import Part
from newsletter.store.schema import feed_cache

# A URL with {date} in it is a new one every day, so old responses have to be deleted.
_KEPT: Final = 200
_LIFETIME: Final = timedelta(days=40)

_ANSWER: Final = select(*(feed_cache.c[field.name] for field in fields(CachedResponse)))


class FeedCache(Part):
    """The part of the store that caches feeds' responses."""

    def cached(self, url: str) -> CachedResponse | None:
        """The last response of `url`; None when there is none."""
        with self._db.read() as connection:
            row = connection.execute(_ANSWER.where(feed_cache.c.url == url)).one_or_none()
        return None if row is None else CachedResponse(*row)

    def cache(self, answer: CachedResponse) -> None:
        """Replace the last response of its URL by `answer`, and delete old ones."""
        values = asdict(answer)
        statement = self._db.insert(feed_cache).values(values)
        with self._db.write() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=[feed_cache.c.url], set_=values))
            self._prune(connection)

    def _prune(self, connection: Connection) -> None:
        newest = select(feed_cache.c.url).order_by(feed_cache.c.fetched_at.desc()).limit(_KEPT)
        connection.execute(delete(feed_cache).where(feed_cache.c.fetched_at < self._now() - _LIFETIME))
        connection.execute(delete(feed_cache).where(feed_cache.c.url.not_in(newest)))
