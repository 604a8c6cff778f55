"""`newsletter demo`: a full run on a sample day for three subscribers, over SMTP to a local mail server.

Nothing leaves the machine. Only the received mails and their parts are kept.
"""

from __future__ import annotations

import secrets
import tempfile
from asyncio import Server
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from aiosmtpd.controller import Controller

from newsletter import pipeline, resources
from newsletter.config import Config, FeedConfig, FetchConfig, Secret, SmtpConfig
from newsletter.issue.rules import IssueRules
from newsletter.model import Mailbox, Publication, RunReport
from newsletter.runtime import Runtime
from newsletter.store import Store

READERS: Final = ("ada@readers.example.com", "emmy@readers.example.com", "kurt@readers.example.com")

_PUBLICATION: Final = Publication(
    title="Daily Papers",
    sender=Mailbox("Daily Papers", "digest@news.example.org"),
    bounce_address="digest@news.example.org",
    postal_address="1 Example Street, Example City",
    list_id="daily-papers.news.example.org",
    base_url="https://news.example.org",
)


@dataclass(frozen=True, slots=True)
class Demo:
    """Result of the demo: the report of its run, and the files it wrote in the order to open them."""

    report: RunReport
    files: tuple[Path, ...]


class LoopbackServer(Controller):
    """A mail server in a thread of its own, on a free port of 127.0.0.1. Once started, `port` is that port."""

    def __init__(self, handler: Any) -> None:
        super().__init__(handler, hostname="127.0.0.1", port=0)

    def _trigger_server(self) -> Any:
        """Set `port` before aiosmtpd connects to it to check that the server answers."""
        assert isinstance(self.server, Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]


class _Mailbox:
    """An aiosmtpd handler that writes each message to FOLDER/<local part of the recipient>.eml."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[Path] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Keep one message. aiosmtpd calls this after the final dot."""
        path = self.folder / f"{envelope.rcpt_tos[0].partition('@')[0]}.eml"
        path.write_bytes(envelope.original_content)
        self.files.append(path)
        return "250 2.0.0 kept"


def run(folder: Path, day: date, runtime: Runtime) -> Demo:
    """Run the demo and write its files to `folder`, which is made if missing. Raises OSError if that fails."""
    folder.mkdir(parents=True, exist_ok=True)
    mailbox = _Mailbox(folder)
    with tempfile.TemporaryDirectory(prefix="newsletter-demo-") as scratch, _server(mailbox) as port:
        config = _config(Path(scratch), port)
        with Store.open(config.store) as store:
            for reader in READERS:
                store.add(reader)
            report = pipeline.run(config, day, store, runtime)
    first = mailbox.files[0].read_bytes() if mailbox.files else b""
    return Demo(report, (*_parts(first, folder), *sorted(mailbox.files)))


def _config(scratch: Path, port: int) -> Config:
    return Config(
        path=scratch / "config.yaml",
        publication=_PUBLICATION,
        timezone=ZoneInfo("UTC"),
        feeds=(FeedConfig(str(resources.find("sample_day.json"))),),
        fetch=FetchConfig(),
        issue=IssueRules(),
        templates=None,
        catalogues=scratch / "locale",
        store=f"sqlite:///{scratch / 'demo.db'}",
        secret=Secret(secrets.token_hex),
        smtp=(SmtpConfig(host="127.0.0.1", port=port),),
    )


@contextmanager
def _server(mailbox: _Mailbox) -> Iterator[int]:
    server = LoopbackServer(mailbox)
    server.start()
    try:
        yield server.port
    finally:
        server.stop()


def _parts(message: bytes, folder: Path) -> tuple[Path, ...]:
    """Write the HTML and text parts of a received message to digest.html and digest.txt."""
    parsed = message_from_bytes(message, EmailMessage, policy=default)
    html_part, text_part = parsed.get_body(("html",)), parsed.get_body(("plain",))
    if html_part is None or text_part is None:
        return ()
    html, text = folder / "digest.html", folder / "digest.txt"
    html.write_text(html_part.get_content(), "utf-8")
    text.write_text(text_part.get_content(), "utf-8")
    return html, text
