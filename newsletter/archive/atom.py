"""The latest issues as an Atom feed (RFC 4287)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from lxml import etree, html
from lxml.builder import ElementMaker

from newsletter.model import FrozenIssue, Publication

MEDIA_TYPE: Final = "application/atom+xml"

_NAMESPACE: Final = "http://www.w3.org/2005/Atom"
_LANGUAGE: Final = "{http://www.w3.org/XML/1998/namespace}lang"

_ATOM: Final = ElementMaker(namespace=_NAMESPACE, nsmap={None: _NAMESPACE})

# The date of a feed without issues, since a feed must have one (RFC 4287 section 4.1.1).
_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)

# Characters that XML 1.0 section 2.2 does not allow, even escaped.
_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

# Attributes that are kept. Feed readers drop styles and use their own; without styles a feed has half the size.
_KEPT: Final = frozenset({"href", "src", "alt", "dir", "lang", "role"})

# The mail's preheader, which would show without its style.
_HIDDEN: Final = "//*[contains(translate(@style, ' ', ''), 'display:none')]"


def feed(publication: Publication, issues: Iterable[tuple[FrozenIssue, str]]) -> bytes:
    """The Atom feed of `issues`, newest first, each given with its page as HTML. UTF-8 with an XML declaration.

    Links are absolute if the publication has a `base_url`, else relative to the feed. Ids never change, even if the
    archive moves (RFC 4287 section 4.2.6): the feed's is made from `list_id`, an entry's from values frozen with the
    issue.
    """
    base = f"{publication.base_url}/" if publication.base_url else ""
    listed = list(issues)
    newest = max((frozen.frozen_at for frozen, _ in listed), default=_NEVER)
    root = _ATOM.feed(
        {_LANGUAGE: publication.language},
        _ATOM.id(uuid.uuid5(uuid.NAMESPACE_DNS, publication.list_id).urn),
        _ATOM.title(_text(publication.title)),
        _ATOM.updated(_moment(newest)),
        _ATOM.author(_ATOM.name(_text(publication.sender.name or publication.title))),
        _ATOM.link(rel="alternate", type="text/html", href=f"{base}archive/"),
        *([_ATOM.link(rel="self", type=MEDIA_TYPE, href=f"{base}feed.atom")] if base else []),
        *(_entry(frozen, page, base) for frozen, page in listed),
    )
    written: bytes = etree.tostring(root, xml_declaration=True, encoding="utf-8")
    return written


def _entry(frozen: FrozenIssue, page: str, base: str) -> Any:
    day = frozen.rendered.day
    return _ATOM.entry(
        _ATOM.id(_tag(frozen)),
        _ATOM.title(_text(frozen.rendered.subject)),
        _ATOM.published(_moment(frozen.frozen_at)),
        _ATOM.updated(_moment(frozen.frozen_at)),
        _ATOM.link(rel="alternate", type="text/html", href=f"{base}archive/{day}/"),
        _ATOM.content(_text(_content(page)), type="html"),
    )


def _tag(frozen: FrozenIssue) -> str:
    """The entry's id, a tag URI (RFC 4151) of the sender's domain, the issue's day and the list's id."""
    domain = frozen.publication.sender.domain
    return f"tag:{domain},{frozen.rendered.day}:{frozen.publication.list_id}"


def _content(page: str) -> str:
    """The body of a page for feed readers: without styles, preheader and comments."""
    body = html.document_fromstring(page).body
    for hidden in body.xpath(_HIDDEN):
        hidden.drop_tree()
    etree.strip_tags(body, etree.Comment)
    for element in body.iter():
        for name in set(element.attrib) - _KEPT:
            del element.attrib[name]
    return str(body.text or "") + "".join(html.tostring(child, encoding="unicode") for child in body)


def _moment(when: datetime) -> str:
    """The time as an RFC 3339 timestamp in UTC."""
    return when.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _text(words: str) -> str:
    return _NO_XML.sub("", words)
