"""What a reader wants to read, as a value: topics, authors, organisations and so on, and how much. Pure."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Final

from newsletter.issue.folding import QUOTES
from newsletter.issue.terms import STOP_WORDS, words_of
from newsletter.languages.invisible import visible

# Bounds. Together they keep a selector below 3 KB, and what it costs to match it in proportion to what a reader reads.
LONGEST: Final = 100  # characters of one choice
MOST: Final = 30  # choices of one kind
LONGEST_TOGETHER: Final = 1500  # characters of all choices
MOST_PAPERS: Final = 100
PAPERS: Final = 10  # papers in a day's mail unless the reader says otherwise

KINDS: Final = ("topics", "authors", "organisations", "categories", "never", "more", "less")
_MATCHED: Final = ("topics", "more", "less")  # kinds whose words are looked for as `matching` does

# What divides several choices on one line, also in Arabic, Chinese and Japanese. A comma divides neither a number
# (2,000) nor a name (*Lovelace, Ada*).
_COMMAS: Final = r"[,;\u060c\u061b\u3001\uff0c\uff1b](?!\d)"
_SEMICOLONS: Final = "[;\u061b\u3001\uff1b]"
_BETWEEN: Final = {
    **dict.fromkeys(("topics", "categories", "never"), _COMMAS),
    **dict.fromkeys(("authors", "organisations"), _SEMICOLONS),
}
_AROUND: Final = " ,;\u2022\u00b7"  # the end of a list's line, and bullets


class Fault(StrEnum):
    """What is wrong with a choice."""

    TOO_LONG = "too-long"
    TOO_MANY = "too-many"
    TOO_MUCH = "too-much"  # all choices together
    NO_WORD = "no-word"  # no letter or digit, or function words alone
    CONTROL = "control"  # a control character, or half of a surrogate pair
    PAPERS = "papers"


_WORDS: Final = {
    Fault.TOO_LONG: "{kind}: {shown!r} is longer than {limit} characters",
    Fault.TOO_MANY: "{kind}: more than {limit}",
    Fault.TOO_MUCH: "{kind}: all choices together are longer than {limit} characters",
    Fault.NO_WORD: "{kind}: {shown!r} holds no word to look for",
    Fault.CONTROL: "{kind}: {shown!r} holds a control character",
    Fault.PAPERS: "{kind}: {shown!r} is not a number of papers from 1 to {limit}",
}


class SelectorError(ValueError):
    """A choice that is refused.

    `kind` is the field it stands in (one of `KINDS`, or ``papers``), `fault` what is wrong, `limit` the bound that it
    breaks (0 if none), and `shown` its beginning, without control characters. The message is one line in English.
    """

    def __init__(self, kind: str, fault: Fault, limit: int = 0, text: str = "") -> None:
        self.kind, self.fault, self.limit = kind, fault, limit
        self.shown = "".join(char if char.isprintable() else " " for char in text[:40])
        super().__init__(_WORDS[fault].format(kind=kind, shown=self.shown, limit=limit))


@dataclass(frozen=True, slots=True)
class Selector:
    """What a reader chose, in canonical form: made by `of`, and equal for all who chose the same.

    `spelled` has the choices as the reader wrote them, for each of KINDS in the order of the canonical ones; empty if
    all are alike. It is shown to the reader, and makes no difference otherwise.
    A paper is wanted if it fits one of the `topics`, is by one of the `authors`, comes from one of the `organisations`
    or is in one of the `categories`; any paper is if all four are empty. A paper that mentions a word or phrase in
    `never` is not. Papers that match a phrase in `more` come earlier, and those that match one in `less` later, as
    `picking` says. `papers` is how many the reader wants in one mail, None for all.
    """

    topics: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()
    organisations: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    less: tuple[str, ...] = ()
    papers: int | None = PAPERS
    spelled: tuple[tuple[str, ...], ...] = field(default=(), compare=False)

    @classmethod
    def of(
        cls,
        *,
        topics: Iterable[str] = (),
        authors: Iterable[str] = (),
        organisations: Iterable[str] = (),
        categories: Iterable[str] = (),
        never: Iterable[str] = (),
        more: Iterable[str] = (),
        less: Iterable[str] = (),
        papers: int | None = PAPERS,
    ) -> Selector:
        """The selector of choices as somebody typed them. Blank ones are dropped, and of equal ones the first is kept.

        Order, repetition, case, white space, quotation marks around them and Unicode forms (NFKC) make no difference.
        Topics, categories and what is never wanted may be divided by commas or semicolons, names by semicolons alone.
        Raises SelectorError.
        """
        given = zip(KINDS, (topics, authors, organisations, categories, never, more, less), strict=True)
        found = {kind: _canonical(kind, texts) for kind, texts in given if texts}
        chosen = {kind: tuple(each) for kind, each in found.items()}
        if sum([sum(map(len, texts)) for texts in chosen.values()]) > LONGEST_TOGETHER:
            raise SelectorError(next(kind for kind in chosen if chosen[kind]), Fault.TOO_MUCH, LONGEST_TOGETHER)
        if papers is not None and not 1 <= papers <= MOST_PAPERS:
            raise SelectorError("papers", Fault.PAPERS, MOST_PAPERS, str(papers))
        own = {kind: tuple(each.values()) for kind, each in found.items()}
        spelled = () if own == chosen else tuple([own.get(kind, ()) for kind in KINDS])
        return cls(**chosen, papers=papers, spelled=spelled)

    def own(self, kind: str) -> tuple[str, ...]:
        """The choices of a kind as the reader wrote them."""
        chosen: tuple[str, ...] = getattr(self, kind)
        return self.spelled[KINDS.index(kind)] if self.spelled else chosen

    @property
    def asks(self) -> bool:
        """Whether anything is asked for, rather than only more, less or never of something."""
        return bool(self.topics or self.authors or self.organisations or self.categories)

    @property
    def canonical(self) -> str:
        """The selector as JSON (RFC 8259), the same for equal selectors. What is empty or by default is left out."""
        return json.dumps(self.kept(), ensure_ascii=False, separators=(",", ":"), sort_keys=True)

    def kept(self, *, own: bool = False) -> dict[str, object]:
        """The fields of `canonical`, without those that are empty or have their default.

        With `own` the choices are as the reader wrote them.
        """
        kept: dict[str, object] = {
            kind: self.own(kind) if own else chosen for kind in KINDS if (chosen := getattr(self, kind))
        }
        if self.papers != PAPERS:
            kept["papers"] = self.papers
        return kept

    @property
    def hash(self) -> str:
        """SHA-256 (hex) of the canonical form: the identity of the edition that all readers with it share."""
        return hashlib.sha256(self.canonical.encode()).hexdigest()


def contradiction(selector: Selector) -> tuple[str, str] | None:
    """The first choice that is asked for and refused at once: the kind that refuses it, and the choice; else None.

    The choice is written as where it is refused.
    """
    for refusing, asking in (
        ("never", ("topics", "authors", "organisations", "categories", "more")),
        ("less", ("more",)),
    ):
        asked = {choice for kind in asking for choice in getattr(selector, kind)}
        for choice, own in zip(getattr(selector, refusing), selector.own(refusing), strict=True):
            if choice in asked:
                return refusing, own
    return None


def _canonical(kind: str, texts: Iterable[str]) -> dict[str, str]:
    """The choices of one kind, each once, sorted: the canonical form, and how it was written first.

    Stops reading at the first too many.
    """
    found: dict[str, str] = {}
    for text in texts:
        if len(text) > LONGEST_TOGETHER:  # before any work on it
            raise SelectorError(kind, Fault.TOO_LONG, LONGEST, text)
        for choice, own in _several(kind, text):
            if choice:
                found.setdefault(choice, own)
        if len(found) > MOST:
            raise SelectorError(kind, Fault.TOO_MANY, MOST)
    return dict(sorted(found.items())) if len(found) > 1 else found


@lru_cache(maxsize=4096)  # readers choose the same topics
def _several(kind: str, text: str) -> Sequence[tuple[str, str]]:
    """The choices on one line. Commas of other forms, such as those of vertical text, are commas by NFKC."""
    if kind not in _BETWEEN:
        return (_one(kind, text),)
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return tuple([_one(kind, each) for each in re.split(_BETWEEN[kind], plain)])


def _one(kind: str, text: str) -> tuple[str, str]:
    """A choice in canonical form, and as it was written, without what makes no difference but case.

    What is written is canonical, too, where it would be read as another choice or is longer than a choice may be.
    """
    if any(unicodedata.category(char) in ("Cc", "Cs") and not char.isspace() for char in text):
        raise SelectorError(kind, Fault.CONTROL, text=text)
    choice, own = _folded(text), _bare(unicodedata.normalize("NFKC", visible(text)))
    if len(choice) > LONGEST:
        raise SelectorError(kind, Fault.TOO_LONG, LONGEST, text)
    if not any(map(str.isalnum, choice)) and text.strip():
        raise SelectorError(kind, Fault.NO_WORD, text=text)
    if choice and kind in _MATCHED and not set(words_of(choice)) - STOP_WORDS:
        raise SelectorError(kind, Fault.NO_WORD, text=text)
    return choice, own if len(own) <= LONGEST and _folded(own) == choice else choice


def _folded(text: str) -> str:
    plain = " ".join(unicodedata.normalize("NFKC", visible(text).casefold()).split())
    return _bare(unicodedata.normalize("NFKC", plain.casefold()))


def _bare(text: str) -> str:
    """`text` without white space, bullets and quotation marks around it; each run of white space is one space."""
    bare = " ".join(text.split()).strip(_AROUND)
    while bare[:1] in QUOTES and bare[-1:] in QUOTES and bare:
        bare = bare[1:-1].strip(_AROUND)
    return bare
