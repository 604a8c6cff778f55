"""The command `web`: serve the web pages, and send confirmation mails."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import click
import waitress

from newsletter.config import Config
from newsletter.errors import ConfigError, NewsletterError
from newsletter.store import Store
from newsletter.web import create_app
from newsletter.web.confirmations import ConfirmationSender

_THREADS: Final = 8
_LARGEST_REQUEST: Final = 65_536  # bytes
_STOP_WITHIN: Final = 4.0  # seconds to finish the mail that is being sent


def serve(config: Config, host: str, port: int) -> None:
    """Serve the web pages until Ctrl-C or SIGTERM.

    Raises NewsletterError if `port` cannot be used, ConfigError if there is no `base_url`, and UsageError if `host` is
    not an address or name of this machine.
    """
    if config.publication.base_url is None:
        raise ConfigError("base_url is missing: set it to the URL at which subscribers reach these pages")
    with Store.open(config.store, hasher=config.address_hasher()) as store:
        sender = ConfirmationSender(config, store, warn=lambda message: click.echo(f"newsletter: {message}", err=True))
        server = _server(create_app(config, store, wake=sender.wake), config, host, port)
        with _delivering(sender):
            click.echo(
                f"serving on http://{host}:{port}/; let your web server pass {config.publication.base_url} on to it "
                "(docs/web.md); Ctrl-C ends it"
            )
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
            server.run()  # ends on SystemExit and KeyboardInterrupt
            click.echo("stopped")


def _server(app: Any, config: Config, host: str, port: int) -> Any:
    try:
        return waitress.create_server(
            app,
            host=host,
            port=port,
            ident=None,
            threads=_THREADS,
            max_request_body_size=_LARGEST_REQUEST,
            max_request_header_size=_LARGEST_REQUEST,
            trusted_proxy=config.web.trusted_proxy,
            trusted_proxy_headers={"x-forwarded-for"},
            clear_untrusted_proxy_headers=True,
            url_prefix=urlsplit(config.publication.base_url or "").path,
        )
    except ValueError as error:  # waitress raises it for a name that cannot be resolved
        raise click.UsageError(f"--host: {host} is not an address or name of this machine") from error
    except OSError as error:
        raise NewsletterError(f"port {port} of {host} cannot be used: {error.strerror}") from error


@contextmanager
def _delivering(sender: ConfirmationSender) -> Iterator[None]:
    """Run the sender in a thread during the block; at its end wait for the mail that is being sent."""
    thread = threading.Thread(target=sender.run, name="sender", daemon=True)
    thread.start()
    try:
        yield
    finally:
        sender.stop()
        thread.join(_STOP_WITHIN)
