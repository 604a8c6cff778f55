"""Figures in words, for the lines that people read."""

from __future__ import annotations


def count(number: int, one: str, many: str | None = None) -> str:
    """``1 paper``, ``2 papers``; `many` where adding an s is wrong."""
    return f"{number} {one if number == 1 else many or one + 's'}"
