"""The message a reader gets: every header and every byte of its encoding is decided here.

    multipart/alternative
    ├── text/plain; charset=utf-8
    └── text/html; charset=utf-8

A copy differs from another only in its slots. So the message is encoded once per issue, with gaps where the slots are,
and a copy is a row of pieces: 0.01 ms instead of the 3 ms of building an EmailMessage.
"""

from __future__ import annotations

import binascii
import hashlib
import html
import re
from base64 import encodebytes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from email.header import Header
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final, Protocol

from newsletter.links import Links
from newsletter.model import Delivery, Envelope, FrozenIssue, Mailbox, OperatorCopy, Publication, Slot

if TYPE_CHECKING:  # it brings cryptography, which is large
    from newsletter.mail.dkim import Signer

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
    """One issue, encoded: makes each reader's envelope by filling the gaps.

    A message is its own headers, then pieces that all copies share, with gaps between them. The pieces are kept twice:
    as they go over the wire, and as DKIM hashes the body (relaxed: RFC 6376 section 3.4.4).
    """

    def __init__(self, frozen: FrozenIssue, links: Links, signers: Sequence[Signer] = ()) -> None:
        self._frozen, self._links = frozen, links
        self._publication = frozen.publication
        text = _encoder(frozen.rendered.text, lambda value: value)
        page = _encoder(frozen.rendered.html, html.escape)
        boundary = _boundary(frozen)
        shared = _shared_headers(frozen, boundary)
        start, between, end = _frame(boundary, text.encoding, page.encoding)
        self._gaps = (*text.gaps, *page.gaps)
        self._has_preferences = Slot.PREFERENCES in frozen.rendered.text + frozen.rendered.html
        self._wire = _chain([_CRLF.join((b"", *shared, b"", start))], text.wire, [between], page.wire, [end])
        self._canonical = _chain([start], text.canonical, [between], page.canonical, [end])
        self._hashed = hashlib.sha256(self._canonical[0])  # the body up to its first gap
        self._seals = [signer.seal(shared, frozen.frozen_at) for signer in signers]
        self._own = {each.ref: Copies(_of_one(frozen, each), links, signers) for each in _operators(frozen)}

    def envelope(self, delivery: Delivery) -> Envelope:
        """The copy of one reader; the same delivery gives the same bytes. Raises ValueError for a broken address."""
        if _CONTROLS.search(delivery.address):
            raise ValueError(f"{delivery.address!r} has control characters")
        if delivery.ref in self._own:
            return self._own[delivery.ref].envelope(delivery)
        unsubscribe, mailto = self._links.unsubscribe(delivery.ref)
        values = {Slot.UNSUBSCRIBE: unsubscribe, Slot.ADDRESS: delivery.address}
        if self._has_preferences:
            values[Slot.PREFERENCES] = self._links.preferences(delivery.ref)
        filled = [gap.fill(values) for gap in self._gaps]
        headers = self._own_headers(delivery, unsubscribe, mailto)
        if self._seals:
            headers = [*self._signatures(headers, filled), *headers]
        pieces = [b""] * (2 * len(filled) + 2)
        pieces[0], pieces[1::2], pieces[2::2] = _CRLF.join(headers), self._wire, filled
        return Envelope(self._reverse_path(delivery), delivery.address, tuple(pieces))

    def _reverse_path(self, delivery: Delivery) -> str:
        if not self._publication.verp:
            return self._publication.bounce_address
        return self._links.reverse_path(self._frozen.rendered.day, delivery.ref)

    def _signatures(self, headers: Sequence[bytes], filled: Sequence[bytes]) -> list[bytes]:
        body = self._hashed.copy()
        for value, piece in zip(filled, self._canonical[1:], strict=True):
            body.update(value)
            body.update(piece)
        return [seal.sign(headers, body.digest()) for seal in self._seals]

    def _own_headers(self, delivery: Delivery, unsubscribe: str, mailto: str) -> list[bytes]:
        ways = [unsubscribe] if unsubscribe == mailto else [unsubscribe, mailto]
        headers = [
            f"To: {delivery.address}",
            f"Message-ID: {self._links.message_id(self._frozen.rendered.day, delivery.ref)}",
            # Each URI on a line of its own: folded anywhere else, or encoded, one-click is dead (RFC 2369, RFC 8058).
            "List-Unsubscribe: " + ",\r\n ".join(f"<{way}>" for way in ways),
        ]
        if unsubscribe.startswith("https:"):
            headers.append("List-Unsubscribe-Post: List-Unsubscribe=One-Click")  # RFC 8058 section 3.1
        return [header.encode() for header in headers]


def _operators(frozen: FrozenIssue) -> tuple[OperatorCopy, ...]:
    """The reader whose copy has parts of its own, if there is one."""
    return (frozen.rendered.operator,) if frozen.rendered.operator else ()


def _of_one(frozen: FrozenIssue, own: OperatorCopy) -> FrozenIssue:
    """The issue as that reader gets it."""
    return replace(frozen, rendered=replace(frozen.rendered, html=own.html, text=own.text, operator=None))


def compile_copies(frozen: FrozenIssue, links: Links, signers: Sequence[Signer] = ()) -> Copies:
    """Encode an issue once, for all its readers; each copy carries a signature of each of `signers`."""
    return Copies(frozen, links, signers)


# --- headers ---------------------------------------------------------------------------------------------------------


def _shared_headers(frozen: FrozenIssue, boundary: bytes) -> list[bytes]:
    """The headers that are the same in every copy; Date is the moment the issue was frozen, also on a retry."""
    publication = frozen.publication
    domain = publication.sender.domain
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


def header_text(text: str) -> str:
    """`text` as a header may carry it: one line, no control character, nothing that reads as an encoded word."""
    folded = " ".join(_CONTROLS.sub(" ", text).split())
    return _ENCODED_WORD.sub("= ", folded.encode("utf-8", "ignore").decode())[:_LONGEST_HEADER]


def _unstructured(name: str, text: str) -> str:
    """The value of header `name`: ASCII as it is, else encoded words of at most 75 octets (RFC 2047); folded at 76."""
    text = header_text(text)
    charset = "us-ascii" if text.isascii() else "utf-8"
    return Header(text, charset, 76, header_name=name).encode(linesep="\r\n")


def _mailbox(sender: Mailbox) -> str:
    """A From value (RFC 5322 section 3.6.2); the name is quoted or encoded, the address never."""
    return f"{_phrase('From', sender.name)} <{sender.address}>" if header_text(sender.name) else sender.address


def _list_id(publication: Publication) -> str:
    return f"{_phrase('List-Id', publication.title)}\r\n <{publication.list_id}>"


def _phrase(name: str, text: str) -> str:
    """A display name: quoted when ASCII, else encoded words (RFC 5322 section 3.2.5)."""
    text = header_text(text)
    if not text.isascii():
        return _unstructured(name, text)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if re.search(r"[^A-Za-z0-9 !#$%&'*+/=?^_`{|}~-]", text) else text


def _frame(boundary: bytes, text: bytes, html: bytes) -> tuple[bytes, bytes, bytes]:
    """What stands before, between and after the two parts, whose transfer encodings are `text` and `html`."""
    return (
        _CRLF.join((b"--" + boundary, *_part_headers(b"text/plain", text), b"")),
        _CRLF.join((b"", b"--" + boundary, *_part_headers(b"text/html", html), b"")),
        _CRLF.join((b"", b"--" + boundary + b"--", b"")),
    )


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


class _Gap(Protocol):
    """Where the copies of an issue differ."""

    def fill(self, values: Mapping[Slot, str]) -> bytes:
        """One reader's bytes, which stand on lines of their own; the same on the wire and for DKIM."""


@dataclass(frozen=True, slots=True)
class _Part:
    """An encoded part: pieces that all copies share, each beginning at the start of a line, and the gaps between."""

    encoding: bytes
    wire: Sequence[bytes]
    canonical: Sequence[bytes]
    gaps: Sequence[_Gap]


@dataclass(frozen=True, slots=True)
class _SoftLines:
    """A slot in quoted-printable: its value stands between soft breaks, so dots can be stuffed once for all copies."""

    slot: Slot
    escape: Callable[[str], str]

    def fill(self, values: Mapping[Slot, str]) -> bytes:
        """The value in whole lines."""
        return _soft_lines(self.escape(values[self.slot]))


@dataclass(frozen=True, slots=True)
class _Base64:
    """Text whose script quoted-printable would triple: encoded anew for each reader, in 0.2 ms."""

    text: str
    escape: Callable[[str], str]

    def fill(self, values: Mapping[Slot, str]) -> bytes:
        """The whole part, filled and encoded. Base64 has no dots and no blanks."""
        filled = _SLOTS.sub(lambda match: self.escape(values[Slot(match.group())]), self.text)
        return encodebytes(filled.encode()).replace(b"\n", _CRLF).removesuffix(_CRLF)


def _encoder(text: str, escape: Callable[[str], str]) -> _Part:
    """Whichever encoding makes the part smaller."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "ignore").decode().replace("\0", "")
    pieces = _SLOTS.split(text)
    # A piece that ends where a slot begins ends in a soft break, so that the slot has the next line to itself.
    encoded = [_soft_end(_quoted(piece)) for piece in pieces[:-1]] + [_quoted(pieces[-1])]
    crlf_text = text.replace("\n", "\r\n")
    if sum(map(len, encoded)) > len(crlf_text.encode()) * 4 / 3 * 78 / 76:
        return _Part(b"base64", (b"", b""), (b"", b""), [_Base64(crlf_text, escape)])
    assert not any(_BARE.search(piece) for piece in encoded)
    gaps = [_SoftLines(Slot(found), escape) for found in _SLOTS.findall(text)]
    return _Part(b"quoted-printable", [*map(_stuffed, encoded)], [*map(_relaxed, encoded)], gaps)


def _chain(*runs: Sequence[bytes]) -> list[bytes]:
    """The pieces of all `runs`, where the last piece of one and the first of the next, with no gap between, are one."""
    chained = [b""]
    for first, *rest in runs:
        chained[-1] += first
        chained += rest
    return chained


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
