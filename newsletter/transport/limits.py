"""What a mail server's provider allows: messages per second and per day, as true sliding windows.

Whatever moment a window begins at, it never holds more than the limit, and the limit is reached. A limit that counted
by calendar second or day would let twice as many through around its edge.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import Final

SECONDS_PER_DAY: Final = 86_400.0  # seconds

# Between our clock and the server's lies a network that is not always equally quick: this much of the window is kept
# free, so that copies which arrive early do not fill it once too often.
_JITTER: Final = 0.002  # seconds per window


class Window:
    """At most `limit` messages in any `seconds`; `spread` also keeps them apart, so that they come evenly.

    Pure: the caller brings the time, in seconds of any clock that does not run backwards.
    """

    def __init__(self, limit: int, seconds: float, *, spread: bool = False) -> None:
        self.limit, self.seconds = limit, seconds
        self._gap = seconds / limit if spread else 0.0
        self._times: deque[float] = deque(maxlen=limit)
        self._due = -math.inf  # by the even schedule; a message that is late does not delay those after it

    @classmethod
    def per_second(cls, rate: float) -> Window:
        """`rate` messages per second, which may be a fraction, evenly."""
        whole = max(1, math.ceil(rate))
        return cls(whole, whole / rate, spread=True)

    def allowed_at(self, now: float) -> float:
        """When the next message may go: `now`, or a later time."""
        full = len(self._times) == self.limit
        return max(now, self._due, self._times[0] + self.seconds + _JITTER if full else now)

    def take(self, now: float) -> None:
        """A message goes at `now`."""
        self._times.append(now)
        self._due = max(self._due + self._gap, now - self._gap) if self._due > -math.inf else now + self._gap
        self._due = min(self._due, now + self._gap)

    def give_back(self) -> None:
        """Undo the last `take`: that message does not go."""
        self._times.pop()
        self._due -= self._gap

    def remember(self, times: Iterable[float]) -> None:
        """Messages that went earlier, as another process noted them."""
        for time in sorted(times)[-self.limit :]:
            self._times.append(time)
