"""Feeds: `fetch` gets the bytes, bounded and guarded; `parse` makes papers of them and opens nothing."""

from newsletter.feed.fetch import Cache, Fetched, fetch
from newsletter.feed.parse import parse

__all__ = ["Cache", "Fetched", "fetch", "parse"]
