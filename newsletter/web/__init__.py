"""The pages for readers, behind a web server that speaks https: subscribe, confirm, choose, leave.

A GET changes nothing, whoever fetches the link: scanners that open every link of a mail can neither confirm nor
unsubscribe anybody. A POST acts. Where a token stands in the link it is the only key, so these pages need no cookie; a
token that is not ours gets the same polite page as any other wrong address, with 404.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlsplit

import flask
from werkzeug.exceptions import HTTPException

from newsletter.config import Config
from newsletter.errors import StoreError, TemplateError
from newsletter.mail.render import Renderer
from newsletter.runtime import utc_now
from newsletter.store import Store
from newsletter.web import abuse, archive, home, readers
from newsletter.web.site import Site

# Nothing is executed or loaded, the link tells nobody else where it led, and nobody frames the button. HSTS is for the
# web server in front to say, which has the certificate and knows the whole host.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_LARGEST_POST = 10_000  # bytes; a one-click POST has 26, the longest form a few hundred

_TEMPLATES = tuple(f"web/{name}.html" for name in ("_page", "confirm", "home", "message", "preferences", "unsubscribe"))

# The page of message.html for each error; any other says that something did not work.
_PAGES = {404: "unknown", 405: "unknown", 413: "too-large", 429: "too-many"}


def create_app(
    config: Config, store: Store, *, wake: Callable[[], None] = lambda: None, now: Callable[[], datetime] = utc_now
) -> flask.Flask:
    """The pages of one publication as a WSGI application.

    `wake` is called when a confirmation may be due; `now` is the clock (UTC). Raises ConfigError without a secret, and
    TemplateError when a page of the operator's cannot be read.
    """
    app = flask.Flask(__name__, static_folder=None)
    app.config.update(
        SECRET_KEY=abuse.cookie_key(config.secret.reveal()),
        SESSION_COOKIE_NAME="newsletter",
        SESSION_COOKIE_PATH=urlsplit(config.publication.base_url or "").path or "/",
        SESSION_COOKIE_SECURE=(config.publication.base_url or "").startswith("https:"),
        SESSION_COOKIE_SAMESITE="Lax",
        MAX_CONTENT_LENGTH=_LARGEST_POST,
        MAX_FORM_PARTS=50,
    )
    # Werkzeug's redirects to a tidier address would name the host that the request named.
    app.url_map.strict_slashes = app.url_map.merge_slashes = False
    renderer = Renderer(config.publication, templates=config.templates)
    renderer.check(*_TEMPLATES)
    site = Site(config, store, config.links(), renderer, wake, now)
    guard = abuse.AbuseGuard(app, config.web)
    app.register_blueprint(home.pages(site, guard))
    app.register_blueprint(readers.pages(site, guard))
    app.register_blueprint(archive.pages(config, store, renderer))
    _answer_errors(app, site)

    @app.after_request
    def harden(response: flask.Response) -> flask.Response:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)  # the archive has its own
        return response

    return app


def _answer_errors(app: flask.Flask, site: Site) -> None:
    """A polite page for whatever goes wrong."""

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> flask.Response:
        response = site.say(_PAGES.get(error.code or 500, "wrong"), error.code or 500)
        for name, value in error.get_headers():
            if name in ("Allow", "Retry-After"):
                response.headers[name] = value
        return response

    @app.errorhandler(TemplateError)
    def broken(error: TemplateError) -> flask.Response:
        app.logger.error("%s", error)
        return flask.Response("This page cannot be shown. Please try again later.\n", 500, mimetype="text/plain")

    @app.errorhandler(StoreError)
    def busy(error: StoreError) -> flask.Response:
        app.logger.error("%s", error)
        response = site.say("busy", 503)
        response.headers["Retry-After"] = "60"
        return response
