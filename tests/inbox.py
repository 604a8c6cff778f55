"""A real mail server on loopback (aiosmtpd) that keeps what it takes; the tests of the whole command send to it."""

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
    """Runs in a thread on a free port. `refuse` maps a recipient to the reply it gets instead of 250.

    With `kill_after` the process `victim` gets SIGKILL when that many messages were taken, before it hears of the last.
    """

    def __init__(self) -> None:
        self.refuse: dict[str, str] = {}
        self.kill_after: int | None = None
        self.victim = 0
        self.connections = 0
        self.recipients: list[str] = []
        self.messages: list[EmailMessage] = []
        self._controller = LoopbackServer(self)

    def __enter__(self) -> Inbox:
        self._controller.start()
        self.connections = 0  # starting connects once, to see that it answers
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._controller.stop()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._controller.port)

    async def handle_EHLO(self, server: SMTP, session: Any, envelope: Any, hostname: str, replies: Any) -> Any:
        """Count who talks to us."""
        self.connections += 1
        session.host_name = hostname
        return replies

    async def handle_RCPT(self, server: SMTP, session: Any, envelope: Any, address: str, options: Any) -> str:
        """Refuse whom the test refuses."""
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:
        """Take a message."""
        self.recipients.append(envelope.rcpt_tos[0])
        self.messages.append(message_from_bytes(envelope.original_content, EmailMessage, policy=default))
        if self.kill_after == len(self.recipients):
            os.kill(self.victim, signal.SIGKILL)
        return "250 2.0.0 kept"
