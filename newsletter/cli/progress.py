"""What a person at a terminal sees: the progress bar, and the tables of `status`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click

from newsletter.model import FrozenIssue, Outcome
from newsletter.runtime import Runtime


@contextmanager
def watching() -> Iterator[Runtime]:
    """The world of a run: a progress bar when standard error is a terminal, silence under cron.

    SIGTERM and Ctrl-C drain: what is under way is finished, so that no copy is in doubt. A second one ends it at once.
    """
    stopped: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and number in stopped:
            raise KeyboardInterrupt
        if number == signal.SIGINT:
            click.echo("finishing what is under way; Ctrl-C again ends it at once", err=True)
        stopped.append(number)

    before = [(number, signal.signal(number, stop)) for number in (signal.SIGTERM, signal.SIGINT)]
    try:
        if sys.stderr.isatty():
            with _bar(stopped) as runtime:
                yield runtime
        else:
            yield Runtime(stop=lambda: bool(stopped), warn=_warn)
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _warn(message: str) -> None:
    click.echo(f"warning: {message}", err=True)


@contextmanager
def _bar(stopped: list[int]) -> Iterator[Runtime]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.0f}/s" if task.speed else "")

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        current: list[TaskID] = []

        def announce(issue: FrozenIssue, owed: int) -> None:
            current[:] = [progress.add_task(f"{issue.rendered.day}", total=owed)]

        def advance(outcome: Outcome) -> None:
            for task in current:
                progress.advance(task)

        yield Runtime(stop=lambda: bool(stopped), announce=announce, progress=advance, warn=_warn)
