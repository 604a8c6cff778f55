"""Feeds for the tests of parsing: small ones built by functions, and those in tests/data/feeds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from newsletter.config import FeedConfig
from newsletter.errors import FeedFormatError
from newsletter.feed import parse
from newsletter.model import Paper, ParsedFeed

FEEDS = Path(__file__).parent / "data" / "feeds"
FEED = FeedConfig("https://me:secret@feeds.example.org/daily/papers.xml?key=1")


def read(name: str, feed: FeedConfig = FEED) -> ParsedFeed:
    return parse((FEEDS / name).read_bytes(), feed)


def rss(items: str, root: str = '<rss version="2.0">') -> bytes:
    return f"{root}<channel><title>T</title>{items}</channel></rss>".encode()


def item(**fields: str) -> bytes:
    return rss("<item>" + "".join(f"<{name}>{value}</{name}>" for name, value in fields.items()) + "</item>")


def papers(**paper: Any) -> bytes:
    return json.dumps([{"paper": {"id": "2611.00001", "title": "A paper", **paper}}]).encode()


def only(body: bytes, feed: FeedConfig = FEED) -> Paper:
    [paper] = parse(body, feed).papers
    return paper


def error_of(body: bytes, content_type: str | None = None) -> str:
    with pytest.raises(FeedFormatError) as caught:
        parse(body, FEED, content_type=content_type)
    message = str(caught.value)
    assert message.startswith("https://feeds.example.org/daily/papers.xml: ")
    assert message.isprintable()
    return message.partition(": ")[2]
