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

# What is kept encoded of one issue, because many editions have it.
_RANKED: Final = 5000  # papers at a rank, each of 4 KB
_REASONS: Final = 20_000
_WORDS: Final = 1000


class EditionCopies:
    """What makes the copies of an issue's joined editions. Pieces are encoded when an edition first needs them."""

    def __init__(
        self, frozen: FrozenIssue, pieces: Sequence[Piece], links: Links, signers: Sequence[Signer] = ()
    ) -> None:
        self._frozen, self._pieces = frozen, pieces
        self._headers = Headers(frozen, links, signers, by_edition=True)
        self._html = _Encoded([piece.html for piece in pieces], as_html)
        self._text = _Encoded([piece.text for piece in pieces], str, as_text)
        encodings = (b"base64" if part.base64 else b"quoted-printable" for part in (self._text, self._html))
        self._around = frame(self._headers.boundary, *encodings)
        self._slots = [slot for slot in Slot if any(slot in piece.html or slot in piece.text for piece in pieces)]

    def of(self, edition: JoinedEdition) -> JoinedCopies:
        """The copies of one edition; the same edition and delivery always give the same bytes."""
        around_html, around_text = edition.frames
        words = frame_words(edition)
        text: Sequence[bytes] | Base64
        page: Sequence[bytes] | Base64
        if self._text.base64 or self._html.base64:
            whole = joined(edition, self._pieces, self._frozen.rendered.day)
        text = Base64.of(whole.text, str) if self._text.base64 else self._text.joined(edition, around_text, words)
        of_html = self._html
        page = Base64.of(whole.html, html.escape) if of_html.base64 else of_html.joined(edition, around_html, words)
        return JoinedCopies(self._headers.with_subject(edition.subject), self._slots, self._around, text, page)


class JoinedCopies:
    """An edition that is joined, from which each subscriber's envelope is made by filling in what is theirs."""

    def __init__(
        self,
        headers: Headers,
        slots: Sequence[Slot],
        around: tuple[bytes, bytes, bytes],
        text: Sequence[bytes] | Base64,
        page: Sequence[bytes] | Base64,
    ) -> None:
        """`slots` are those of the text and of the page; there may be more of them. `around` is their `frame`."""
        self._headers, self._slots, self._around, self._text, self._page = headers, slots, around, text, page

    def envelope(self, delivery: Delivery) -> Envelope:
        """The envelope of one delivery; the same delivery always gives the same bytes.

        Raises ValueError if the address has control characters.
        """
        values, ways = self._headers.values(delivery, self._slots)
        text, page = _filled(self._text, values, str), _filled(self._page, values, html.escape)
        start, between, end = self._around
        body = (start, *text, between, *page, end)
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

    def __init__(
        self, pieces: Sequence[str], escape: Callable[[str], str], why: Callable[[str], str] | None = None
    ) -> None:
        """`escape` makes words fit to stand in this part, and `why` does so for reasons, if it is another."""
        self._pieces = pieces
        self._papers: dict[int, bytes] = {}
        self._ranked: dict[tuple[int, int, int], tuple[Sequence[bytes], bytes]] = {}
        self._frames: dict[int, Sequence[bytes]] = {}  # cut where something is filled in
        self._word = lru_cache(maxsize=_WORDS)(lambda word: _soft(escape(word)))
        self._reason = lru_cache(maxsize=_REASONS)(lambda reason: _soft((why or escape)(reason)))
        self.base64 = sum(map(_excess, pieces)) > 0

    def joined(self, edition: JoinedEdition, around: int, words: Mapping[Mark, str]) -> Sequence[bytes]:
        """The part of an edition in several pieces, with the slots of its copies left."""
        known, rank = self._ranked.get, self._rank
        papers = [known(paper) or rank(paper) for paper in edition.papers]
        why = map(self._reason, edition.reasons)
        filled = {
            _CONTROLS[Mark.GLANCE]: b"".join([line for _, line in papers]),
            _CONTROLS[Mark.PAPERS]: b"".join([each.join(shown) for each, (shown, _) in zip(why, papers, strict=True)]),
            _CONTROLS[Mark.RISING]: b"".join(map(self._paper, edition.rising)),
        }
        for part in (parts := self._frame(around)):
            if part in _MARKS and part not in filled:
                filled[part] = self._word(words[_MARKS[part]])
        return [filled.get(part, part) for part in parts]

    def _rank(self, paper: tuple[int, int, int]) -> tuple[Sequence[bytes], bytes]:
        """A paper at its rank, cut where its reason stands, and its line."""
        number, line, rank = paper
        digits = _DIGITS[rank]
        shown = self._paper(number).replace(_RANK, digits).split(_REASON)
        if len(self._ranked) >= _RANKED:
            self._ranked.clear()
        made = (shown, b"" if line == NO_LINE else self._paper(line).replace(_RANK, digits))
        self._ranked[paper] = made
        return made

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


def _mended(line: bytes) -> bytes:
    """A line of quoted-printable without a dot at its beginning, and without a tab or a blank beside another."""
    line = re.sub(rb"^\.|(?<= ) |\t", lambda found: b"=%02X" % ord(found[0]), line)
    if len(line) <= QP_LINE + 1:
        return line
    cut = QP_LINE - 5
    cut -= 1 if line[cut - 1 : cut] == b"=" else 2 if line[cut - 2 : cut - 1] == b"=" else 0
    return line[:cut] + b"=\r\n" + _mended(line[cut:])
