"""Fold texts for comparison, and find words and phrases in them. Pure.

Case, accents and hyphen or space never matter.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Final

# Scripts without spaces between words: Thai to Myanmar, Khmer, kana, Han (also of the supplementary planes). Hangul is
# among them since Korean appends particles to words.
UNSPACED: Final = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\U00020000-\U0003ffff"


@cache
def _unspaced() -> re.Pattern[str]:
    """A character of these scripts. Patterns with their ranges take 2 ms each to compile, and few lists need them."""
    return re.compile(f"[{UNSPACED}]")


@cache
def _letter() -> re.Pattern[str]:
    """A letter or digit of a script with spaces between words."""
    return re.compile(rf"[^\W{UNSPACED}]")


@cache
def _whole_word() -> re.Pattern[str]:
    """A word of these letters."""
    return re.compile(rf"{_letter().pattern}+")


# Combining accents of Latin, Greek and Cyrillic. The marks of kana and Indian scripts are kept: they change the letter.
_ACCENTS: Final = re.compile("[\u0300-\u036f]")
# Letters that Unicode does not decompose, and characters to be treated alike: hyphens, dashes, the apostrophe.
_ALIKE: Final = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "’": "'"}
    | dict.fromkeys("-\u2010\u2011\u2012\u2013\u2014\u2212", " ")
    | {"\u00ad": None}
)
QUOTES: Final = "\"'“”„«»「」 \t"


@lru_cache(maxsize=4096)  # a text is folded once and compared with every term
def fold(text: str) -> str:
    """`text` for comparison: without case and accents, hyphens and each run of white space as one space."""
    bare = _ACCENTS.sub("", unicodedata.normalize("NFKD", text).casefold())
    return " ".join(unicodedata.normalize("NFKC", bare).translate(_ALIKE).split())


def mentions(texts: Iterable[str], term: str) -> bool:
    """Whether one of the texts contains the keyword or phrase `term` as whole words.

    Case, accents and hyphen or space do not matter: ``self supervised`` finds *Self-Supervised*. Quotation marks around
    the term are ignored. ``net`` does not find *network*, but in scripts without spaces between words any occurrence
    counts. A blank term finds nothing.
    """
    wanted = fold(unquoted(term))
    if not wanted:
        return False
    return any(wanted in text and occurs(wanted, text) for text in map(fold, texts))


def occurs(wanted: str, text: str) -> bool:
    """Whether `text` contains `wanted` as whole words. Both are folded, and `wanted` is not empty."""
    return find(wanted, text) >= 0


def find(wanted: str, text: str, start: int = 0) -> int:
    """The place from `start` on at which `text` has `wanted` as whole words; -1 if there is none. Both are folded.

    No pattern is compiled, since a term that is looked for once would cost more than the search.
    """
    whole_before, whole_after = _spaced(wanted[0]), _spaced(wanted[-1])
    start = text.find(wanted, start)
    while start >= 0:
        end = start + len(wanted)
        inside = whole_before and start > 0 and _is_letter(text[start - 1])
        if not inside and not (whole_after and end < len(text) and _is_letter(text[end])):
            return start
        start = text.find(wanted, start + 1)
    return -1


def whole_words(text: str) -> list[str]:
    """The words of scripts with spaces between words in a folded text: what `find` finds where they stand."""
    return _whole_word().findall(text)


def first_word(wanted: str) -> str:
    """The word with which folded `wanted` begins, which a text has among its `whole_words` if it has `wanted`.

    Empty if it begins with no such word.
    """
    match = _whole_word().match(wanted)
    return match[0] if match else ""


def _spaced(char: str) -> bool:
    return char.isascii() or _unspaced().match(char) is None


def _is_letter(char: str) -> bool:
    if char.isascii():
        return char.isalnum() or char == "_"
    return _letter().match(char) is not None


def unquoted(term: str) -> str:
    """`term` without quotation marks around it."""
    return term.strip(QUOTES)
