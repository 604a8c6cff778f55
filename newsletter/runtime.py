"""What a run takes from outside, so that tests can bring their own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from newsletter.model import FrozenIssue, Outcome


def utc_now() -> datetime:
    """The present moment, aware."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Runtime:
    """Clocks, sleep, and whoever watches the run."""

    now: Callable[[], datetime] = utc_now
    sleep: Callable[[float], None] = time.sleep  # seconds
    stop: Callable[[], bool] = lambda: False
    announce: Callable[[FrozenIssue, int], None] = lambda issue, owed: None  # before the first copy of an issue
    progress: Callable[[Outcome], None] = lambda outcome: None
    warn: Callable[[str], None] = lambda message: None
