"""Make names of what feeds give as authors. No I/O.

An element of its own is one author, and is never split at a comma: ``Last, First`` is a name. Only one element for all
is a list. Addresses, affiliations in parentheses and markup are removed; "et al." is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from newsletter.feed.text import AUTHORS, NAME, looks_like_tags, plain, strip_tags

_INITIALS: Final = re.compile(r"(?:[A-Z]\.[ -]?){1,5}")  # "R. J.", "P.-L."
_SUFFIX: Final = re.compile(r"(?:Jr|Sr)\.?|I{2,3}|IV", re.IGNORECASE)
_AND: Final = re.compile(r" (?:and|&|und|et) (?!al\b)")
_OTHERS: Final = re.compile(
    r"(?:and |& )?(?:et\.? ?al\.?|others|et alii|(?:\d{1,5} )?(?:others|more|co-authors|coauthors))", re.IGNORECASE
)
_ET_AL: Final = re.compile(r"(?<=\S),? et\.? ?al\.?$", re.IGNORECASE)
_NOTE: Final = re.compile(r"<sup\b[^<>]{0,100}>[^<>]{0,100}</sup>", re.IGNORECASE)  # the number of an affiliation
# RFC 5321 allows 64 characters before the @ and 255 after it. The class before the @ is possessive, and begins where no
# other of its characters stands before, so that a long word is read once.
_ADDRESS: Final = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}+@[\w.-]{1,255}+")
_OWNER: Final = re.compile(r"[^\s@()]{1,64}@[^\s@()]{1,255} \((.{1,200})\)")  # RSS 2.0: "jane@x.example (Jane Doe)"
_WIDE: Final = str.maketrans({"、": ",", "，": ",", "；": ";"})  # between names in Chinese and Japanese


def split_authors(value: object) -> tuple[str, ...]:
    """The names in ``A, B and C`` (arXiv), ``A; B``, or ``LAST, F. M., LAST, F.`` (bioRxiv; becomes ``F. M. LAST``)."""
    text = _text(value)
    if owner := _OWNER.fullmatch(text):
        return _known([_turned(owner[1])])
    text = _without_asides(_ADDRESS.sub(" ", text)).translate(_WIDE)
    if ";" in text:
        return _known([_turned(part) for part in text.split(";")])
    return _known(_joined([part.strip() for piece in text.split(",") for part in _AND.split(piece)]))


def authors_of(elements: Sequence[object]) -> tuple[str, ...]:
    """The names in an entry's author elements: of several each is one author, and a single one may be a list."""
    named = [element for element in elements if split_authors(element)]
    if len(named) == 1:
        return _one_person(named[0]) or split_authors(named[0])
    names: list[str] = []
    for element in named:
        text = _text(element)
        owner = _OWNER.fullmatch(text)
        text = owner[1] if owner else _without_asides(_ADDRESS.sub(" ", text)).translate(_WIDE)
        names += [_turned(part) for part in text.split(";")]
    return tuple(dict.fromkeys(_known(names)))


def _one_person(value: object) -> tuple[str, ...]:
    """The author of a single element ``Last, First`` of two words; empty if it is anything else."""
    text = _without_asides(_ADDRESS.sub(" ", _text(value)))
    parts = text.split(", ")
    if len(parts) == 2 and all(part.isalpha() for part in parts) and not _SUFFIX.fullmatch(parts[1]):
        return _known([_turned(text)])
    return ()


def _text(value: object) -> str:
    """The element as one line, without the tags of HTML and the numbers of affiliations."""
    if isinstance(value, str) and looks_like_tags(value):
        value = strip_tags(_NOTE.sub("", value[: NAME * AUTHORS]))
    return plain(value, NAME * AUTHORS)


def _without_asides(text: str) -> str:
    """`text` without what stands in parentheses, also nested ones, and without brackets that an address left."""
    if "(" not in text and "<" not in text:
        return text
    kept: list[str] = []
    depth = 0
    for piece in re.split(r"([()])", text.replace("< >", " ").replace("<>", " ")):
        if piece == "(":
            depth += 1
        elif piece == ")":
            depth = max(depth - 1, 0)
        elif depth == 0:
            kept.append(piece)
    return " ".join("".join(kept).replace(" ,", ",").split())


def _joined(parts: Sequence[str]) -> list[str]:
    """The parts of a list between commas as names: initials and suffixes belong to the name before."""
    names: list[str] = []
    for part in parts[:AUTHORS]:
        if names and _INITIALS.fullmatch(part):
            names[-1] = f"{part} {names[-1]}"
        elif names and _SUFFIX.fullmatch(part):
            names[-1] = f"{names[-1]} {part}"
        elif part:
            names.append(part)
    return names


def _turned(name: str) -> str:
    """``First Last`` for ``Last, First``; a suffix stays behind, and what is neither is left as it is."""
    last, comma, first = (part.strip() for part in name.partition(","))
    if not comma or not first:
        return last
    given, _, rest = (part.strip() for part in first.partition(","))
    if _SUFFIX.fullmatch(given):
        return f"{rest} {last} {given}".strip()
    suffix = f" {rest}" if _SUFFIX.fullmatch(rest) else f", {rest}" if rest else ""
    return f"{given} {last}{suffix}"


def _known(names: Sequence[str]) -> tuple[str, ...]:
    """The names that are somebody's, at most as many as a paper may have."""
    found = (plain(_ET_AL.sub("", name.strip(" ,*†‡§")), NAME) for name in names[:AUTHORS])
    return tuple(name for name in found if name and not _OTHERS.fullmatch(name))
