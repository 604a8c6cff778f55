"""Filters for the whole list: which papers are kept, which are pinned to the top, and why. Pure.

The rules apply in this order: a paper that matches `exclude` is dropped; one that matches a pin is kept; any other must
meet all of `include`, `categories` and `min_upvotes`. Case and accents never matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from newsletter.issue.folding import fold, mentions, unquoted
from newsletter.issue.organisations import comes_from
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
                return f"{kind}: {unquoted(term)}"
    return None


def _says(paper: Paper, keyword: str) -> bool:
    return mentions((paper.title, paper.abstract, *paper.keywords), keyword)


def _mentions_any(paper: Paper, keywords: Sequence[str]) -> bool:
    return any(_says(paper, keyword) for keyword in keywords)


def _comes_from(paper: Paper, organisation: str) -> bool:
    return paper.organisation is not None and comes_from(organisation, paper.organisation)


def _is_in(paper: Paper, category: str) -> bool:
    """Whether the keywords, where feeds give categories, contain `category`. ``cs`` matches *cs.LG*, *cs.CV* ..."""
    wanted = fold(category).removesuffix(".*")
    return any(word == wanted or word.startswith(f"{wanted}.") for word in map(fold, paper.keywords) if wanted)


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
