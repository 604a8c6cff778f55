"""Decode a feed's bytes, once, so that checks and parsers see the same text. No I/O.

UTF-8 is tried before the declared encoding: other text is hardly ever valid UTF-8 by chance, while wrong declarations
are common. What a declared label means is said in labels.py. A document that fits neither is refused, unless only a few
bytes are wrong, so that nobody gets mojibake.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from typing import Final

from newsletter.feed.entry import NotAFeed
from newsletter.feed.labels import ESCAPED, SINGLE_BYTE, codecs_of

# UTF-32 comes before UTF-16, because its little-endian mark begins with that of UTF-16.
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Encodings by which of the first four bytes are NUL, if the text begins with ASCII characters (RFC 4627 section 3, XML
# 1.0 appendix F). 0 is a NUL byte, x any other.
_NULS: Final = {"000x": "utf-32-be", "x000": "utf-32-le", "0x0x": "utf-16-be", "x0x0": "utf-16-le"}
_DECLARED: Final = re.compile(rb"""<\?xml[^>]{0,200}?encoding\s{0,20}=\s{0,20}["']([\w.:-]{1,40})["']""")
_DECLARED_WITHIN: Final = 10_000  # bytes; warnings of PHP can stand before the declaration
_CHARSET: Final = re.compile(r"""charset\s{0,20}=\s{0,20}["']?([\w.:-]{1,40})""", re.IGNORECASE)
_ASCII: Final = bytes(range(0x20, 0x7F))
_UTF8: Final = frozenset({"utf-8", "utf8"})
_STRAY: Final = 100  # at most one byte in this many may be repaired


def decode(body: bytes, content_type: str | None) -> str:
    """The text of `body` without byte order mark. Raises NotAFeed if its encoding is unknown."""
    for mark, encoding in _MARKS:
        if body.startswith(mark):
            return _wide(body[len(mark) :], encoding)
    nuls = "".join("0" if byte == 0 else "x" for byte in body[:4])
    if wide := _NULS.get(nuls):
        return _wide(body, wide)
    labels = tuple(_declared(body, content_type))
    codecs_declared = tuple(codec for label in labels for codec in codecs_of(label))
    if b"\x1b" in body and codecs_declared[:1] and codecs_declared[0] in ESCAPED:
        return _legacy(body, codecs_declared)
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return _legacy(body, codecs_declared)


def _wide(body: bytes, encoding: str) -> str:
    try:
        return body.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding == "utf-8":
            return _repaired(body)
        raise NotAFeed(f"broken {encoding.upper()}") from error


def _legacy(body: bytes, declared: Sequence[str]) -> str:
    """`body` in the first of the `declared` codecs that fits it, else in UTF-8 or one of them with few errors."""
    for codec in declared:
        try:
            return _in_codec(body, codec)
        except (LookupError, ValueError):
            continue
    return _with_few_errors(body, declared) or _repaired(body)


def _in_codec(body: bytes, codec: str) -> str:
    """`body` in a codec that has ASCII in its place. Raises LookupError or ValueError."""
    if _ASCII.decode(codec) != _ASCII.decode("ascii"):  # UTF-7, EBCDIC or the like, which no feed uses
        raise ValueError(codec)
    return body.decode(codec, "ignore" if codec in SINGLE_BYTE else "strict")


def _with_few_errors(body: bytes, declared: Sequence[str]) -> str | None:
    """`body` in the first declared codec that fits all but a few bytes, such as a summary cut inside a character."""
    for codec in declared:
        try:
            if codec in _UTF8 or _ASCII.decode(codec) != _ASCII.decode("ascii"):
                continue
            text = body.decode(codec, "replace")
        except (LookupError, ValueError):
            continue
        if text.count("\ufffd") * _STRAY <= len(body):
            return text
    return None


def _declared(body: bytes, content_type: str | None) -> Iterator[str]:
    """The declared encodings: first that of Content-Type, then that of the XML declaration (RFC 7303 section 3)."""
    if in_header := _CHARSET.search(content_type or ""):
        yield in_header[1]
    if in_document := _DECLARED.search(body, 0, _DECLARED_WITHIN):
        yield in_document[1].decode("ascii")


def _repaired(body: bytes) -> str:
    """Decode UTF-8 with a few bytes of Windows-1252 in it, such as a pasted quotation mark. Raises NotAFeed."""
    text = body.decode("utf-8", "surrogateescape")
    stray = re.compile("[\udc80-\udcff]")
    if (len(text) - len(stray.sub("", text))) * _STRAY > len(body):
        raise NotAFeed("unknown character encoding: neither UTF-8 nor the encoding it declares")
    return stray.sub(lambda match: bytes([ord(match[0]) - 0xDC00]).decode("cp1252", "replace"), text)
