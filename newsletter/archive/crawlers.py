"""What search engines ask for: robots.txt (RFC 9309) and the sitemap (sitemaps.org)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Final
from urllib.parse import urlsplit

from lxml import etree
from lxml.builder import ElementMaker

_NAMESPACE: Final = "http://www.sitemaps.org/schemas/sitemap/0.9"
_MAP: Final = ElementMaker(namespace=_NAMESPACE, nsmap={None: _NAMESPACE})
_MOST: Final = 50_000  # addresses in one sitemap, says the protocol

# Pages behind links of mails, which are for one reader each, and results of searches.
_PRIVATE: Final = ("unsubscribe/", "confirm/", "preferences/", "undo/", "archive/search")


def robots(base_url: str) -> str:
    """What crawlers may read, and where the sitemap is. Crawlers ask only for the one at the root of the host."""
    path = urlsplit(base_url).path
    rules = "".join(f"Disallow: {path}/{each}\n" for each in _PRIVATE)
    return f"User-agent: *\n{rules}\nSitemap: {base_url}/sitemap.xml\n"


def sitemap(pages: Iterable[tuple[str, date | None]]) -> bytes:
    """The sitemap of pages: their addresses, and the days on which they changed last. UTF-8."""
    root = _MAP.urlset(
        *(
            _MAP.url(_MAP.loc(address), *([_MAP.lastmod(changed.isoformat())] if changed else []))
            for address, changed in list(pages)[:_MOST]
        )
    )
    written: bytes = etree.tostring(root, xml_declaration=True, encoding="utf-8")
    return written
