"""Figures in words, and others' words in one line, for the lines that people read."""

from __future__ import annotations

import re
from typing import Final

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LONGEST: Final = 500  # characters kept of others' words


def count(number: int, one: str, many: str | None = None) -> str:
    """``1 paper``, ``2 papers``; `many` where adding an s is wrong."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def weekdays(days: int) -> str:
    """``Mon Tue``, of a Subscriber's `days`: bit 0 is Monday; ``none`` of 0."""
    return " ".join(name.capitalize() for bit, name in enumerate(WEEKDAYS) if days >> bit & 1) or "none"


def one_line(said: BaseException | str | bytes) -> str:
    """A server's words, or an error's, as one short line."""
    if isinstance(said, BaseException):
        said = (isinstance(said, OSError) and said.strerror) or str(said) or type(said).__name__
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    if text.isascii() and text.isprintable() and "  " not in text and len(text) <= _LONGEST:
        return text.strip()  # nearly every one
    return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", text).split())[:_LONGEST]
