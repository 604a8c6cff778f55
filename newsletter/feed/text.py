"""Plain text out of what feeds hold: HTML, entities, control characters, anything of any length. Opens nothing.

The result is text, not HTML: ``<think>`` in a title is seven characters a reader shall see, and whoever writes a mail
escapes it. `TITLE` and its like are the longest a field may be; the rest is cut and marked with an ellipsis.
"""

from __future__ import annotations

import html
import re
from typing import Final

import nh3

# Characters. The longest real ones (25,000 papers): title 250, abstract 3,000, author 60.
TITLE: Final = 1_000
ABSTRACT: Final = 20_000
NAME: Final = 200
AUTHORS: Final = 10_000  # papers of large collaborations name 5,000
KEYWORDS: Final = 50
_MARKUP: Final = 100_000

# What no reader should ever get: C0 and C1 except white space; U+202A..U+202E and U+2066..U+2069, which reverse what
# follows, the mail's own words included; the zero-width space, word joiner and byte order mark; lone surrogates, which
# cannot be encoded; interlinear marks and noncharacters.
_UNWANTED: Final = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u200b\u202a-\u202e\u2060\u2066-\u2069\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\ud800-\udfff]"
)

_BLOCK: Final = re.compile(
    r"</?(?:address|article|aside|blockquote|br|caption|center|dd|div|dl|dt|figcaption|figure|footer|form|h[1-6]"
    r"|header|hr|li|main|nav|ol|p|pre|section|table|tbody|td|tfoot|th|thead|tr|ul)\b[^<>]*>",
    re.IGNORECASE,
)
# A label in bold opens a line of its own even where the markup does not say so.
_BOLD_LABEL: Final = re.compile(r"(?=<(?:b|strong)>[^<>:]{1,30}:)", re.IGNORECASE)
# To HTML, "if a<b and c>d" holds a tag. Here a tag has the name of an element, and one of a single letter has nothing
# but attributes beside it; names with a colon (<jats:p>, <mml:mi>) are no mathematics either.
_ANGLE: Final = re.compile(r"<([^<>]*)(>?)")
_TAG_NAME: Final = re.compile(r"/?([A-Za-z][\w:]*)(.*)", re.DOTALL)
_ELEMENTS: Final = frozenset(
    """a abbr acronym address applet area article aside audio b base bdi bdo big blockquote body br button canvas
    caption center cite code col colgroup data datalist dd del details dfn dialog dir div dl dt em embed fieldset
    figcaption figure font footer form frame frameset h1 h2 h3 h4 h5 h6 head header hr html i iframe img input ins kbd
    label legend li link main map mark menu meta meter nav noscript object ol optgroup option output p param picture
    pre progress q rp rt ruby s samp script section select small source span strike strong style sub summary sup svg
    table tbody td template textarea tfoot th thead time title tr track tt u ul var video wbr""".split()
)
# Their text is all there is to see; nh3 would drop it with the tag.
_MATHML: Final = frozenset(
    """math menclose mfenced mfrac mi mmultiscripts mn mo mover mpadded mphantom mroot mrow ms mspace msqrt mstyle msub
    msubsup msup mtable mtd mtext mtr munder munderover semantics""".split()
)
_HTML: Final = re.compile(r"</(?:a|b|blockquote|div|em|h[1-6]|i|li|ol|p|pre|span|strong|ul)>|<br\s*/?>", re.IGNORECASE)


def plain(value: object, limit: int = TITLE) -> str:
    """`value` as one clean line of at most `limit` characters; empty if it is not text."""
    if not isinstance(value, str):
        return ""
    return _cut(_fold(value[: 4 * limit]), limit)


def plain_each(value: object, most: int) -> tuple[str, ...]:
    """The first texts of what should be a list of names, and may be anything; none empty."""
    found = value[:most] if isinstance(value, list) else []
    return tuple(text for each in found if (text := plain(each, NAME)))


def lines(value: str, *, markup: bool) -> list[str]:
    """The lines of a description, clean, none empty. `markup`: it is HTML, and block elements end a line."""
    text = strip_tags(value) if markup else value[:_MARKUP]
    return [line for line in map(_fold, text.splitlines()) if line]


def strip_tags(value: str) -> str:
    """The text of an HTML fragment: scripts and styles gone, entities decoded once, blocks on lines of their own."""
    marked = _ANGLE.sub(_tag_or_text, _UNWANTED.sub("", value[:_MARKUP]))
    return html.unescape(nh3.clean(_BOLD_LABEL.sub("\n", _BLOCK.sub("\n", marked)), tags=set()))


def _tag_or_text(match: re.Match[str]) -> str:
    """What stands between "<" and the next ">" or "<": left alone if it is a tag, a comment or the like."""
    inside, closed = match[1], match[2]
    if inside.startswith(("!", "?")):
        return match[0]
    found = _TAG_NAME.match(inside)
    name, rest = (found[1].lower(), found[2].strip(" /")) if found and closed else ("", "")
    if name in _MATHML:
        return ""
    single = len(name) == 1 and rest and "=" not in rest
    is_tag = ":" in name or (name in _ELEMENTS and not single)
    return match[0] if is_tag else f"&lt;{match[0][1:]}"


def looks_like_html(value: str) -> bool:
    """Whether a description that is declared as plain text holds HTML all the same, as many do."""
    return _HTML.search(value[:_MARKUP]) is not None


def join(parts: list[str], limit: int = ABSTRACT) -> str:
    """Lines as one text of at most `limit` characters."""
    return _cut(" ".join(parts), limit)


def headline(line: str, limit: int = 120) -> str:
    """The beginning of a description, for an entry without a title (RSS 2.0 allows it): cut between words."""
    if len(line) <= limit:
        return line
    return line[:limit].rpartition(" ")[0].rstrip(",;: ") + "…"


def _fold(value: str) -> str:
    """Without the unwanted, every run of white space one space."""
    return " ".join(_UNWANTED.sub("", value).split())


def _cut(value: str, limit: int) -> str:
    return value if len(value) <= limit else value[: limit - 1].rstrip() + "…"
