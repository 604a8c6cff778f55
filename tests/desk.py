"""An operator's site with a feed per day, for tests that run over several days."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest

from newsletter.config import Config, load
from newsletter.model import RunReport, Span
from newsletter.pipeline import Decisions, run, send
from newsletter.runtime import Runtime
from newsletter.store import Store
from tests.inbox import Inbox
from tests.migrated import store_file

MONDAY = date(2026, 11, 23)
ONE_DAY = Span()


@dataclass
class Desk:
    """A folder with config and store, a feed file per day, an inbox, and one subscriber."""

    folder: Path
    inbox: Inbox
    warnings: list[str] = field(default_factory=list)
    readers: tuple[str, ...] = ("ada@example.org",)

    sender: str = "digest@news.example.org"
    read: dict[bytes, Config] = field(default_factory=dict)  # what each text of config.yaml says

    def __post_init__(self) -> None:
        store_file(self.folder / "newsletter.db")

    def configure(self, more: str = "", *feeds: str | dict[str, str]) -> None:
        sources = [{"url": feed} if isinstance(feed, str) else feed for feed in feeds or ("{date}.json",)]
        (self.folder / "config.yaml").write_text(
            f"sender: {json.dumps(self.sender)}\npostal_address: 1 Example Street\nlist_id: papers.news.example.org\n"
            f"feeds: {json.dumps(sources)}\nsecret: a secret of this test\n"
            f"smtp:\n  - host: 127.0.0.1\n    port: {self.inbox.port}\n{more}",
            "utf-8",
        )

    def publish(self, day: date, *entries: dict[str, object], name: str | None = None) -> None:
        (self.folder / (name or f"{day}.json")).write_text(json.dumps([{"paper": entry} for entry in entries]), "utf-8")

    @property
    def config(self) -> Config:
        path = self.folder / "config.yaml"
        text = path.read_bytes()
        if text not in self.read:
            self.read[text] = load(path, {})
        return self.read[text]

    def run(self, day: date, span: Span = ONE_DAY, at: datetime | None = None, *, remake: bool = False) -> RunReport:
        now = at or datetime(day.year, day.month, day.day, 7, tzinfo=UTC)
        config = self.config
        with Store.open(config.store, now=lambda: now) as store:
            store.add_all(self.readers, revive=True)
            runtime = Runtime(now=lambda: now, warn=self.warnings.append)
            return run(config, day, store, runtime, span=span, remake=remake)

    def send(self, at: datetime, **how: bool) -> RunReport:
        config = self.config
        with Store.open(config.store, now=lambda: at) as store:
            return send(config, None, store, Runtime(now=lambda: at, warn=self.warnings.append), Decisions(**how))

    @property
    def told(self) -> list[str]:
        """The text parts of all mails received, in order."""
        return [_text(message) for message in self.inbox.messages]

    @property
    def last(self) -> str:
        return _text(self.inbox.messages[-1])


def _text(message: EmailMessage) -> str:
    """The text part of a mail."""
    body = message.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Inbox() as inbox:
        made = Desk(tmp_path, inbox)
        made.configure()
        yield made


def entry(number: int, upvotes: int | None = 5, **more: object) -> dict[str, object]:
    votes = {} if upvotes is None else {"upvotes": upvotes}
    return {"id": f"2611.{number:05d}", "title": f"Paper number {number}", "summary": "We study it.", **votes, **more}
