"""The latest issues as an Atom feed (RFC 4287)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from lxml import etree, html
from lxml.builder import ElementMaker

from newsletter.mail.excerpt import excerpt, whole
from newsletter.model import FrozenIssue, Issue, Paper, Publication

MEDIA_TYPE: Final = "application/atom+xml"

_NAMESPACE: Final = "http://www.w3.org/2005/Atom"
_LANGUAGE: Final = "{http://www.w3.org/XML/1998/namespace}lang"

_ATOM: Final = ElementMaker(namespace=_NAMESPACE, nsmap={None: _NAMESPACE})
_HTML: Final = ElementMaker(makeelement=html.html_parser.makeelement)

# The date of a feed without issues, since a feed must have one (RFC 4287 section 4.1.1).
_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)

# Characters that XML 1.0 section 2.2 does not allow, even escaped.
_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

# The first papers of an issue are shown with a sentence or two, the others by their titles, so that thirty issues are
# a few hundred kilobytes.
_WITH_TEXT: Final = 5
_TEXT: Final = 280  # characters

_HEADINGS: Final = "//h2 | //h3"


@dataclass(frozen=True, slots=True)
class Entry:
    """An issue for the feed: as it was frozen, and its papers if they are known."""

    frozen: FrozenIssue
    contents: Issue | None


def feed(publication: Publication, entries: Iterable[Entry]) -> bytes:
    """The Atom feed of issues, newest first, each a list of its papers with links. UTF-8 with an XML declaration.

    Links are absolute if the publication has a `base_url`, else relative to the feed. Ids never change, even if the
    archive moves (RFC 4287 section 4.2.6): the feed's is made from `list_id`, an entry's from values frozen with the
    issue.
    """
    base = f"{publication.base_url}/" if publication.base_url else ""
    listed = list(entries)
    newest = max((each.frozen.frozen_at for each in listed), default=_NEVER)
    root = _ATOM.feed(
        {_LANGUAGE: publication.language},
        _ATOM.id(uuid.uuid5(uuid.NAMESPACE_DNS, publication.list_id).urn),
        _ATOM.title(_text(publication.title)),
        _ATOM.updated(_moment(newest)),
        _ATOM.author(_ATOM.name(_text(publication.sender.name or publication.title))),
        _ATOM.link(rel="alternate", type="text/html", href=f"{base}archive/"),
        *([_ATOM.link(rel="self", type=MEDIA_TYPE, href=f"{base}feed.atom")] if base else []),
        *(_entry(each, base) for each in listed),
    )
    written: bytes = etree.tostring(root, xml_declaration=True, encoding="utf-8")
    return written


def _entry(entry: Entry, base: str) -> Any:
    frozen = entry.frozen
    day = frozen.rendered.day
    papers = _papers(entry.contents) if entry.contents else _headings(frozen.rendered.html)
    return _ATOM.entry(
        _ATOM.id(_tag(frozen)),
        _ATOM.title(_text(frozen.rendered.subject)),
        _ATOM.published(_moment(frozen.frozen_at)),
        _ATOM.updated(_moment(frozen.frozen_at)),
        _ATOM.link(rel="alternate", type="text/html", href=f"{base}archive/{day}/"),
        *(
            [_ATOM.content(etree.tostring(papers, encoding="unicode", method="html"), type="html")]
            if len(papers)
            else []
        ),
    )


def _tag(frozen: FrozenIssue) -> str:
    """The entry's id, a tag URI (RFC 4151) of the sender's domain, the issue's day and the list's id."""
    domain = frozen.publication.sender.domain
    return f"tag:{domain},{frozen.rendered.day}:{frozen.publication.list_id}"


def _papers(issue: Issue) -> Any:
    """The papers as a list: each title with its link, and of the first ones what they say."""
    papers = [*issue.papers, *(rising.paper for rising in issue.rising)]
    return _HTML.ol(*(_item(paper, with_text=at < _WITH_TEXT) for at, paper in enumerate(papers)))


def _item(paper: Paper, *, with_text: bool) -> Any:
    title = _text(paper.title)
    item = _HTML.li(_HTML.a(title, href=_text(paper.url)) if paper.url else title)
    said = (whole(paper.summary, _TEXT) if paper.summary else excerpt(paper.abstract, _TEXT)) if with_text else ""
    if said:
        item.append(_HTML.p(_text(said)))
    return item


def _headings(page: str) -> Any:
    """The headings of a mail as a list, with their first links: of an issue whose papers are not known one by one."""
    items = _HTML.ol()
    for heading in html.document_fromstring(page).xpath(_HEADINGS):
        title = _text(" ".join(heading.text_content().split()))
        links = [
            link.get("href") for link in heading.iter("a") if str(link.get("href")).startswith(("https:", "http:"))
        ]
        if title:
            items.append(_HTML.li(_HTML.a(title, href=links[0]) if links else title))
    return items


def _moment(when: datetime) -> str:
    """The time as an RFC 3339 timestamp in UTC."""
    return when.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _text(words: str) -> str:
    return _NO_XML.sub("", words)
