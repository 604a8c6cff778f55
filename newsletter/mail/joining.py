"""Join an edition from the pieces that it shares with others. Pure functions.

What is joined is, byte for byte, what Renderer.issue makes of the same issue; `mail.pieces` makes the pieces.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Final

from newsletter.mail.wrap import WIDTH, wrap
from newsletter.model import NO_LINE, JoinedEdition, Mark, Piece, RenderedIssue

_MARKS: Final = re.compile("[\x92-\x9a]|\x91+")


def joined(edition: JoinedEdition, pieces: Sequence[Piece], day: date) -> RenderedIssue:
    """The edition of the issue of `day` as a whole mail."""
    around_html, around_text = (pieces[number] for number in edition.frames)
    html = {
        mark: "".join(filled(pieces[number].html, paper) for number, paper in shown)
        for mark, shown in _shown(edition, as_html).items()
    }
    text = {
        mark: "".join(filled(pieces[number].text, paper) for number, paper in shown)
        for mark, shown in _shown(edition, as_text).items()
    }
    words = frame_words(edition)
    return RenderedIssue(
        day,
        edition.subject,
        filled(around_html.html, html | {mark: as_html(said) for mark, said in words.items()}),
        filled(around_text.text, text | words),
    )


def filled(piece: str, words: Mapping[Mark, str]) -> str:
    """`piece` with words in place of its marks."""
    return _MARKS.sub(lambda found: words[Mark(found[0][0])], piece)


def frame_words(edition: JoinedEdition) -> dict[Mark, str]:
    """The words around an edition's papers. The text, whose lines depend on them, has most in place already."""
    return {
        Mark.SUBJECT: edition.subject,
        Mark.PREHEADER: edition.preheader,
        Mark.COUNT: edition.count,
        Mark.MINUTES: edition.minutes,
        Mark.MORE: edition.more,
    }


def as_html(text: str) -> str:
    """`text` as it stands in inlined HTML between two tags."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def as_text(reason: str) -> str:
    """Why a paper is in an edition, as the text part has it: in lines of its own."""
    return reason if len(reason) <= WIDTH and reason.isascii() else wrap(reason)


def _shown(edition: JoinedEdition, form: Callable[[str], str]) -> dict[Mark, list[tuple[int, dict[Mark, str]]]]:
    """The pieces of each list of papers, with the words in place of their marks; `form` is that of the part."""
    papers = zip(edition.papers, map(form, edition.reasons), strict=True)
    return {
        Mark.GLANCE: [(line, {Mark.RANK: str(rank)}) for _, line, rank in edition.papers if line != NO_LINE],
        Mark.PAPERS: [(number, {Mark.RANK: str(rank), Mark.REASON: why}) for (number, _, rank), why in papers],
        Mark.RISING: [(number, {}) for number in edition.rising],
    }
