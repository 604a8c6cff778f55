"""The editions of an issue: what readers who chose get instead of the main edition, joined from shared pieces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from newsletter.model.issue import RenderedIssue


class Mark(StrEnum):
    """Placeholders in a `Piece`, where editions differ. They are control characters, which no text has."""

    RANK = "\x91"  # in text once for each digit
    REASON = "\x92"
    SUBJECT = "\x93"
    PREHEADER = "\x94"
    COUNT = "\x95"
    MINUTES = "\x96"
    MORE = "\x97"
    GLANCE = "\x98"  # the lines of the list at the top
    PAPERS = "\x99"
    RISING = "\x9a"


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a mail that editions share, as inlined HTML and as text: a paper, or what is around all papers."""

    html: str
    text: str


NO_LINE: Final = -1


@dataclass(frozen=True, slots=True)
class JoinedEdition:
    """An edition as numbers of the issue's pieces, and the words that it has instead of `Mark`s.

    `frames` is the piece whose HTML is around the papers, and the one whose text is. `papers` has for each paper its
    piece, that of its line in the list at the top (NO_LINE: none), and its rank; `reasons` says why it is there.
    `rising` has the pieces of the late risers.
    """

    subject: str
    preheader: str
    count: str
    minutes: str
    more: str
    frames: tuple[int, int]
    papers: tuple[tuple[int, int, int], ...]
    rising: tuple[int, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RenderedEdition:
    """An edition of an issue beside the main one, and the ids of the subscribers who get it.

    `papers` are the keys of the papers that it shows.
    """

    rendered: RenderedIssue | JoinedEdition
    papers: tuple[str, ...]
    readers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Editions:
    """What an issue's readers get who do not get the main edition at once. All others get that.

    `pieces` are those that the editions of `made` are joined from, by their numbers.

    No paper fits the subscribers of the ids `unfitting`, and those `resting` get a later issue: neither gets a copy.
    `hours` has the hour (0 to 23) and the IANA time zone at which a subscriber wants the mail, by their id.
    """

    made: tuple[RenderedEdition, ...] = ()
    pieces: tuple[Piece, ...] = ()
    unfitting: frozenset[int] = frozenset()
    resting: frozenset[int] = frozenset()
    hours: Mapping[int, tuple[int, str]] = field(default_factory=dict)
