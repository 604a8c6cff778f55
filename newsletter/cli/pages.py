"""The commands that serve the web pages, and write the archive as files."""

from __future__ import annotations

from pathlib import Path

import click
import waitress

from newsletter import archive
from newsletter.config import Config
from newsletter.errors import NewsletterError
from newsletter.render import Renderer
from newsletter.store import Store
from newsletter.web import create_app


def serve(config: Config, host: str, port: int) -> None:
    """Serve until Ctrl-C or SIGTERM. Raises NewsletterError when the port is taken."""
    with Store.open(config.store, veil=config.veil()) as store:
        app = create_app(config, store)
        try:
            server = waitress.create_server(app, host=host, port=port, ident=None, clear_untrusted_proxy_headers=True)
        except OSError as error:
            raise NewsletterError(f"port {port} of {host} cannot be used: {error.strerror}") from error
        click.echo(
            f"serving on http://{host}:{port}/; {config.publication.base_url or 'base_url is not set'} leads here"
        )
        server.run()


def export(config: Config, folder: Path) -> None:
    """Write the archive into `folder`."""
    with Store.open(config.store) as store:
        pages = archive.Archive(config.publication, store, Renderer(config.publication, templates=config.templates))
        written, number = archive.export(pages, folder)
    click.echo(f"{folder}: {written} of {number} files written")
