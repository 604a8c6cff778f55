"""What a link of a request is good for, and for how long."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

# How long a request may wait for its confirmation, and its link is good.
OPEN_FOR: Final = timedelta(days=7)


class ConfirmationState(StrEnum):
    """What a link to confirm is good for, or one to undo a move."""

    OPEN = "open"  # the request waits for it
    CONFIRMED = "confirmed"  # what it asks for has been done already
    VOID = "void"  # too old, or used, or the reader has left since


def milliseconds(moment: datetime) -> datetime:
    """`moment` rounded up to what a link can carry, so that a request is never older than what came before it."""
    return moment + timedelta(microseconds=-moment.microsecond % 1000)
