"""The subscriber list as CSV: what an import takes, line by line, and what an export writes.

An import takes a file with a header that names the address column, or one address per line. A row that cannot be taken
is reported with its line number; the others are taken.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TextIO

from newsletter import addresses
from newsletter.errors import AddressError
from newsletter.model import Subscriber

# Headings under which list services export the address.
_HEADINGS: Final = (
    "email",
    "e-mail",
    "email address",
    "e-mail address",
    "email_address",
    "address",
    "mail",
    "subscriber",
)

_COLUMNS: Final = ("email", "status", "created_at", "status_at")

# Spreadsheets run a cell that begins so as a formula (CSV injection); an apostrophe in front makes it text.
_FORMULA: Final = ("=", "+", "-", "@")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of an import: its line (1 is the first), and the normalised address or what is wrong with it."""

    line: int
    address: str | None
    problem: str = ""


def read(stream: TextIO) -> Iterator[Row]:
    """Every row that holds anything. Raises AddressError when a header names no address column."""
    reader = csv.reader(stream)
    column: int | None = None
    for cells in reader:
        cells = [cell.strip() for cell in cells]
        if not any(cells):
            continue
        if column is None:
            column, is_header = _column(cells)
            if is_header:
                continue
        yield _row(reader.line_num, cells[column] if column < len(cells) else "")


def write(stream: TextIO, subscribers: Iterable[Subscriber]) -> int:
    """Write all as CSV with a header, times as ISO 8601 in UTC; returns how many."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_COLUMNS)
    number = 0
    for subscriber in subscribers:
        address = f"'{subscriber.address}" if subscriber.address.startswith(_FORMULA) else subscriber.address
        writer.writerow(
            (address, subscriber.status, subscriber.created_at.isoformat(), subscriber.status_at.isoformat())
        )
        number += 1
    return number


def _column(cells: list[str]) -> tuple[int, bool]:
    """Which column holds the address, and whether this first row is a header."""
    names = [cell.lstrip("\ufeff").casefold() for cell in cells]
    for heading in _HEADINGS:
        if heading in names:
            return names.index(heading), True
    for index, cell in enumerate(cells):
        if "@" in cell:
            return index, False
    raise AddressError(f"line 1: no column is named email (found: {', '.join(cells)})")


def _row(line: int, cell: str) -> Row:
    if cell.startswith("'") and cell[1:].startswith(_FORMULA):
        cell = cell[1:]
    try:
        return Row(line, addresses.normalise(cell))
    except AddressError as error:
        return Row(line, None, str(error))
