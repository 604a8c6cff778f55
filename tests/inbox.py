"""A mail server on loopback (aiosmtpd) that keeps the messages it accepts."""

from __future__ import annotations

import os
import signal
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from types import TracebackType
from typing import Any

from aiosmtpd.smtp import SMTP

from newsletter.demo import LoopbackServer


class Inbox:
    """The server, in a thread on a free port. `refuse` maps a recipient to its reply instead of 250.

    With `kill_after`, the process `victim` gets SIGKILL after that many messages, before the reply to the last one.
    """

    def __init__(self) -> None:
        self.refuse: dict[str, str] = {}
        self.kill_after: int | None = None
        self.victim = 0
        self.connections = 0
        self.recipients: list[str] = []
        self._came: list[bytes] = []
        self._parsed: list[EmailMessage] = []
        self._controller = LoopbackServer(self)

    def __enter__(self) -> Inbox:
        self._controller.start()
        self.connections = 0  # aiosmtpd connects once when it starts
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._controller.stop()

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return int(self._controller.port)

    @property
    def messages(self) -> list[EmailMessage]:
        """The messages in the order in which they came. They are parsed when somebody asks, which few tests do."""
        for content in self._came[len(self._parsed) :]:
            self._parsed.append(message_from_bytes(content, EmailMessage, policy=default))
        return self._parsed

    @property
    def kept(self) -> list[tuple[str, bytes]]:
        """The first recipient of each message, and its bytes."""
        return list(zip(self.recipients, self._came, strict=True))

    @kept.setter
    def kept(self, messages: list[tuple[str, bytes]]) -> None:
        self.recipients[:] = [recipient for recipient, _ in messages]
        self._came[:] = [content for _, content in messages]
        self._parsed.clear()

    async def handle_EHLO(self, server: SMTP, session: Any, envelope: Any, hostname: str, replies: Any) -> Any:
        """Count the connection."""
        self.connections += 1
        session.host_name = hostname
        return replies

    async def handle_RCPT(self, server: SMTP, session: Any, envelope: Any, address: str, options: Any) -> str:
        """Refuse the recipients in `refuse`."""
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:
        """Keep a message."""
        self.recipients.append(envelope.rcpt_tos[0])
        self._came.append(envelope.original_content)
        if self.kill_after == len(self.recipients):
            os.kill(self.victim, signal.SIGKILL)
        return "250 2.0.0 kept"
