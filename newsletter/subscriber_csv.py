"""The subscriber list as CSV: what an import takes, line by line, and what an export writes.

An import takes a file with a header that names the address column, or one address per line. A row that cannot be taken
is reported with its line number; the others are taken. What an export writes, an import reads back.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final, TextIO

from newsletter import addresses
from newsletter.errors import AddressError
from newsletter.model import EVERY_DAY, NewSubscriber, Subscriber, SubscriberStatus
from newsletter.text import WEEKDAYS, weekdays

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

# Spreadsheets run a cell that begins so as a formula (CSV injection); an apostrophe in front makes it text. One that
# begins with apostrophes before such a character gets one more, so that reading can take one away.
_FORMULA: Final = re.compile(r"'*[=+@-]")
_GUARDED: Final = re.compile(r"'+[=+@-]")

_LONGEST: Final = 500  # characters of a note

# What may be imported; who is forgotten has no address.
_STATUSES: Final = tuple(status for status in SubscriberStatus if status is not SubscriberStatus.FORGOTTEN)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of an import: its line (1 is the first), and the reader or what is wrong with him."""

    line: int
    reader: NewSubscriber | None
    problem: str = ""

    @property
    def address(self) -> str | None:
        """The normalised address, when the row can be taken."""
        return self.reader.address if self.reader else None


def read(stream: TextIO, consent: str = "") -> Iterator[Row]:
    """Every row that holds anything; `consent` is noted of readers whose row says nothing of it.

    Raises AddressError when a header names no address column, or the file is no CSV.
    """
    names: dict[str, int] | None = None
    for line, cells in _filled(stream):
        if names is None:
            names, is_header = _header(line, cells)
            if is_header:
                continue
        values = {name: _text(cells[at]) for name, at in names.items() if at < len(cells)}
        yield _row(line, values, consent)


def _filled(stream: TextIO) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, each with the line it ends on.

    Strict (RFC 4180): a quote that is left open would take in all that follows as one cell, and say nothing.
    """
    reader = csv.reader(stream, strict=True)
    begins = 1
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield reader.line_num, cells
            begins = reader.line_num + 1
    except csv.Error as error:
        said = f'line {begins}: not CSV: {error}; look for a " that is not closed'
        raise AddressError(said) from error


def write(stream: TextIO, subscribers: Iterable[Subscriber]) -> int:
    """Write all as CSV with a header, times as ISO 8601 in UTC; returns how many."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("email", *_COLUMNS))
    number = 0
    for subscriber in subscribers:
        cells = (
            subscriber.address,
            subscriber.status,
            subscriber.reason,
            subscriber.consent,
            weekdays(subscriber.days) if subscriber.days != EVERY_DAY else "",
            subscriber.paused_until.isoformat() if subscriber.paused_until else "",
            subscriber.created_at.isoformat(),
            subscriber.status_at.isoformat(),
        )
        writer.writerow(f"'{cell}" if _FORMULA.match(cell) else cell for cell in cells)
        number += 1
    return number


def _header(line: int, cells: list[str]) -> tuple[dict[str, int], bool]:
    """Where each column that we know stands, "email" among them, and whether this first row is a header."""
    names = [cell.lstrip("\ufeff").casefold() for cell in cells]
    for heading in _HEADINGS:
        if heading in names:
            return {name: names.index(name) for name in _COLUMNS if name in names} | {
                "email": names.index(heading)
            }, True
    for index, cell in enumerate(cells):
        if "@" in cell:
            return {"email": index}, False
    hint = "; columns are separated by commas" if re.search(r"[;\t|]", cells[0]) else ""
    raise AddressError(f"line {line}: no column is named email (found: {', '.join(cells)}){hint}")


def _row(line: int, values: Mapping[str, str], consent: str) -> Row:
    try:
        address = addresses.normalise(values.get("email", ""))
        given = {name: _COLUMNS[name](name, value) for name, value in values.items() if name in _COLUMNS and value}
    except AddressError as error:
        return Row(line, None, str(error))
    return Row(line, NewSubscriber(address, **{"consent": consent, **given}))


# --- cells -----------------------------------------------------------------------------------------------------------


def _text(cell: str) -> str:
    """A cell without the apostrophe that guards it."""
    return cell[1:] if _GUARDED.match(cell) else cell


def _note(name: str, value: str) -> str:
    """One line, fit for a terminal."""
    return "".join(char for char in " ".join(value.split()) if char.isprintable())[:_LONGEST]


def _status(name: str, value: str) -> SubscriberStatus:
    if value.casefold() not in _STATUSES:
        raise AddressError(f"{name}: {value!r} is none of {', '.join(_STATUSES)}")
    return SubscriberStatus(value.casefold())


def _days(name: str, value: str) -> int:
    """`Mon Tue`, or `none`."""
    days = 0
    for word in re.findall(r"[^\s,;]+", value.casefold()):
        if word not in (*WEEKDAYS, "none"):
            raise AddressError(f"{name}: {word} is no weekday; expected some of {weekdays(EVERY_DAY)}")
        days |= 1 << WEEKDAYS.index(word) if word in WEEKDAYS else 0
    return days


def _date(name: str, value: str) -> date:
    try:
        return date.fromisoformat(value)
    except ValueError as error:
        raise AddressError(f"{name}: {value!r} is no date; expected one such as 2026-11-24") from error


def _moment(name: str, value: str) -> datetime:
    """ISO 8601; UTC when it says nothing else."""
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise AddressError(f"{name}: {value!r} is no time; expected one such as 2026-11-24T07:00:00+00:00") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


# The columns beside the address, as an export writes them, and what an import makes of a cell that is not empty.
_COLUMNS: Final[Mapping[str, Callable[[str, str], Any]]] = {
    "status": _status,
    "reason": _note,
    "consent": _note,
    "days": _days,
    "paused_until": _date,
    "created_at": _moment,
    "status_at": _moment,
}
