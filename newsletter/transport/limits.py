"""What a mail server's provider allows: messages per second and per day, as sliding windows, and rests.

However a window is placed, it never holds more than the limit, and the limit can be reached. A limit that counted by
calendar second or day would let through twice as many around midnight.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

SECONDS_PER_DAY: Final = 86_400.0  # seconds

# How long a server that refuses this sender is left alone, the first time and the next times within a day, when it does
# not say itself how long. A quota often counts the last hour or day, so that some of it is free again before long.
RESTS: Final = (300.0, 900.0, 1_800.0, 3_600.0)  # seconds

# A 4xx of that kind may be over in a moment, as with a rate per second: the server first gets these breaks, within the
# run. Any copy that it accepts begins the row anew.
BREAKS: Final = (1.0, 3.0)  # seconds

# The network is not always equally quick. This much of each window is kept free, so that copies which arrive early do
# not exceed the limit at the server.
_JITTER: Final = 0.002  # seconds per window


@dataclass(frozen=True, slots=True)
class Rest:
    """A server that refused this sender: it is left alone for `seconds` more, after `times` rests within a day."""

    seconds: float
    times: int


class Window:
    """At most `limit` messages in any `seconds`; with `spread`, at even distances.

    Pure: the caller brings the time, in seconds of any clock that does not run backwards.
    """

    def __init__(self, limit: int, seconds: float, *, spread: bool = False) -> None:
        self.limit, self.seconds = limit, seconds
        self._gap = seconds / limit if spread else 0.0
        self._times: deque[float] = deque(maxlen=limit)
        self._due = -math.inf  # by the even schedule; a late message does not delay those after it

    @classmethod
    def per_second(cls, rate: float) -> Window:
        """`rate` messages per second, which may be a fraction, at even distances."""
        whole = max(1, math.ceil(rate))
        return cls(whole, whole / rate, spread=True)

    def allowed_at(self, now: float) -> float:
        """When the next message may go: `now` or a later time."""
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
