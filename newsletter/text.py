"""Text helpers: numbers with their nouns, weekdays, marked passages, foreign text in one line. No business logic."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LONGEST: Final = 500  # characters kept of foreign text


def count(number: int, one: str, many: str | None = None) -> str:
    """`number` with its noun: ``1 paper``, ``2 papers``. `many` is the plural where it is not `one` with an s."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def weekdays(days: int) -> str:
    """The names of a bit mask of weekdays (bit 0 is Monday), such as ``Mon Tue``; ``none`` for 0."""
    return " ".join(name.capitalize() for bit, name in enumerate(WEEKDAYS) if days >> bit & 1) or "none"


def days_of(text: str) -> int:
    """The bit mask of weekdays that `weekdays` writes as `text`; case does not matter, and commas may divide them.

    Raises ValueError with the first word that is none.
    """
    days = 0
    for word in re.findall(r"[^\s,;]+", text.casefold()):
        if word not in (*WEEKDAYS, "none"):
            raise ValueError(word)
        days |= 1 << WEEKDAYS.index(word) if word in WEEKDAYS else 0
    return days


def enclosed(text: str, opening: str, closing: str) -> Iterator[tuple[int, int]]:
    """Start and end of each passage from `opening` to the next `closing`, both marks included.

    The time is linear in the length of `text`. A regular expression would search for the end again from each opening
    that has none.
    """
    start = text.find(opening)
    while start >= 0:
        end = text.find(closing, start + len(opening))
        if end < 0:
            return
        yield start, end + len(closing)
        start = text.find(opening, end + len(closing))


def without(text: str, opening: str, closing: str) -> str:
    """`text` without the passages from `opening` to `closing`, both marks included."""
    return _joined(text, opening, closing, keep=False)


def unwrapped(text: str, opening: str, closing: str) -> str:
    """`text` without the marks `opening` and `closing`; the text between them is kept."""
    return _joined(text, opening, closing, keep=True)


def _joined(text: str, opening: str, closing: str, *, keep: bool) -> str:
    parts: list[str] = []
    last = 0
    for start, end in enclosed(text, opening, closing):
        inside = text[start + len(opening) : end - len(closing)] if keep else ""
        parts += (text[last:start], inside)
        last = end
    return "".join((*parts, text[last:]))


def one_line(said: BaseException | str | bytes) -> str:
    """A server's reply or an error's message as one line without control characters, at most 500 characters.

    Bytes are read as UTF-8, what is not UTF-8 becomes U+FFFD. An error without a message gives its class name.
    """
    if isinstance(said, BaseException):
        said = (isinstance(said, OSError) and said.strerror) or str(said) or type(said).__name__
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    if text.isascii() and text.isprintable() and "  " not in text and len(text) <= _LONGEST:
        return text.strip()  # the usual case, without a regular expression
    return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", text).split())[:_LONGEST]
