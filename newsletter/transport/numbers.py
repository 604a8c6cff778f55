"""The connections of this process among those of all processes: a number for each, and when to close some for another.

A server allows so many connections in all (`smtp.connections`). The store counts them (store/leases.py). The share of a
process is their number divided by the processes that send, rounded down, and at least one. A process takes as many as
it can use. While another one has fewer than its share and wants more, a process with more than its share closes the
connections above it.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Sequence
from typing import Final

from newsletter.slots import Leases

# The number of a connection that was closed is given to others after this time: the server must have noticed.
_NOTICED: Final = 0.2  # seconds

# A process that gets no number looks again after this time; one that has some looks as often whether another one waits.
LOOK_EVERY: Final = 0.25  # seconds

# A process that closed a connection for another opens no new one for this time.
_LEFT_FOR: Final = 1.0  # seconds

# Where there are fewer connections than processes, one that has the only one closes it for another after this time.
_ONLY_FOR: Final = 5.0  # seconds


class Numbers:
    """The numbers of one pool. Without `leases` nobody else connects, and every connection is number 0.

    Times are in seconds of a monotonic clock, which the caller brings.
    """

    def __init__(self, leases: Leases | None) -> None:
        self._leases = leases
        self._returning: deque[tuple[float, str, int]] = deque()  # when, to which server, and which
        self._look_at: dict[str, float] = {}
        self._owing: Counter[str] = Counter()  # connections of each server that are being closed for another process
        self._counted: dict[str, tuple[float, int]] = {}  # when the processes were counted, and how many they were

    def take(self, server: str, most: int, now: float, *, has: int) -> int | None:
        """A number for one more connection to `server` than this process `has`; None when there is none now.

        The server takes `most` in all.
        """
        if self._leases is None:
            return 0
        if now < self.look_at(server):
            return None
        self.settle(now)
        if self._owing[server] or now < self.look_at(server):
            return None
        if not (short := has < self._share(self._leases, server, most, now)):
            self._leases.wait(server, waiting=False)
        number = self._closed(server)
        if number is None and (short or not self._leases.wanted(server)):
            number = self._leases.take(server, most)
        if short:
            self._leases.wait(server, waiting=number is None)
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
            if self._owing[server]:
                self._owing[server] -= 1
                self._look_at[server] = now + _LEFT_FOR

    def owes(self, server: str, most: int, opened: Sequence[float], now: float) -> int:
        """How many of our connections, opened at these moments, are to be closed for another process."""
        if self._leases is None or not opened or self._owing[server] or not self._leases.wanted(server):
            return 0
        share = self._share(self._leases, server, most, now)
        above = len(opened) - share
        if not above and share > most // self._counted[server][1] and now - min(opened) >= _ONLY_FOR:
            above = 1
        self._owing[server] = max(0, above)
        return self._owing[server]

    def _share(self, leases: Leases, server: str, most: int, now: float) -> int:
        counted, processes = self._counted.get(server, (-math.inf, 1))
        if now - counted >= LOOK_EVERY:
            processes = leases.processes(server)
            self._counted[server] = now, processes
        return max(1, most // processes)

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
