"""The archive: a page for each issue of which a copy was accepted, an index by date, and a feed.

The web serves and `newsletter archive export` writes the same bytes. Each issue's page therefore has its
Content-Security-Policy in a <meta> element, because exported files come without headers of ours.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from newsletter import files
from newsletter.archive import atom
from newsletter.languages import ENGLISH, Language
from newsletter.mail.render import Renderer
from newsletter.model import ArchivedIssue, FrozenIssue, Publication, Slot
from newsletter.store import Store

# The page may run no script, load nothing and submit no form. Inline styles are allowed because a mail has them.
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_META: Final = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
_HEAD: Final = re.compile(r"<html\b[^>]*>\s*(?:<head\b[^>]*>)?", re.IGNORECASE)
_SLOTS: Final = re.compile("|".join(re.escape(slot) for slot in Slot))

_IN_THE_FEED: Final = 30  # issues


def page(frozen: FrozenIssue, language: Language = ENGLISH) -> str:
    """The issue as a web page: the mail's HTML without anything that belongs to one subscriber.

    `language` is that of the issue. Unsubscribe and preferences links lead to the home page instead, or without
    `base_url` to the parent folder.
    """
    home = f"{frozen.publication.base_url}/" if frozen.publication.base_url else "../"
    fills = {Slot.UNSUBSCRIBE: home, Slot.PREFERENCES: home, Slot.ADDRESS: language.gettext("a reader")}
    public = _SLOTS.sub(lambda found: html.escape(fills[Slot(found[0])]), frozen.rendered.html)
    return _HEAD.sub(lambda found: found[0] + _META, public, count=1)


@dataclass(frozen=True, slots=True)
class Document:
    """A page or the feed, as it is served and exported. `modified` is UTC, None if there is no issue."""

    body: bytes
    modified: datetime | None


class Archive:
    """The archive of one publication. It has every issue of which a server accepted at least one copy."""

    def __init__(self, publication: Publication, store: Store, renderer: Renderer) -> None:
        self._publication, self._store, self._renderer = publication, store, renderer
        self._cached_feed: tuple[Sequence[ArchivedIssue], Document] | None = None  # with the list it was made from

    def issue(self, frozen: FrozenIssue) -> Document:
        """The page of an issue."""
        return Document(self._page(frozen).encode(), frozen.frozen_at)

    def _page(self, frozen: FrozenIssue) -> str:
        return page(frozen, self._renderer.language_of(frozen.publication))

    def index(self) -> Document:
        """The page that lists all issues by year and month, newest first."""
        listed = self._store.archive()
        home = f"{self._publication.base_url}/" if self._publication.base_url else ""
        made = self._renderer.page("web/archive.html", years=_years(listed, self._renderer.language), home_url=home)
        return Document(made.encode(), _newest(listed))

    def feed(self) -> Document:
        """The Atom feed of the last 30 issues, cached until the list of issues changes."""
        listed = self._store.archive(limit=_IN_THE_FEED)
        if self._cached_feed is None or self._cached_feed[0] != listed:
            frozen = (self._store.archived(each.day) for each in listed)
            written = atom.feed(self._publication, [(issue, self._page(issue)) for issue in frozen if issue])
            self._cached_feed = (listed, Document(written, _newest(listed)))
        return self._cached_feed[1]

    def files(self) -> Iterator[tuple[Path, Document]]:
        """All documents with their paths below `base_url`. Index and feed come last, after the pages they link to."""
        index, feed = self.index(), self.feed()  # made first, in case an issue is added meanwhile
        for listed in self._store.archive():
            if frozen := self._store.archived(listed.day):
                yield Path("archive", str(listed.day), "index.html"), self.issue(frozen)
        yield Path("archive", "index.html"), index
        yield Path("feed.atom"), feed


def export(archive: Archive, folder: Path) -> tuple[int, int]:
    """Write the archive into `folder` for a web server; returns the numbers of files written and of files in all.

    Files that are up to date are not touched, others are replaced atomically, and none is removed. Raises OSError.
    """
    written = number = 0
    for path, document in archive.files():
        number += 1
        written += _write(folder / path, document.body)
    return written, number


def _write(path: Path, content: bytes) -> bool:
    """Write `content` to `path` unless it is there already; returns whether it was written. The change is atomic."""
    if path.is_file() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    files.replace(path, content, private=False)  # a web server has to read it
    return True


def _newest(listed: Sequence[ArchivedIssue]) -> datetime | None:
    return max((each.frozen_at for each in listed), default=None)


def _years(listed: Sequence[ArchivedIssue], language: Language) -> list[dict[str, Any]]:
    """The issues by year and month, newest first, as plain values for the template of the index."""
    return [
        {
            "year": year,
            "months": [
                {"name": language.month_alone(month), "issues": [_line(each, language) for each in issues]}
                for month, issues in groupby(of_year, key=lambda each: each.day.month)
            ],
        }
        for year, of_year in groupby(listed, key=lambda each: each.day.year)
    ]


def _line(issue: ArchivedIssue, language: Language) -> dict[str, str]:
    """An issue for the index. The day at the beginning of the subject is dropped, since the date is shown beside it."""
    subject = issue.subject.removeprefix(f"{language.day_and_month(issue.day)}: ")
    return {
        "day": issue.day.isoformat(),
        "date": language.weekday_and_day(issue.day),
        "subject": subject.replace("(▲ ", "(▲\N{NO-BREAK SPACE}"),
    }
