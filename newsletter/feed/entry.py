"""What every format does with its entries: read each on its own, so that a broken one costs nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from newsletter.model import Paper, Skipped

MOST: Final = 10_000  # entries of one feed; arXiv's largest has 2,000

Entry = TypeVar("Entry")


class NotAFeed(Exception):
    """The whole document is of no use; the message says why, without naming the feed."""


class Unusable(Exception):
    """One entry cannot be used; the message is the reason."""


def read_each(
    entries: Sequence[Entry], read: Callable[[Entry], Paper]
) -> tuple[tuple[Paper, ...], tuple[Skipped, ...]]:
    """The papers, and the entries for which `read` raised Unusable, with their positions from 1."""
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
    """What stands at a dotted path of JSON objects, such as ``paper.upvotes``; None where the path ends early."""
    for name in path.split("."):
        item = item.get(name) if isinstance(item, dict) else None
    return item


def mappings(value: object, limit: int) -> list[dict[str, object]]:
    """The first objects of what should be a list of objects, and may be anything."""
    found = value[:limit] if isinstance(value, list) else []
    return [each for each in found if isinstance(each, dict)]
