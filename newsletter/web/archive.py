"""The pages of the archive and its feed. They are the same for everybody, so caches may keep them for 10 minutes."""

from __future__ import annotations

import hashlib
from datetime import date

import flask

from newsletter.archive import atom
from newsletter.archive.pages import POLICY, Archive, Document
from newsletter.config import Config
from newsletter.mail.render import Renderer
from newsletter.store import Store

_HEADERS = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "public, max-age=600",
}


def pages(config: Config, store: Store, renderer: Renderer) -> flask.Blueprint:
    """The routes /archive/, /archive/YYYY-MM-DD and /feed.atom. A day without an issue gets the application's 404."""
    routes = flask.Blueprint("archive", __name__)
    archive = Archive(config.publication, store, renderer)

    @routes.get("/archive", strict_slashes=True)
    def bare() -> flask.typing.ResponseReturnValue:
        return flask.redirect("archive/", 308)  # because the links of the index are relative

    @routes.get("/archive/", strict_slashes=True)
    def index() -> flask.Response:
        return _answer(archive.index(), "text/html")

    @routes.get("/archive/<day>", strict_slashes=False)
    def issue(day: str) -> flask.Response:
        wanted = _day(day)
        frozen = store.archived(wanted) if wanted else None
        if frozen is None:
            flask.abort(404)
        return _answer(archive.issue(frozen), "text/html")

    @routes.get("/feed.atom")
    def feed() -> flask.Response:
        return _answer(archive.feed(), atom.MEDIA_TYPE)

    return routes


def _day(text: str) -> date | None:
    """The date that `text` is as YYYY-MM-DD, else None. Other forms of ISO 8601, which Python accepts, have no page."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if day.isoformat() == text else None


def _answer(document: Document, media_type: str) -> flask.Response:
    """The document as a response, or 304 if the client has it already (RFC 9110 section 13)."""
    response = flask.Response(document.body, content_type=f"{media_type}; charset=utf-8", headers=_HEADERS)
    response.last_modified = document.modified
    response.set_etag(hashlib.sha256(document.body).hexdigest()[:32])
    response.make_conditional(flask.request)
    return response
