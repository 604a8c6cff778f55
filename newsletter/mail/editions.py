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
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from newsletter.links import Links
from newsletter.mail.joining import as_html, frame_words, html_words, joined, text_words
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
    soft_lines,
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

_UNFIT: Final = (b"\n.", b"  ", b"\t")  # a dot at the beginning of a line, a blank beside another
_RANK: Final = _CONTROLS[Mark.RANK]
_REASON: Final = _CONTROLS[Mark.REASON]
_MARKS: Final = {_CONTROLS[mark]: mark for mark in Mark}
_DIGITS: Final = [b"%d=\r\n" % rank for rank in range(1000)]  # of ranks, of which a mail shows 150


class EditionCopies:
    """What makes the copies of an issue's joined editions. Pieces are encoded when an edition first needs them."""

    def __init__(
        self, frozen: FrozenIssue, pieces: Sequence[Piece], links: Links, signers: Sequence[Signer] = ()
    ) -> None:
        self._frozen, self._pieces = frozen, pieces
        self._headers = Headers(frozen, links, signers, by_edition=True)
        self._html = _Encoded([piece.html for piece in pieces])
        self._text = _Encoded([piece.text for piece in pieces])
        self._slots = [slot for slot in Slot if any(slot in piece.html or slot in piece.text for piece in pieces)]

    def of(self, edition: JoinedEdition) -> JoinedCopies:
        """The copies of one edition; the same edition and delivery always give the same bytes."""
        around_html, around_text = edition.frames
        words = frame_words(edition)
        headers = self._headers.with_subject(edition.subject)
        text: Sequence[bytes] | Base64
        page: Sequence[bytes] | Base64
        if self._text.base64 or self._html.base64:
            whole = joined(edition, self._pieces, self._frozen.rendered.day)
        if self._text.base64:
            text = Base64.of(whole.text, str)
        else:
            text = self._text.joined(edition, around_text, words, text_words(edition))
        if self._html.base64:
            page = Base64.of(whole.html, html.escape)
        else:
            of_html = {mark: as_html(said) for mark, said in words.items()}
            page = self._html.joined(edition, around_html, of_html, html_words(edition))
        return JoinedCopies(headers, self._slots, text, page)


class JoinedCopies:
    """An edition that is joined, from which each subscriber's envelope is made by filling in what is theirs."""

    def __init__(
        self,
        headers: Headers,
        slots: Sequence[Slot],
        text: Sequence[bytes] | Base64,
        page: Sequence[bytes] | Base64,
    ) -> None:
        """`slots` are those of the text and of the page; there may be more of them."""
        self._headers, self._slots, self._text, self._page = headers, slots, text, page
        encodings = (b"base64" if isinstance(part, Base64) else b"quoted-printable" for part in (text, page))
        self._start, self._between, self._end = frame(headers.boundary, *encodings)

    def envelope(self, delivery: Delivery) -> Envelope:
        """The envelope of one delivery; the same delivery always gives the same bytes.

        Raises ValueError if the address has control characters.
        """
        values, ways = self._headers.values(delivery, self._slots)
        text, page = _filled(self._text, values, str), _filled(self._page, values, html.escape)
        body = (self._start, *text, self._between, *page, self._end)
        own = self._headers.own(delivery, ways, lambda: hashlib.sha256(b"".join(body)).digest())
        head = CRLF.join((own, *self._headers.shared, b"", b""))
        return Envelope(self._headers.reverse_path(delivery), delivery.address, (head, *body))


def _filled(
    part: Sequence[bytes] | Base64, values: Mapping[Slot, str], escape: Callable[[str], str]
) -> Sequence[bytes]:
    """A part with what is a copy's own, in whole lines."""
    if isinstance(part, Base64):
        return (part.fill(values),)
    filled = {_CONTROLS[slot]: soft_lines(escape(value)) for slot, value in values.items()}
    pieces = [piece if len(piece) > 1 else filled.get(piece, piece) for piece in part]  # a long key is slow to hash
    if Slot.FEEDBACK in values:  # it stands below each paper, the others only around them
        pieces = [piece.replace(_CONTROLS[Slot.FEEDBACK], filled[_CONTROLS[Slot.FEEDBACK]]) for piece in pieces]
    return pieces


class _Encoded:
    """The HTML or the text of pieces, encoded; each when it is first needed.

    `base64` says that they take fewer bytes in base64 and are not encoded here: all copies of an issue agree on it.
    """

    def __init__(self, pieces: Sequence[str]) -> None:
        self._pieces = pieces
        self._papers: dict[int, bytes] = {}
        self._frames: dict[int, Sequence[bytes]] = {}  # cut where something is filled in
        self.base64 = sum(map(_excess, pieces)) > 0

    def joined(
        self, edition: JoinedEdition, around: int, words: Mapping[Mark, str], reasons: Sequence[str]
    ) -> Sequence[bytes]:
        """The part of an edition in several pieces, with the slots of its copies left."""
        known, paper = self._papers.get, self._paper
        shown, lines = [], []
        for (number, line, rank), reason in zip(edition.papers, reasons, strict=True):
            digits = _DIGITS[rank]
            encoded = (known(number) or paper(number)).replace(_RANK, digits)
            shown.append(encoded.replace(_REASON, _short(reason)) if reason else encoded)
            if line != NO_LINE:
                lines.append((known(line) or paper(line)).replace(_RANK, digits))
        filled = {
            _CONTROLS[Mark.GLANCE]: b"".join(lines),
            _CONTROLS[Mark.PAPERS]: b"".join(shown),
            _CONTROLS[Mark.RISING]: b"".join(map(paper, edition.rising)),
        }
        for part in (parts := self._frame(around)):
            if part in _MARKS and part not in filled:
                filled[part] = _short(words[_MARKS[part]])
        return [filled.get(part, part) for part in parts]

    def _paper(self, number: int) -> bytes:
        if number not in self._papers:
            self._papers[number] = b"".join(_lines(plain(self._pieces[number])))
        return self._papers[number]

    def _frame(self, number: int) -> Sequence[bytes]:
        if number not in self._frames:
            *parts, last = _lines(plain(self._pieces[number]))
            self._frames[number] = [*parts, last.removesuffix(b"=\r\n")]
        return self._frames[number]


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


def _soft(text: str) -> bytes:
    """`text` as whole lines of quoted-printable, the same as sent and for DKIM, each ending in a soft line break."""
    if not text:
        return b""
    encoded = soft_end(quoted(text))
    if encoded[:1] == b"." or any(each in encoded for each in _UNFIT):
        return CRLF.join(map(_mended, encoded.split(CRLF)))
    return encoded


_short: Final = lru_cache(maxsize=4096)(_soft)  # many readers have the same reason; HTML and text have it alike


def _mended(line: bytes) -> bytes:
    """A line of quoted-printable without a dot at its beginning, and without a tab or a blank beside another."""
    line = re.sub(rb"^\.|(?<= ) |\t", lambda found: b"=%02X" % ord(found[0]), line)
    if len(line) <= QP_LINE + 1:
        return line
    cut = QP_LINE - 5
    cut -= 1 if line[cut - 1 : cut] == b"=" else 2 if line[cut - 2 : cut - 1] == b"=" else 0
    return line[:cut] + b"=\r\n" + _mended(line[cut:])
