"""The command that tries everything a run needs."""

from __future__ import annotations

import click

from newsletter import check as doctor
from newsletter.config import Config


def check(config: Config) -> int:
    """Print what the doctor found; returns the exit code of the first finding that is wrong, else 0."""
    code = 0
    for finding in doctor.examine(config):
        click.echo(f"{'ok ' if finding.exit_code == 0 else 'BAD'}  {finding.what}: {finding.words}")
        code = code or finding.exit_code
    return code
