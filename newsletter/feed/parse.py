"""A feed's bytes recognised by what they hold, not by what they are called, and given to the format's parser."""

from __future__ import annotations

import json
import math
import re
from typing import Final

from newsletter.config import FeedConfig
from newsletter.errors import FeedFormatError
from newsletter.feed import huggingface, jsonfeed, syndication, text
from newsletter.model import ParsedFeed

# Whole numbers with more digits are nonsense, and slow to read (CVE-2020-10735).
_DIGITS: Final = 18


def parse(body: bytes, feed: FeedConfig, *, content_type: str | None = None) -> ParsedFeed:
    """The papers of an answer, in the feed's own order. Raises FeedFormatError when it is no feed at all.

    An entry that cannot be read is skipped and listed; it never costs the others. `content_type` is a hint for the
    encoding of XML only. Nothing is opened, whatever the bytes ask for.
    """
    start = _start(body)
    if not start:
        raise FeedFormatError(f"{feed.url}: the answer is empty")
    if start[:1] in ("[", "{"):
        return _json(body, feed)
    if re.match(r"<(!doctype\s+html|html|head|body|title)\b", start, re.IGNORECASE):
        raise FeedFormatError(f"{feed.url}: a web page, not a feed; does the address need a login?")
    return syndication.parse(body, feed, content_type)


def _start(body: bytes) -> str:
    """The first characters, white space and byte order mark aside, whatever the encoding."""
    encoding = json.detect_encoding(body[:64]) if body[:1] in b"\x00\xef\xfe\xff" or b"\0" in body[:4] else "latin-1"
    return body[:4096].decode(encoding, "ignore").lstrip("\ufeff\xef\xbb\xbf \t\r\n")[:200]


def _json(body: bytes, feed: FeedConfig) -> ParsedFeed:
    try:
        loaded = json.loads(
            body.decode(json.detect_encoding(body), "replace").lstrip("\ufeff"),
            parse_int=_int,
            parse_float=_float,
            parse_constant=lambda name: None,
        )
    except RecursionError as error:
        raise FeedFormatError(f"{feed.url}: JSON nested too deeply") from error
    except ValueError as error:
        raise FeedFormatError(f"{feed.url}: broken JSON: {str(error).splitlines()[0]}") from error
    if isinstance(loaded, list):
        return huggingface.parse(loaded, feed)
    if isinstance(loaded, dict) and str(loaded.get("version", "")).startswith("https://jsonfeed.org/"):
        return jsonfeed.parse(loaded, feed)
    said = text.fold(str(loaded.get("error", "")), 200)
    raise FeedFormatError(f"{feed.url}: JSON, but not a feed we know" + (f"; it says: {said}" if said else ""))


def _int(digits: str) -> int | None:
    return int(digits) if len(digits) <= _DIGITS else None


def _float(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None
