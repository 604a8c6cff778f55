"""Build the message of each copy: all headers, and the encoding of the body.

    multipart/alternative
    ├── text/plain; charset=utf-8
    └── text/html; charset=utf-8

Copies of an issue differ only in their slots and a few headers. The message is therefore encoded once per issue, with
gaps in place of the slots, and a copy is a list of shared pieces and filled gaps. This takes 0.01 ms per copy; building
an EmailMessage takes 3 ms.
"""

from __future__ import annotations

import binascii
import hashlib
import html
import re
from base64 import b64encode, encodebytes
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.header import Header
from email.utils import format_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from newsletter.links import Links
from newsletter.model import Delivery, Envelope, FrozenIssue, Mailbox, Publication, Slot

if TYPE_CHECKING:  # it imports cryptography, which is large
    from newsletter.mail.dkim import Signer

CRLF: Final = b"\r\n"
SLOTS: Final = re.compile("|".join(re.escape(slot) for slot in Slot))

# Characters of a quoted-printable line without the "=" of a soft line break (RFC 2045 section 6.7).
QP_LINE: Final = 75

# By what factor base64 enlarges a text (RFC 2045 section 6.8), with the ends of its lines.
BASE64_GROWTH: Final = 4 / 3 * 78 / 76

# The same for quoted-printable text in which nothing is to be escaped: soft line breaks.
QP_GROWTH: Final = 78 / 75

_BARE: Final = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")  # bare CR or LF allows SMTP smuggling (CVE-2023-51764)
_LITERAL: Final = re.compile(r"[!-\-/-<>-~][!-<>-~]*")  # text that quoted-printable leaves as it is, no dot in front
_ESCAPED_NOWHERE: Final = re.compile(r"[!#-%(-\-/-;?-~][!#-%(-;?-~]*")  # the same, and HTML leaves it as it is, too
_BLANKS: Final = re.compile(rb"[ \t]+")

# C0, DEL, C1, and the line and paragraph separators, which no header may have, even encoded. Older releases of CPython
# turn an encoded word with a line break into another header (CVE-2024-6923); _ENCODED_WORD prevents this.
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_LONGEST_HEADER: Final = 500  # characters: a long word cannot be folded, and a line has at most 998 octets (RFC 5322)
_LINE: Final = 76  # characters of a line with an encoded word (RFC 2047 section 2)

# What an encoded word in a display name does not hold as it is (RFC 2047 section 5), and how a byte of a character that
# is not its first is written in one.
_TO_ESCAPE: Final = re.compile(r"[^A-Za-z0-9!*+/-]")
_CONTINUED: Final = ("=8", "=9", "=A", "=B")

_ENCODED_WORD: Final = re.compile(r"=(?=\?)")

_T = TypeVar("_T", str, bytes)


class Headers:
    """The headers of an issue's copies: those that all share, and those of each.

    With `by_edition`, copies of the issue differ in their subject, too, which `own` is given.
    """

    def __init__(
        self, frozen: FrozenIssue, links: Links, signers: Sequence[Signer] = (), *, by_edition: bool = False
    ) -> None:
        self._frozen, self._links = frozen, links
        self._publication = frozen.publication
        self.boundary = _boundary(frozen)
        shared = _shared_headers(frozen, self.boundary)
        self.shared = [each for each in shared if not (by_edition and each.startswith(b"Subject:"))]
        self._seals = [signer.seal(self.shared, frozen.frozen_at) for signer in signers]

    def values(self, delivery: Delivery, slots: Collection[Slot]) -> tuple[dict[Slot, str], Sequence[str]]:
        """What one copy has in place of its slots, and how its reader can leave: an address of the web, and of mail.

        What `slots` does not name may be left out. Raises ValueError if the address has control characters.
        """
        if _CONTROLS.search(delivery.address):
            raise ValueError(f"{delivery.address!r} has control characters")
        ways = self._links.unsubscribe(delivery.ref)
        values = {Slot.UNSUBSCRIBE: ways[0], Slot.ADDRESS: delivery.address}
        if Slot.PREFERENCES in slots:
            values[Slot.PREFERENCES] = self._links.preferences(delivery.ref)
        if Slot.FEEDBACK in slots:
            values[Slot.FEEDBACK] = self._links.feedback(delivery.ref)
        return values, ways

    def own(self, delivery: Delivery, ways: Sequence[str], digest: Callable[[], bytes], *more: str) -> bytes:
        """The headers of one copy whose reader can leave in these `ways`; no line end stands after the last.

        `digest` gives the hash of its body for DKIM. `more` are headers that not all copies of the issue share.
        """
        headers = [*self._own_headers(delivery, *ways), *more]
        if not self._seals:
            return "\r\n".join(headers).encode()
        signed, body = [header.encode() for header in headers], digest()
        return CRLF.join((*(seal.sign(signed, body) for seal in self._seals), *signed))

    def reverse_path(self, delivery: Delivery) -> str:
        """The address to which reports about a copy go."""
        if not self._publication.verp:
            return self._publication.bounce_address
        return self._links.reverse_path(self._frozen.rendered.day, delivery.ref)

    def _own_headers(self, delivery: Delivery, unsubscribe: str, mailto: str) -> list[str]:
        # One URI per line: a URI that is folded or encoded breaks one-click (RFC 2369 section 2, RFC 8058).
        ways = f"<{mailto}>" if unsubscribe == mailto else f"<{unsubscribe}>,\r\n <{mailto}>"
        headers = [
            f"To: {delivery.address}",
            f"Message-ID: {self._links.message_id(self._frozen.rendered.day, delivery.ref)}",
            f"List-Unsubscribe: {ways}",
        ]
        if unsubscribe.startswith("https:"):
            headers.append("List-Unsubscribe-Post: List-Unsubscribe=One-Click")  # RFC 8058 section 3.1
        return headers


class Copies:
    """An encoded issue, from which each subscriber's envelope is made by filling the gaps.

    A message consists of its own headers and then of pieces that all copies share, with gaps between them. The pieces
    are kept in two forms: as sent, and as DKIM hashes the body (relaxed canonicalisation, RFC 6376 section 3.4.4).
    """

    def __init__(self, frozen: FrozenIssue, links: Links, signers: Sequence[Signer] = ()) -> None:
        self._headers = headers = Headers(frozen, links, signers)
        text = _encoder(frozen.rendered.text, lambda value: value)
        page = _encoder(frozen.rendered.html, html.escape)
        start, between, end = frame(headers.boundary, text.encoding, page.encoding)
        gaps = (*text.gaps, *page.gaps)
        self._gaps = tuple(dict.fromkeys(gaps))  # each is filled once: an edition has the same one below each paper
        self._places = [self._gaps.index(gap) for gap in gaps]
        self._slots = set(SLOTS.findall(frozen.rendered.text + frozen.rendered.html))
        self._wire = _chain([CRLF.join((b"", *headers.shared, b"", start))], text.wire, [between], page.wire, [end])
        self._canonical = _chain([start], text.canonical, [between], page.canonical, [end])
        self._hashed = hashlib.sha256(self._canonical[0])  # the body up to its first gap

    def envelope(self, delivery: Delivery) -> Envelope:
        """The envelope of one delivery; the same delivery always gives the same bytes.

        Raises ValueError if the address has control characters.
        """
        values, ways = self._headers.values(delivery, self._slots)
        made = [gap.fill(values) for gap in self._gaps]
        filled = [made[place] for place in self._places]
        headers = self._headers.own(delivery, ways, lambda: self._digest(filled))
        pieces = [b""] * (2 * len(filled) + 2)
        pieces[0], pieces[1::2], pieces[2::2] = headers, self._wire, filled
        return Envelope(self._headers.reverse_path(delivery), delivery.address, tuple(pieces))

    def _digest(self, filled: Sequence[bytes]) -> bytes:
        body = self._hashed.copy()
        for value, piece in zip(filled, self._canonical[1:], strict=True):
            body.update(value)
            body.update(piece)
        return body.digest()


def compile_copies(frozen: FrozenIssue, links: Links, signers: Sequence[Signer] = ()) -> Copies:
    """Encode an issue for all its recipients. Each copy gets a DKIM signature from each of `signers`."""
    return Copies(frozen, links, signers)


# --- headers ---------------------------------------------------------------------------------------------------------


def _shared_headers(frozen: FrozenIssue, boundary: bytes) -> list[bytes]:
    """The headers that all copies share. Date is the time when the issue was frozen, also for a copy sent again."""
    publication = frozen.publication
    domain = publication.sender.domain
    headers = (
        ("From", _mailbox(publication.sender)),
        ("Subject", _unstructured("Subject", frozen.rendered.subject)),
        ("Date", format_datetime(frozen.frozen_at)),
        ("List-Id", _list_id(publication)),  # RFC 2919
        ("Auto-Submitted", "auto-generated"),  # RFC 3834 section 5: no automatic replies
        ("X-Auto-Response-Suppress", "OOF, AutoReply"),  # the same for Microsoft Exchange
        ("Precedence", "bulk"),  # not standardised (RFC 3834 section 3.1.8), but older responders heed it
        # Gmail's Feedback Loop: up to three identifiers of our choice, then the sender, which must not change.
        ("Feedback-ID", f"{frozen.rendered.day:%Y%m%d}:{publication.list_id}:digest:{domain}"),
        ("X-Issue", frozen.rendered.day.isoformat()),
        ("MIME-Version", "1.0"),
        ("Content-Type", f'multipart/alternative;\r\n boundary="{boundary.decode()}"'),
    )
    return [_header(name, value) for name, value in headers]


@lru_cache(maxsize=4096)  # editions that begin with the same paper may have the same subject
def subject_header(subject: str) -> str:
    """The header of an edition's subject."""
    return f"Subject: {_unstructured('Subject', subject)}"


def _header(name: str, value: str) -> bytes:
    return f"{name}: {value}".encode()


def header_text(text: str) -> str:
    """`text` made safe for a header: one line of at most 500 characters without control characters or encoded words."""
    folded = " ".join(_CONTROLS.sub(" ", text).split())
    return _ENCODED_WORD.sub("= ", folded.encode("utf-8", "ignore").decode())[:_LONGEST_HEADER]


def _unstructured(name: str, text: str) -> str:
    """The value of header `name`, folded at 76 characters: ASCII as it is, other text as encoded words (RFC 2047)."""
    text = header_text(text)
    if not text.isascii():
        return _encoded_words(name, text)
    return (
        text
        if len(name) + 2 + len(text) <= _LINE
        else Header(text, "us-ascii", _LINE, header_name=name).encode(linesep="\r\n")
    )


def _encoded_words(name: str, text: str) -> str:
    """`text` as encoded words of at most 75 characters (RFC 2047 section 2), in the shorter of the two encodings."""
    written, encoded = _TO_ESCAPE.sub(_escaped, text), text.encode()
    if len(written) > len(encoded) * 4 / 3:
        words = (f"=?utf-8?b?{b64encode(encoded[each]).decode()}?=" for each in _words(encoded, name, 45, _inside))
    else:
        words = (f"=?utf-8?q?{written[each]}?=" for each in _words(written, name, 63, _inside_escaped))
    return "\r\n ".join(words)


def _words(text: _T, name: str, most: int, inside: Callable[[_T, int], bool]) -> Iterator[slice]:
    """Divide `text` into words of at most `most`; the first follows a header's name.

    `inside` says whether a place is inside a character, which may not be divided.
    """
    start, end = 0, most - len(name) - 1
    while start < len(text):
        while end < len(text) and inside(text, end):
            end -= 1
        yield slice(start, end)
        start, end = end, end + most


def _inside(encoded: bytes, at: int) -> bool:
    return encoded[at] & 0xC0 == 0x80


def _inside_escaped(written: str, at: int) -> bool:
    return "=" in written[at - 2 : at] or written[at : at + 2] in _CONTINUED


def _escaped(found: re.Match[str]) -> str:
    return "_" if found[0] == " " else "".join([f"={byte:02X}" for byte in found[0].encode()])


def _mailbox(sender: Mailbox) -> str:
    """A From value (RFC 5322 section 3.6.2); the name is quoted or encoded, the address never."""
    return f"{_phrase('From', sender.name)} <{sender.address}>" if header_text(sender.name) else sender.address


def _list_id(publication: Publication) -> str:
    return f"{_phrase('List-Id', publication.title)}\r\n <{publication.list_id}>"


def _phrase(name: str, text: str) -> str:
    """A display name (RFC 5322 section 3.2.5): ASCII quoted if necessary, other text as encoded words."""
    text = header_text(text)
    if not text.isascii():
        return _unstructured(name, text)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if re.search(r"[^A-Za-z0-9 !#$%&'*+/=?^_`{|}~-]", text) else text


def frame(boundary: bytes, text: bytes, html: bytes) -> tuple[bytes, bytes, bytes]:
    """The bytes before, between and after the two parts, whose Content-Transfer-Encodings are `text` and `html`."""
    return (
        CRLF.join((b"--" + boundary, *_part_headers(b"text/plain", text), b"")),
        CRLF.join((b"", b"--" + boundary, *_part_headers(b"text/html", html), b"")),
        CRLF.join((b"", b"--" + boundary + b"--", b"")),
    )


def _part_headers(content_type: bytes, encoding: bytes) -> list[bytes]:
    return [
        b"Content-Type: " + content_type + b"; charset=utf-8",
        b"Content-Transfer-Encoding: " + encoding,
        b"",
    ]


def _boundary(frozen: FrozenIssue) -> bytes:
    """The boundary, the same on every run. No quoted-printable or base64 text contains "=_" (RFC 2045 section 6.7)."""
    seen = f"{frozen.publication.list_id}\0{frozen.rendered.day}".encode()
    return b"=_" + hashlib.sha256(seen).hexdigest()[:32].encode()


# --- bodies with gaps ------------------------------------------------------------------------------------------------


class _Gap(Protocol):
    """A place where the copies of an issue differ."""

    def fill(self, values: Mapping[Slot, str]) -> bytes:
        """The bytes for one copy, in whole lines; they are the same when sent and for DKIM."""


@dataclass(frozen=True, slots=True)
class _Part:
    """An encoded body part: pieces that all copies share, each beginning on a new line, and the gaps between them."""

    encoding: bytes
    wire: Sequence[bytes]
    canonical: Sequence[bytes]
    gaps: Sequence[_Gap]


@dataclass(frozen=True, slots=True)
class _SoftLines:
    """A slot in a quoted-printable part. Soft line breaks around its value let the pieces be dot-stuffed once."""

    slot: Slot
    escape: Callable[[str], str]

    def fill(self, values: Mapping[Slot, str]) -> bytes:
        """The slot's value, encoded in whole lines."""
        value = values[self.slot]
        if len(value) <= QP_LINE and _ESCAPED_NOWHERE.fullmatch(value):  # the usual case, and the fast one
            return value.encode() + b"=\r\n"
        return soft_lines(self.escape(value))


@dataclass(frozen=True, slots=True)
class Base64:
    """A whole part in base64, for scripts that quoted-printable makes three times as long; 0.2 ms for each copy."""

    text: str  # its lines end in CRLF
    escape: Callable[[str], str]

    @classmethod
    def of(cls, text: str, escape: Callable[[str], str]) -> Base64:
        """The part of this text; `escape` is applied to the slots' values."""
        return cls(plain(text).replace("\n", "\r\n"), escape)

    def fill(self, values: Mapping[Slot, str]) -> bytes:
        """The part with its slots filled, encoded. Base64 has neither dots to stuff nor blanks to canonicalise."""
        filled = SLOTS.sub(lambda match: self.escape(values[Slot(match.group())]), self.text)
        return encodebytes(filled.encode()).replace(b"\n", CRLF).removesuffix(CRLF)


def _encoder(text: str, escape: Callable[[str], str]) -> _Part:
    """Encode a part in quoted-printable or base64, whichever is smaller. `escape` is applied to the slots' values."""
    text = plain(text)
    pieces = SLOTS.split(text)
    # A piece before a slot ends in a soft line break, so that the slot begins on a new line.
    encoded = [soft_end(quoted(piece)) for piece in pieces[:-1]] + [quoted(pieces[-1])]
    if sum(map(len, encoded)) > (len(text.encode()) + text.count("\n")) * BASE64_GROWTH:
        return _Part(b"base64", (b"", b""), (b"", b""), [Base64.of(text, escape)])
    assert not any(_BARE.search(piece) for piece in encoded)
    gaps = [_SoftLines(Slot(found), escape) for found in SLOTS.findall(text)]
    return _Part(b"quoted-printable", [*map(_stuffed, encoded)], [*map(_relaxed, encoded)], gaps)


def plain(text: str) -> str:
    """`text` as a part can hold it: every line ends in LF, there is no NUL and no half of a surrogate pair."""
    return text.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "ignore").decode().replace("\0", "")


def _chain(*runs: Sequence[bytes]) -> list[bytes]:
    """The pieces of all `runs` in sequence. The last piece of a run and the first of the next are joined."""
    chained = [b""]
    for first, *rest in runs:
        chained[-1] += first
        chained += rest
    return chained


def _stuffed(encoded: bytes) -> bytes:
    """`encoded`, which begins on a new line, with its dots stuffed (RFC 5321 section 4.5.2)."""
    return re.sub(rb"(?m)^\.", b"..", encoded)


def _relaxed(encoded: bytes) -> bytes:
    """DKIM's relaxed form of lines without trailing blanks, which quoted-printable never has."""
    return _BLANKS.sub(b" ", encoded)


def quoted(text: str) -> bytes:
    """Quoted-printable with CRLF in lines of at most 76 characters (RFC 2045 section 6.7); `email` would use 78."""
    return binascii.b2a_qp(text.encode(), istext=True).replace(b"\n", CRLF)


def soft_end(encoded: bytes) -> bytes:
    """`encoded` with a soft line break after it. If its last line is full, the end of that line moves to a new one."""
    last = encoded.rpartition(CRLF)[2]
    if len(last) > QP_LINE:
        tail = 3 if last[-3:-2] == b"=" else 1
        encoded = encoded[:-tail] + b"=\r\n" + encoded[-tail:]
    return encoded + b"=\r\n"


def soft_lines_of_both(value: str) -> tuple[bytes, bytes]:
    """`soft_lines` of a slot's value in the text, and in the page, where HTML may escape it."""
    if len(value) <= QP_LINE and _ESCAPED_NOWHERE.fullmatch(value):  # the usual case, and the fast one
        lines = value.encode() + b"=\r\n"
        return lines, lines
    lines = soft_lines(value)
    return (lines, lines) if _ESCAPED_NOWHERE.fullmatch(value) else (lines, soft_lines(html.escape(value)))


def soft_lines(value: str) -> bytes:
    """`value` in quoted-printable as whole lines, each ending in a soft line break, never broken inside an =XX."""
    if _LITERAL.fullmatch(value):  # the usual case, and the fast one
        parts = [value[start : start + QP_LINE] for start in range(0, len(value), QP_LINE)]
        if "." not in [part[0] for part in parts]:
            return "=\r\n".join((*parts, "")).encode()
    lines: list[bytes] = []
    line = b""
    for byte in value.encode():
        literal = 33 <= byte <= 126 and byte != 0x3D and (line or byte != 0x2E)  # no line begins with a dot
        token = bytes((byte,)) if literal else b"=%02X" % byte
        if len(line) + len(token) > QP_LINE:
            lines.append(line)
            line = b""
        line += token
    return b"".join(each + b"=\r\n" for each in (*lines, line))
