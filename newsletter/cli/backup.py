"""The commands `backup` and `restore`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from newsletter import backup
from newsletter.backup.manifest import Kind
from newsletter.config import Config
from newsletter.errors import BackupError
from newsletter.text import count


def make(config: Config, target: Path) -> None:
    """Write a backup and print what is in it; what is not is printed to standard error. Raises NewsletterError.

    The target ``-`` is standard output; then all is printed to standard error.
    """
    to_output, now = str(target) == "-", datetime.now(UTC)
    if not to_output:
        made = backup.make(config, target, now)
    elif sys.stdout.isatty():
        raise BackupError("a backup is no text for a terminal: name a file, or pass it on, as in `backup - | gpg -c`")
    else:
        made = backup.stream(config, sys.stdout.buffer, now)
    files = sum(part.kind in (Kind.FILE, Kind.OUTSIDE) for part in made.manifest.parts)
    where = "to standard output" if to_output else target
    said = f"wrote {where}: the store, {config.path} and {count(files, 'other file')}, {_megabytes(made.size)}"
    click.echo(said, err=to_output)
    for line in made.missing:
        click.echo(f"warning: {line}", err=True)
    if made.manifest.environment:
        names = ", ".join(made.manifest.environment)
        click.echo(f"warning: values of the environment are not in the backup: {names}", err=True)


def restore(archive: Path, config_path: Path, *, force: bool) -> None:
    """Restore a backup, and print what was written and what is left to do. Raises NewsletterError."""
    done = backup.restore(archive, config_path, force=force)
    for path in done.written:
        click.echo(f"restored {path}")
    click.echo(f"restored the store: {done.store}, as it was at {done.manifest.created_at}")
    for path in done.kept:
        click.echo(f"kept what was there before as {path}")
    for path, was in done.outside:
        click.echo(f"to do: {was} was outside the folder; put {path} there: install -D -m 600 {path} {was}")
    if done.manifest.environment:
        click.echo(f"to do: set these variables of the environment: {', '.join(done.manifest.environment)}")
    click.echo(
        "to do: if issues were sent after that time, end them first with `newsletter withdraw DAY`, or readers get them"
        " again. The store may send nothing until `newsletter send --trust-store`: see docs/operating.md"
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
