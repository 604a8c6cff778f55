"""Feeds made to stop the program, each of at most 2 MB: what takes some parser quadratic time, or much memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

_LONG: Final = 200_000


def _rss(item: str, channel: str = "") -> bytes:
    head = '<?xml version="1.0" encoding="utf-8"?><rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/"'
    return (
        f"{head}><channel><title>P</title><link>https://p.example/</link>{channel}"
        f"<item><link>https://p.example/1</link>{item}</item></channel></rss>"
    ).encode()


def _title(text: str) -> bytes:
    return _rss(f"<title>{text}</title>")


def _abstract(text: str) -> bytes:
    return _rss(f"<title>Poison</title><description>{text}</description>")


def _hugging_face(**paper: object) -> bytes:
    return json.dumps([{"paper": {"id": "2611.99999", "title": "Poison", "summary": "Text", **paper}}]).encode()


def _cdata(text: str) -> str:
    return f"<![CDATA[{text}]]>"


POISONS: Final[dict[str, Callable[[], bytes]]] = {
    "spaces behind arXiv": lambda: _abstract("arXiv:x" + " " * _LONG),
    "spaces before and": lambda: _rss(f"<title>Poison</title><dc:creator>Ada{' ' * _LONG}</dc:creator>"),
    "blanks in a title": lambda: _title("a" + "\u00a0" * _LONG + "b"),
    "line ends in a title": lambda: _title("\n" * _LONG),
    "unclosed tags": lambda: _abstract(_cdata("<a " * _LONG)),
    "unclosed tags, escaped": lambda: _abstract("&lt;a " * _LONG),
    "nested tags": lambda: _abstract(_cdata("<b>" * _LONG)),
    "nested lists": lambda: _abstract(_cdata("<ul><li>" * 20_000)),
    "unclosed comment": lambda: _abstract(_cdata("<!--" * _LONG)),
    "unclosed title": lambda: _abstract(_cdata("<title" * _LONG)),
    "SVG": lambda: _abstract(_cdata("<svg>" * _LONG)),
    "ampersands": lambda: _abstract("&" * _LONG),
    "ampersands, escaped": lambda: _abstract("&amp;" * _LONG),
    "entities": lambda: _title("&#x1f600;" * _LONG),
    "dollars": lambda: _title("$" * _LONG),
    "formulas": lambda: _abstract("$x_{" * 100_000),
    "braces": lambda: _abstract("$" + "{" * _LONG + "$"),
    "commands": lambda: _abstract("$" + "\\frac" * 50_000 + "$"),
    "backslashes": lambda: _title("\\" * _LONG),
    "labels": lambda: _abstract("Upvotes: " * 100_000),
    "author separators": lambda: _rss(f"<title>Poison</title><dc:creator>{', and ' * 50_000}</dc:creator>"),
    "author parentheses": lambda: _rss(f"<title>Poison</title><dc:creator>{'(' * _LONG}</dc:creator>"),
    "100,000 authors": lambda: _rss(f"<title>Poison</title>{'<dc:creator>Ada Lin</dc:creator>' * 50_000}"),
    "at signs": lambda: _rss(f"<title>Poison</title><author>{'a@' * 100_000}</author>"),
    "DOI": lambda: _rss(f"<title>Poison</title><guid>https://doi.org/10.{'1' * _LONG}</guid>"),
    "slashes": lambda: _rss(f"<title>Poison</title><guid>{'/' * _LONG}</guid>"),
    "dates": lambda: _rss(f"<title>Poison</title><pubDate>{'1' * _LONG}</pubDate>"),
    "date of blanks": lambda: _rss(f"<title>Poison</title><pubDate>Mon{' ' * _LONG}2026</pubDate>"),
    "zero-width": lambda: _title("\u200d\ufe0f" * 100_000),
    "marks on a letter": lambda: _title("a" + "\u0301" * _LONG),
    "right to left": lambda: _title("\u202e" * _LONG),
    "many attributes": lambda: _rss("<title>Poison</title><x " + " ".join(f"a{n}='1'" for n in range(50_000)) + "/>"),
    "many namespaces": lambda: _rss("<title>Poison</title>" + "".join(f"<x xmlns:n{n}='u'/>" for n in range(20_000))),
    "deep XML": lambda: _rss("<title>Poison</title>" + "<x>" * 100_000 + "</x>" * 100_000),
    "entity bomb": lambda: b"<!DOCTYPE r [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '" + b"&a;" * 1000 + b"'>]><rss>&b;</rss>",
    "deep JSON": lambda: b"[" * 900_000,
    "many objects": lambda: b"[" + b'{"paper":{}},' * 150_000 + b"{}]",
    "long number": lambda: _hugging_face(upvotes=0).replace(b": 0}", b": " + b"9" * 1_000_000 + b"}"),
    "long words": lambda: _hugging_face(title="a" * 1_000_000, summary="b" * 500_000),
    "summary of dollars": lambda: _hugging_face(ai_summary="$" * _LONG, summary="\\(" * 100_000),
    "keywords": lambda: _hugging_face(ai_keywords=["x" * 100] * 15_000),
    "names": lambda: _hugging_face(authors=[{"name": "Ada " * 10}] * 30_000),
    "links": lambda: _hugging_face(
        projectPage="https://a.example/" + "%41" * 100_000, githubRepo="https://github.com/" * 50_000
    ),
    "no end of a declaration": lambda: b"<?xml " + b" " * 1_000_000,
    "PHP warnings": lambda: b"Warning: " * 200_000 + b"<rss/>",
    "UTF-7": lambda: b"<?xml version='1.0' encoding='utf-7'?><rss>" + b"+ADw-" * _LONG + b"</rss>",
    "escape sequences": lambda: b"<?xml version='1.0' encoding='iso-2022-jp'?><rss>" + b"\x1b$B" * _LONG + b"</rss>",
}
