"""What each column of a list is taken for, decided before a row is read: by its heading, then by its cells.

A column that looks like a state must be understood as a whole. If one of its words is not, nothing is read: the word
may mean that a reader left.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from newsletter.errors import AddressError
from newsletter.model import SubscriberStatus
from newsletter.subscriber_csv import words
from newsletter.subscriber_csv.headings import (
    CHOSEN,
    EXPORTED,
    IGNORED,
    WORDS,
    Kind,
    Meaning,
    Role,
    address_rank,
    is_address_heading,
    meaning,
)
from newsletter.subscriber_csv.table import LONGEST_PREAMBLE, Line, mailbox

_FEW: Final = 8  # different words that a column of states may have without a heading that says so
_SHOWN: Final = 4  # words of a column in a message
_MOST_COLUMNS: Final = 1_000  # a service exports a few hundred at most; the time grows with their square
_NO_HEADING: Final = re.compile(r"column \d+")  # how a column without a heading is called

_OWN: Final = frozenset(EXPORTED) - {Role.CHOICE}  # in the header of every export of this program


@dataclass(frozen=True, slots=True)
class Explained:
    """What the operator says of the file.

    `columns` are roles with headings, or with the column's number where there is no such heading (1 is the first);
    `statuses` are words of the file, in the form of `words.key`, with the states that they mean.
    """

    columns: Sequence[tuple[Role, str]] = ()
    statuses: Mapping[str, SubscriberStatus] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the file. `at` is its place in a row (0 is the first); `heading` is never empty."""

    at: int
    heading: str
    meaning: Meaning

    @property
    def role(self) -> Role:
        """What the column is taken for."""
        return self.meaning.role

    def cell(self, cells: Sequence[str]) -> str:
        """Its cell in a row, empty where the row is too short."""
        return cells[self.at] if self.at < len(cells) else ""

    def status(self, cell: str, statuses: Mapping[str, SubscriberStatus]) -> SubscriberStatus | None:
        """The state that a cell of this column of states tells of; None when it is not understood.

        An empty cell takes nobody off: it says nothing in a column of those who left, and leaves the reader PENDING,
        who is neither mailed nor noted as having left, in a column that says of others that they get mail.
        """
        word = words.key(cell)
        kind, off = self.meaning.kind, self.meaning.off
        spoken = kind in (Kind.WORDS, Kind.MARK)
        if not spoken and words.is_no(cell):
            return off if kind is Kind.ON else SubscriberStatus.ACTIVE
        if not spoken and words.is_yes(cell):
            return SubscriberStatus.ACTIVE if kind is Kind.ON else off
        if word in statuses and (cell or spoken or kind is Kind.ON):
            return statuses[word]
        if not cell:
            return SubscriberStatus.PENDING if kind in (Kind.WORDS, Kind.ON) else SubscriberStatus.ACTIVE
        if kind is Kind.FILLED:
            return SubscriberStatus.SUPPRESSED if words.stem(word) is SubscriberStatus.SUPPRESSED else off
        return words.state(word)


@dataclass(frozen=True, slots=True)
class Plan:
    """How the rows of a file are read: its columns, and the rows below the header.

    `everyone` is the state that the file's name tells of all its readers.
    """

    columns: tuple[Column, ...] = ()
    lines: tuple[Line, ...] = ()
    has_header: bool = False
    everyone: SubscriberStatus = SubscriberStatus.ACTIVE

    def of(self, *roles: Role) -> tuple[Column, ...]:
        """The columns that were taken for one of `roles`."""
        return tuple(column for column in self.columns if column.role in roles)


def plan(lines: Sequence[Line], explained: Explained, source: str = "") -> Plan:
    """Decide what each column is; `source` is the file's name, without its folder.

    Raises AddressError when no column, or more than one, is that of the addresses; when a column looks like a state and
    is not understood; when `explained` names what the file does not have; and when there are more than 1,000 columns.
    """
    if not lines:
        return Plan()
    lines = lines[_preamble(lines) :]
    has_header = not any(map(mailbox, lines[0].cells))
    width = max(len(line.cells) for line in lines[: 1 if has_header else None])
    if width > _MOST_COLUMNS:
        raise AddressError(f"line {lines[0].number}: {width} columns, and a list has at most {_MOST_COLUMNS}")
    first = lines[0].cells if has_header else ("",) * width
    headings = tuple(heading or f"column {number}" for number, heading in enumerate(first, 1))
    body = tuple(line for line in lines[has_header:] if line.cells != first)  # files that were joined repeat the header
    named = _named(headings, explained.columns)
    email = named[Role.EMAIL][0] if Role.EMAIL in named else _email(lines[0], headings, body, has_header=has_header)
    addressed = [line for line in body if len(line.cells) > email and "@" in line.cells[email]]
    columns = _columns(headings, email, named, addressed)
    everyone, word = _of_everyone(source, columns, explained)
    _understood(columns, addressed, explained, {word})
    return Plan(tuple(_marking(each, addressed, explained) for each in columns), body, has_header, everyone)


def _preamble(lines: Sequence[Line]) -> int:
    """How many rows come before the header: a title, as Google Groups writes one."""
    for number, line in enumerate(lines[:LONGEST_PREAMBLE]):
        if any(map(mailbox, line.cells)):
            return 0
        if any(map(is_address_heading, line.cells)):
            return number
    return 0


# --- the address -----------------------------------------------------------------------------------------------------


def _email(first: Line, headings: Sequence[str], body: Sequence[Line], *, has_header: bool) -> int:
    """The place of the column that holds the addresses: by its heading if it holds any, else by what it holds."""
    held = [sum(1 for line in body if at < len(line.cells) and mailbox(line.cells[at])) for at in range(len(headings))]
    named = {at: rank for at, heading in enumerate(headings) if (rank := address_rank(heading)) is not None}
    if has_header and named:
        filled = {at: rank for at, rank in named.items() if held[at]} or (named if not any(held) else {})
        first_rank = min(filled.values(), default=0)
        best = [at for at, rank in filled.items() if rank == first_rank]
    else:
        best = []
    if not best:
        most = max(held)
        best = [at for at, number in enumerate(held) if number and number * 2 >= most]
    if len(best) == 1:
        return best[0]
    if best:
        names = " and ".join(repr(headings[at]) for at in best[:_SHOWN])
        raise AddressError(
            f"line {first.number}: {names} hold addresses; say which with --column email=HEADING (or its number)"
        )
    raise AddressError(
        f"line {first.number}: no column is named email (found: {', '.join(first.cells)}), and none holds addresses;"
        " say which does with --column email=HEADING"
    )


# --- the other columns -----------------------------------------------------------------------------------------------


def _named(headings: Sequence[str], columns: Iterable[tuple[Role, str]]) -> dict[Role, tuple[int, ...]]:
    """The places of the columns that the operator named, by role. Raises AddressError for one that is not there."""
    named: dict[Role, tuple[int, ...]] = {}
    for role, name in columns:
        places = tuple(at for at, heading in enumerate(headings) if heading == name) or tuple(
            at for at, heading in enumerate(headings) if words.key(heading) == words.key(name)
        )
        if not places and name.isdecimal() and 0 < int(name) <= len(headings):
            places = (int(name) - 1,)
        if not places:
            raise AddressError(f"--column {role}={name}: no such heading (found: {', '.join(headings)})")
        named[role] = (*named.get(role, ()), *places)
    if len(numbers := named.get(Role.EMAIL, ())) > 1:
        said = " and ".join(str(at + 1) for at in numbers)
        raise AddressError(f"--column email names columns {said}; name one, by its number if the headings are the same")
    return named


def _columns(
    headings: tuple[str, ...], email: int, named: Mapping[Role, Sequence[int]], lines: Sequence[Line]
) -> tuple[Column, ...]:
    """Every column with what it is; `lines` are the rows with an address."""
    roles = {at: role for role, places in named.items() for at in places} | {email: Role.EMAIL}
    foreign = not {words.key(heading) for heading in headings} >= {words.key(role) for role in _OWN}
    columns = tuple(
        Column(
            at,
            heading,
            _meaning(heading, headings, _filled(lines, at), roles.get(at), foreign=foreign),
        )
        for at, heading in enumerate(headings)
    )
    if foreign and not any(column.role is Role.STATUS for column in columns):
        # Reasons are noted of readers who left; a file that has them and no state is a list of such readers.
        return tuple(
            replace(each, meaning=WORDS)
            if each.role is Role.REASON and each.at not in roles and _filled(lines, each.at)
            else each
            for each in columns
        )
    return columns


def _filled(lines: Iterable[Line], at: int) -> list[str]:
    return [line.cells[at] for line in lines if at < len(line.cells) and line.cells[at]]


def _meaning(
    heading: str, headings: tuple[str, ...], filled: Sequence[str], role: Role | None, *, foreign: bool
) -> Meaning:
    """What one column is; `filled` are its cells that are not empty, `role` is what the operator said."""
    by_heading = meaning(heading, headings)
    if role is Role.STATUS:
        return by_heading if by_heading and by_heading.role is Role.STATUS else WORDS
    if role is not None:
        return Meaning(role)
    if by_heading is None:
        return _by_cells(filled, headed=not _NO_HEADING.fullmatch(heading))
    if by_heading.role is Role.STATUS and not filled:
        return IGNORED
    if by_heading.maybe and not any(words.state(words.key(cell)) for cell in filled):
        return IGNORED
    if by_heading.role is Role.CONSENT and foreign and filled and all(map(_is_answer, filled)):
        return Meaning(Role.STATUS, Kind.ON)  # whether somebody agreed, not how
    return by_heading


def _is_answer(cell: str) -> bool:
    """Whether a cell says yes or no in words."""
    return not words.is_moment(cell) and (words.is_yes(cell) or words.is_no(cell))


def _by_cells(filled: Sequence[str], *, headed: bool) -> Meaning:
    """What a column with a heading that tells nothing is: ordinary text, unless it has few words and one is a state.

    Numbers may count something: 0 and 1 are an answer where both occur, and 0 also where no heading is.
    """
    different = {words.key(cell) for cell in filled}
    if not different or len(different) > _FEW:
        return IGNORED
    if different & words.STATES.keys():
        return WORDS
    numbers = different <= {"0", "1"}
    answers = all(map(_is_answer, filled)) and (not numbers or len(different) > 1 or (not headed and "0" in different))
    return WORDS if answers else IGNORED


def _understood(columns: Iterable[Column], lines: Sequence[Line], explained: Explained, used: set[str]) -> None:
    """Raise AddressError for the first column of states with a word that is not understood, and for a choice unused."""
    for column in (each for each in columns if each.role is Role.STATUS):
        unknown: dict[str, str] = {}
        for line in lines:
            cell = column.cell(line.cells)
            used.add(words.key(cell))
            if column.status(cell, explained.statuses) is None:
                unknown.setdefault(words.key(cell), cell)
        if unknown:
            raise AddressError(_question(column, tuple(unknown.values())))
    unused = [word for word in explained.statuses if word not in used]
    if unused and lines:
        raise AddressError(f"--status-of {unused[0]}: no column of states has this word")


def _marking(column: Column, lines: Sequence[Line], explained: Explained) -> Column:
    """`column`, as a mark of readers who left or are blocked when it has no other words."""
    if column.role is not Role.STATUS or column.meaning.kind is not Kind.WORDS:
        return column
    said = {column.status(cell, explained.statuses) for cell in _filled(lines, column.at)}
    if said <= {SubscriberStatus.UNSUBSCRIBED, SubscriberStatus.SUPPRESSED}:
        return replace(column, meaning=replace(column.meaning, kind=Kind.MARK))
    return column


def _question(column: Column, unknown: Sequence[str]) -> str:
    shown = ", ".join(repr(word[:40]) for word in unknown[:_SHOWN]) + (" ..." if len(unknown) > _SHOWN else "")
    role = words.key(column.heading).replace(" ", "_")
    chosen = f" or that it is what readers chose with --column '{role}={column.heading}'," if role in CHOSEN else ""
    return (
        f"column {column.heading!r} looks like a state, and these words of it are not understood: {shown};"
        f" say what each means with --status-of WORD=STATUS,{chosen}"
        f" or pass the column over with --column 'ignore={column.heading}'"
    )


# --- the file's name -------------------------------------------------------------------------------------------------

# Mailchimp exports each state to a file of its own, and only the file's name tells it:
# nonsubscribed_email_audience_export_1a2b.csv.
_MAILCHIMP: Final = re.compile(r"^\w+ (members|email audience|audience|segment) export\b")


def _of_everyone(source: str, columns: Iterable[Column], explained: Explained) -> tuple[SubscriberStatus, str]:
    """The state that the file's name tells of all its readers, and the word for it, where no column tells one.

    Raises AddressError when the name has a word for readers who left, and it is not certain what it says of the rows:
    `cleaned` may be what the operator did to the file.
    """
    name = words.key(source.rpartition(".")[0] or source)
    word = next((part for part in name.split() if words.state(part) not in (None, SubscriberStatus.ACTIVE)), "")
    if not word or any(column.role is Role.STATUS for column in columns):
        return SubscriberStatus.ACTIVE, ""
    if (status := explained.statuses.get(word)) is not None:
        return status, word
    if name.startswith(word) and _MAILCHIMP.match(name) and (status := words.state(word)) is not None:
        return status, word
    raise AddressError(
        f"the file's name says {word!r}, and no column says who left; say what all its readers are with"
        f" --status-of {word}=STATUS"
    )
