"""Bytes to papers: what they are is told by their content, never by a name or a header. Opens nothing."""

from __future__ import annotations

import json
import math
from typing import Final

from newsletter.config import FeedConfig
from newsletter.errors import FeedFormatError
from newsletter.feed import hugging_face, json_feed
from newsletter.feed.decode import decode
from newsletter.feed.entry import NotAFeed
from newsletter.feed.text import plain
from newsletter.feed.urls import shown
from newsletter.model import ParsedFeed

# What opens an object, a list, a tag or an attribute. Each costs a parser a hundred times its size in memory, and ten
# real megabytes have a third of the limit.
_STRUCTURE: Final = {"[": ("{", "["), "{": ("{", "["), "<": ("<", '="', "='")}
_MOST_STRUCTURE: Final = 500_000
_DIGITS: Final = 18  # longer ones are no figure of ours, and int() takes quadratic time over them


def parse(body: bytes, feed: FeedConfig, *, content_type: str | None = None) -> ParsedFeed:
    """The papers of one answer, in its order, and the entries that had to be skipped.

    `content_type` is HTTP's, of use only for its charset. Raises FeedFormatError, one line with the feed's URL, when
    the document as a whole cannot be used.
    """
    try:
        return _document(decode(body, content_type).strip(), feed)
    except NotAFeed as reason:
        raise FeedFormatError(f"{shown(feed.url)}: {reason}") from reason


def _document(text: str, feed: FeedConfig) -> ParsedFeed:
    if not text:
        raise NotAFeed("an empty answer")
    if sum(map(text.count, _STRUCTURE.get(text[0], ()))) > _MOST_STRUCTURE:
        raise NotAFeed("nothing but markup")
    if text[0] in "[{":
        return _json(text, feed)
    if text[0] == "<":
        from newsletter.feed import syndication  # feedparser takes 25 ms, and Hugging Face needs none

        return syndication.read(text, feed.votes, feed.name, feed.url)
    raise NotAFeed(f"neither JSON nor XML; it begins {plain(text[:80], 40)!r}")


def _json(text: str, feed: FeedConfig) -> ParsedFeed:
    document = _load(text)
    if isinstance(document, list) and hugging_face.recognise(document):
        return hugging_face.read(document, feed.votes, feed.name)
    if isinstance(document, dict) and json_feed.recognise(document):
        return json_feed.read(document, feed.votes, feed.name, feed.url)
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
