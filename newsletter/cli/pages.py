"""The command that serves the web pages."""

from __future__ import annotations

import click
import waitress

from newsletter.config import Config
from newsletter.errors import NewsletterError
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
