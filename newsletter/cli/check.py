"""The command `check`: try each thing that a run needs."""

from __future__ import annotations

import click

from newsletter import check as checks
from newsletter.config import Config


def check(config: Config) -> int:
    """Print a line for each finding; returns the exit code of the first bad one, else 0."""
    code = 0
    for finding in checks.examine(config):
        click.echo(f"{'ok ' if finding.exit_code == 0 else 'BAD'}  {finding.what}: {finding.words}")
        code = code or finding.exit_code
    return code
