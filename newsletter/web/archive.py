"""The pages of the archive and its feed. They are the same for everybody, so caches may keep them for 10 minutes."""

from __future__ import annotations

import hashlib
import re
from datetime import date
from typing import Final

import flask

from newsletter.archive.pages import Archive, Document, policy
from newsletter.config import Config
from newsletter.mail.render import Renderer
from newsletter.store import Store
from newsletter.store.search_words import LONGEST_QUERY

_MONTH: Final = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")
_FURTHEST: Final = 10_000  # page of a search


def pages(config: Config, store: Store, renderer: Renderer) -> flask.Blueprint:
    """The routes below ``/archive`` and those of the feed, the icon and for search engines.

    A day without an issue gets a 404 page that leads to the issues around it; other unknown names get the page of the
    application.
    """
    routes = flask.Blueprint("archive", __name__)
    archive = Archive(config.publication, store, renderer, searchable=True)
    respond = _Responses(archive, policy(config.publication))
    _add_lists(routes, archive, respond)
    _add_issues(routes, archive, respond)
    _add_files(routes, archive, respond)
    return routes


class _Responses:
    """Makes responses of the archive's documents; `rules` is their Content-Security-Policy."""

    def __init__(self, archive: Archive, rules: str) -> None:
        self._archive = archive
        self._headers = {
            "Content-Security-Policy": f"{rules}; frame-ancestors 'none'",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }

    def of(self, document: Document) -> flask.Response:
        """The document as a response, or 304 if the client has it already (RFC 9110 section 13)."""
        response = flask.Response(document.body, content_type=f"{document.media_type}; charset=utf-8")
        response.headers.extend(self._headers)
        response.headers["Cache-Control"] = "public, max-age=600"
        if document.modified is not None:  # None would be written as now
            response.last_modified = document.modified
        response.set_etag(hashlib.sha256(document.body).hexdigest()[:32])
        response.make_conditional(flask.request)
        return response

    def missing(self, day: date) -> flask.Response:
        """The page for a day without an issue. It is not cached, since the issue may come."""
        made = self._archive.missing(day, flask.url_for("home.show"))
        response = flask.Response(made.body, 404, content_type="text/html; charset=utf-8")
        response.headers.extend(self._headers)
        return response


def _add_lists(routes: flask.Blueprint, archive: Archive, respond: _Responses) -> None:
    @routes.get("/archive", strict_slashes=True)
    def bare() -> flask.typing.ResponseReturnValue:
        return flask.redirect("archive/", 308)  # because the links of the index are relative

    @routes.get("/archive/", strict_slashes=True)
    def index() -> flask.Response:
        return respond.of(archive.index())

    @routes.get("/archive/search")
    def search() -> flask.Response:
        asked = flask.request.args
        query = asked.get("q", "")[:LONGEST_QUERY].strip()
        return respond.of(archive.search(query, _number(asked.get("page", ""))))


def _add_issues(routes: flask.Blueprint, archive: Archive, respond: _Responses) -> None:
    @routes.get("/archive/<name>", strict_slashes=True)
    def without_slash(name: str) -> flask.typing.ResponseReturnValue:
        """A file of an issue; a page, such as those that mails link to, gets the slash that its relative links need."""
        stem, _, kind = name.partition(".")
        day = _day(stem)
        if day is None or kind not in ("", "bib", "json") or name.endswith("."):
            return flask.redirect(f"{name}/", 308) if _of_month(archive, name) else flask.abort(404)
        if not kind:
            return flask.redirect(f"{name}/", 308) if archive.has(day) else respond.missing(day)
        document = archive.bibliography(day) if kind == "bib" else archive.json(day)
        return respond.of(document) if document else respond.missing(day)

    @routes.get("/archive/<name>/", strict_slashes=True)
    def page(name: str) -> flask.Response:
        day = _day(name)
        document = archive.issue(day) if day else _of_month(archive, name)
        if document is not None:
            return respond.of(document)
        return respond.missing(day) if day else flask.abort(404)


def _add_files(routes: flask.Blueprint, archive: Archive, respond: _Responses) -> None:
    """Add what stands beside the home page."""

    @routes.get("/feed.atom")
    def feed() -> flask.Response:
        return respond.of(archive.feed())

    @routes.get("/favicon.svg")
    def icon() -> flask.Response:
        return respond.of(archive.icon())

    @routes.get("/robots.txt")
    def robots() -> flask.Response:
        return respond.of(archive.robots())

    @routes.get("/sitemap.xml")
    def sitemap() -> flask.Response:
        return respond.of(archive.sitemap())


def _of_month(archive: Archive, name: str) -> Document | None:
    """The page of a month such as 2026-11; None if that is no month, or has no issue."""
    found = _MONTH.fullmatch(name)
    return archive.month(int(found[1]), int(found[2])) if found else None


def _day(text: str) -> date | None:
    """The date that `text` is as YYYY-MM-DD, else None. Other forms of ISO 8601, which Python accepts, have no page."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if day.isoformat() == text else None


def _number(text: str) -> int:
    """The number of a page in the address; 1 if `text` is not a number."""
    return min(max(int(text), 1), _FURTHEST) if text.isascii() and text.isdigit() and len(text) < 9 else 1
