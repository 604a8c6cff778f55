"""Mend what feeds have that feedparser would misread, before it reads them. Each step takes linear time. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html.entities import html5
from typing import Final

AT: Final = "\ue000"  # stands for @ in the authors' elements; a private use character, which no name has

_ILLEGAL: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0 section 2.2
_CDATA: Final = "<![CDATA["
_CDATA_END: Final = "]]>"
# A reference is an ampersand, a number or a known name, and a semicolon (XML 1.0 section 4.1). Any other is bare.
_AMPERSAND: Final = re.compile(
    r"&(?!#[0-9]{1,8};|#[xX][0-9A-Fa-f]{1,8};|(?:amp|lt|gt|quot|apos|nbsp);)([A-Za-z][A-Za-z0-9]{0,31};)?"
)
_AUTHOR: Final = re.compile(r"<((?:dc:)?(?:author|creator)|managingEditor)\b([^<>]*)>", re.IGNORECASE)
_AT: Final = re.compile(r"@|&#0{0,3}64;|&#x0{0,3}40;|&commat;", re.IGNORECASE)


def mended(text: str, places: Iterable[str]) -> str:
    """The document without illegal characters, with bare ampersands escaped, and easy for feedparser.

    feedparser drops the text of an unknown element that has attributes, such as ``<re:rank scheme="...">13``; those of
    `places`, the elements with votes, lose their attributes. It cuts authors apart at what it takes for an address, and
    knows none with a long top-level domain; their elements have `AT` for @.
    """
    text = _ILLEGAL.sub("", text)
    text = "".join(part if is_cdata else _AMPERSAND.sub(_escaped, part) for part, is_cdata in _parts(text))
    names = "|".join(map(re.escape, places))
    text = re.sub(rf"<({names})\s[^<>]*(?<!/)>", r"<\1>", text) if names else text
    return "".join(_authors_shielded(text))


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    """The document in parts, each with whether it is a CDATA section, in which an ampersand is a character."""
    place = 0
    while (start := text.find(_CDATA, place)) >= 0:
        end = text.find(_CDATA_END, start)
        if end < 0:
            break
        yield text[place:start], False
        yield text[start:end], True
        place = end
    yield text[place:], False


def _escaped(match: re.Match[str]) -> str:
    return match[0] if match[1] in html5 else f"&amp;{match[1] or ''}"


def _authors_shielded(text: str) -> Iterator[str]:
    """The document in parts, with `AT` for each @ between the tags of an author."""
    place = 0
    for match in _AUTHOR.finditer(text):
        if match.start() < place or match[2].endswith("/"):
            continue
        end = text.find("</", match.end())
        if end < 0:
            break
        yield text[place : match.end()]
        yield _AT.sub(AT, text[match.end() : end])
        place = end
    yield text[place:]
