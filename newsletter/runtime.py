"""Clock, sleep, stop and the reports of progress, passed into a run so that tests can replace them."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime

from newsletter.model import FrozenIssue, Outcome


def utc_now() -> datetime:
    """The current time as an aware datetime in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Runtime:
    """What a run takes from its surroundings: time, and whom to tell about progress."""

    now: Callable[[], datetime] = utc_now  # aware
    sleep: Callable[[float], None] = time.sleep  # seconds
    stop: Callable[[], bool] = lambda: False  # whether to end early, asked between copies
    sending: Callable[[], AbstractContextManager[None]] = nullcontext  # held while a signal must not interrupt
    announce: Callable[[FrozenIssue, int], None] = lambda issue, owed: None  # called before an issue's first copy
    progress: Callable[[Outcome], None] = lambda outcome: None  # called after each copy
    warn: Callable[[str], None] = lambda message: None  # called with one line for the operator
