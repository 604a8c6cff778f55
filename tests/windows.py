"""How many messages a window of time holds at most, wherever it begins."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


def most_within(seconds: float, moments: Sequence[float]) -> int:
    """The most of the sorted `moments` (in seconds) that a window of `seconds`, open at its end, holds."""
    return max((bisect_left(moments, begin + seconds - 1e-9) - index for index, begin in enumerate(moments)), default=0)
