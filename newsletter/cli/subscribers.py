"""The commands of the list: add, remove, suppress, forget, show, list, import and export subscribers."""

from __future__ import annotations

import io
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import BinaryIO, Final

import click

from newsletter import addresses as address_rules
from newsletter import files, subscriber_csv
from newsletter.cli.choices import described
from newsletter.config import Config
from newsletter.errors import AddressError, NewsletterError
from newsletter.issue.choice import Choice
from newsletter.model import EVERY_DAY, Subscriber, SubscriberStatus
from newsletter.store import Added, Store
from newsletter.text import count, weekdays

_SAID = {Added.NEW: "added", Added.ALREADY: "subscribed already", Added.BACK: "subscribed again"}

_SHOWN: Final = 10  # copies, and reports
_SEVERAL: Final = 2  # a file without a header that has so many columns is mentioned


def _store(config: Config) -> Store:
    """The store, which recognises who is forgotten when the secret is at hand."""
    return Store.open(config.store, hasher=config.address_hasher())


def add(config: Config, addresses: Iterable[str]) -> int:
    """Subscribe each address; returns 1 when one could not be taken."""
    consent = f"added by the operator on {_today()}"
    with _store(config) as store:
        return _each(addresses, lambda address: (_SAID[store.add(address, consent=consent)], True))


def remove(config: Config, addresses: Iterable[str]) -> int:
    """Unsubscribe each address; returns 1 when one was not subscribed."""
    with _store(config) as store:
        return _each(addresses, lambda address: _unless("removed", "not subscribed", store.unsubscribe(address)))


def suppress(config: Config, addresses: Iterable[str], reason: str) -> int:
    """Keep each address off the list, also one that was never on it; returns 1 when one is no address."""

    def one(store: Store, address: str) -> tuple[str, bool]:
        if store.suppress(address, reason) is SubscriberStatus.FORGOTTEN:
            return "forgotten, and stays off the list", True
        return "suppressed", True

    with _store(config) as store:
        return _each(addresses, lambda address: one(store, address))


def forget(config: Config, addresses: Iterable[str]) -> int:
    """Erase each address; returns 1 when one is not known. Raises ConfigError when there is no secret."""
    with Store.open(config.store, hasher=config.links().forgotten_hashes) as store:
        return _each(addresses, lambda address: _unless("forgotten", "not known", store.forget(address)))


def _each(addresses: Iterable[str], act: Callable[[str], tuple[str, bool]]) -> int:
    """Do something with each normalised address and say what became of it; 1 when one went wrong."""
    problems = 0
    for address in addresses:
        try:
            normal = address_rules.normalise(address)
        except AddressError as error:
            click.echo(f"newsletter: {error}", err=True)
            problems += 1
        else:
            said, good = act(normal)
            click.echo(f"{normal}: {said}", err=not good)
            problems += not good
    return int(bool(problems))


def _unless(good: str, bad: str, done: bool) -> tuple[str, bool]:
    return (good if done else bad), done


def show(config: Config, *, everyone: bool, with_choices: bool = False) -> None:
    """Print the addresses, oldest subscriber first; what readers chose only `with_choices`."""
    with _store(config) as store:
        choices = dict(store.choices()) if with_choices else {}
        for subscriber in store.subscribers(None if everyone else SubscriberStatus.ACTIVE):
            cells = [subscriber.address, *([str(subscriber.status)] if everyone else [])]
            cells += [choices.get(subscriber.id, Choice()).written] if with_choices else []
            click.echo("\t".join(cells))


# --- one reader ------------------------------------------------------------------------------------------------------


def tell(config: Config, address: str, *, with_choice: bool = False) -> int:
    """Print what is known of one reader, and what they chose `with_choice`; returns 1 when there is none."""
    normal = address_rules.normalise(address)
    with _store(config) as store:
        found = store.find(normal)
        if found is None:
            click.echo(f"{normal}: not known", err=True)
            return 1
        chosen = [*described(store.choice_of(found.ref))] if with_choice else []
        lines = [
            found.address or normal,
            *_reader(found),
            *chosen,
            *_copies(store, found.id),
            *_reports(store, found.id),
        ]
    click.echo("\n".join("".join(char if char.isprintable() else " " for char in line) for line in lines))
    return 0


def _reader(reader: Subscriber) -> Iterator[str]:
    yield f"  {reader.status} since {_minute(reader.status_at)}" + (f": {reader.reason}" if reader.reason else "")
    if reader.status is SubscriberStatus.FORGOTTEN:
        yield "  a keyed hash of the address is all that is kept"
        return
    yield f"  known since {_minute(reader.created_at)}"
    yield f"  consent: {reader.consent or 'not noted'}"
    yield f"  days: {'every day' if reader.days == EVERY_DAY else weekdays(reader.days)}"
    if reader.paused_until:
        yield f"  paused until {reader.paused_until}"


def _copies(store: Store, subscriber_id: int) -> Iterator[str]:
    for number, copy in enumerate(store.copies(subscriber_id, _SHOWN)):
        if number == 0:
            yield "Last copies:"
        yield " ".join(str(part) for part in (f"  {copy.day}  {copy.state:<10}", copy.code, copy.text) if part).rstrip()


def _reports(store: Store, subscriber_id: int) -> Iterator[str]:
    for number, report in enumerate(store.reports_about(subscriber_id, _SHOWN)):
        if number == 0:
            yield "Mails that came back:"
        yield " ".join(
            part for part in (f"  {_minute(report.read_at)} ", report.kind, report.status, report.words) if part
        )


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _today() -> date:
    return datetime.now(UTC).date()


# --- the list as a file ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """The options of an import as they were typed: `columns` are ROLE=HEADING, `statuses` are WORD=STATUS."""

    consent: str | None = None
    columns: Sequence[str] = ()
    statuses: Sequence[str] = ()
    dry_run: bool = False


def take(config: Config, stream: BinaryIO, options: ImportOptions) -> int:
    """Import a list; returns 1 when none of its rows could be taken.

    Standard output gets the counts; standard error gets what each column was taken for and each rejected row with its
    line. Raises NewsletterError, with nothing imported, when the file is no list or one of its columns looks like a
    state and is not understood; click.UsageError for an option that is none.
    """
    name = getattr(stream, "name", "<stdin>")
    source = "standard input" if name == "<stdin>" else str(name)
    explained = _explained(options)
    note = options.consent or f"imported on {_today()} from {Path(source).name}"
    try:
        listing = subscriber_csv.read(stream.read(), note, source=source, explained=explained)
    except AddressError as error:
        raise NewsletterError(f"{source}, {error}; nothing was imported") from error
    readers = [row.reader for row in listing if row.reader]
    agreed = [reader for reader in readers if reader.status is not SubscriberStatus.PENDING]
    with _store(config) as store:
        counts = store.foresee(agreed) if options.dry_run else store.merge(agreed)
    rejected = [row for row in listing if row.reader is None]
    for line in (*_columns(listing), *_unread(source, listing.rows)):
        click.echo(line, err=True)
    for row in rejected:
        click.echo(f"refused: {source}, line {row.line}: {row.problem}", err=True)
    said = _summary(counts, len(readers) - len(agreed), len(rejected))
    click.echo(f"dry run, nothing was written: {said}" if options.dry_run else said)
    return int(bool(rejected) and not readers)


def _explained(options: ImportOptions) -> subscriber_csv.Explained:
    """What the operator said of columns and words. Raises click.UsageError."""
    columns = []
    for typed in options.columns:
        role, equals, heading = typed.partition("=")
        if not equals or not heading or role not in tuple(subscriber_csv.Role):
            roles = ", ".join(subscriber_csv.Role)
            raise click.UsageError(f"--column {typed}: expected ROLE=HEADING; a role is one of {roles}")
        columns.append((subscriber_csv.Role(role), heading))
    statuses = {}
    for typed in options.statuses:
        word, equals, status = typed.rpartition("=")
        if not equals or status not in subscriber_csv.STATUSES:
            known = ", ".join(subscriber_csv.STATUSES)
            raise click.UsageError(f"--status-of {typed}: expected WORD=STATUS; a status is one of {known}")
        statuses[subscriber_csv.key(word)] = SubscriberStatus(status)
    return subscriber_csv.Explained(columns, statuses)


def _columns(listing: subscriber_csv.Listing) -> Iterator[str]:
    """What each column was taken for, and what the file's name was; nothing of a plain list of addresses."""
    if listing.everyone is not SubscriberStatus.ACTIVE:
        yield f"all readers of the file: {listing.everyone}, as its name says"
    if not listing.has_header and len(listing.columns) < _SEVERAL:
        return
    taken: dict[str, list[str]] = {}
    for column in listing.columns:
        taken.setdefault(column.role, []).append(repr(column.heading))
    ignored = taken.pop(subscriber_csv.Role.IGNORE, [])
    parts = [f"{role} from {', '.join(headings)}" for role, headings in taken.items()]
    if ignored:
        parts.append(f"ignored: {', '.join(ignored)}")
    yield f"columns: {'; '.join(parts)}"
    for heading in (each.heading for each in listing.columns if each.role is subscriber_csv.Role.IGNORE):
        if (role := subscriber_csv.key(heading).replace(" ", "_")) in subscriber_csv.CHOSEN:
            yield f"{heading!r} was passed over; --column {role}={heading} makes it what the readers chose"
    states = Counter(row.reader.status for row in listing if row.reader)
    if subscriber_csv.Role.STATUS in taken:
        yield f"states: {', '.join(f'{states[status]} {status}' for status in SubscriberStatus if states[status])}"


def _unread(source: str, rows: Iterable[subscriber_csv.Row]) -> Iterator[str]:
    """A line for each column with cells that could not be read."""
    found: dict[str, list[tuple[int, str]]] = {}
    for row in rows:
        for heading, problem in row.unread:
            found.setdefault(heading, []).append((row.line, problem))
    for heading, cells in found.items():
        line, problem = cells[0]
        yield f"left out: {source}, {count(len(cells), 'cell')} of {heading!r}, the first on line {line}: {problem}"


def _summary(counts: Counter[Added], unconfirmed: int, rejected: int) -> str:
    off = f"{counts[Added.OFF]} taken off, " if counts[Added.OFF] else ""
    pending = f"{unconfirmed} not confirmed there and left out, " if unconfirmed else ""
    return (
        f"{counts[Added.NEW]} added, {counts[Added.ALREADY]} subscribed already, {off}"
        f"{counts[Added.LEFT]} have left and stay out, {pending}{rejected} refused"
    )


def export(config: Config, path: Path) -> None:
    """Write all subscribers except the forgotten as CSV to `path`, for its owner only; ``-`` is standard output.

    Raises OSError.
    """
    with _store(config) as store:
        choices = {reader: choice.written for reader, choice in store.choices()}
        if path == Path("-"):
            subscriber_csv.write(sys.stdout, store.subscribers(), choices)
        else:
            with files.replacing(path, private=True) as stream:
                text = io.TextIOWrapper(stream, "utf-8")
                subscriber_csv.write(text, store.subscribers(), choices)
                text.detach()  # flushes it, and leaves the stream open for its owner
