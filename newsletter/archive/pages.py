"""The archive: every issue that somebody has got as a page, an index by date, and a feed; and all of it as files.

The web serves and `newsletter archive export` writes the same bytes, so an issue's page must say for itself what it may
do: it brings its Content-Security-Policy along.
"""

from __future__ import annotations

import html
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from newsletter.archive import atom
from newsletter.mail.render import Renderer
from newsletter.model import ArchivedIssue, FrozenIssue, Publication, Slot
from newsletter.store import Store

# Nothing is executed, loaded, framed or sent; a mail needs its own styles only.
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_META: Final = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
_HEAD: Final = re.compile(r"<html\b[^>]*>\s*(?:<head\b[^>]*>)?", re.IGNORECASE)
_SLOTS: Final = re.compile("|".join(re.escape(slot) for slot in Slot))

_IN_THE_FEED: Final = 30  # issues


def page(frozen: FrozenIssue) -> str:
    """The issue as a page: the HTML of the mail, with nothing in it that belongs to one reader.

    Links that were a reader's own lead to the home page, or without `base_url` one step up.
    """
    home = f"{frozen.publication.base_url}/" if frozen.publication.base_url else "../"
    fills = {Slot.UNSUBSCRIBE: home, Slot.PREFERENCES: home, Slot.ADDRESS: "a reader"}
    public = _SLOTS.sub(lambda found: html.escape(fills[Slot(found[0])]), frozen.rendered.html)
    return _HEAD.sub(lambda found: found[0] + _META, public, count=1)


@dataclass(frozen=True, slots=True)
class Document:
    """A page or the feed as it is served and written; `modified` is UTC, None while there is no issue."""

    body: bytes
    modified: datetime | None


class Archive:
    """The archive of one publication. An issue is in it once a server has accepted a copy: somebody has got it."""

    def __init__(self, publication: Publication, store: Store, renderer: Renderer) -> None:
        self._publication, self._store, self._renderer = publication, store, renderer
        self._made: tuple[Sequence[ArchivedIssue], Document] | None = None  # the last feed, and what it was made of

    def issue(self, frozen: FrozenIssue) -> Document:
        """The page of an issue."""
        return Document(page(frozen).encode(), frozen.frozen_at)

    def index(self) -> Document:
        """All issues by year and month, newest first."""
        listed = self._store.archive()
        home = f"{self._publication.base_url}/" if self._publication.base_url else ""
        made = self._renderer.page("web/archive.html", years=_years(listed), home_url=home)
        return Document(made.encode(), _newest(listed))

    def feed(self) -> Document:
        """The last 30 issues as an Atom feed; made anew only when there is another issue."""
        listed = self._store.archive(limit=_IN_THE_FEED)
        if self._made is None or self._made[0] != listed:
            frozen = (self._store.archived(each.day) for each in listed)
            written = atom.feed(self._publication, [(issue, page(issue)) for issue in frozen if issue])
            self._made = (listed, Document(written, _newest(listed)))
        return self._made[1]

    def files(self) -> Iterator[tuple[Path, Document]]:
        """Everything, each with its path below base_url; the index and the feed last, when all they name is there."""
        index, feed = self.index(), self.feed()  # made first: an issue may join the archive in between
        for listed in self._store.archive():
            if frozen := self._store.archived(listed.day):
                yield Path("archive", str(listed.day), "index.html"), self.issue(frozen)
        yield Path("archive", "index.html"), index
        yield Path("feed.atom"), feed


def export(archive: Archive, folder: Path) -> tuple[int, int]:
    """Write the archive into `folder`, for any web host; returns how many files were written, and how many are there.

    A file that is up to date is left alone, one that is not is replaced in one step, and none is removed.
    """
    written = number = 0
    for path, document in archive.files():
        number += 1
        written += _write(folder / path, document.body)
    return written, number


def _write(path: Path, content: bytes) -> bool:
    """Whether `path` had to be written; a reader meets the old content or the new one, never half of it."""
    if path.is_file() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        half.write_bytes(content)  # readable by the web server as far as the umask allows
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
    return True


def _newest(listed: Sequence[ArchivedIssue]) -> datetime | None:
    return max((each.frozen_at for each in listed), default=None)


def _years(listed: Sequence[ArchivedIssue]) -> list[dict[str, Any]]:
    """What the index's template gets: years of months of issues, newest first, as plain values."""
    return [
        {
            "year": year,
            "months": [
                {"name": name, "issues": [_line(each) for each in issues]}
                for name, issues in groupby(of_year, key=lambda each: f"{each.day:%B}")
            ],
        }
        for year, of_year in groupby(listed, key=lambda each: each.day.year)
    ]


def _line(issue: ArchivedIssue) -> dict[str, str]:
    """A subject begins with its day, which stands beside it here already; its votes stay on one line."""
    subject = issue.subject.removeprefix(f"{issue.day.day} {issue.day:%b}: ")
    return {
        "day": issue.day.isoformat(),
        "date": f"{issue.day:%A} {issue.day.day}",
        "subject": subject.replace("(▲ ", "(▲\N{NO-BREAK SPACE}"),
    }
