"""The commands of the list: add, remove, list, import and export subscribers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TextIO

import click

from newsletter import addresses as address_rules
from newsletter import roster
from newsletter.config import Config
from newsletter.errors import AddressError, NewsletterError
from newsletter.model import SubscriberStatus
from newsletter.store import Added, Store

_SAID = {Added.NEW: "added", Added.ALREADY: "subscribed already", Added.BACK: "subscribed again"}


def add(config: Config, addresses: Iterable[str]) -> int:
    """Subscribe each address; returns 1 when one could not be taken."""
    problems = 0
    with Store.open(config.store) as store:
        for address in addresses:
            try:
                normal = address_rules.normalise(address)
            except AddressError as error:
                click.echo(f"newsletter: {error}", err=True)
                problems += 1
            else:
                click.echo(f"{normal}: {_SAID[store.add(normal)]}")
    return int(bool(problems))


def remove(config: Config, addresses: Iterable[str]) -> int:
    """Unsubscribe each address; returns 1 when one was not subscribed."""
    problems = 0
    with Store.open(config.store) as store:
        for address in addresses:
            try:
                removed = store.unsubscribe(address_rules.normalise(address))
            except AddressError:
                removed = False
            click.echo(f"{address}: {'removed' if removed else 'not subscribed'}", err=not removed)
            problems += not removed
    return int(bool(problems))


def show(config: Config, *, everyone: bool) -> None:
    """Print the addresses, oldest subscriber first."""
    with Store.open(config.store) as store:
        for subscriber in store.subscribers(None if everyone else SubscriberStatus.ACTIVE):
            click.echo(f"{subscriber.address}\t{subscriber.status}" if everyone else subscriber.address)


def take(config: Config, stream: TextIO) -> int:
    """Import a list; prints what became of its rows, and each refused row with its line."""
    refused: list[str] = []

    def good() -> Iterator[str]:
        for row in roster.read(stream):
            if row.address is None:
                refused.append(f"line {row.line}: {row.problem}")
            else:
                yield row.address

    try:
        with Store.open(config.store) as store:
            counts = store.add_all(good(), revive=False)
    except UnicodeDecodeError as error:
        raise NewsletterError(f"{stream.name} is not UTF-8 text; nothing was imported") from error
    for problem in refused:
        click.echo(f"refused: {problem}", err=True)
    click.echo(_summary(counts, len(refused)))
    return 0


def _summary(counts: Counter[Added], refused: int) -> str:
    return (
        f"{counts[Added.NEW]} added, {counts[Added.ALREADY]} subscribed already, "
        f"{counts[Added.LEFT]} have left and stay out, {refused} refused"
    )


def export(config: Config, stream: TextIO) -> None:
    """Write everyone as CSV."""
    with Store.open(config.store) as store:
        roster.write(stream, store.subscribers())
