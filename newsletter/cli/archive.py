"""The command `archive export`: write the archive to files."""

from __future__ import annotations

from pathlib import Path

import click

from newsletter.archive import pages
from newsletter.config import Config
from newsletter.mail.render import Renderer
from newsletter.store import Store


def export(config: Config, folder: Path) -> None:
    """Write the archive into `folder` and print how many files were written."""
    with Store.open(config.store) as store:
        archive = pages.Archive(
            config.publication,
            store,
            Renderer(config.publication, templates=config.templates, catalogues=config.catalogues),
        )
        written, number = pages.export(archive, folder)
    click.echo(f"{folder}: {written} of {number} files written")
