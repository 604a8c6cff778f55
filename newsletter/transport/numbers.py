"""The connections of this process among those of all processes: a number for each, and when to close one for another.

A server allows so many connections in all (`smtp.connections`). The store counts them (store/leases.py).
"""

from __future__ import annotations

from collections import deque
from typing import Final

from newsletter.slots import Leases

# The number of a connection that was closed is given to others after this time: the server must have noticed.
_NOTICED: Final = 0.2  # seconds

# A process that gets no number looks again after this time.
LOOK_EVERY: Final = 0.25  # seconds

# A process that closed a connection for another opens no new one for this time.
_LEFT_FOR: Final = 1.0  # seconds

# A process that has one connection closes it for another that waits after this time.
_ONLY_FOR: Final = 5.0  # seconds


class Numbers:
    """The numbers of one pool. Without `leases` nobody else connects, and every connection is number 0.

    Times are in seconds of a monotonic clock, which the caller brings.
    """

    def __init__(self, leases: Leases | None) -> None:
        self._leases = leases
        self._returning: deque[tuple[float, str, int]] = deque()  # when, to which server, and which
        self._look_at: dict[str, float] = {}
        self._owing: set[str] = set()  # servers of which a connection is being closed for another process

    def take(self, server: str, most: int, now: float, *, connected: bool) -> int | None:
        """A number for another connection to `server`, which takes `most` in all; None when there is none now."""
        if self._leases is None:
            return 0
        if now < self.look_at(server):
            return None
        self.settle(now)
        if server in self._owing or now < self.look_at(server):
            return None
        number = self._closed(server) or self._leases.take(server, most)
        self._leases.wait(server, waiting=number is None and not connected)
        if number is None:
            self._look_at[server] = now + LOOK_EVERY
        return number

    def look_at(self, server: str) -> float:
        """When it makes sense to ask for a number."""
        return self._look_at.get(server, 0.0)

    def give(self, server: str, number: int, now: float) -> None:
        """The connection with this number is closed."""
        if self._leases is not None:
            self._returning.append((now + _NOTICED, server, number))

    def settle(self, now: float) -> None:
        """Give to others the numbers of connections that were closed a while ago."""
        while self._leases is not None and self._returning and self._returning[0][0] <= now:
            _, server, number = self._returning.popleft()
            self._leases.give(server, number)
            if server in self._owing:
                self._owing.discard(server)
                self._look_at[server] = now + _LEFT_FOR

    def owes(self, server: str, opened: list[float], now: float) -> bool:
        """Whether one of our connections, opened at these moments, is to be closed for another process."""
        if self._leases is None or not opened or server in self._owing or not self._leases.wanted(server):
            return False
        if len(opened) == 1 and now - opened[0] < _ONLY_FOR:
            return False
        self._owing.add(server)
        return True

    def close(self) -> None:
        """Give all back: every connection is closed."""
        if self._leases is not None:
            self._leases.close()

    def _closed(self, server: str) -> int | None:
        """The number of a connection of ours that was closed a moment ago."""
        for entry in self._returning:
            if entry[1] == server:
                self._returning.remove(entry)
                return entry[2]
        return None
