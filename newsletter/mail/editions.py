"""The copies of an issue's joined editions: pieces that are encoded once, and joined for each edition.

A piece becomes whole lines of quoted-printable, each ending in a soft line break, so that joining needs no encoding.
No line begins with a dot and no two blanks stand together: the bytes are the same as sent (RFC 5321 section 4.5.2)
and as DKIM hashes them (RFC 6376 section 3.4.4). What editions and copies fill in stands on lines of its own, for which
a piece has a control character.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from newsletter.links import Links
from newsletter.mail.joining import as_html, as_text, frame_words, joined
from newsletter.mail.message import (
    BASE64_GROWTH,
    CRLF,
    QP_GROWTH,
    QP_LINE,
    Base64,
    Headers,
    frame,
    plain,
    quoted,
    soft_end,
    soft_lines_of_both,
    subject_header,
)
from newsletter.model import NO_LINE, Delivery, Envelope, FrozenIssue, JoinedEdition, Mark, Piece, Slot

if TYPE_CHECKING:  # it imports cryptography, which is large
    from newsletter.mail.dkim import Signer

# The control character that stands for each mark and slot. Quoted-printable has none but CR and LF. Marks are control
# characters of another block, and so are slots while a piece is encoded.
_CONTROLS: Final = {str(word): bytes((code,)) for code, word in enumerate((*Mark, *Slot), 14)}
_AS_MARKS: Final = {str(slot): chr(code) for code, slot in enumerate(Slot, 0x9C)}
_BY_MARK: Final = {mark: _CONTROLS[mark] for mark in Mark} | {_AS_MARKS[slot]: _CONTROLS[slot] for slot in Slot}
_FILLED: Final = re.compile("([\x90-\x9f])")

_RANK: Final = _CONTROLS[Mark.RANK]
_REASON: Final = _CONTROLS[Mark.REASON]
_LISTS: Final = [_CONTROLS[mark] for mark in (Mark.GLANCE, Mark.PAPERS, Mark.RISING)]

_RANKED: Final = 8192  # papers with a rank that are kept encoded, each of about 3 KB
_SAID: Final = 4096  # reasons that are kept encoded, and words around the papers
_SHARED: Final = 8192  # texts that are: the forms of a paper have most in common


# A paper with its rank: in the text, before and after the reason; in the page likewise; its line in the list at the top
# of both, empty if it has none. One flat tuple: an edition reads many, and each is far away in memory.
_Shown = tuple[bytes, bytes, bytes, bytes, bytes, bytes]


class EditionCopies:
    """What makes the copies of an issue's joined editions. Pieces are encoded when a copy first needs them."""

    def __init__(
        self, frozen: FrozenIssue, pieces: Sequence[Piece], links: Links, signers: Sequence[Signer] = ()
    ) -> None:
        self._frozen, self._pieces = frozen, pieces
        self._text = _Encoded([piece.text for piece in pieces])
        self._page = _Encoded([piece.html for piece in pieces])
        self._headers = Headers(frozen, links, signers, by_edition=True)
        self._shared = CRLF.join((b"", *self._headers.shared, b"", b""))  # the headers that all copies share
        encodings = (b"base64" if part.base64 else b"quoted-printable" for part in (self._text, self._page))
        self._start, self._between, self._end = frame(self._headers.boundary, *encodings)
        self._slots = [slot for slot in Slot if any(slot in piece.html or slot in piece.text for piece in pieces)]
        self._in_papers = [_CONTROLS[slot] for slot in self._slots if _is_in_papers(slot, pieces)]
        self._shown: dict[tuple[int, int, int], _Shown] = {}  # by the numbers in JoinedEdition.papers
        self._reason = lru_cache(maxsize=_SAID)(lambda reason: (_soft(as_text(reason)), _soft(as_html(reason))))

    def of(self, edition: JoinedEdition) -> JoinedCopies:
        """The copies of one edition; the same edition and delivery always give the same bytes."""
        text = page = None
        if self._text.base64 or self._page.base64:
            whole = joined(edition, self._pieces, self._frozen.rendered.day)
            text = Base64.of(whole.text, str) if self._text.base64 else None
            page = Base64.of(whole.html, html.escape) if self._page.base64 else None
        return JoinedCopies(self, edition, subject_header(edition.subject), text, page)

    def envelope(self, copies: JoinedCopies, delivery: Delivery) -> Envelope:
        """The envelope of one of `copies`. Raises ValueError if the address has control characters."""
        values, ways = self._headers.values(delivery, self._slots)
        text, page = self._joined(copies.edition, values)
        if copies.text is not None:
            text = copies.text.fill(values)
        if copies.page is not None:
            page = copies.page.fill(values)
        body = (self._start, text, self._between, page, self._end)
        own = self._headers.own(delivery, ways, lambda: hashlib.sha256(b"".join(body)).digest(), copies.subject)
        return Envelope(self._headers.reverse_path(delivery), delivery.address, (own, self._shared, *body))

    def _joined(self, edition: JoinedEdition, values: Mapping[Slot, str]) -> tuple[bytes, bytes]:
        """The text and the page of a copy in quoted-printable; what is sent in base64 is empty.

        Slots in papers are filled when all is joined: fewer and longer pieces save more than copying once more takes.
        """
        words_of_text: dict[bytes, bytes] = {}
        words_of_page: dict[bytes, bytes] = {}
        for mark, said in frame_words(edition).items():
            words_of_text[_CONTROLS[mark]], words_of_page[_CONTROLS[mark]] = _in_both(said)
        for slot, value in values.items():
            words_of_text[_CONTROLS[slot]], words_of_page[_CONTROLS[slot]] = soft_lines_of_both(value)
        texts, text_lines, text_risers, pages, page_lines, page_risers = _lists(6)
        for paper, reason in zip(edition.papers, edition.reasons, strict=True):
            shown = self._shown.get(paper) or self._with_rank(paper)
            in_text, after_in_text, in_page, after_in_page, text_line, page_line = shown
            texts.append(in_text)
            pages.append(in_page)
            if reason:  # an operator's own templates may show it several times
                said_in_text, said_in_page = self._reason(reason)
                texts += (said_in_text, after_in_text.replace(_REASON, said_in_text))
                pages += (said_in_page, after_in_page.replace(_REASON, said_in_page))
                text_line, page_line = (
                    text_line.replace(_REASON, said_in_text),
                    page_line.replace(_REASON, said_in_page),
                )
            text_lines.append(text_line)
            page_lines.append(page_line)
        for number in edition.rising:
            in_text, _, in_page, *_ = self._with_rank((number, NO_LINE, 0))
            text_risers.append(in_text)
            page_risers.append(in_page)
        around_page, around_text = edition.frames
        text = self._text.whole(around_text, (text_lines, texts, text_risers), words_of_text)
        page = self._page.whole(around_page, (page_lines, pages, page_risers), words_of_page)
        for control in self._in_papers:
            text = text.replace(control, words_of_text[control])
            page = page.replace(control, words_of_page[control])
        return text, page

    def _with_rank(self, paper: tuple[int, int, int]) -> _Shown:
        """A paper of JoinedEdition.papers, which is kept: many editions have it at the same rank."""
        number, line, rank = paper
        text, _, after_in_text = self._text.paper(number, rank).partition(_REASON)
        page, _, after_in_page = self._page.paper(number, rank).partition(_REASON)
        text_line, page_line = self._text.paper(line, rank), self._page.paper(line, rank)
        shown = text, after_in_text, page, after_in_page, text_line, page_line
        if len(self._shown) >= _RANKED:
            self._shown.clear()
        self._shown[paper] = shown
        return shown


@dataclass(frozen=True, slots=True)
class JoinedCopies:
    """A joined edition, of which each subscriber's envelope is made with what is theirs.

    Nearly every edition has one reader. So it is joined for each copy: to keep it joined with gaps, and to fill these,
    takes as long. `subject` is its header; `text` and `page` are given if these parts are sent in base64.
    """

    _maker: EditionCopies
    edition: JoinedEdition
    subject: str
    text: Base64 | None
    page: Base64 | None

    def envelope(self, delivery: Delivery) -> Envelope:
        """The envelope of one delivery; the same delivery always gives the same bytes.

        Raises ValueError if the address has control characters.
        """
        return self._maker.envelope(self, delivery)


def _lists(number: int) -> list[list[bytes]]:
    return [[] for _ in range(number)]


class _Encoded:
    """The HTML or the text of pieces, encoded; each when it is first needed.

    `base64` says that the pieces take fewer bytes in base64 and are not encoded here: all copies of an issue agree.
    """

    def __init__(self, pieces: Sequence[str]) -> None:
        self._pieces = pieces
        # Cut at the ranks. Pieces that differ only in the other part are encoded once.
        self._papers: dict[str, Sequence[bytes]] = {}
        self._frames: dict[int, Sequence[bytes]] = {}  # cut at the lists and words that are filled in
        self.base64 = sum(map(_excess, pieces)) > 0

    def paper(self, number: int, rank: int) -> bytes:
        """A paper, or its line in the list at the top, with this rank; nothing for NO_LINE."""
        if self.base64 or number == NO_LINE:
            return b""
        text = self._pieces[number]
        if text not in self._papers:
            self._papers[text] = b"".join(_lines(plain(text))).split(_RANK)
        return (b"%d=\r\n" % rank).join(self._papers[text])

    def whole(self, around: int, lists: Sequence[list[bytes]], words: Mapping[bytes, bytes]) -> bytes:
        """This part of a copy: the piece `around` its lists, with these words.

        The lists are the lines of the list at the top, the papers, and the late risers.
        """
        if self.base64:
            return b""
        of = dict(zip(_LISTS, lists, strict=True))
        parts: list[bytes] = []
        for part in self._frame(around):
            if part in of:
                parts += of[part]
            else:
                parts.append(words.get(part, part))
        return b"".join(parts)

    def _frame(self, number: int) -> Sequence[bytes]:
        if number not in self._frames:
            *parts, last = _lines(plain(self._pieces[number]))
            self._frames[number] = [*parts, last.removesuffix(b"=\r\n")]
        return self._frames[number]


def _is_in_papers(slot: Slot, pieces: Sequence[Piece]) -> bool:
    """Whether a slot is to be filled in papers, and not only around them."""
    parts = (part for piece in pieces for part in (piece.html, piece.text))
    return any(slot in part and Mark.PAPERS not in part for part in parts)


def _excess(text: str) -> float:
    """By how many bytes, about, quoted-printable is longer than base64; negative if it is shorter."""
    size = len(text.encode())
    escaped = size - len(text.encode("ascii", "ignore")) + text.count("=")
    return (size + 2 * escaped) * QP_GROWTH - size * BASE64_GROWTH


def _lines(text: str) -> Iterator[bytes]:
    """A piece in whole lines, cut at what is filled in; a control character stands for each of these."""
    for slot, mark in _AS_MARKS.items():
        text = text.replace(slot, mark)
    for digits in (3, 2):
        text = text.replace(Mark.RANK * digits, Mark.RANK)
    for at, part in enumerate(_FILLED.split(text)):
        if at % 2:
            yield _BY_MARK[part]
        elif part:
            yield _soft(part)


@lru_cache(maxsize=_SHARED)
def _soft(text: str) -> bytes:
    """`text` as whole lines of quoted-printable, the same as sent and for DKIM, each ending in a soft line break."""
    if not text:
        return b""
    encoded = soft_end(quoted(text))
    if encoded[:1] == b"." or b"\n." in encoded or b"  " in encoded or b"\t" in encoded:
        return CRLF.join(map(_mended, encoded.split(CRLF)))
    return encoded


@lru_cache(maxsize=_SAID)
def _in_both(words: str) -> tuple[bytes, bytes]:
    """`words` as `_soft` gives them for the text and for the page."""
    return _soft(words), _soft(as_html(words))


def _mended(line: bytes) -> bytes:
    """A line of quoted-printable without a dot at its beginning, and without a tab or a blank beside another."""
    line = re.sub(rb"^\.|(?<= ) |\t", lambda found: b"=%02X" % ord(found[0]), line)
    if len(line) <= QP_LINE + 1:
        return line
    cut = QP_LINE - 5
    cut -= 1 if line[cut - 1 : cut] == b"=" else 2 if line[cut - 2 : cut - 1] == b"=" else 0
    return line[:cut] + b"=\r\n" + _mended(line[cut:])
