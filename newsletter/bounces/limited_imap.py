"""imaplib with two bounds that it lacks: how long a whole session takes, and how much answers one command.

A timeout holds for each read, so a server that sends a byte a second never meets it. A literal is read into memory
whatever size the server announces. Both end here with imaplib's own error, and the connection is shut.
"""

from __future__ import annotations

import imaplib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn


class LimitedImap(imaplib.IMAP4):
    """A connection without TLS, or one that STARTTLS secures later. Raises `imaplib.IMAP4.abort` beyond a bound."""

    def __init__(self, host: str, port: int, *, timeout: float, session: float, answer: int) -> None:
        """`timeout` and `session` are seconds for one read and for everything; `answer` is bytes to one command."""
        with self._limited(session, answer):
            super().__init__(host, port, timeout)

    @contextmanager
    def _limited(self, session: float, answer: int) -> Iterator[None]:
        """Connect in the block. The timeout bounds the whole TLS handshake, and what is read later has the bounds."""
        self._session, self._answer = session, answer
        self._end = time.monotonic() + session
        self._answered = 0
        self._alarm = threading.Timer(session, self._shut)
        self._alarm.daemon = True
        self._alarm.start()
        try:
            yield
        except BaseException:
            self._alarm.cancel()
            raise

    def send(self, data: Any) -> None:
        """Send a command; what comes then answers it."""
        self._answered = 0
        super().send(data)

    def read(self, size: int) -> bytes:
        """A literal of `size` bytes, which the server has announced."""
        if self._answered + size > self._answer:
            self._refuse(f"it announces {size} bytes, and {self._answer} are read of one answer")
        return self._in_time(lambda: super(LimitedImap, self).read(size))

    def readline(self) -> bytes:
        """One line of an answer."""
        return self._in_time(super().readline)

    def shutdown(self) -> None:
        """Close the connection."""
        self._alarm.cancel()
        super().shutdown()

    def _in_time(self, reading: Callable[[], bytes]) -> bytes:
        self._end_in_time()
        try:
            data = reading()
        except OSError:
            self._end_in_time()
            raise
        self._end_in_time()
        self._answered += len(data)
        if self._answered > self._answer:
            self._refuse(f"it answers one command with more than {self._answer} bytes")
        return data

    def _end_in_time(self) -> None:
        if time.monotonic() >= self._end:
            self._refuse(f"reading takes more than {self._session:g} seconds; the next run goes on from here")

    def _refuse(self, reason: str) -> NoReturn:
        self._shut()  # what is still to come is no answer to the next command
        raise self.abort(reason)

    def _shut(self) -> None:
        """End a read that waits, also in another thread; below TLS, whose state belongs to that thread."""
        with suppress(AttributeError, OSError):  # not connected yet, or no longer
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)


class LimitedImapTls(LimitedImap, imaplib.IMAP4_SSL):
    """A connection with TLS from the beginning."""

    def __init__(
        self, host: str, port: int, context: ssl.SSLContext, *, timeout: float, session: float, answer: int
    ) -> None:
        """As for LimitedImap."""
        with self._limited(session, answer):
            imaplib.IMAP4_SSL.__init__(self, host, port, ssl_context=context, timeout=timeout)
