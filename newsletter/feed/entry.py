"""Read the entries of a feed one by one, so that a broken entry does not affect the others. Shared by all formats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from newsletter.model import Paper, Skipped

MOST: Final = 10_000  # entries of one feed; arXiv's largest has 2,000

Entry = TypeVar("Entry")


class NotAFeed(Exception):
    """The whole document cannot be used. The message is the reason, without the feed's URL.

    `named` is the URL of the feed that a web page names; empty if the document is none, or names none.
    """

    def __init__(self, reason: str, named: str = "") -> None:
        super().__init__(reason)
        self.named = named


class Unusable(Exception):
    """One entry cannot be used; the message is the reason."""


def read_each(
    entries: Sequence[Entry], read: Callable[[Entry], Paper]
) -> tuple[tuple[Paper, ...], tuple[Skipped, ...]]:
    """The papers, and the entries for which `read` raised Unusable. Raises NotAFeed if there are too many entries."""
    if len(entries) > MOST:
        raise NotAFeed(f"{len(entries):,} entries, more than {MOST:,}")
    papers: list[Paper] = []
    skipped: list[Skipped] = []
    for position, entry in enumerate(entries, 1):
        try:
            papers.append(read(entry))
        except Unusable as reason:
            skipped.append(Skipped(position, str(reason)))
    return tuple(papers), tuple(skipped)


def dig(item: object, path: str) -> object:
    """The value at a dotted path of nested JSON objects, such as ``paper.upvotes``; None if there is none."""
    for name in path.split("."):
        item = item.get(name) if isinstance(item, dict) else None
    return item


def mappings(value: object, limit: int) -> list[dict[str, object]]:
    """The objects among the first `limit` elements of `value`, which may be of any type; empty if it is not a list."""
    found = value[:limit] if isinstance(value, list) else []
    return [each for each in found if isinstance(each, dict)]
