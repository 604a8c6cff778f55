"""Split a string of authors into names. No I/O."""

from __future__ import annotations

import re
from typing import Final

from newsletter.feed.text import AUTHORS, NAME, plain

_INITIALS: Final = re.compile(r"(?:[A-Z]\.[ -]?){1,5}")  # "R. J.", "P.-L."
_SUFFIX: Final = re.compile(r"(?:Jr|Sr)\.?|I{2,3}|IV")
_AND: Final = re.compile(r"\s+(?:and|&)\s+")


def split_authors(value: object) -> tuple[str, ...]:
    """The names in ``A, B and C`` (arXiv), ``A; B``, or ``LAST, F. M., LAST, F.`` (bioRxiv; becomes ``F. M. LAST``)."""
    text = plain(value, NAME * AUTHORS)
    separator = ";" if ";" in text else ","
    parts = [part.strip() for piece in text.split(separator) for part in _AND.split(piece)]
    names: list[str] = []
    for part in parts[:AUTHORS]:
        if names and _INITIALS.fullmatch(part):
            names[-1] = f"{part} {names[-1]}"
        elif names and _SUFFIX.fullmatch(part):
            names[-1] = f"{names[-1]} {part}"
        elif part:
            names.append(plain(part, NAME))
    return tuple(names)
