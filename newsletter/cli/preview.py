"""The command `preview`: show a day's mail without sending it, as files or in the browser."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import click

from newsletter import preview as previews
from newsletter.cli.run import print_verdict
from newsletter.config import Config
from newsletter.errors import NewsletterError
from newsletter.extras import needed
from newsletter.issue.selector import Selector, SelectorError, contradiction
from newsletter.mail.lint import Level
from newsletter.model import NoIssue
from newsletter.runtime import Runtime


def selector_of(
    topics: Sequence[str],
    authors: Sequence[str],
    organisations: Sequence[str],
    categories: Sequence[str],
    never: Sequence[str],
) -> Selector | None:
    """The selector of what was typed on the command line; None if nothing was. Raises click.UsageError."""
    given = (topics, authors, organisations, categories, never)
    if not any(given):
        return None
    try:
        made = Selector.of(
            topics=topics, authors=authors, organisations=organisations, categories=categories, never=never
        )
    except SelectorError as error:
        raise click.UsageError(str(error)) from error
    if (refused := contradiction(made)) is not None:
        kind, choice = refused
        raise click.UsageError(f"{kind}: {choice!r} is also asked for; leave one out")
    return made


def preview(config: Config, day: date, output: Path, selector: Selector | None = None) -> int:
    """Write the mail of a day to files in `output` and print their paths; returns the exit code.

    With `selector` it is the edition of a reader who chose that. The exit code is 1 if the lint finds an error, and the
    verdict's if there is no mail.
    """
    made = previews.make(config, day, Runtime(), selector)
    for problem in made.problems:
        click.echo(f"warning: {problem}", err=True)
    if isinstance(made.rendered, NoIssue):
        report = made.rendered.report(day)
        print_verdict(report)
        return report.exit
    for finding in made.findings:
        click.echo(f"{finding.level}: {finding.message}", err=True)
    html, text = previews.write(made.rendered, output)
    size = len(made.rendered.html.encode()) / 1024
    click.echo(f"{made.rendered.subject}\n  {html}  ({size:.1f} KiB; Gmail clips at 102 KiB)\n  {text}")
    return int(any(finding.level is Level.ERROR for finding in made.findings))


def serve_preview(path: Path, day: date, port: int, *, open_browser: bool) -> None:
    """Serve the preview of the config at `path` until Ctrl-C.

    Raises MissingExtra without Flask and watchfiles, and NewsletterError if `port` cannot be used.
    """
    with needed("preview", "newsletter preview --serve"):
        from newsletter.preview import server

    try:
        running = server.start(path, port, Runtime())
    except OSError as error:
        reason = os.strerror(error.errno or 0)  # str(error) would repeat the address
        raise NewsletterError(f"port {port} of 127.0.0.1 cannot be used: {reason}; try --port 0") from error
    address = f"{running.url}?date={day}"
    click.echo(f"The preview is at {address}  (Ctrl-C ends it)")
    if open_browser:
        click.launch(address)
    try:
        running.serve()
    except KeyboardInterrupt:
        click.echo("")
