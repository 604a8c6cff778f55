"""Daily papers by mail: pull a feed, rank it by upvotes, render one issue, send it to every subscriber."""

__version__ = "0.2.0"
