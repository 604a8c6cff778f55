"""Progress of a run on standard error, and its signals."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from newsletter.cli.log import LOG
from newsletter.errors import Stopped
from newsletter.model import FrozenIssue, Outcome
from newsletter.runtime import Runtime


class _Signals:
    """Handles SIGTERM and Ctrl-C. They end a run at once; while copies are being sent, they ask it to end soon."""

    def __init__(self) -> None:
        self._asked: list[int] = []
        self._sending = False

    def asked(self) -> bool:
        """Whether a signal has been received."""
        return bool(self._asked)

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Mark the block that sends copies: a signal lets it finish them, so that no copy becomes uncertain."""
        self._sending = True
        try:
            yield
        finally:
            self._sending = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal. Raises Stopped if nothing is being sent, KeyboardInterrupt for a second Ctrl-C."""
        if number == signal.SIGINT and number in self._asked:
            raise KeyboardInterrupt
        self._asked.append(number)
        if not self._sending:
            raise Stopped(f"stopped by {signal.Signals(number).name} before anything was sent; the next run goes on")
        if number == signal.SIGINT:
            LOG.warning("finishing the copies that are being sent; press Ctrl-C again to end at once", prefix="")


@contextmanager
def watching() -> Iterator[Runtime]:
    """A Runtime with signal handlers, and with a progress bar if standard error is a terminal (not under cron)."""
    signals = _Signals()
    before = [(number, signal.signal(number, signals.handle)) for number in (signal.SIGTERM, signal.SIGINT)]
    try:
        if sys.stderr.isatty():
            with _bar(signals) as runtime:
                yield runtime
        else:
            yield Runtime(stop=signals.asked, sending=signals.sending, warn=_warn)
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _warn(message: str) -> None:
    LOG.warning(message)


@contextmanager
def _bar(signals: _Signals) -> Iterator[Runtime]:
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

        yield Runtime(stop=signals.asked, sending=signals.sending, announce=announce, progress=advance, warn=_warn)
