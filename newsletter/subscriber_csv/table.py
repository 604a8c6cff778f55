"""Bytes to rows: the encoding, the separator and the quoting of a list, whatever program wrote it."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from newsletter.errors import AddressError
from newsletter.subscriber_csv.headings import is_address_heading

_BOMS: Final = (  # UTF-32's little-endian mark begins as UTF-16's does
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NOT_TEXT: Final = (
    (b"PK\x03\x04", "a spreadsheet or a zip archive; save or unpack it as CSV"),
    (b"\xd0\xcf\x11\xe0", "an Excel file; save it as CSV"),
    (b"\x1f\x8b", "compressed; unpack it first"),
)
_FOREIGN: Final = re.compile(r"[^\x00-\x7f]{3}")  # no Western language has three accented letters in a row
_SEPARATORS: Final = ",;\t|"
_DECLARED: Final = re.compile(r'\s*"?sep=(.)"?[ \t]*(\r\n|\r|\n|$)', re.IGNORECASE)  # Excel's own first line
_LOOKED_AT: Final = 20  # rows that tell the separator
LONGEST_PREAMBLE: Final = 5  # rows in which a header is looked for

_QUOTED: Final = r'"(?:[^"\\]|\\.|"")*"'
_MAILBOX: Final = re.compile(
    rf"(?:{_QUOTED}\s*+|[^\"<>@]*+)<\s*+(?:mailto:)?([^<>\s@]++@[^<>\s@]++)\s*+>", re.IGNORECASE
)
_ADDRESS: Final = re.compile(r"(?:mailto:)?([^\s<>@,;|\"]+@[^\s<>@,;|\"]+)", re.IGNORECASE)
_INVISIBLE: Final = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060\ufeff]")


@dataclass(frozen=True, slots=True)
class Line:
    """A row that is not empty, its cells stripped. `number` is the line on which it ends, 1 for the file's first."""

    number: int
    cells: tuple[str, ...]


def mailbox(cell: str) -> str | None:
    """The address of ``a@example.org``, ``mailto:a@example.org`` or ``Name <a@example.org>``, not checked further.

    None when the cell is none of these.
    """
    if "@" not in cell:  # nearly every cell of a list
        return None
    found = _MAILBOX.fullmatch(cell) or _ADDRESS.fullmatch(cell)
    return found[1] if found else None


def lines(content: bytes) -> list[Line]:
    """Every row that holds anything. Raises AddressError when the file is no text, or no CSV."""
    text = _text(content)
    if listed := _one_mailbox_per_line(text):
        return listed
    if declared := _DECLARED.match(text):
        return list(_rows(text[declared.end() :], declared[1], skipped=1))
    return list(_rows(text, _separator(text)))


def _text(content: bytes) -> str:
    for begin, said in _NOT_TEXT:
        if content.startswith(begin):
            raise AddressError(f"this is {said}")
    try:
        return content.decode(_encoding(content))
    except UnicodeDecodeError:
        pass
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError:
        text = "???"
    if _FOREIGN.search(text) or "\0" in text:
        raise AddressError("the text is not UTF-8, UTF-16 or Windows-1252; save it as UTF-8")
    return text


def _encoding(content: bytes) -> str:
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            return encoding
    begin = content[:1000]
    if begin.count(0) * 3 > len(begin):  # UTF-16 without a mark: every other byte of ASCII text is 0
        return "utf-16-le" if begin[1::2].count(0) > begin[::2].count(0) else "utf-16-be"
    return "utf-8"


def _one_mailbox_per_line(text: str) -> list[Line]:
    """The lines of a list as Mailman writes it, ``"Doe, Ann" <ann@example.org>``; none when it is something else.

    Quotes and commas mean something else there than in CSV. A line without an @ is a row too, so that it is reported.
    """
    listed = [Line(number, (line.strip(),)) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    addresses = [line.cells[0] for line in listed if "@" in line.cells[0]]
    begins = listed[:1] and (listed[0].cells[0] in addresses[:1] or is_address_heading(listed[0].cells[0]))
    return listed if begins and addresses and all(map(mailbox, addresses)) else []


def _separator(text: str) -> str:
    """The separator with which a column of addresses shows, in rows of one length, and most columns."""

    def quality(separator: str) -> tuple[bool, bool, int]:
        rows = list(islice(filter(any, _cells(text, separator)), _LOOKED_AT))
        if not rows:
            return (False, False, 0)
        headings = any(is_address_heading(cell) for row in rows[:LONGEST_PREAMBLE] for cell in row)
        found = headings or any(mailbox(cell) for row in rows for cell in row)
        width = max(map(len, rows))
        return (found, width > 1 and sum(len(row) == width for row in rows) * 2 >= len(rows), width)

    return max(_SEPARATORS, key=quality)


def _cells(text: str, separator: str) -> Iterator[tuple[str, ...]]:
    """The rows as far as they can be read with this separator."""
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
            yield tuple(_INVISIBLE.sub("", cell).strip() for cell in row)
    except csv.Error:
        return


def _rows(text: str, separator: str, skipped: int = 0) -> Iterator[Line]:
    """The rows of CSV (RFC 4180); `skipped` lines of the file came before `text`.

    Strict: a quote that is left open would take in all that follows as one cell, and say nothing.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    begins = 1
    try:
        for row in reader:
            cells = tuple(_INVISIBLE.sub("", cell).strip() for cell in row)
            if any(cells):
                yield Line(reader.line_num + skipped, cells)
            begins = reader.line_num + 1
    except csv.Error as error:
        said = f'line {begins + skipped}: not CSV: {error}; look for a " that is not closed'
        raise AddressError(said) from error
