"""Feeds: `fetch` gets bytes within limits; `parse` turns bytes into papers and does no I/O.

gathering.py        every feed for a day: fetched, and parsed in a child process
fetch.py -> exchange.py -> guard.py        retries and cache; one HTTP GET; the addresses it may connect to
parse.py -> hugging_face.py | json_feed.py | syndication.py        detection of the format; one file per format
            decode.py, text.py, urls.py, identity.py, votes.py     helpers that the formats share
"""

from newsletter.feed.fetch import Cache, Fetched, fetch
from newsletter.feed.parse import parse

__all__ = ["Cache", "Fetched", "fetch", "parse"]
