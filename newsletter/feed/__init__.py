"""Feeds: `fetch` gets bytes, bounded and guarded; `parse` turns bytes into papers and opens nothing.

fetch.py -> exchange.py -> guard.py        when to ask, one HTTP GET, which addresses it may reach
parse.py -> hugging_face.py | json_feed.py | syndication.py        what the bytes are, one file per format
            decode.py, text.py, urls.py, identity.py, votes.py     what the formats share
"""

from newsletter.feed.fetch import Cache, Fetched, fetch
from newsletter.feed.parse import parse

__all__ = ["Cache", "Fetched", "fetch", "parse"]
