"""The commands that make and send issues: run, send and withdraw."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click

from newsletter import pipeline
from newsletter.cli.log import LOG, Level
from newsletter.cli.progress import watching
from newsletter.cli.tell import Meter, Teller
from newsletter.config import Config
from newsletter.errors import ConfigError, NewsletterError
from newsletter.model import RunReport, Span, Verdict
from newsletter.runtime import Runtime
from newsletter.store import Store


def run(config: Config, day: date, *, span: Span, dry_run: bool, remake: bool) -> int:
    """Make and send the issue of `day`; prints the verdict on the last line and returns the exit code."""

    def act(store: Store, runtime: Runtime) -> RunReport:
        return pipeline.run(config, day, store, runtime, dry_run=dry_run, span=span, remake=remake)

    LOG.day = day
    if not dry_run:
        Teller(config).begin()
    return reported(config, act, day, daily=True)


def not_begun(error: ConfigError) -> int:
    """Print the verdict of a run whose configuration cannot be read; returns the exit code."""
    report = RunReport(Verdict.FAILED, str(error), exit_code=error.exit_code)
    print_verdict(report, quiet=False)
    return report.exit


def send(config: Config, day: date | None, **decisions: bool) -> int:
    """Send copies that are owed; prints the verdict and returns the exit code.

    `decisions` are the fields of `pipeline.Decisions`.

    If nothing is owed or due, and standard output is not a terminal, it prints and records nothing: cron calls it every
    15 minutes, would mail the output, and the records would hide the day's verdict in `status`.
    """
    return reported(
        config,
        lambda store, runtime: pipeline.send(config, day, store, runtime, pipeline.Decisions(**decisions)),
        day,
        quiet=not sys.stdout.isatty(),
    )


def work(config: Config, concurrency: int) -> None:
    """Take shards until a signal ends it, and write a line for the log to standard error for each job done."""
    from newsletter.worker import Worker

    Worker(config, concurrency, lambda line: LOG.say(Level.INFO, line, prefix="worker: ")).run()


def withdraw(config: Config, day: date) -> int:
    """Withdraw the issue of `day`, so that no more of it is sent; prints the result and returns the exit code."""
    with Store.open(config.store) as store:
        report = pipeline.withdraw(day, store)
    if report.exit:
        click.echo(f"newsletter: {report.explanation}", err=True)
    else:
        click.echo(f"withdrawn: {report.explanation}")
    return report.exit


def reported(
    config: Config,
    act: Callable[[Store, Runtime], RunReport],
    day: date | None,
    *,
    daily: bool = False,
    quiet: bool = False,
) -> int:
    """Run `act`, record its report in the store, tell whoever is to be told, and print the verdict.

    Returns the exit code. `daily` is the run that a monitor expects. An error becomes the verdict `failed`. With
    `quiet`, a run that did nothing is neither recorded, told nor printed.
    """
    started, teller, meter = datetime.now(UTC), Teller(config), Meter()
    LOG.day = day
    try:
        with Store.open(config.store, witness=config.witness_file) as store:
            before = None if daily else store.last_daily_run()  # whose failure this `send` may heal
            report = _attempt(lambda: _watched(act, store, meter), config, day)
            if not (quiet and _nothing_done(report)):
                store.record_run(report, started, meter.rate)
                teller.end(report, before.verdict if before else None)
                teller.write(store, report)
    except NewsletterError as error:
        report = _failed(error, config.path, day)
        teller.end(report)
    except Exception as error:
        teller.end(RunReport(Verdict.FAILED, f"the program failed: {type(error).__name__}", day))
        raise
    print_verdict(report, quiet=quiet)
    return report.exit


def _watched(act: Callable[[Store, Runtime], RunReport], store: Store, meter: Meter) -> RunReport:
    with watching() as runtime:
        return act(store, replace(runtime, progress=meter.watching(runtime.progress)))


def _attempt(act: Callable[[], RunReport], config: Config, day: date | None) -> RunReport:
    try:
        return act()
    except NewsletterError as error:
        return _failed(error, config.path, day)


def _failed(error: NewsletterError, path: Path, day: date | None) -> RunReport:
    """The report of a run that ended with `error`; `path` is the config file."""
    if isinstance(error, ConfigError):
        error = error.in_file(path)
    return RunReport(Verdict.FAILED, str(error), day, exit_code=error.exit_code)


def _nothing_done(report: RunReport) -> bool:
    return report.verdict is Verdict.ALREADY_SENT or report.idle


def print_verdict(report: RunReport, *, quiet: bool = False) -> None:
    """Print the verdict as the last line of standard output; a failure also on standard error, which cron mails.

    With `quiet` a run that did nothing is not printed.
    """
    if quiet and (_nothing_done(report) or report.verdict is Verdict.ALREADY_RUNNING):
        return
    if report.day is not None:
        LOG.day = report.day
    ended: dict[str, Any] = {"verdict": report.verdict, "exit_code": report.exit}
    if report.exit:
        LOG.say(Level.ERROR, report.explanation, prefix="newsletter: ", **ended)
    elif LOG.form == "json":  # elsewhere the last line of standard output says it
        LOG.say(Level.INFO, report.explanation, **ended)
    click.echo(f"verdict: {report.verdict} - {report.explanation}")
