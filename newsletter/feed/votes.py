"""Where upvotes stand in an entry, and what counts as a figure. Titles and comments are never looked at."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from newsletter.feed.entry import Unusable
from newsletter.feed.text import plain

HUGGING_FACE: Final = ("paper.upvotes",)
ELEMENTS: Final = ("rsshub:upvotes", "re:rank", "upvotes", "votes")  # re: is draft-snell-atompub-feed-index

_LIMIT: Final = 10**9  # no paper has more; a larger figure is a mistake or an attack
_FIGURE: Final = re.compile(r"[-+\u2212]?(?:[0-9]{1,3}(?:[,\u00a0\u202f][0-9]{3})+|[0-9]{1,10})")


@dataclass(frozen=True)
class Votes:
    """The rule of one feed: `places` are looked up in turn, or a `pattern` is searched in the description.

    `labels`: a label in the description, such as ``Upvotes: 52``, counts where the places hold nothing.
    """

    places: tuple[str, ...]
    pattern: re.Pattern[str] | None = None
    labels: bool = False

    @classmethod
    def of(cls, setting: str | None, usual: tuple[str, ...]) -> Votes:
        """From the config's `votes`: None (the `usual` places), a place, or a ``/pattern with one (group)/``."""
        if setting is None:
            return cls(usual, labels=True)
        if setting.startswith("/"):
            return cls((), re.compile(setting.strip("/")))
        return cls((setting,))

    def find(self, look_up: Callable[[str], object], lines: Sequence[str], label: int | None = None) -> int | None:
        """The figure, None if there is none. Raises Unusable when what stands in its place is not a figure."""
        if self.pattern is not None:
            match = self.pattern.search("\n".join(lines))
            return figure(match[1]) if match else None
        found = (figure(look_up(place)) for place in self.places)
        return next((votes for votes in found if votes is not None), label if self.labels else None)


def figure(value: object) -> int | None:
    """`value` as a whole number: ``52``, ``"1,234"``, ``"-3"``; None when there is none. Raises Unusable otherwise."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    number = _number(value)
    if number is None or abs(number) > _LIMIT:
        raise Unusable(f"the number of upvotes is not one: {plain(str(value)[:80], 40)!r}")
    return number


def tally(value: object) -> int | None:
    """A count that is no reason to skip an entry, such as comments: None unless it is a whole number from 0."""
    number = _number(value)
    return number if number is not None and 0 <= number <= _LIMIT else None


def _number(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if math.isfinite(value) and value.is_integer() else None
    if isinstance(value, str) and _FIGURE.fullmatch(value.strip()):
        return int(re.sub("[,\u00a0\u202f]", "", value.strip().replace("\u2212", "-")))
    return None
