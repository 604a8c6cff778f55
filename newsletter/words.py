"""Figures in words, for the lines that people read."""

from __future__ import annotations

from typing import Final

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def count(number: int, one: str, many: str | None = None) -> str:
    """``1 paper``, ``2 papers``; `many` where adding an s is wrong."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def weekdays(days: int) -> str:
    """``Mon Tue``, of a Subscriber's `days`: bit 0 is Monday; ``none`` of 0."""
    return " ".join(name.capitalize() for bit, name in enumerate(WEEKDAYS) if days >> bit & 1) or "none"
