"""Feed text made harmless and plain: HTML to text, white space folded, control characters gone, only web links kept."""

from __future__ import annotations

import html
import re
from typing import Final
from urllib.parse import urlsplit

import nh3
from requests.utils import requote_uri

# Longer than any real one; a hostile feed must not make the mail, or the time to render it, grow without bound.
TITLE: Final = 1_000
ABSTRACT: Final = 20_000
NAME: Final = 200
AUTHORS: Final = 5_000

# C0 and C1 controls (white space is folded before), bidi overrides and isolates that could reorder what follows, zero
# width and byte order marks, the replacement character, lone surrogates, private use and noncharacters at the end.
_HARMFUL: Final = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u200b\u2028\u2029\u202a-\u202e\u2060\u2066-\u2069\ufeff\ufff9-\uffff\ud800-\udfff]"
)
_SPACE: Final = re.compile(r"[\s\x85\u00a0\u2028\u2029]+")

# Where a new line begins for the reader: at block elements, at a label in bold ("<b>Upvotes:</b>"), at a link that
# has a source line to itself.
_BREAKS: Final = re.compile(
    r"<\s*/?\s*(?:p|div|br|li|ul|ol|tr|td|table|h[1-6]|blockquote|hr|section|article|dd|dt)\b[^>]*>"
    r"|<(?:b|strong)>(?=[^<:]{1,30}:\s*</)|\n\s*(?=<a\b)",
    re.IGNORECASE,
)
_SCRIPTS: Final = {"script", "style", "title", "iframe", "noscript", "template", "svg", "math", "object"}

_ARXIV: Final = r"(\d{4}\.\d{4,5}|[a-z-]+(?:\.[A-Z]{2})?/\d{7})(?:v\d+)?"
_ARXIV_ID: Final = re.compile(_ARXIV)
_ARXIV_IN_LINK: Final = re.compile(
    r"(?:arxiv\.org/(?:abs|pdf|html)/|arXiv:|huggingface\.co/papers/|hf\.co/papers/|alphaxiv\.org/abs/)"
    + _ARXIV
    + r"(?![\d.])",
    re.IGNORECASE,
)
# Hosts that serve https for certain: a feed's old http link to them is brought up to date.
_HTTPS_HOSTS: Final = re.compile(
    r"http://((?:[a-z]+\.)?(?:arxiv\.org|huggingface\.co|github\.com|doi\.org|biorxiv\.org|medrxiv\.org|openreview\.net"
    r"|reddit\.com|ycombinator\.com|stackoverflow\.com|youtube\.com)(?:/|$))",
    re.IGNORECASE,
)
_DOI: Final = re.compile(r"\b(10\.\d{4,9}/[^\s\"<>?#]+)")


def fold(text: str, limit: int) -> str:
    """One line of at most `limit` characters, without anything that is not text."""
    return _HARMFUL.sub("", _SPACE.sub(" ", text)).strip()[:limit].rstrip()


def lines(markup: str) -> list[str]:
    """The text of an HTML fragment, a string per paragraph or line; scripts and styles leave nothing."""
    if "<" not in markup and "&" not in markup:
        parts = [markup]
    else:
        broken = _BREAKS.sub("\x0b", markup.replace("\x0b", " "))
        cleaned = nh3.clean(broken, tags=set(), clean_content_tags=_SCRIPTS)
        parts = html.unescape(cleaned).split("\x0b")
    return [line for line in (fold(part, ABSTRACT) for part in parts) if line]


def plain(markup: str, limit: int) -> str:
    """The text of an HTML fragment in one line."""
    return fold(" ".join(lines(markup)), limit)


def web_url(value: object) -> str | None:
    r"""`value` when it is an absolute http(s) URL, safely quoted; anything else is None.

    Controls and white space are dropped first, as browsers do: ``jAvA\tscript:`` is a script.
    """
    if not isinstance(value, str):
        return None
    text = re.sub(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+", "", value)
    try:
        parts = urlsplit(text)
        if parts.scheme.lower() not in ("http", "https") or not parts.hostname or parts.port == 0 or len(text) > 2000:
            return None
        return _HTTPS_HOSTS.sub(r"https://\1", requote_uri(text.encode("utf-8", "ignore").decode()), count=1)
    except (ValueError, UnicodeError):
        return None


def arxiv_id(value: str) -> str | None:
    """The arXiv identifier that `value` is, without its version."""
    match = _ARXIV_ID.fullmatch(value.strip())
    return match.group(1) if match else None


def arxiv_id_in(*values: object) -> str | None:
    """The arXiv identifier of the first link or id that holds one."""
    for value in values:
        if isinstance(value, str) and (match := _ARXIV_IN_LINK.search(value)):
            return match.group(1)
    return None


def doi_in(*values: object) -> str | None:
    """The DOI of the first link or id that holds one, in lower case (DOIs ignore case)."""
    for value in values:
        if isinstance(value, str) and (match := _DOI.search(value)):
            return match.group(1).rstrip(".,;)").lower()
    return None


def key(title: str, arxiv: str | None, doi: str | None = None) -> str:
    """A paper's identity: its arXiv id, else its DOI, else the words of its title."""
    if arxiv:
        return f"arxiv:{arxiv}"
    return f"doi:{doi}" if doi else "title:" + (" ".join(re.findall(r"\w+", title.casefold())) or title)


def whole(value: object) -> int | None:
    """A whole number as feeds write them: 7, "7", "1,234", "-3"; None for anything else, also for true and 1e400."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if abs(value) < 10**9 else None
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?(\d{1,9}|\d{1,3}(,\d{3}){1,2})\s*", value):
        return int(value.replace(",", ""))
    return None
