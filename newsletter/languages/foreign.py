"""Guess the language of a text, by which a screen reader chooses its voice (WCAG 2.2, success criterion 3.1.2).

A feed says nothing about the language of one paper. So the text itself decides, by its script, and for Latin letters by
its most frequent small words. When that is not sure it is English, the language of nearly all papers.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import cache, lru_cache
from typing import Final

_SMALL_WORDS: Final = {
    "en": "the of and to in is we for that with this on by are from our which can",
    "de": "der die das und ist wir für mit den von eine ein zu auf im dass wird nicht werden",
    "fr": "le la les des et est nous une un pour dans que sur avec du par au ce qui",
    "es": "el la los las y es una un para en que con del por se como este más",
    "it": "il lo gli della di e è una un per che con nel sono questo dei alla",
    "pt": "o os as e é uma um para em que com da do por não como são dos",
    "nl": "de het een en van is dat wij voor met op zijn te niet deze wordt",
}
_LANGUAGES: Final[dict[str, list[str]]] = {}
for _tag, _words in _SMALL_WORDS.items():
    for _word in _words.split():
        _LANGUAGES.setdefault(_word, []).append(_tag)

_LOOKED_AT: Final = 2000  # characters
_SURE: Final = 2  # small words more than those of any other language


@cache  # only a text with other letters than Latin ones needs them, and they take milliseconds to compile
def _scripts() -> tuple[tuple[re.Pattern[str], str], ...]:
    """Patterns and languages: the first script that a text has decides. Han alone is Chinese, with kana Japanese."""
    return (
        (re.compile("[\u3040-\u30ff]"), "ja"),
        (re.compile("[\uac00-\ud7a3]"), "ko"),
        (re.compile("[\u4e00-\u9fff]"), "zh"),
        (re.compile("[\u0590-\u05ff]"), "he"),
        (re.compile("[\u0600-\u06ff]"), "ar"),
        (re.compile("[\u0370-\u03ff]{3}"), "el"),  # single Greek letters are formulas
        (re.compile("[\u0400-\u04ff]{3}"), "ru"),
    )


@lru_cache(maxsize=1024)  # the editions of an issue show a paper in several forms
def language_of(text: str) -> str:
    """The language that `text` is probably in, as a BCP 47 tag; ``en`` when nothing tells another."""
    text = text[:_LOOKED_AT]
    letters = 0 if text.isascii() else sum(map(str.isalpha, text))
    for script, tag in _scripts() if letters else ():
        if len(script.findall(text)) * 6 > letters:  # a foreign name within a text is no other language
            return tag
    said = Counter(tag for word in re.findall(r"[^\W\d_]+", text.lower()) for tag in _LANGUAGES.get(word, ()))
    ranked = said.most_common(2)
    if not ranked or (len(ranked) > 1 and ranked[0][1] - ranked[1][1] < _SURE) or ranked[0][1] < _SURE:
        return "en"
    return ranked[0][0]


def direction_of(text: str) -> str:
    """The direction of the first letter that has one, ltr or rtl, as HTML's `dir="auto"` finds it."""
    for character in text[:_LOOKED_AT]:
        kind = unicodedata.bidirectional(character)
        if kind in ("L", "R", "AL"):
            return "ltr" if kind == "L" else "rtl"
    return "ltr"
