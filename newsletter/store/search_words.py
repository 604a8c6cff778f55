"""The words of a title or a name, as they are indexed and searched for. Pure.

Both databases get plain words from here, so that they find the same: without case, accents and punctuation. Scripts
that put no space between words are indexed by character, and a run of them is searched for as a phrase.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Final

LONGEST_QUERY: Final = 200  # characters of a query that are read
_MOST_TERMS: Final = 8  # of a query; the others are left out
_LONGEST_TEXT: Final = 20_000  # characters that are indexed for a paper; some have thousands of authors

_WORD: Final = re.compile(r"[^\W_]+")

# Han, kana, Thai, Lao, Myanmar and Khmer.
_UNSPACED: Final = (
    "[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]"
)

# A term: one word, or the characters of a run without spaces, which stand beside each other.
Term = tuple[str, ...]


def indexed(text: str) -> str:
    """The words of `text`, separated by spaces, for the index."""
    return " ".join(piece for term in _terms(text[:_LONGEST_TEXT]) for piece in term)


def wanted(query: str) -> list[Term]:
    """The terms of what somebody typed, at most eight of its first 200 characters. Empty if it has no word."""
    return list(dict.fromkeys(_terms(query[:LONGEST_QUERY])))[:_MOST_TERMS]


def _terms(text: str) -> list[Term]:
    plain = "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))
    folded = unicodedata.normalize("NFC", plain).casefold()
    return [(word,) if word.isascii() else tuple(_pieces().findall(word)) for word in _WORD.findall(folded)]


@cache
def _pieces() -> re.Pattern[str]:
    """What a word consists of: each character of a script without spaces, and what stands between them.

    It takes 2 ms to compile, and a store that makes no index does not need it.
    """
    return re.compile(f"{_UNSPACED}|(?:(?!{_UNSPACED}).)+")


def fts5(terms: Sequence[Term]) -> str:
    """The query for SQLite (sqlite.org/fts5.html section 3): every term, the last word of each as a prefix."""
    return " AND ".join(f'"{" ".join(term)}" *' for term in terms)


def tsquery(terms: Sequence[Term]) -> str:
    """The same for PostgreSQL's to_tsquery (its manual, section 12.3.2)."""
    return " & ".join("(" + " <-> ".join(f"'{piece}'" for piece in term) + ":*)" for term in terms)
