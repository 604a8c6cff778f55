"""The archive: issues as web pages and as an Atom feed, for everybody."""
