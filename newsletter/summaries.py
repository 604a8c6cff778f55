"""Summaries of papers by the operator's own program, for feeds that have none (`summary.command`).

The program is run once for each paper, without a shell. It reads the paper's title, an empty line and its abstract from
its standard input, as UTF-8, and prints one or two sentences. What it prints is treated like text from a feed.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import IO, Final

from newsletter.config import SummaryConfig
from newsletter.feed.text import join, lines
from newsletter.model import Paper
from newsletter.runtime import Runtime
from newsletter.store import Store
from newsletter.text import count, one_line

_MOST_OUTPUT: Final = 64 * 1024  # bytes; a program that prints more has gone wrong
_LONGEST: Final = 1_000  # characters of a summary that are kept; a card shows fewer
_GIVE_UP_AFTER: Final = 3  # failures in a row, after which the program is not run again in this run

Summarise = Callable[[SummaryConfig, Paper], str]


class SummaryFailed(Exception):
    """The program gave no summary; the message says why, in a few words."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Which papers the program is run for, in order, and how many more there are than the budget allows."""

    papers: tuple[Paper, ...]
    postponed: int = 0


def plan(papers: Iterable[Paper], known: Collection[str], budget: int) -> Plan:
    """The first `budget` papers that have an abstract and no summary, from the feed or among the keys `known`."""
    wanted = [paper for paper in papers if paper.abstract and not paper.summary and paper.key not in known]
    return Plan(tuple(wanted[:budget]), max(0, len(wanted) - budget))


def summarised(
    papers: Collection[Paper], config: SummaryConfig, store: Store, runtime: Runtime, summarise: Summarise | None = None
) -> dict[str, str]:
    """The summaries that the store has or the program gives, by the papers' keys; new ones are kept in the store.

    Without `summary.command` there are none. A failure leaves a paper without one; all failures of a run are one
    warning.
    """
    if not config.command:
        return {}
    found = store.summaries(paper.key for paper in papers)
    planned = plan(papers, found, config.budget)
    failures: list[str] = []
    in_a_row = 0
    for number, paper in enumerate(planned.papers):
        if runtime.stop() or in_a_row == _GIVE_UP_AFTER:
            failures += [failures[-1] if failures else "the run was stopped"] * (len(planned.papers) - number)
            break
        try:
            found[paper.key] = (summarise or run)(config, paper)
            store.keep_summary(paper.key, found[paper.key])
            in_a_row = 0
        except SummaryFailed as failure:
            failures.append(str(failure))
            in_a_row += 1
    if failures:
        tried = count(len(planned.papers), "paper")
        runtime.warn(f"summary.command: {len(failures)} of {tried} got no summary and have an excerpt: {failures[-1]}")
    if planned.postponed:
        left = count(planned.postponed, "paper")
        runtime.warn(f"summary.budget: {left} beyond the budget of {config.budget} got no summary and have an excerpt")
    return found


def with_summary(paper: Paper, found: Mapping[str, str]) -> Paper:
    """`paper` with the summary `found` under its key, unless its feed gave one."""
    return paper if paper.summary or paper.key not in found else replace(paper, summary=found[paper.key])


def run(config: SummaryConfig, paper: Paper) -> str:
    """Run the program for one paper: its summary, clean. Raises SummaryFailed."""
    with tempfile.TemporaryFile() as given:
        given.write(f"{paper.title}\n\n{paper.abstract}\n".encode("utf-8", "replace"))
        given.seek(0)
        try:
            process = subprocess.Popen(
                config.command, stdin=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
            )
        except (OSError, ValueError) as error:
            raise SummaryFailed(f"{config.command[0]} cannot be run: {one_line(error)}") from error
        try:
            output, said = _read(process, time.monotonic() + config.timeout, config.timeout)
        finally:
            _end(process)
    if process.returncode:
        raise SummaryFailed(f"it ended with {process.returncode}: {one_line(said)[:200] or 'it said nothing'}")
    if not (summary := cleaned(output)):
        raise SummaryFailed("it printed nothing")
    return summary


def cleaned(output: bytes) -> str:
    """What a program printed as plain text in one line: without HTML, control or invisible characters."""
    return join(lines(output.decode("utf-8", "replace"), markup=True), _LONGEST)


def _read(process: subprocess.Popen[bytes], deadline: float, timeout: float) -> tuple[bytes, bytes]:
    """All that the program prints until it ends, as output and errors. Raises SummaryFailed beyond a bound."""
    assert process.stdout is not None and process.stderr is not None  # noqa: PT018 - both are pipes
    parts: dict[IO[bytes], bytearray] = {process.stdout: bytearray(), process.stderr: bytearray()}
    with selectors.DefaultSelector() as selector:
        for stream in parts:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise SummaryFailed(f"it took longer than {timeout:g} seconds")
            for key, _ in ready:
                data = os.read(key.fd, _MOST_OUTPUT)
                stream = next(each for each in parts if each is key.fileobj)
                if not data:
                    selector.unregister(stream)
                parts[stream] += data
                if len(parts[stream]) > _MOST_OUTPUT:
                    raise SummaryFailed(f"it printed more than {_MOST_OUTPUT // 1024} KiB")
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        raise SummaryFailed(f"it took longer than {timeout:g} seconds") from error
    return bytes(parts[process.stdout]), bytes(parts[process.stderr])


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program and what it has started, if they still run, and close the pipes."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
