"""The command that shows a day without sending it, as files or in the browser."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import click

from newsletter import preview as previews
from newsletter.cli.run import print_verdict
from newsletter.config import Config
from newsletter.errors import NewsletterError
from newsletter.extras import needed
from newsletter.mail.lint import Level
from newsletter.model import NoIssue
from newsletter.runtime import Runtime


def preview(config: Config, day: date, output: Path) -> int:
    """Write the files of a day and say where they are; returns the exit code."""
    made = previews.make(config, day, Runtime())
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
    click.echo(f"{made.rendered.subject}\n  {html}  ({size:.1f} KiB of the 102 at which Gmail clips)\n  {text}")
    return int(any(finding.level is Level.ERROR for finding in made.findings))


def serve_preview(path: Path, day: date, port: int, *, open_browser: bool) -> None:
    """Serve the preview until Ctrl-C. Raises MissingExtra without Flask and watchfiles."""
    with needed("preview", "newsletter preview --serve"):
        from newsletter.preview import server

    try:
        running = server.start(path, port, Runtime())
    except OSError as error:
        reason = os.strerror(error.errno or 0)  # without the address, which Python adds to it
        raise NewsletterError(f"port {port} of 127.0.0.1 cannot be used: {reason}; try --port 0") from error
    address = f"{running.url}?date={day}"
    click.echo(f"The preview is at {address}  (Ctrl-C ends it)")
    if open_browser:
        click.launch(address)
    try:
        running.serve()
    except KeyboardInterrupt:
        click.echo("")
