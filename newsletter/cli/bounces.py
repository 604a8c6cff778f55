"""The command that reads the bounce mailbox."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable
from pathlib import Path

import click

from newsletter.bounces import FailedRecipient, process, weigh
from newsletter.bounces.mailbox import LARGEST
from newsletter.children import Nursery, Overrun
from newsletter.cli.log import LOG
from newsletter.config import Config
from newsletter.languages import words_to_leave
from newsletter.runtime import Runtime
from newsletter.store import Store
from newsletter.text import count, one_line


def collect(config: Config) -> int:
    """Read the mailbox and say in one line what came; silent without mail, except on a terminal.

    Returns the exit code: 75 while suppressions are held for the operator, else 0.
    """
    with process.parser() as children, Store.open(config.store) as store:
        tally = process.collect(config, store, children, Runtime(warn=_warn))
        held = store.held_suppressions()
    if tally.read or sys.stdout.isatty():
        click.echo(f"bounces: {tally}")
    if not held:
        return os.EX_OK
    number = sum(reason.readers for reason in held)
    LOG.error(
        f"{count(number, 'reader')} would be suppressed, which is more than usual, and nothing was done "
        f"about them; most often because of: {held[0].rule}. `newsletter status` shows the reasons; "
        "`newsletter bounces --confirm` suppresses these readers, `--discard` keeps them"
    )
    return os.EX_TEMPFAIL


def confirm(config: Config) -> int:
    """Suppress the readers whom the brake holds back."""
    with Store.open(config.store) as store:
        number = store.confirm_suppressions()
    click.echo(f"bounces: {number} suppressed")
    return os.EX_OK


def discard(config: Config) -> int:
    """Keep the readers whom the brake holds back."""
    with Store.open(config.store) as store:
        number = store.discard_suppressions()
    click.echo(f"bounces: {count(number, 'reader')} kept on the list")
    return os.EX_OK


def show_files(files: Iterable[Path]) -> None:
    """Print one line for each address that a mail names, or one for a mail that names none."""
    with process.parser() as children:
        words = words_to_leave()
        for file in files:
            _show(file, children, words)


def _show(file: Path, children: Nursery, words: Collection[str]) -> None:
    def too_much(overrun: Overrun) -> None:
        _warn(f"{file}: {overrun}; it is shown as broken")

    with file.open("rb") as stream:
        raw = stream.read(LARGEST)
    returned = process.understand(raw, children, too_much, words)
    for failure in returned.failures or (FailedRecipient(""),):
        weight = weigh(returned.kind, failure).weight
        cells = (file, returned.kind, failure.address, failure.final, failure.status, weight, failure.words)
        click.echo("\t".join(str(cell) for cell in cells))


def _warn(message: str) -> None:
    LOG.warning(one_line(message), prefix="newsletter: ")
