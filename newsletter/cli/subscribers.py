"""The commands of the list: add, remove, suppress, forget, show, list, import and export subscribers."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TextIO

import click

from newsletter import addresses as address_rules
from newsletter import subscriber_csv
from newsletter.config import Config
from newsletter.errors import AddressError, NewsletterError
from newsletter.model import EVERY_DAY, NewSubscriber, Subscriber, SubscriberStatus
from newsletter.store import Added, Store
from newsletter.text import weekdays

_SAID = {Added.NEW: "added", Added.ALREADY: "subscribed already", Added.BACK: "subscribed again"}

_SHOWN = 10  # copies, and reports


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


def show(config: Config, *, everyone: bool) -> None:
    """Print the addresses, oldest subscriber first."""
    with _store(config) as store:
        for subscriber in store.subscribers(None if everyone else SubscriberStatus.ACTIVE):
            click.echo(f"{subscriber.address}\t{subscriber.status}" if everyone else subscriber.address)


# --- one reader ------------------------------------------------------------------------------------------------------


def tell(config: Config, address: str) -> int:
    """Print all that is known of one reader; returns 1 when there is none."""
    normal = address_rules.normalise(address)
    with _store(config) as store:
        found = store.find(normal)
        if found is None:
            click.echo(f"{normal}: not known", err=True)
            return 1
        lines = [found.address or normal, *_reader(found), *_copies(store, found.id), *_reports(store, found.id)]
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


def take(config: Config, stream: TextIO, consent: str | None) -> int:
    """Import a list; prints what became of its rows, and each refused row with its line; 1 when none could be taken.

    Raises NewsletterError when the file cannot be read as a list.
    """
    source = "standard input" if stream.name == "<stdin>" else stream.name
    note = consent or f"imported on {_today()} from {Path(source).name}"
    refused: list[str] = []

    def good() -> Iterator[NewSubscriber]:
        for row in subscriber_csv.read(stream, note):
            if row.reader is None:
                refused.append(f"{source}, line {row.line}: {row.problem}")
            else:
                yield row.reader

    try:
        with _store(config) as store:
            counts = store.merge(good())
    except UnicodeDecodeError as error:
        raise NewsletterError(f"{source} is not UTF-8 text; nothing was imported") from error
    except AddressError as error:
        raise NewsletterError(f"{source}, {error}; nothing was imported") from error
    for problem in refused:
        click.echo(f"refused: {problem}", err=True)
    click.echo(_summary(counts, len(refused)))
    return int(bool(refused) and not counts.total())


def _summary(counts: Counter[Added], refused: int) -> str:
    off = f"{counts[Added.OFF]} taken off, " if counts[Added.OFF] else ""
    return (
        f"{counts[Added.NEW]} added, {counts[Added.ALREADY]} subscribed already, {off}"
        f"{counts[Added.LEFT]} have left and stay out, {refused} refused"
    )


def export(config: Config, path: Path) -> None:
    """Write everyone as CSV, but those who are forgotten, to `path`; ``-`` is standard output."""
    with _store(config) as store:
        if path == Path("-"):
            subscriber_csv.write(sys.stdout, store.subscribers())
        else:
            with open(path, "w", encoding="utf-8", opener=_private) as stream:
                subscriber_csv.write(stream, store.subscribers())


def _private(path: str, flags: int) -> int:
    """Open it; what is made by this only its owner may read, as the store itself."""
    return os.open(path, flags, 0o600)
