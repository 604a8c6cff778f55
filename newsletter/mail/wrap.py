"""Break a paragraph into lines, for the text part. Chinese and Japanese characters are two columns wide."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from functools import lru_cache
from typing import Final

WIDTH: Final = 72  # columns

# What Chinese and Japanese do not begin a line with, and what they do not end one with (JIS X 4051, GB/T 15834).
_NOT_FIRST: Final = "、。，．：；？！）］｝〉》」』】〕”’…・ーぁぃぅぇぉっゃゅょァィゥェォッャュョ％"
_NOT_LAST: Final = "（［｛〈《「『【〔“‘"

_BEYOND: Final = re.compile("[^\x00-\u10ff]")  # what may be wide, see `_is_wide`


@lru_cache(maxsize=2048)  # the editions of an issue show a paper in several forms
def wrap(text: str) -> str:
    """`text` in lines of at most 72 columns; white space becomes one space.

    A longer word is cut, except an address of the web in text without wide characters: a reader has to click it.
    """
    text = str(text)
    if text.isascii() or not any(map(_is_wide, _BEYOND.findall(text))):
        return "\n".join(_Wrapper(WIDTH, break_on_hyphens=False).wrap(text))
    lines, line, width = [], "", 0
    for piece in _pieces(" ".join(text.split())):
        if line and width + columns(piece.rstrip()) > WIDTH:
            lines.append(line.rstrip())
            line, width = "", 0
        line += piece
        width += columns(piece)
        while width > WIDTH + 1:  # a word longer than a line; its one space may stand beyond the margin
            cut = _fitting(line)
            lines.append(line[:cut])
            line, width = line[cut:], columns(line[cut:])
    return "\n".join([*lines, line.rstrip()])


class _Wrapper(textwrap.TextWrapper):
    """Cuts words that are too long, except addresses of the web."""

    def _handle_long_word(self, reversed_chunks: list[str], cur_line: list[str], cur_len: int, width: int) -> None:
        self.break_long_words = "://" not in reversed_chunks[-1]
        super()._handle_long_word(reversed_chunks, cur_line, cur_len, width)


def columns(text: str) -> int:
    """How many columns `text` takes in a fixed font."""
    return sum(2 if _is_wide(each) else 0 if unicodedata.combining(each) else 1 for each in text)


def _is_wide(character: str) -> bool:
    return character > "\u10ff" and unicodedata.east_asian_width(character) in "WF"


def _pieces(text: str) -> list[str]:
    """What may not be broken: a word with the spaces after it, a wide character with the punctuation around it."""
    wide = "[^\\x00-\u10ff]"
    found = re.findall(rf"[{_NOT_LAST}]*(?:{wide}|[^\s{_NOT_LAST}\u1100-\U0010ffff]+)[{_NOT_FIRST}]*\s*|\s+|.", text)
    return [piece for piece in found if piece]


def _fitting(line: str) -> int:
    """The number of characters at the beginning of `line` that fill at most one line."""
    width = 0
    for number, character in enumerate(line):
        width += columns(character)
        if width > WIDTH:
            return max(1, number)
    return len(line)
