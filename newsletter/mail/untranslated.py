"""English words of this program in a mail of another language: a template has not marked them for translation.

The catalogues know every English message and its translation, so a message is looked for that the language has other
words for. Text that says it is in another language, as that of papers does, is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from newsletter import languages
from newsletter.mail.markup import Element, Page

_PLACEHOLDER: Final = re.compile(r"%\((\w+)\)s")
_WORD: Final = re.compile(r"[^\W\d_]{2,}")
_SPACE: Final = re.compile(r"\s+")
_COUNTS: Final = frozenset("days issues minutes num votes".split())  # placeholders that are numbers
_LETTERS: Final = 4  # of a message, from which it is looked for
_RARE: Final = 3  # words that are hardly next to each other by chance


def untranslated(page: Page, text: str, own: Path | None) -> Iterator[str]:
    """A sentence for each English message that the mail shows; `own` is the operator's folder of catalogues."""
    html = next(page.all("html"), None)
    tag = html.get("lang") if html is not None else ""
    try:
        messages = languages.foreign_messages(tag, own) if tag else ()
    except languages.UnknownLanguage:
        return
    if not messages:
        return
    parts = [_plain(each) for each in _texts(page, _main(tag))]
    said = [*parts, *map(_plain, text.splitlines())]
    lines = " ".join(said[len(parts) :])
    everything = "\n".join((*said, lines))
    for message in messages:
        if _longest_part(message) not in everything:  # most are not, and patterns of hundreds take long to make
            continue
        if _is_said(message, said) or _is_within(message, parts, lines):
            yield f"{message!r} is English in a mail in the language {tag}"


def _main(tag: str) -> str:
    return languages.normalise(tag).partition("-")[0]


def _texts(page: Page, tag: str) -> Iterator[str]:
    """What the HTML says in the mail's own language: text, whole and in pieces, labels, and the text of images."""
    blocks: dict[Element, str] = {}
    for run in page.runs:
        if _main(run.element.language() or tag) == tag:
            blocks[run.block()] = blocks.get(run.block(), "") + run.text
            yield run.text
    yield from blocks.values()
    for each in page.elements:
        if _main(each.language() or tag) == tag:
            yield from (each.get(name) for name in ("alt", "aria-label", "title") if each.get(name))


def _plain(text: str) -> str:
    return _SPACE.sub(" ", text).strip(" \u00a0·:.|-")


def _longest_part(message: str) -> str:
    """The longest text of a message without a placeholder."""
    return max(_PLACEHOLDER.split(_plain(message))[::2], key=len)


def _is_said(message: str, pieces: Iterable[str]) -> bool:
    """Whether a whole piece of text is the message. One of few letters is not told by them."""
    pattern = re.compile(_pattern(_plain(message)))
    return sum(map(len, _words(message))) >= _LETTERS and any(map(pattern.fullmatch, pieces))


def _is_within(message: str, parts: Iterable[str], text: str) -> bool:
    """Whether the message is part of a longer text. The plain text has those of papers too, so it needs more words."""
    words = _words(message)
    counted = len(_COUNTS & set(_PLACEHOLDER.findall(message))) and sum(map(len, words)) >= _LETTERS
    pattern = re.compile(rf"(?<!\w){_pattern(_plain(message))}(?!\w)")
    if (len(words) >= _RARE or counted) and any(map(pattern.search, parts)):
        return True
    return len(words) > _RARE and pattern.search(text) is not None


def _words(message: str) -> list[str]:
    return _WORD.findall(_PLACEHOLDER.sub(" ", message))


def _pattern(message: str) -> str:
    """The message as a regular expression, with a number or some words in place of a placeholder."""
    parts = _PLACEHOLDER.split(message)  # text and names by turns
    return "".join(
        re.escape(part) if at % 2 == 0 else r"[\d.,]+" if part in _COUNTS else ".{0,80}?"
        for at, part in enumerate(parts)
    )
