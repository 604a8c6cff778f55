"""The message a reader gets: every header and every byte of its encoding is decided here.

    multipart/alternative
    ├── text/plain; charset=utf-8
    └── text/html; charset=utf-8

A copy differs from another only in its slots. So the message is encoded once per issue, with gaps where the slots are,
and a copy is joined from the pieces: 0.01 ms instead of the 3 ms of building an EmailMessage.
"""

from __future__ import annotations

import binascii
import hashlib
import html
import re
from base64 import encodebytes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.header import Header
from email.utils import format_datetime, parseaddr
from typing import TYPE_CHECKING, Final

from newsletter.links import Links
from newsletter.model import Delivery, Envelope, FrozenIssue, Publication, Slot

if TYPE_CHECKING:  # it brings cryptography, which is large
    from newsletter.dkim import Signer

_CRLF: Final = b"\r\n"
_SLOTS: Final = re.compile("|".join(re.escape(slot) for slot in Slot))

# What one line of an encoded body may hold (RFC 2045 sections 6.7 and 6.8), without the soft break's "=".
_QP_LINE: Final = 75

_BARE: Final = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")  # SMTP smuggling, CVE-2023-51764
_LITERAL: Final = re.compile(r"[!-\-/-<>-~][!-<>-~]*")  # what quoted-printable leaves as it is, no dot in front
_BLANKS: Final = re.compile(rb"[ \t]+")

# C0, DEL, C1, and the line and paragraph separators: nothing a header may carry, encoded or not. CPython before 3.13
# turns an encoded word that holds a line break into a header of its own (CVE-2024-6923), hence also _ENCODED_WORD.
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_LONGEST_HEADER: Final = 500  # characters: a word cannot be folded, and no line may have more than 998 octets
_ENCODED_WORD: Final = re.compile(r"=(?=\?)")


class Copies:
    """One issue, encoded: makes each reader's envelope by filling the gaps."""

    def __init__(self, frozen: FrozenIssue, links: Links, signers: Sequence[Signer] = ()) -> None:
        self._frozen, self._links, self._signers = frozen, links, signers
        self._publication = frozen.publication
        self._text = _encoder(frozen.rendered.text, lambda value: value)
        self._html = _encoder(frozen.rendered.html, html.escape)
        self._boundary = _boundary(frozen)
        self._shared = _shared_headers(frozen, self._boundary)
        self._frame = self._framed()

    def envelope(self, delivery: Delivery) -> Envelope:
        """The copy of one reader; the same delivery gives the same bytes. Raises ValueError for a broken address."""
        if _CONTROLS.search(delivery.address):
            raise ValueError(f"{delivery.address!r} has control characters")
        unsubscribe, mailto = self._links.unsubscribe(delivery.ref)
        values = {
            Slot.UNSUBSCRIBE: unsubscribe,
            Slot.PREFERENCES: self._links.preferences(delivery.ref),
            Slot.ADDRESS: delivery.address,
        }
        headers = [*self._own_headers(delivery, unsubscribe, mailto), *self._shared]
        text, html = self._text.fill(values), self._html.fill(values)
        signatures = self._signatures(headers, text, html) if self._signers else []
        start, between, end = self._frame
        message = b"".join((_CRLF.join((*signatures, *headers, b"", b"")), start, text.wire, between, html.wire, end))
        return Envelope(self._reverse_path(delivery), delivery.address, message)

    def _reverse_path(self, delivery: Delivery) -> str:
        if not self._publication.verp:
            return self._publication.bounce_address
        return self._links.reverse_path(self._frozen.rendered.day, delivery.ref)

    def _framed(self) -> tuple[bytes, bytes, bytes]:
        """What stands before, between and after the two parts."""
        boundary = b"--" + self._boundary
        return (
            _CRLF.join((boundary, *_part_headers(b"text/plain", self._text.encoding), b"")),
            _CRLF.join((b"", boundary, *_part_headers(b"text/html", self._html.encoding), b"")),
            _CRLF.join((b"", boundary + b"--", b"")),
        )

    def _signatures(self, headers: Sequence[bytes], text: _Filled, html: _Filled) -> list[bytes]:
        start, between, end = self._frame
        body = hashlib.sha256(start)
        for piece in (text.canonical, between, html.canonical, end):
            body.update(piece)
        return [signer.sign(headers, body.digest(), self._frozen.frozen_at) for signer in self._signers]

    def _own_headers(self, delivery: Delivery, unsubscribe: str, mailto: str) -> list[bytes]:
        ways = [unsubscribe] if unsubscribe == mailto else [unsubscribe, mailto]
        headers = [
            ("To", delivery.address),
            ("Message-ID", self._links.message_id(self._frozen.rendered.day, delivery.ref)),
            # Each URI on a line of its own: folded anywhere else, or encoded, one-click is dead (RFC 2369, RFC 8058).
            ("List-Unsubscribe", ",\r\n ".join(f"<{way}>" for way in ways)),
        ]
        if unsubscribe.startswith("https:"):
            headers.append(("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"))  # RFC 8058 section 3.1
        return [f"{name}: {value}".encode() for name, value in headers]


def compile_copies(frozen: FrozenIssue, links: Links, signers: Sequence[Signer] = ()) -> Copies:
    """Encode an issue once, for all its readers; each copy carries a signature of each of `signers`."""
    return Copies(frozen, links, signers)


# --- headers ---------------------------------------------------------------------------------------------------------


def _shared_headers(frozen: FrozenIssue, boundary: bytes) -> list[bytes]:
    """The headers that are the same in every copy; Date is the moment the issue was frozen, also on a retry."""
    publication = frozen.publication
    domain = parseaddr(publication.sender)[1].rpartition("@")[2]
    headers = (
        ("From", _mailbox(publication.sender)),
        ("Subject", _unstructured("Subject", frozen.rendered.subject)),
        ("Date", format_datetime(frozen.frozen_at)),
        ("List-Id", _list_id(publication)),  # RFC 2919
        ("Auto-Submitted", "auto-generated"),  # RFC 3834: no vacation mail back
        ("X-Auto-Response-Suppress", "OOF, AutoReply"),  # the same for Exchange
        ("Precedence", "bulk"),  # not standardised; older responders read it
        # Gmail's feedback loop: three fields of ours and the sender, constant over the list's life.
        ("Feedback-ID", f"{frozen.rendered.day:%Y%m%d}:{publication.list_id}:digest:{domain}"),
        ("X-Issue", frozen.rendered.day.isoformat()),
        ("MIME-Version", "1.0"),
        ("Content-Type", f'multipart/alternative;\r\n boundary="{boundary.decode()}"'),
    )
    return [f"{name}: {value}".encode() for name, value in headers]


def plain(text: str) -> str:
    """`text` as a header may carry it: one line, no control character, nothing that reads as an encoded word."""
    folded = " ".join(_CONTROLS.sub(" ", text).split())
    return _ENCODED_WORD.sub("= ", folded.encode("utf-8", "ignore").decode())[:_LONGEST_HEADER]


def _unstructured(name: str, text: str) -> str:
    """The value of header `name`: ASCII as it is, else encoded words of at most 75 octets (RFC 2047); folded at 76."""
    text = plain(text)
    charset = "us-ascii" if text.isascii() else "utf-8"
    return Header(text, charset, 76, header_name=name).encode(linesep="\r\n")


def _mailbox(sender: str) -> str:
    """A From value; the name is quoted or encoded, the address never."""
    name, address = parseaddr(sender)
    return f"{_phrase('From', name)} <{address}>" if plain(name) else address


def _list_id(publication: Publication) -> str:
    return f"{_phrase('List-Id', publication.title)}\r\n <{publication.list_id}>"


def _phrase(name: str, text: str) -> str:
    """A display name: quoted when ASCII, else encoded words (RFC 5322 section 3.2.5)."""
    text = plain(text)
    if not text.isascii():
        return _unstructured(name, text)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if re.search(r"[^A-Za-z0-9 !#$%&'*+/=?^_`{|}~-]", text) else text


def _part_headers(content_type: bytes, encoding: bytes) -> list[bytes]:
    return [
        b"Content-Type: " + content_type + b"; charset=utf-8",
        b"Content-Transfer-Encoding: " + encoding,
        b"",
    ]


def _boundary(frozen: FrozenIssue) -> bytes:
    """A boundary that is the same on every run. "=_" cannot occur in quoted-printable nor in base64 (RFC 2045 6.7)."""
    seen = f"{frozen.publication.list_id}\0{frozen.rendered.day}".encode()
    return b"=_" + hashlib.sha256(seen).hexdigest()[:32].encode()


# --- bodies with gaps ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Filled:
    """A part of one reader's copy, as it goes over the wire and as DKIM hashes it (RFC 6376 section 3.4.4)."""

    wire: bytes
    canonical: bytes


@dataclass(frozen=True, slots=True)
class _QuotedPrintable:
    """Pieces of encoded text with slots between; each slot's value stands on lines of its own, between soft breaks.

    So every piece and every value begins at the start of a line, and dots can be stuffed once for all copies.
    """

    wire: Sequence[bytes]
    canonical: Sequence[bytes]
    slots: Sequence[Slot]
    escape: Callable[[str], str]
    encoding = b"quoted-printable"

    def fill(self, values: Mapping[Slot, str]) -> _Filled:
        """The encoded part for one reader."""
        encoded = {slot: _soft_lines(self.escape(value)) for slot, value in values.items()}
        own = [encoded[slot] for slot in self.slots]
        return _Filled(_interleave(self.wire, own), _interleave(self.canonical, own))


def _interleave(pieces: Sequence[bytes], values: Sequence[bytes]) -> bytes:
    out = [b""] * (2 * len(values) + 1)
    out[::2], out[1::2] = pieces, values
    return b"".join(out)


@dataclass(frozen=True, slots=True)
class _Base64:
    """Text whose script quoted-printable would triple: encoded anew for each reader, in 0.2 ms."""

    text: str
    escape: Callable[[str], str]
    encoding = b"base64"

    def fill(self, values: Mapping[Slot, str]) -> _Filled:
        """The encoded part for one reader. Base64 has no dots and no blanks."""
        filled = _SLOTS.sub(lambda match: self.escape(values[Slot(match.group())]), self.text)
        encoded = encodebytes(filled.encode()).replace(b"\n", _CRLF).removesuffix(_CRLF)
        return _Filled(encoded, encoded)


def _encoder(text: str, escape: Callable[[str], str]) -> _QuotedPrintable | _Base64:
    """Whichever encoding makes the part smaller."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "ignore").decode().replace("\0", "")
    slots = [Slot(found) for found in _SLOTS.findall(text)]
    pieces = _SLOTS.split(text)
    # A piece that ends where a slot begins ends in a soft break, so that the slot has the next line to itself.
    encoded = [_soft_end(_quoted(piece)) for piece in pieces[:-1]] + [_quoted(pieces[-1])]
    crlf_text = text.replace("\n", "\r\n")
    if sum(map(len, encoded)) <= len(crlf_text.encode()) * 4 / 3 * 78 / 76:
        assert not any(_BARE.search(piece) for piece in encoded)
        return _QuotedPrintable([*map(_stuffed, encoded)], [*map(_relaxed, encoded)], slots, escape)
    return _Base64(crlf_text, escape)


def _stuffed(encoded: bytes) -> bytes:
    """Dot-stuffed (RFC 5321 section 4.5.2), from the start of a line on."""
    return re.sub(rb"(?m)^\.", b"..", encoded)


def _relaxed(encoded: bytes) -> bytes:
    """DKIM's relaxed form of lines that have no blanks at their ends, as quoted-printable has none."""
    return _BLANKS.sub(b" ", encoded)


def _quoted(text: str) -> bytes:
    """Quoted-printable with CRLF, lines of at most 76 (RFC 2045 section 6.7); the stdlib's email package writes 78."""
    return binascii.b2a_qp(text.encode(), istext=True).replace(b"\n", _CRLF)


def _soft_end(encoded: bytes) -> bytes:
    """`encoded` with a soft break after it, in a line of its own when the last one is full; never cut inside an =XX."""
    last = encoded.rpartition(_CRLF)[2]
    if len(last) > _QP_LINE:
        tail = 3 if last[-3:-2] == b"=" else 1
        encoded = encoded[:-tail] + b"=\r\n" + encoded[-tail:]
    return encoded + b"=\r\n"


def _soft_lines(value: str) -> bytes:
    """One reader's value as whole lines, each ending in a soft break; never cut inside an =XX."""
    if len(value) <= _QP_LINE and _LITERAL.fullmatch(value):  # nearly every one
        return value.encode() + b"=\r\n"
    lines: list[bytes] = []
    line = b""
    for byte in value.encode():
        literal = 33 <= byte <= 126 and byte != 0x3D and (line or byte != 0x2E)  # no dot to stuff
        token = bytes((byte,)) if literal else b"=%02X" % byte
        if len(line) + len(token) > _QP_LINE:
            lines.append(line)
            line = b""
        line += token
    return b"".join(each + b"=\r\n" for each in (*lines, line))
