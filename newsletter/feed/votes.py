"""Where upvotes stand: the elements and labels that feeds use, and the one a config names.

Only an element of its own or a labelled line of an entry's text is read as votes, so that neither a title such as
"EditScore: 3" nor a number of comments can be taken for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from newsletter.feed import text

# Elements, as feedparser names them: prefix_name.
ELEMENTS: Final = ("rsshub_upvotes", "re_rank", "upvotes", "votes", "points")

# A line of the entry's description such as "Upvotes: 52" or "Points: 1".
_LABELLED: Final = re.compile(r"(?:upvotes|votes|points|likes)\s*:\s*([+-]?\d[\d,]*)(?!\S)", re.IGNORECASE)


def find(
    named: str | None, element: Callable[[str], object], described: Iterable[str], whole_text: Callable[[], str]
) -> int | None:
    """The upvotes of one entry, or None.

    `named` is the config's `votes`: an element's name or a /pattern/ for `whole_text`; it replaces the usual places.
    `element` looks up an element, `described` are the lines of the entry's description.
    """
    if named is None:
        return _usual(element, described)
    if not named.startswith("/"):
        return text.whole(element(named))
    match = re.search(named.strip("/"), whole_text())
    return text.whole(match.group(1)) if match else None


def _usual(element: Callable[[str], object], described: Iterable[str]) -> int | None:
    for name in ELEMENTS:
        if (value := text.whole(element(name))) is not None:
            return value
    for line in described:
        if match := _LABELLED.match(line):
            return text.whole(match.group(1))
    return None
