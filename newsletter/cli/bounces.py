"""The command that reads the bounce mailbox."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import click

from newsletter.bounces import FailedRecipient, parse, process, weigh
from newsletter.config import Config
from newsletter.store import Store


def collect(config: Config) -> int:
    """Read the mailbox and say in one line what came; silent when nothing did, unless a person watches."""
    with Store.open(config.store) as store:
        tally = process.collect(config, store)
    if tally.read or sys.stdout.isatty():
        click.echo(f"bounces: {tally}")
    return 0


def show_files(files: Iterable[Path]) -> None:
    """One line for each address that a mail names, or one for a mail that names none."""
    for file in files:
        returned = parse(file.read_bytes())
        for failure in returned.failures or (FailedRecipient(""),):
            weight = weigh(returned.kind, failure.status)
            cells = (file, returned.kind, failure.address, failure.final, failure.status, weight, failure.words)
            click.echo("\t".join(str(cell) for cell in cells))
