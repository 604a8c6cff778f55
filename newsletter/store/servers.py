"""Servers that refused this sender: when each may be tried again. They stand among the use of servers.

A row of `server_use` with no messages says that the server rests until its second. Rows of the past stay for a day, so
that a server which refuses again and again rests longer.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import and_, delete, select

from newsletter.store.database import Part
from newsletter.store.schema import server_use

_REST: Final = server_use.c.messages == 0
_KEPT: Final = timedelta(days=1)


class Servers(Part):
    """The part of the store that remembers which servers to leave alone. A server's name is ``host:port``."""

    def rest(self, server: str, until: datetime) -> None:
        """Leave `server` alone until `until` (UTC)."""
        row = {"server": server, "second": math.ceil(until.timestamp()), "messages": 0}
        with self._db.write() as connection:
            connection.execute(self._db.insert(server_use).values(row).on_conflict_do_nothing())

    def rests(self) -> dict[str, tuple[datetime, int]]:
        """For each server that has rested within a day: until when (UTC), perhaps past, and how many times."""
        now = self._now()
        query = select(server_use.c.server, server_use.c.second).where(
            and_(_REST, server_use.c.second > int((now - _KEPT).timestamp()))
        )
        found: dict[str, list[int]] = {}
        with self._db.read() as connection:
            for server, second in connection.execute(query):
                found.setdefault(server, []).append(second)
        return {server: (datetime.fromtimestamp(max(ends), now.tzinfo), len(ends)) for server, ends in found.items()}

    def wake_servers(self) -> None:
        """Let every server be tried at once."""
        with self._db.write() as connection:
            connection.execute(delete(server_use).where(_REST))
