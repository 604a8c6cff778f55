"""The command `demo`, and how this program is called."""

from __future__ import annotations

import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from newsletter.extras import needed


def demo(output: Path) -> int:
    """Run the demo and print the files it wrote; returns the exit code. Raises MissingExtra without aiosmtpd."""
    from newsletter.cli.progress import watching

    with needed("demo", "newsletter demo"):
        from newsletter import demo

    with watching() as runtime:
        done = demo.run(output, datetime.now(UTC).date(), runtime)
    click.echo("The mail that was sent, and the copy that each subscriber of the sample list received:")
    for path in done.files:
        click.echo(f"  {path}")
    click.echo(f"verdict: {done.report.verdict} - {done.report.explanation}")
    return done.report.exit


def program() -> tuple[str, ...]:
    """The words that call this program by its absolute path."""
    script = shutil.which("newsletter") if Path(sys.argv[0]).name == "newsletter" else None
    own = Path(sys.argv[0]).resolve()
    if own.name == "newsletter" and own.is_file():
        return (str(own),)
    return (script,) if script else (sys.executable, "-m", "newsletter")
