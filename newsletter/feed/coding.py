"""Undo the content codings of a response, also of one whose label is wrong (RFC 9110 section 8.4). No I/O."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from itertools import chain
from typing import Final

CHUNK: Final = 1 << 16  # bytes
_GZIP: Final = frozenset({"gzip", "x-gzip"})  # RFC 9110 section 8.4.1.3
_DEFLATE: Final = frozenset({"deflate"})  # zlib (section 8.4.1.2); some servers send it without zlib's frame
# What servers give as a coding although it is none: no coding, the name of a charset, or another header's value.
_NO_CODINGS: Final = frozenset(
    {"", "identity", "none", "utf-8", "utf8", "binary", "8bit", "7bit", "chunked", "aws-chunked"}
)
_GZIP_MARK: Final = b"\x1f\x8b"  # RFC 1952 section 2.3.1


class BadCoding(Exception):
    """The body cannot be decoded; the message is the reason. `cut`: it ends too early."""

    def __init__(self, reason: str, *, cut: bool = False) -> None:
        super().__init__(reason)
        self.cut = cut


def coding_of(header: str | None) -> str | None:
    """The coding in a Content-Encoding header that has to be undone; None if there is none.

    Raises BadCoding for one that was not requested, and for several, each of which multiplies what a bomb holds.
    """
    found = [name.strip().strip("\"'").lower() for name in (header or "").split(",")]
    real = [name for name in found if name not in _NO_CODINGS]
    if len(real) > 1 or not _GZIP.union(_DEFLATE).issuperset(real):
        said = "".join(filter(str.isprintable, header or ""))[:40]
        raise BadCoding(f"the response has Content-Encoding {said!r}, which was not requested")
    return next(iter(real), None)


def decoded(raw: Iterator[bytes], coding: str | None) -> Iterator[bytes]:
    """The body in pieces of at most `CHUNK` bytes, so that the size of a bomb is noticed before it is in memory.

    The content decides whether it is gzip: some servers label what is not, and some compress without a label.
    """
    head = b""
    for chunk in raw:
        head += chunk
        if len(head) >= 2:
            break
    whole = chain((head,), raw) if head else iter(())
    if head.startswith(_GZIP_MARK):
        return _inflated(whole, zlib.MAX_WBITS | 16, "gzip")
    if coding in _DEFLATE and (bits := _deflate_bits(head)) is not None:
        return _inflated(whole, bits, "deflate")
    return whole


def _deflate_bits(head: bytes) -> int | None:
    """The `wbits` of zlib for a body labelled deflate; None if it is not compressed."""
    if len(head) > 1 and head[0] & 0x0F == zlib.DEFLATED and int.from_bytes(head[:2], "big") % 31 == 0:
        return zlib.MAX_WBITS  # RFC 1950 section 2.2
    try:
        zlib.decompressobj(-zlib.MAX_WBITS).decompress(head, CHUNK)
    except zlib.error:
        return None
    return -zlib.MAX_WBITS


def _inflated(raw: Iterator[bytes], bits: int, name: str) -> Iterator[bytes]:
    """Raises BadCoding, also if the stream does not end; what follows a complete stream and is none is ignored."""
    decoder = zlib.decompressobj(bits)
    for chunk in raw:
        while chunk:
            try:
                yield decoder.decompress(chunk, CHUNK)
            except zlib.error as error:
                raise BadCoding(f"the response claims to be {name} but is not", cut=True) from error
            chunk = decoder.unconsumed_tail
            if decoder.eof:
                chunk = decoder.unused_data
                if not chunk.startswith(_GZIP_MARK):
                    break
                decoder = zlib.decompressobj(bits)  # another member follows (RFC 1952 section 2.2)
        if decoder.eof and decoder.unused_data:
            for _ in raw:  # read to the end, so that a body that is cut off is noticed
                pass
    if not decoder.eof:
        raise BadCoding(f"the response ends inside its {name} stream", cut=True)
