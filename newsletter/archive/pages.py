"""The archive: a page for each issue of which a copy was accepted, pages of months, an index, a search, and a feed.

The web serves and `newsletter archive export` writes the same pages, except that only the web can search. Each page has
its Content-Security-Policy in a <meta> element too, because exported files come without headers of ours.
"""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from newsletter import files
from newsletter.archive import atom, bibtex, crawlers, data
from newsletter.archive.excerpt import excerpt
from newsletter.archive.shown import shown
from newsletter.languages import Language
from newsletter.mail.render import Renderer
from newsletter.model import ArchivedIssue, FrozenIssue, Issue, Publication, Slot
from newsletter.store import Store

_HEAD: Final = re.compile(r"<html\b[^>]*>\s*(?:<head\b[^>]*>)?", re.IGNORECASE)
_SLOTS: Final = re.compile("|".join(re.escape(slot) for slot in Slot))

_IN_THE_FEED: Final = 30  # issues
_ON_THE_INDEX: Final = 30  # issues; the others are on the pages of their months
_RESULTS: Final = 20  # papers on a page of the search
_DESCRIPTION: Final = 200  # characters


def policy(publication: Publication) -> str:
    """The Content-Security-Policy of the archive's pages.

    They run no script and load nothing but the icon. Forms go to the site itself, and to `base_url`, since exported
    pages may be on another host. Inline styles are allowed because a mail has them.
    """
    base = urlsplit(publication.base_url or "")
    forms = f"'self' {base.scheme}://{base.netloc}" if base.netloc else "'none'"
    return f"default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; base-uri 'none'; form-action {forms}"


@dataclass(frozen=True, slots=True)
class Document:
    """A page, a feed or a file, as it is served and exported.

    `modified` is UTC, None if there is no issue. With `yields`, an export leaves a file of that name alone.
    """

    body: bytes
    modified: datetime | None
    media_type: str = "text/html"
    yields: bool = False


@dataclass(frozen=True, slots=True)
class Missing:
    """The page for what the archive does not have, to be served with status 404."""

    body: bytes


class Archive:
    """The archive of one publication. It has every issue of which a server accepted at least one copy.

    With `searchable` its pages have a form to search, which needs a server.
    """

    def __init__(self, publication: Publication, store: Store, renderer: Renderer, *, searchable: bool = False) -> None:
        self._publication, self._store, self._renderer = publication, store, renderer
        self._searchable = searchable
        self._language = renderer.language
        self._base = f"{publication.base_url}/" if publication.base_url else ""
        self._cached_feed: tuple[Sequence[ArchivedIssue], Document] | None = None  # with the list it was made from

    # --- issues ---

    def has(self, day: date) -> bool:
        """Whether there is an issue of `day`."""
        return self._store.archived(day) is not None

    def issue(self, day: date) -> Document | None:
        """The page of an issue; None if there is none."""
        frozen = self._store.archived(day)
        if frozen is None:
            return None
        before, after = self._store.neighbours(day)
        made = self._issue_page(frozen, self._store.contents(day), before, after)
        return Document(made.encode(), max(frozen.frozen_at, after.frozen_at if after else frozen.frozen_at))

    def _issue_page(
        self,
        frozen: FrozenIssue,
        contents: Issue | None,
        before: ArchivedIssue | None,
        after: ArchivedIssue | None,
    ) -> str:
        """The issue's own page; of an issue whose papers are not known, with the middle of its mail, or all of it."""
        day = frozen.rendered.day
        values = shown(self._publication, contents, self._language) if contents else None
        middle = None if contents else excerpt(frozen)
        if values is None and middle is None:
            return self._mail(frozen)
        return self._page(
            "issue",
            f"archive/{day}/",
            _description(contents) if contents else frozen.rendered.subject,
            subject=frozen.rendered.subject,
            day=day.isoformat(),
            date=self._language.long_date(day),
            issue=values,
            excerpt=middle,
            before=_neighbour(before, self._language),
            after=_neighbour(after, self._language),
        )

    def _mail(self, frozen: FrozenIssue) -> str:
        """The mail as a page, without anything that belongs to one reader."""
        home = self._base or "../"
        language = self._renderer.language_of(frozen.publication)
        fills = dict.fromkeys(Slot, home) | {Slot.ADDRESS: language.gettext("a reader")}
        public = _SLOTS.sub(lambda found: html.escape(fills[Slot(found[0])]), frozen.rendered.html)
        meta = f'<meta http-equiv="Content-Security-Policy" content="{policy(self._publication)}">'
        return _HEAD.sub(lambda found: found[0] + meta, public, count=1)

    def bibliography(self, day: date) -> Document | None:
        """The papers of an issue as BibTeX; None if there is no issue, or its papers are not known."""
        frozen, contents = self._store.archived(day), self._store.contents(day)
        if frozen is None or contents is None:
            return None
        papers = (*contents.papers, *(rising.paper for rising in contents.rising))
        return Document(bibtex.bibliography(papers).encode(), frozen.frozen_at, bibtex.MEDIA_TYPE)

    def json(self, day: date) -> Document | None:
        """The issue as JSON; None as in `bibliography`."""
        frozen, contents = self._store.archived(day), self._store.contents(day)
        if frozen is None or contents is None:
            return None
        made = data.issue_json(self._publication, contents, frozen.rendered.subject)
        return Document(made.encode(), frozen.frozen_at, data.MEDIA_TYPE)

    def missing(self, day: date, root: str) -> Missing:
        """The page for a day without an issue, or for one whose papers are not known, with the issues around it.

        `root` is the path of the home page, from which the page's links are made.
        """
        before, after = self._store.neighbours(day)
        known = self._store.archived(day) is not None
        made = self._page(
            "no_issue",
            "",
            "",
            root=root,
            day=day.isoformat(),
            date=self._language.long_date(day),
            known=known,
            before=_neighbour(before, self._language),
            after=_neighbour(after, self._language),
        )
        return Missing(made.encode())

    # --- lists ---

    def index(self) -> Document:
        """The page with the newest issues, and links to all months."""
        listed = self._store.archive()
        made = self._page(
            "archive",
            "archive/",
            "",
            number=len(listed),
            months=_by_month(listed[:_ON_THE_INDEX], self._language),
            years=_years(listed, self._language),
        )
        return Document(made.encode(), _newest(listed))

    def month(self, year: int, month: int) -> Document | None:
        """The page of a month; None if it has no issue."""
        listed = self._store.archive()
        months = [key for key, _ in groupby(listed, key=_month_of)]
        if (year, month) not in months:
            return None
        at = months.index((year, month))
        (of_month,) = _by_month([each for each in listed if _month_of(each) == (year, month)], self._language)
        made = self._page(
            "month",
            f"archive/{of_month['key']}/",
            "",
            month=of_month,
            before=_month_link(months[at + 1], self._language) if at + 1 < len(months) else None,
            after=_month_link(months[at - 1], self._language) if at else None,
        )
        return Document(made.encode(), _newest(listed))

    def search(self, query: str, number: int) -> Document:
        """Page `number`, from 1, of the papers that have the words of `query`; the last one if there are fewer."""
        found, total = self._store.search(query, limit=_RESULTS, skip=(number - 1) * _RESULTS)
        pages = -(-total // _RESULTS)
        if total and not found:
            number = pages
            found, total = self._store.search(query, limit=_RESULTS, skip=(number - 1) * _RESULTS)
        results = [
            {
                "title": each.title,
                "authors": each.authors,
                "url": f"{each.day}/#paper-{each.place}",
                "day": each.day.isoformat(),
                "date": self._language.long_date(each.day),
            }
            for each in found
        ]
        made = self._page(
            "search",
            "",
            "",
            root="../",
            query=query,
            results=results,
            total=total,
            number=number,
            pages=pages,
            start=(number - 1) * _RESULTS + 1,
        )
        return Document(made.encode(), None)

    # --- for programs ---

    def feed(self) -> Document:
        """The Atom feed of the last 30 issues, cached until the list of issues changes."""
        listed = self._store.archive(limit=_IN_THE_FEED)
        if self._cached_feed is None or self._cached_feed[0] != listed:
            frozen = [issue for each in listed if (issue := self._store.archived(each.day))]
            entries = [atom.Entry(issue, self._store.contents(issue.rendered.day)) for issue in frozen]
            written = atom.feed(self._publication, entries)
            self._cached_feed = (listed, Document(written, _newest(listed), atom.MEDIA_TYPE))
        return self._cached_feed[1]

    def icon(self) -> Document:
        """The icon of all pages."""
        return Document(self._renderer.page("web/favicon.svg").encode(), None, "image/svg+xml")

    def robots(self) -> Document:
        """The file robots.txt. Needs `base_url`."""
        made = crawlers.robots(self._publication.base_url or "")
        return Document(made.encode(), None, "text/plain", yields=True)

    def sitemap(self) -> Document:
        """The addresses of all pages. Needs `base_url`."""
        listed = self._store.archive()
        newest = _newest(listed)
        months = {_month_key(*_month_of(each)): each.frozen_at.date() for each in reversed(listed)}
        made = crawlers.sitemap(
            [
                (self._base, newest.date() if newest else None),
                (f"{self._base}archive/", newest.date() if newest else None),
                *((f"{self._base}archive/{each.day}/", each.frozen_at.date()) for each in listed),
                *((f"{self._base}archive/{month}/", changed) for month, changed in reversed(months.items())),
            ]
        )
        return Document(made, newest, "application/xml")

    def files(self) -> Iterator[tuple[Path, Document]]:
        """All documents with their paths below `base_url`. Lists and feed come last, after the pages they link to."""
        listed = self._store.archive()
        folder = Path("archive")
        last = [(folder / "index.html", self.index()), (Path("feed.atom"), self.feed())]  # made before the issues
        if self._base:
            last += [(Path("sitemap.xml"), self.sitemap()), (Path("robots.txt"), self.robots())]
        yield Path("favicon.svg"), self.icon()
        for each in listed:
            made = {
                folder / str(each.day) / "index.html": self.issue(each.day),
                folder / f"{each.day}.bib": self.bibliography(each.day),
                folder / f"{each.day}.json": self.json(each.day),
            }
            yield from ((path, document) for path, document in made.items() if document)
        for key, _ in groupby(listed, key=_month_of):
            if document := self.month(*key):
                yield folder / _month_key(*key) / "index.html", document
        yield from last

    def _page(self, name: str, path: str, description: str, *, root: str = "", **values: Any) -> str:
        """A page from the template web/`name`.html. `path` is where it is below `base_url`, empty if nowhere for good.

        `root` leads from the page to the home page; it is the way up from `path` if it is not given.
        """
        frame = {
            "policy": policy(self._publication),
            "root": root or "../" * path.count("/"),
            "home_url": self._base,
            "subscribe_url": f"{self._base}subscribe" if self._base else "",
            "page_url": f"{self._base}{path}" if self._base and path else "",
            "searchable": self._searchable,
            "description": description,
        }
        return self._renderer.page(f"web/{name}.html", **frame | values)


def export(archive: Archive, folder: Path) -> tuple[int, int]:
    """Write the archive into `folder` for a web server; returns the numbers of files written and of files in all.

    Files that are up to date are not touched, others are replaced atomically, and none is removed. A robots.txt that is
    there already stays, since it speaks for the whole host. Raises OSError.
    """
    written = number = 0
    for path, document in archive.files():
        number += 1
        if not (document.yields and (folder / path).exists()):
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


def _description(issue: Issue) -> str:
    """The titles of the first papers, for search engines and for whoever gets the link in a chat."""
    return textwrap.shorten("; ".join(paper.title for paper in issue.papers[:3]), _DESCRIPTION, placeholder="…")


# --- lists as plain values, for the templates ------------------------------------------------------------------------


def _month_of(issue: ArchivedIssue) -> tuple[int, int]:
    return issue.day.year, issue.day.month


def _month_key(year: int, month: int) -> str:
    """The month as in its address, such as 2026-11."""
    return f"{year:04}-{month:02}"


def _month_link(key: tuple[int, int], language: Language) -> dict[str, str]:
    return {"key": _month_key(*key), "name": language.month_and_year(date(*key, 1))}


def _by_month(listed: Sequence[ArchivedIssue], language: Language) -> list[dict[str, Any]]:
    """The issues by month, newest first."""
    return [
        {**_month_link(key, language), "issues": [_line(each, language) for each in of_month]}
        for key, of_month in groupby(listed, key=_month_of)
    ]


def _years(listed: Sequence[ArchivedIssue], language: Language) -> list[dict[str, Any]]:
    """The months with issues by year, newest year first, each with the number of its issues."""
    return [
        {
            "year": year,
            "months": [
                {"key": _month_key(*key), "name": language.month_alone(key[1]), "number": len(list(of_month))}
                for key, of_month in groupby(of_year, key=_month_of)
            ][::-1],
        }
        for year, of_year in groupby(listed, key=lambda each: each.day.year)
    ]


def _line(issue: ArchivedIssue, language: Language) -> dict[str, str]:
    """An issue for a list. The day at the beginning of the subject is dropped, since the date is shown beside it."""
    subject = issue.subject.removeprefix(f"{language.day_and_month(issue.day)}: ")
    return {
        "day": issue.day.isoformat(),
        "date": language.weekday_and_day(issue.day),
        "subject": subject.replace("(▲ ", "(▲\N{NO-BREAK SPACE}"),
    }


def _neighbour(issue: ArchivedIssue | None, language: Language) -> dict[str, str] | None:
    """An issue to which a page leads: its `day` and its `date` in words."""
    return None if issue is None else {"day": issue.day.isoformat(), "date": language.long_date(issue.day)}
