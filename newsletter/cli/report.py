"""The command `report`: one page about the last weeks."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from newsletter import files
from newsletter.config import Config
from newsletter.report import page
from newsletter.report.facts import gather
from newsletter.store import Store


def report(config: Config, output: Path, days: int) -> None:
    """Write the page about the last `days` days to `output`. Raises NewsletterError, and OSError."""
    now = datetime.now(UTC)
    with Store.open(config.store) as store:
        text = page.render(gather(store, now, days), config.publication, now)
    files.replace(output, text.encode(), private=True)
    click.echo(f"wrote {output}")
