"""Shorten a text at the end of a sentence, else between words, never inside a formula."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# The end of a sentence: a full stop or the like, closing quotes, then white space (Chinese and Japanese have none).
_END: Final = re.compile(r"[.!?…][\"'”’)\]]*(?=\s)|[。！？]")

# Full stops that do not end a sentence.
_ABBREVIATION: Final = re.compile(
    r"(?:\b(?:e\.g|i\.e|et al|etc|cf|vs|resp|approx|Fig|Figs|Eq|Eqs|Sec|Tab|No|Dr|Prof|St)|\b[A-Z])\.$", re.IGNORECASE
)

# LaTeX that `latex.readable` left as it is.
_FORMULA: Final = re.compile(r"\$[^$]{1,300}\$|\\\(.{1,300}?\\\)|\\\[.{1,300}?\\\]")

_MARK: Final = "…"
_NO_BREAK: Final = "\u00a0"  # keeps the ellipsis on the line of the last word

# A sentence is the place to cut only if it ends after this share of the available length.
_EARLIEST: Final = 0.55


def shorten(text: str, limit: int) -> str:
    """`text` if it has at most `limit` characters, else its beginning with an ellipsis, within `limit` characters."""
    if len(text) <= limit:
        return text
    if limit < 2:
        return ""
    room = limit - len(_MARK) - 1
    cut = _before_formula(text, _sentence(text, room) or _word(text, room))
    return text[:cut].rstrip(" ,;:–—-") + (_NO_BREAK if text[:cut].rstrip()[-1:] in ".!?" else "") + _MARK


def _sentence(text: str, room: int) -> int | None:
    """The index after the last sentence within `room` characters; None if that would lose too much."""
    ends = [match.end() for match in _END.finditer(text, 0, room + 1) if not _ABBREVIATION.search(text[: match.end()])]
    return ends[-1] if ends and ends[-1] >= room * _EARLIEST else None


def _word(text: str, room: int) -> int:
    """The index after the last word within `room` characters; in a text without spaces, after a whole character."""
    space = text.rfind(" ", 0, room + 1)
    if space >= room // 2:
        return space
    while room > 0 and _joined(text, room):
        room -= 1
    return room


def _joined(text: str, at: int) -> bool:
    """Whether the code points before and after index `at` form one character, by a combining mark or a joiner."""
    return unicodedata.combining(text[at]) != 0 or text[at] in "\u200d\ufe0f" or text[at - 1] == "\u200d"


def _before_formula(text: str, cut: int) -> int:
    for match in _FORMULA.finditer(text):
        if match.start() < cut < match.end():
            return match.start()
    return cut
