"""Cuts a mail to what its parsers can bear: lines, headers, parts, depth and character sets.

The email package and flufl.bounce take quadratic time over long headers, many parts and some codecs, so the bytes are
cut before either of them sees the mail. The limits are far above what mail systems write; what is lost beyond them is
part of a returned message, or made to do harm. A parser may still be slow within them, so each mail is also parsed in a
child process (process.py).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from typing import Final

LINES: Final = 5_000  # of a mail; the rest is dropped
LINE: Final = 65_536  # bytes of a line of a body, which RFC 5322 section 2.1.1 ends after 998; the rest is dropped
HEADER: Final = 4_096  # bytes of a header with its folded lines; the rest is dropped
BLOCK: Final = 65_536  # bytes of one block of headers, a mail's or a part's; further headers are dropped
PARTS: Final = 200  # lines that begin as boundaries do; the rest of the mail is dropped
DEPTH: Final = 10  # multiparts and messages within one another; a deeper one is read as text

# Character sets that mails are written in, by the names that Python's codecs have for them. Others are read as UTF-8:
# punycode and idna take quadratic time, and rot13, base64, zip and their like are no character sets. The list has those
# of the WHATWG's Encoding Standard, section 4.2, that Python knows, and the code pages of older mail programs.
_CHARSETS: Final = frozenset(
    (
        *("ascii", "utf-8", "utf-8-sig", "utf-7", "utf-16", "utf-16-be", "utf-16-le"),
        *(f"iso8859-{number}" for number in range(1, 17) if number != 12),
        *(f"cp{number}" for number in (437, 720, 737, 775, 850, 852, 855, 857, 858, 860, 861, 862, 863, 864, 865)),
        *(f"cp{number}" for number in (866, 869, 874, 932, 949, 950, *range(1250, 1259))),
        *("koi8-r", "koi8-u", "koi8-t", "tis-620", "mac-roman", "mac-cyrillic", "mac-latin2", "hp-roman8"),
        *("gb2312", "gbk", "gb18030", "hz", "big5", "big5hkscs", "johab", "euc_kr", "iso2022_kr"),
        *("shift_jis", "shift_jisx0213", "shift_jis_2004", "euc_jp", "euc_jisx0213", "euc_jis_2004"),
        *("iso2022_jp", "iso2022_jp_1", "iso2022_jp_2", "iso2022_jp_2004", "iso2022_jp_3", "iso2022_jp_ext"),
    )
)

# Where a header names a character set: as a parameter, in an encoded word (RFC 2047), in an extended parameter
# (RFC 2231).
_NAMED: Final = re.compile(
    rb"""(?i)(charset[ \t]{0,20}=[ \t\n]{0,20}"?)([!-!#-:<-~]{1,60})|(=\?)([^?*\s]{1,60})(?=[?*])"""
    rb"""|(\*=[ \t]{0,20}"?)([!-&(-~]{1,60})(?=')"""
)
_HEADER: Final = re.compile(rb"From |[!-9;-~]*:|[ \t]")  # as email.feedparser recognises one, or its folded line
_TYPE: Final = re.compile(rb"(?i)content-type:[ \t\n]{0,20}(multipart|message)/")
_BOUNDARY: Final = re.compile(rb"""(?i)\bboundary[ \t]{0,20}=[ \t\n]{0,20}(?:"([^"]{1,200})"|([^\s;"]{1,200}))""")


def bounded(raw: bytes) -> bytes:
    """A mail, or a part of one, within the limits of this module; its line ends become LF. Takes linear time."""
    text = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return b"\n".join(_Cut().kept(text.split(b"\n", LINES)[:LINES]))


def charset(name: str | None) -> str:
    """`name` if mails may be decoded with it, else UTF-8."""
    try:
        return name if name and codecs.lookup(name).name in _CHARSETS else "utf-8"
    except (LookupError, ValueError):
        return "utf-8"


class _Cut:
    """Goes through the lines of one mail."""

    def __init__(self) -> None:
        self._in_headers = True
        self._headers: list[list[bytes]] = []  # the lines of each header of the present block
        self._parts = 0
        self._open: list[bytes] = []  # boundaries of the multiparts around the present line; b"" for a message

    def kept(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        for line in lines:
            if line.startswith(b"--") and line.rstrip() != b"--":  # that begins a signature
                yield from self._end_of_headers()
                self._parts += 1
                if self._parts > PARTS:
                    return
                self._at_boundary(line.rstrip())
            elif self._in_headers and _HEADER.match(line):
                self._take(line)
                continue
            else:
                yield from self._end_of_headers()
            yield line[:LINE]
        yield from self._end_of_headers()

    def _take(self, line: bytes) -> None:
        if line[:1] in (b" ", b"\t") and self._headers:
            self._headers[-1].append(line)
        else:
            self._headers.append([line])

    def _at_boundary(self, line: bytes) -> None:
        """A part begins, or a multipart ends; both end what is open within."""
        self._in_headers = True
        for index, boundary in enumerate(self._open):
            if boundary and line in (b"--" + boundary, b"--" + boundary + b"--"):
                del self._open[index + (not line.endswith(boundary + b"--")) :]
                return

    def _end_of_headers(self) -> Iterator[bytes]:
        """The headers of the block that ends here, within their limits."""
        self._in_headers = False
        if not self._headers:
            return
        headers = list(_within_block(self._headers))
        self._headers = []
        found = next(((header, match) for header in headers if (match := _TYPE.match(header))), None)
        if found is not None and len(self._open) >= DEPTH:
            headers = [header for header in headers if not header.lower().startswith(b"content-type:")]
        elif found is not None:
            named = _BOUNDARY.search(found[0])
            self._open.append((named[1] or named[2]).rstrip() if named else b"")
            self._in_headers = found[1][1].lower() == b"message"  # whose own headers come next
        yield from headers


def _within_block(headers: Iterable[list[bytes]]) -> Iterator[bytes]:
    size = 0
    for lines in headers:
        header = _NAMED.sub(_with_a_charset, _shortened(b"\n".join(lines)))
        size += len(header) + 1
        if size > BLOCK:
            return
        yield header


def _shortened(header: bytes) -> bytes:
    """At most HEADER bytes, cut at a blank or line end where there is one: half an address is another address."""
    if len(header) <= HEADER:
        return header
    start = header[:HEADER]
    return start[: max(start.rfind(b" "), start.rfind(b"\n"), start.rfind(b"\t"))] or start


def _with_a_charset(match: re.Match[bytes]) -> bytes:
    before, name = (group for group in match.groups() if group is not None)
    return match[0] if charset(name.decode("ascii", "replace")) != "utf-8" else before + b"utf-8"
