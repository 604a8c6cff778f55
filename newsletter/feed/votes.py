"""Find the number of upvotes in an entry, and decide what is a number. Titles and comments are not searched. No I/O."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from newsletter.feed.entry import Unusable
from newsletter.feed.text import plain

HUGGING_FACE: Final = ("paper.upvotes",)
ELEMENTS: Final = ("rsshub:upvotes", "re:rank", "upvotes", "votes")  # re: of draft-snell-atompub-feed-index

_LIMIT: Final = 10**9  # a larger number is a mistake or an attack
_FIGURE: Final = re.compile(r"[-+\u2212]?(?:[0-9]{1,3}(?:[,\u00a0\u202f][0-9]{3})+|[0-9]{1,10})")


@dataclass(frozen=True)
class Votes:
    """Where to find the votes of one feed: the first of `places` with a value, or the match of `pattern` in the text.

    `labels`: a label in the description, such as ``Upvotes: 52``, counts if no place has a value.
    """

    places: tuple[str, ...]
    pattern: re.Pattern[str] | None = None
    labels: bool = False

    @classmethod
    def of(cls, setting: str | None, usual: tuple[str, ...]) -> Votes:
        """The rule for a feed's setting `votes`: None for the `usual` places, a place, or ``/pattern (group)/``."""
        if setting is None:
            return cls(usual, labels=True)
        if setting.startswith("/"):
            return cls((), re.compile(setting.strip("/")))
        return cls((setting,))

    def find(self, look_up: Callable[[str], object], lines: Sequence[str], label: int | None = None) -> int | None:
        """The number of upvotes, or None. Raises Unusable if there is a value that is not a number.

        `look_up` gives the value at a place, `lines` are the lines of the description, `label` is the value of a label.
        """
        if self.pattern is not None:
            match = self.pattern.search("\n".join(lines))
            return figure(match[1]) if match else None
        found = (figure(look_up(place)) for place in self.places)
        return next((votes for votes in found if votes is not None), label if self.labels else None)


def figure(value: object) -> int | None:
    """`value`, such as 52, ``"1,234"`` or ``"-3"``, as a whole number; None if blank. Otherwise raises Unusable."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    number = _number(value)
    if number is None or abs(number) > _LIMIT:
        raise Unusable(f"the upvotes are not a number: {plain(str(value)[:80], 40)!r}")
    return number


def tally(value: object) -> int | None:
    """`value` as a whole number from 0, else None. For counts whose lack does not matter, such as comments."""
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
