"""Filters for the whole list: which papers are kept, which are pinned to the top, and why. Pure.

The rules apply in this order: a paper that matches `exclude` is dropped; one that matches a pin is kept; any other must
meet all of `include`, `categories` and `min_upvotes`. Case and accents never matter.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

from newsletter.model import Paper


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters under `filters` in the configuration. An empty one does nothing.

    `include`, `exclude` and `pin` are keywords or phrases to find in title, abstract and keywords, see `mentions`.
    Papers by `authors` or from `organisations` are pinned. A paper must be in one of the `categories`, such as
    ``cs.LG`` or ``cs``; a paper without categories is in none.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    pin: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()
    organisations: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    min_upvotes: int = 0


@dataclass(frozen=True, slots=True)
class Filtered:
    """The papers `kept`, pinned ones first, and how many were not.

    `pinned` maps the key of a pinned paper to the reason, such as ``author: Ada Lovelace``.
    """

    kept: tuple[Paper, ...]
    pinned: Mapping[str, str]
    left_out: int


def apply(papers: Sequence[Paper], filters: Filters) -> Filtered:
    """Filter ranked papers. Pinned papers come first; within the pinned and the others the order is kept."""
    wanted = [paper for paper in papers if not _mentions_any(paper, filters.exclude)]
    pinned = {paper.key: reason for paper in wanted if (reason := _why_pinned(paper, filters))}
    lifted = [paper for paper in wanted if paper.key in pinned]
    others = [paper for paper in wanted if paper.key not in pinned and _meets(paper, filters)]
    kept = (*lifted, *others)
    return Filtered(kept=kept, pinned=pinned, left_out=len(papers) - len(kept))


def _meets(paper: Paper, filters: Filters) -> bool:
    return (
        (not filters.include or _mentions_any(paper, filters.include))
        and (not filters.categories or any(_is_in(paper, category) for category in filters.categories))
        and (not filters.min_upvotes or paper.upvotes is None or paper.upvotes >= filters.min_upvotes)
    )


def _why_pinned(paper: Paper, filters: Filters) -> str | None:
    """The first rule that pins the paper, with the operator's term; None if none does."""
    for kind, terms, matches in (
        ("keyword", filters.pin, _says),
        ("author", filters.authors, _is_by),
        ("organisation", filters.organisations, _comes_from),
    ):
        for term in terms:
            if matches(paper, term):
                return f"{kind}: {_unquoted(term)}"
    return None


# --- words -----------------------------------------------------------------------------------------------------------

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
    wanted = fold(_unquoted(term))
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


def _unquoted(term: str) -> str:
    return term.strip(QUOTES)


def _says(paper: Paper, keyword: str) -> bool:
    return mentions((paper.title, paper.abstract, *paper.keywords), keyword)


def _mentions_any(paper: Paper, keywords: Sequence[str]) -> bool:
    return any(_says(paper, keyword) for keyword in keywords)


def _comes_from(paper: Paper, organisation: str) -> bool:
    """Whether the paper's organisation contains the words `organisation`: ``Google`` matches *Google DeepMind*.

    *The*, *of* and the like do not matter, nor do spaces between words: ``The Deep Mind`` matches it, too.
    """
    return paper.organisation is not None and (
        mentions((paper.organisation,), organisation) or run_together(organisation) in runs(paper.organisation)
    )


def _is_in(paper: Paper, category: str) -> bool:
    """Whether the keywords, where feeds give categories, contain `category`. ``cs`` matches *cs.LG*, *cs.CV* ..."""
    wanted = fold(category).removesuffix(".*")
    return any(word == wanted or word.startswith(f"{wanted}.") for word in map(fold, paper.keywords) if wanted)


# --- organisations ---------------------------------------------------------------------------------------------------

_LINKING: Final = frozenset({"the", "of", "at", "for", "and", "in"})
_NAME_WORD: Final = re.compile(r"[^\W_]+")
_LONGEST_NAME: Final = 20  # words


def run_together(organisation: str) -> str:
    """The name as one word, without *the*, *of* and the like: ``the Tongyi Lab`` as ``tongyilab``."""
    return "".join(_name_words(organisation))


def runs(organisation: str) -> frozenset[str]:
    """All runs of words of the name, each as `run_together` writes it."""
    words = _name_words(organisation)
    return frozenset("".join(words[start:end]) for end in range(1, len(words) + 1) for start in range(end))


def _name_words(organisation: str) -> list[str]:
    return [word for word in _NAME_WORD.findall(fold(organisation)) if word not in _LINKING][:_LONGEST_NAME]


# --- names -----------------------------------------------------------------------------------------------------------

_SUFFIXES: Final = frozenset({"jr", "sr", "ii", "iii", "iv"})


def same_name(wanted: str, name: str) -> bool:
    """Whether `name`, a paper's author, may be the person `wanted`.

    The family names, which are the last word or the part before a comma, must be equal. The given names must match in
    order as far as both sides have them; an initial matches any name that begins with it. So ``A. Lovelace`` matches
    *Ada Lovelace*, *Ada King Lovelace* and also *Alan Lovelace*. A wanted name of one word is a family name.
    """
    given, family = name_parts(wanted)
    their_given, their_family = name_parts(name)
    return bool(family) and family == their_family and same_given_names(given, their_given)


def same_given_names(given: Sequence[str], their_given: Sequence[str]) -> bool:
    """Whether the given names of two persons of one family name may be those of one person, see `same_name`."""
    if not given or "".join(given) == "".join(their_given):  # Xiao-Ming is Xiaoming
        return True
    return bool(their_given) and all(_same_given(*pair) for pair in zip(given, their_given, strict=False))


def name_parts(name: str) -> tuple[tuple[str, ...], str]:
    """Given names and family name, folded. ``Lovelace, Ada K.`` is ``Ada K. Lovelace``; a suffix as Jr is dropped."""
    family, comma, given = name.partition(",")
    words = fold((f"{given} {family}" if comma else name).replace(".", " ")).split()
    words = [word for word in words if word not in _SUFFIXES] or words
    return tuple(words[:-1]), words[-1] if words else ""


def _same_given(one: str, other: str) -> bool:
    return one == other or (min(len(one), len(other)) == 1 and one[0] == other[0])


def _is_by(paper: Paper, author: str) -> bool:
    return any(same_name(author, name) for name in paper.authors)
