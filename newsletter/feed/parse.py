"""Parse a feed's bytes into papers. The format is detected from the content, not from a name or header. No I/O."""

from __future__ import annotations

import json
import math
import re
from typing import Final

from newsletter.config import FeedConfig
from newsletter.errors import FeedFormatError
from newsletter.feed import hugging_face, json_feed
from newsletter.feed.decode import decode
from newsletter.feed.entry import NotAFeed
from newsletter.feed.text import plain
from newsletter.feed.urls import shown, without_secrets
from newsletter.model import ParsedFeed

# What begins an object, a list, a tag or an attribute, by the document's first character. Each takes a parser about 100
# times its size in memory. The limit is three times what 10 MB of real feeds have.
_STRUCTURE: Final = {"[": ("{", "["), "{": ("{", "["), "<": ("<", '="', "='")}
_MOST_STRUCTURE: Final = 500_000
_MOST_WARNINGS: Final = 10_000  # characters
_BEGINNING: Final = re.compile(r"<\?xml\s|<(?:rss|feed|rdf:RDF)[\s>]")
_PAGE: Final = re.compile(r"<(?:!doctype html|html)\b|\{", re.IGNORECASE)
# What PHP's and Perl's messages begin with, and stray characters such as a doubled byte order mark.
_WARNING: Final = re.compile(r"(?:warning|notice|deprecated|strict standards|error|array)\b|^[^<\[]", re.IGNORECASE)
_DIGITS: Final = 18  # longer integers are not figures of a paper, and int() takes quadratic time for them


def parse(body: bytes, feed: FeedConfig, *, content_type: str | None = None) -> ParsedFeed:
    """The papers of a feed in its order, and the entries that had to be skipped.

    `content_type` is the HTTP header; only its charset is used. Raises FeedFormatError with one line and the feed's URL
    if the whole document cannot be used.
    """
    try:
        return _document(_without_warnings(decode(body, content_type).strip()), feed)
    except NotAFeed as reason:
        said, named = (without_secrets(text, feed.hidden) for text in (f"{shown(feed.url)}: {reason}", reason.named))
        raise FeedFormatError(said, named=named) from reason


def _without_warnings(text: str) -> str:
    """`text` from its XML declaration or root on, if warnings of the server's program stand before it.

    PHP prints them as text or HTML into the document. A web page that names XML somewhere is not a feed.
    """
    head = text[:_MOST_WARNINGS]
    start = _BEGINNING.search(head)
    if start is None or start.start() == 0 or _PAGE.match(head) or not _WARNING.search(head, 0, start.start()):
        return text
    return text[start.start() :]


def _document(text: str, feed: FeedConfig) -> ParsedFeed:
    if not text:
        raise NotAFeed("an empty response")
    if sum(map(text.count, _STRUCTURE.get(text[0], ()))) > _MOST_STRUCTURE:
        raise NotAFeed("too much markup for a feed")
    if text[0] in "[{":
        return _json(text, feed)
    if text[0] == "<":
        from newsletter.feed import syndication  # feedparser takes 25 ms to import, and JSON feeds do not need it

        return syndication.read(text, feed.votes, feed.name, _base(feed), replacements=feed.replacements)
    raise NotAFeed(f"neither JSON nor XML; it begins {plain(text[:80], 40)!r}")


def _base(feed: FeedConfig) -> str:
    """The feed's URL as what relative links begin with and nameless feeds are called by: readers see it."""
    return without_secrets(feed.url, feed.hidden)


def _json(text: str, feed: FeedConfig) -> ParsedFeed:
    document = _load(text)
    if isinstance(document, list) and hugging_face.recognise(document):
        return hugging_face.read(document, feed.votes, feed.name)
    if isinstance(document, dict) and json_feed.recognise(document):
        return json_feed.read(document, feed.votes, feed.name, _base(feed))
    said = plain(document.get("error"), 200) if isinstance(document, dict) else ""
    raise NotAFeed(f"the server says: {said}" if said else "JSON, but neither Daily Papers nor JSON Feed")


def _load(text: str) -> object:
    try:
        return json.loads(text, parse_int=_whole)
    except json.JSONDecodeError as error:
        raise NotAFeed(f"broken JSON at line {error.lineno}, column {error.colno}: {error.msg}") from error
    except RecursionError as error:
        raise NotAFeed("JSON nested too deeply") from error


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= _DIGITS else math.inf
