"""Make plain text of a feed's values, which may have HTML, entities, control characters and any length. No I/O.

The result is text, not HTML: ``<think>`` in a title is seven visible characters, and the templates escape it. `TITLE`
and the like are the greatest lengths of fields; longer text is cut and ends in an ellipsis.
"""

from __future__ import annotations

import html
import re
from typing import Final

import nh3

from newsletter.languages.invisible import visible

# Greatest lengths in characters. The greatest seen in 25,000 papers: title 250, abstract 3,000, author 60.
TITLE: Final = 1_000
ABSTRACT: Final = 20_000
NAME: Final = 200
AUTHORS: Final = 10_000  # number of authors; papers of large collaborations have 5,000
KEYWORDS: Final = 50  # number of keywords
_MARKUP: Final = 100_000  # characters of a description that are read

_BLOCK: Final = re.compile(
    r"</?(?:address|article|aside|blockquote|br|caption|center|dd|div|dl|dt|figcaption|figure|footer|form|h[1-6]"
    r"|header|hr|li|main|nav|ol|p|pre|section|table|tbody|td|tfoot|th|thead|tr|ul)\b[^<>]*>",
    re.IGNORECASE,
)
# A label in bold begins a new line even if there is no block element.
_BOLD_LABEL: Final = re.compile(r"(?=<(?:b|strong)>[^<>:]{1,30}:)", re.IGNORECASE)
# An HTML parser takes "<b and c>" in "if a<b and c>d" for a tag. Here a tag must have the name of an element, and if
# the name is a single letter, nothing but attributes after it. A name with a colon (<jats:p>, <mml:mi>) is always a
# tag.
_ANGLE: Final = re.compile(r"<([^<>]*)(>?)")
_TAG_NAME: Final = re.compile(r"/?([A-Za-z][\w:-]*)(.*)", re.DOTALL)
_ELEMENTS: Final = frozenset(
    """a abbr acronym address applet area article aside audio b base bdi bdo big blockquote body br button canvas
    caption center cite code col colgroup data datalist dd del details dfn dialog dir div dl dt em embed fieldset
    figcaption figure font footer form frame frameset h1 h2 h3 h4 h5 h6 head header hr html i iframe img input ins kbd
    label legend li link main map mark menu meta meter nav noscript object ol optgroup option output p param picture
    pre progress q rp rt ruby s samp script section select small source span strike strong style sub summary sup svg
    table tbody td template textarea tfoot th thead time title tr track tt u ul var video wbr""".split()
)
# MathML elements. Their tags are removed before nh3, which would drop their text as well.
_MATHML: Final = frozenset(
    """math menclose mfenced mfrac mi mmultiscripts mn mo mover mpadded mphantom mroot mrow ms mspace msqrt mstyle msub
    msubsup msup mtable mtd mtext mtr munder munderover semantics""".split()
)
# What makes a tag of any name: an attribute with a quoted value, or a closing tag in the same text. So neither SVG nor
# an unknown element is shown as text, and "<think>" on its own is.
_ATTRIBUTE: Final = re.compile(r"[\w:.-]+ ?= ?[\"']")
_CLOSING: Final = re.compile(r"</([A-Za-z][\w:-]{0,60}) ?>")
# Elements whose content is no text: nh3 removes it with them.
_CONTENT_IS_NO_TEXT: Final = {"script", "style", "svg", "template", "noembed", "noframes"}
_HTML: Final = re.compile(r"</(?:a|b|blockquote|div|em|h[1-6]|i|li|ol|p|pre|span|strong|ul)>|<br\s*/?>", re.IGNORECASE)


def plain(value: object, limit: int = TITLE) -> str:
    """`value` as one line of at most `limit` characters without unwanted ones; empty if it is not a string."""
    if not isinstance(value, str):
        return ""
    return _cut(_fold(value[: 4 * limit]), limit)


def plain_each(value: object, most: int) -> tuple[str, ...]:
    """The non-empty strings among the first `most` elements of `value`, as by `plain`; empty if it is not a list."""
    found = value[:most] if isinstance(value, list) else []
    return tuple(text for each in found if (text := plain(each, NAME)))


def lines(value: str, *, markup: bool) -> list[str]:
    """The non-empty lines of a description. With `markup` it is HTML, and block elements begin new lines."""
    text = strip_tags(value) if markup else value[:_MARKUP]
    return [line for line in map(_fold, text.splitlines()) if line]


def strip_tags(value: str) -> str:
    """The text of an HTML fragment, without scripts and styles; entities are decoded once, blocks begin new lines."""
    text = visible(value[:_MARKUP])
    closed = frozenset(name.lower() for name in _CLOSING.findall(text))
    marked = _ANGLE.sub(lambda match: _tag_or_text(match, closed), text)
    divided = _BOLD_LABEL.sub("\n", _BLOCK.sub("\n", marked))
    return html.unescape(nh3.clean(divided, tags=set(), clean_content_tags=_CONTENT_IS_NO_TEXT))


def _tag_or_text(match: re.Match[str], closed: frozenset[str]) -> str:
    """The text from "<" up to the next ">" or "<": unchanged if it is a tag or comment, else with "<" escaped.

    `closed` are the names that have a closing tag in the text, in lower case.
    """
    inside, end = match[1], match[2]
    if inside.startswith(("!", "?")):
        return match[0]
    found = _TAG_NAME.match(inside)
    name, rest = (found[1].lower(), found[2].strip(" /")) if found and end else ("", "")
    if name in _MATHML:
        return ""
    single = len(name) == 1 and rest and "=" not in rest
    is_tag = ":" in name or name in closed or (name in _ELEMENTS and not single) or _ATTRIBUTE.match(rest)
    return match[0] if is_tag else f"&lt;{match[0][1:]}"


def looks_like_html(value: str) -> bool:
    """Whether a description that is declared as plain text has HTML tags, as many do."""
    return _HTML.search(value[:_MARKUP]) is not None


def looks_like_tags(value: str) -> bool:
    """Whether `value` may hold the tags of HTML; a cheap question before `strip_tags`."""
    return "<" in value and ">" in value


def join(parts: list[str], limit: int = ABSTRACT) -> str:
    """The lines `parts` joined by spaces, cut to at most `limit` characters."""
    return _cut(" ".join(parts), limit)


def headline(line: str, limit: int = 120) -> str:
    """The beginning of a line, cut between words, as the title of an entry without one (which RSS 2.0 allows)."""
    if len(line) <= limit:
        return line
    return line[:limit].rpartition(" ")[0].rstrip(",;: ") + "…"


def _fold(value: str) -> str:
    """`value` without unwanted characters, each run of white space made one space."""
    if value.isascii() and value.isprintable():  # most are; nothing in them is invisible, and the only blank is a space
        return value.strip() if "  " not in value else " ".join(value.split())
    return " ".join(visible(value).split())


def _cut(value: str, limit: int) -> str:
    return value if len(value) <= limit else value[: limit - 1].rstrip() + "…"
