"""A list's rows as readers: the address, the state of every column together, and the cells beside them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

from newsletter import addresses
from newsletter.errors import AddressError
from newsletter.issue.choice import Choice, ChoiceError
from newsletter.issue.selector import SelectorError, contradiction
from newsletter.model import EVERY_DAY, NewSubscriber, SubscriberStatus
from newsletter.subscriber_csv import words
from newsletter.subscriber_csv.chosen import with_columns
from newsletter.subscriber_csv.columns import Column, Explained, Plan, plan
from newsletter.subscriber_csv.headings import CHOSEN, Kind, Role
from newsletter.subscriber_csv.table import Line, lines, mailbox
from newsletter.text import days_of, weekdays

_LONGEST: Final = 500  # characters of a note

# Of several states of one reader the first of these counts: who is off anywhere is not active here.
_GRAVEST: Final = (
    SubscriberStatus.SUPPRESSED,
    SubscriberStatus.UNSUBSCRIBED,
    SubscriberStatus.PENDING,
    SubscriberStatus.ACTIVE,
)

_GUARDED: Final = re.compile(r"'+[=+@-]")  # an export puts an apostrophe before what a spreadsheet would run


@dataclass(frozen=True, slots=True)
class Row:
    """One row of an import: its line (1 is the first), and the reader, or why the row was rejected.

    `unread` are the cells beside the address that could not be read and were left out: a heading, and why.
    """

    line: int
    reader: NewSubscriber | None
    problem: str = ""
    unread: tuple[tuple[str, str], ...] = ()

    @property
    def address(self) -> str | None:
        """The normalised address, when the row can be taken."""
        return self.reader.address if self.reader else None


@dataclass(frozen=True, slots=True)
class Listing:
    """A file as it was understood; iterating gives its rows.

    `everyone` is the state that the file's name tells of all its readers, ACTIVE when it tells none.
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    has_header: bool
    everyone: SubscriberStatus

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)


def read(content: bytes, consent: str = "", *, source: str = "", explained: Explained | None = None) -> Listing:
    """Read a list; every row that holds anything becomes a Row.

    `content` is the file, in any of the usual encodings. `consent` becomes the note of readers whose row has none, and
    follows what other columns tell. `source` is the file's name, of which only the part behind the last slash counts.
    Raises AddressError when the file is no list, when it is not certain which column holds the addresses, and when a
    column looks like a state and is not understood.
    """
    explained = explained or Explained()
    found = plan(lines(content), explained, Path(source).name)
    rows = [_row(found, line, explained, consent) for line in found.lines]
    return Listing(found.columns, tuple(_settled(rows)), found.has_header, found.everyone)


def _row(found: Plan, line: Line, explained: Explained, consent: str) -> Row:
    surplus = len(line.cells) - len(found.columns)
    if surplus > 0 and any(line.cells[-surplus:]):
        said = (
            f"{len(line.cells)} cells under {len(found.columns)} headings; a cell with a separator in it needs quotes"
        )
        return Row(line.number, None, said)
    (email,) = found.of(Role.EMAIL)
    cell = _plain(email.cell(line.cells))
    try:
        address = addresses.normalise(mailbox(cell) or cell)
    except AddressError as error:
        return Row(line.number, None, str(error))
    values, unread = _side(found, line)
    state = _state(found, line, explained, values)
    note = {"consent": _consent(found, line, consent)}
    return Row(line.number, NewSubscriber(address, **(note | state | values)), unread=unread)


def _settled(rows: Sequence[Row]) -> Iterator[Row]:
    """The rows, of which those about one reader agree: a file of several lists has a reader in several states."""
    gravest: dict[str, NewSubscriber] = {}
    for row in rows:
        if row.reader:
            key = addresses.identity(row.reader.address)
            known = gravest.setdefault(key, row.reader)
            if _GRAVEST.index(row.reader.status) < _GRAVEST.index(known.status):
                gravest[key] = row.reader
    for row in rows:
        if row.reader and (worst := gravest[addresses.identity(row.reader.address)]).status is not row.reader.status:
            agreed = replace(row.reader, status=worst.status, reason=worst.reason, status_at=worst.status_at)
            yield replace(row, reader=agreed)
        else:
            yield row


# --- the state -------------------------------------------------------------------------------------------------------


def _state(found: Plan, line: Line, explained: Explained, values: Mapping[str, Any]) -> dict[str, Any]:
    """The status, and unless the row says it itself, since when and which cells told so."""
    told = [(column, _plain(column.cell(line.cells))) for column in found.of(Role.STATUS)]
    each = [
        (column.status(cell, explained.statuses) or SubscriberStatus.PENDING, column, cell) for column, cell in told
    ]
    status = min([found.everyone, *(status for status, _, _ in each)], key=_GRAVEST.index)
    state: dict[str, Any] = {"status": status}
    if status not in (SubscriberStatus.UNSUBSCRIBED, SubscriberStatus.SUPPRESSED):
        return state
    off = [(column, cell) for told_status, column, cell in each if told_status is not SubscriberStatus.ACTIVE and cell]
    moments = [moment for column, cell in off if column.meaning.kind is Kind.OFF and (moment := _lenient(cell))]
    if moments and "status_at" not in values:
        state["status_at"] = min(moments)
    if not found.of(Role.REASON):
        state["reason"] = _note("reason", ", ".join(f"{column.heading} {cell}" for column, cell in off))
    return state


# --- the cells beside the address ------------------------------------------------------------------------------------


def _side(found: Plan, line: Line) -> tuple[dict[str, Any], tuple[tuple[str, str], ...]]:
    """The values of the row's other cells by name of NewSubscriber, and those that could not be read."""
    values: dict[str, Any] = {}
    unread = []
    for role, parse in _READERS.items():
        for column in found.of(role):
            if cell := _plain(column.cell(line.cells)):
                try:
                    values[role.value] = parse(column.heading, cell)
                except AddressError as error:
                    unread.append((column.heading, str(error)))
    cells = [(column.role, column.heading, _plain(column.cell(line.cells)).strip()) for column in found.of(*CHOSEN)]
    if filled := [cell for cell in cells if cell[-1]]:
        choice, problems = with_columns(Choice.loaded(values.get("choice", "{}")), filled)
        values["choice"] = choice.written
        unread += problems
    return values, tuple(unread)


def _consent(found: Plan, line: Line, default: str) -> str:
    """How the reader agreed: an export's own note as it is, else every column that tells of it, and `default`."""
    columns = found.of(Role.CONSENT)
    own = next((column for column in columns if words.key(column.heading) == "consent"), None)
    if own and (cell := _plain(own.cell(line.cells))):
        return _note("consent", cell)
    if own:
        return default
    noted = [*columns, *found.of(Role.CREATED_AT)]
    noted += [
        each
        for each in found.of(Role.STATUS)
        if each.meaning.kind is Kind.ON and words.is_moment(each.cell(line.cells))
    ]
    parts = [f"{column.heading} {cell}" for column in noted if (cell := _plain(column.cell(line.cells)))]
    return _note("consent", "; ".join(part for part in (", ".join(parts), default) if part))


def _plain(cell: str) -> str:
    """A cell without the apostrophe that guards it."""
    return cell[1:] if _GUARDED.match(cell) else cell


def _note(heading: str, value: str) -> str:
    """One line, fit for a terminal."""
    return "".join(char for char in " ".join(value.split()) if char.isprintable())[:_LONGEST]


def _days(heading: str, value: str) -> int:
    """`Mon Tue`, or `none`."""
    try:
        return days_of(value)
    except ValueError as error:
        raise AddressError(f"{error} is no weekday; expected some of {weekdays(EVERY_DAY)}") from error


def _date(heading: str, value: str) -> date:
    try:
        return date.fromisoformat(value)
    except ValueError as error:
        raise AddressError(f"{value!r} is no date; expected one such as 2026-11-24") from error


def _moment(heading: str, value: str) -> datetime:
    if (moment := _lenient(value)) is None:
        raise AddressError(f"{value!r} is no time; expected one such as 2026-11-24T07:00:00+00:00")
    return moment


_TAIL: Final = re.compile(r"(?<!\s)\s*+(UTC|GMT|Z)$")
_GO: Final = re.compile(
    r"([^+]{1,60}? [+-]\d{4}) [A-Z]{3,4}( m=\S{1,60})?$"
)  # how Go prints a time, listmonk for example


def _lenient(value: str) -> datetime | None:
    """A time as ISO 8601 has it, and as Go and SQL write it; UTC when it says nothing else. None when it is no such."""
    text = _GO.sub(r"\1", value.strip())
    text = _TAIL.sub("+00:00", text) if _TAIL.search(text) and not re.search(r"[+-]\d\d:?\d\d\s*UTC$", text) else text
    try:
        moment = datetime.fromisoformat(re.sub(r"(?<!\s)\s++([+-]\d\d:?\d\d)$", r"\1", text))
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _choice(heading: str, value: str) -> str:
    """What the reader chose, as an export writes it."""
    try:
        choice = Choice.loaded(value)
    except (ChoiceError, SelectorError) as error:
        raise AddressError(str(error)) from error
    if choice.selector is not None and (refused := contradiction(choice.selector)) is not None:
        kind, shown = refused
        raise AddressError(f"{kind}: {shown!r} is also asked for")
    return choice.written


_READERS: Final[Mapping[Role, Callable[[str, str], Any]]] = {
    Role.REASON: _note,
    Role.DAYS: _days,
    Role.PAUSED_UNTIL: _date,
    Role.CREATED_AT: _moment,
    Role.STATUS_AT: _moment,
    Role.CHOICE: _choice,
}
