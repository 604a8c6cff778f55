"""The command `web`: serve the web pages, and send confirmation mails."""

from __future__ import annotations

import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import click
import waitress
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import TcpWSGIServer
from waitress.utilities import RequestEntityTooLarge

from newsletter import garbage
from newsletter.cli.log import LOG
from newsletter.config import Config
from newsletter.errors import ConfigError, NewsletterError
from newsletter.store import Store
from newsletter.web import create_app
from newsletter.web.confirmations import ConfirmationSender

_THREADS: Final = 8
_LARGEST_REQUEST: Final = 65_536  # bytes of a body that a page gets, and of headers

# Seconds that a thread runs while others wait (sys.setswitchinterval); Python's default is ten times as long. A request
# gives its turn away at each of some twenty statements and files, and has to wait for the next one.
_TURN: Final = 0.0005

_STOP_WITHIN: Final = 4.0  # seconds to finish the mail that is being sent

# Open connections at most. A slow one costs memory and a file, not a thread, and only until REQUEST_WITHIN.
_CONNECTIONS: Final = 4096
_OTHER_FILES: Final = 128  # what the process opens besides: the database, mail servers, listening sockets

# Seconds from the first moment of a connection, or from the end of its last answer, until a request must be complete.
REQUEST_WITHIN: Final = 10.0
_ANSWER_STALLED: Final = 30  # seconds in which a client takes none of its answer


def serve(config: Config, host: str, port: int) -> None:
    """Serve the web pages until Ctrl-C or SIGTERM.

    Raises NewsletterError if `port` cannot be used, ConfigError if there is no `base_url`, and UsageError if `host` is
    not an address or name of this machine.
    """
    if config.publication.base_url is None:
        raise ConfigError("base_url is missing: set it to the URL at which subscribers reach these pages")
    with Store.open(config.store, hasher=config.address_hasher()) as store:
        sender = ConfirmationSender(config, store, warn=lambda message: LOG.warning(message, prefix="newsletter: "))
        app = create_app(config, store, wake=sender.wake)
        server = create_server(app, config, host, port, connections=allow_connections(_CONNECTIONS))
        with closing(server), _delivering(sender):
            click.echo(
                f"serving on http://{host}:{port}/; let your web server pass {config.publication.base_url} on to it "
                "(docs/web.md); Ctrl-C ends it"
            )
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
            garbage.loaded()
            sys.setswitchinterval(_TURN)
            server.run()  # ends on SystemExit and KeyboardInterrupt
            click.echo("stopped")


def allow_connections(wanted: int) -> int:
    """Raise the process's limit of open files for `wanted` connections; returns how many there may be.

    An operator's hard limit stands (systemd: LimitNOFILE).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = wanted + _OTHER_FILES
    if hard != resource.RLIM_INFINITY:
        files = min(files, hard)
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return max(files - _OTHER_FILES, files // 2)


class _Parser(HTTPRequestParser):  # type: ignore[misc]  # waitress publishes no types
    """A request. A body that is too large is read to its end and dropped, so that a page can say what is wrong.

    Waitress answers before the client has sent it all, and closes; browsers then show an error of their own.
    """

    _to_drop = 0  # bytes

    def received(self, data: bytes) -> int:
        """Take the next bytes of the request; returns how many of them belong to it."""
        if self._to_drop:
            dropped = min(len(data), self._to_drop)
            self._to_drop -= dropped
            self.completed = not self._to_drop
            return dropped
        consumed = int(super().received(data))
        refused: object = getattr(self, "error", None)
        if isinstance(refused, RequestEntityTooLarge) and not self.chunked:
            self.error, self.completed, self._to_drop = None, False, self.content_length
        return consumed


class _PatientChannel(HTTPChannel):  # type: ignore[misc]  # waitress publishes no types
    """A connection with a deadline for each request.

    Waitress closes a connection that is silent for `channel_timeout`. One that sends a byte now and then would stay
    for ever, and enough of them would keep all readers out.
    """

    parser_class = _Parser
    request_within = REQUEST_WITHIN

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._waiting_since = time.monotonic()
        super().__init__(*args, **kwargs)

    def readable(self) -> bool:
        """Whether to read from the connection; the server asks every second. Closes it when the time is over."""
        busy = self.requests or self.total_outbufs_len
        if not busy and time.monotonic() - self._waiting_since > self.request_within:
            self.will_close = True
        return bool(super().readable())

    def service(self) -> None:
        """Answer one request; the time for the next one begins."""
        super().service()
        self._waiting_since = time.monotonic()


def create_server(
    app: Any, config: Config, host: str, port: int, *, connections: int, request_within: float = REQUEST_WITHIN
) -> Any:
    """A server of waitress for the WSGI application `app`, bound to `host` and `port`.

    It keeps up to `connections` open, and closes one whose request is not complete after `request_within` seconds.
    Raises NewsletterError if the port is taken, UsageError if `host` is no address.
    """
    sockets: dict[int, Any] = {}
    try:
        server = waitress.create_server(
            app,
            map=sockets,
            host=host,
            port=port,
            ident=None,
            threads=_THREADS,
            max_request_body_size=_LARGEST_REQUEST,
            max_request_header_size=_LARGEST_REQUEST,
            connection_limit=connections,
            channel_timeout=_ANSWER_STALLED,
            cleanup_interval=5,
            asyncore_use_poll=True,  # select() knows no file above 1023
            trusted_proxy=config.web.trusted_proxy,
            trusted_proxy_headers={"x-forwarded-for"},
            clear_untrusted_proxy_headers=True,
            url_prefix=urlsplit(config.publication.base_url or "").path,
        )
    except ValueError as error:  # waitress raises it for a name that cannot be resolved
        raise click.UsageError(f"--host: {host} is not an address or name of this machine") from error
    except OSError as error:
        raise NewsletterError(f"port {port} of {host} cannot be used: {error.strerror}") from error
    channel = type("_Channel", (_PatientChannel,), {"request_within": request_within})
    for each in sockets.values():
        if isinstance(each, TcpWSGIServer):  # one for each address of `host`
            each.channel_class = channel
    return server


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
