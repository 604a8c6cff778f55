"""The web pages for subscribers: subscribe, confirm, set preferences, unsubscribe. They run behind an https server.

Only a POST changes anything, so security scanners that open every link of a mail neither confirm nor unsubscribe
anybody. A page whose link has a token needs no cookie, because the token is the only credential. An invalid token gets
the same page as any unknown URL, with 404.
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
from newsletter.web import abuse, archive, health, home, readers
from newsletter.web.site import Site

# Pages run no script, load nothing but the icon, cannot be framed, and send no Referer, which would reveal the token.
# HSTS is left to the web server in front, which has the certificate and knows what else the host serves.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_LARGEST_POST = 10_000  # bytes; a one-click POST has 26, the longest form a few hundred

_TEMPLATES = (
    *(
        "web/_archive.html",
        "web/_lists.html",
        "web/_page.html",
        "web/feedback.html",
        "web/_papers.html",
        "web/_search.html",
    ),
    *("web/archive.html", "web/confirm.html", "web/home.html", "web/issue.html", "web/message.html", "web/month.html"),
    *("web/no_issue.html", "web/preferences.html", "web/search.html", "web/undo.html", "web/unsubscribe.html"),
    "web/favicon.svg",
)

# The state of message.html for each HTTP status; other statuses get "wrong".
_PAGES = {404: "unknown", 405: "unknown", 413: "too-large", 429: "too-many"}


def create_app(
    config: Config, store: Store, *, wake: Callable[[], None] = lambda: None, now: Callable[[], datetime] = utc_now
) -> flask.Flask:
    """The pages of one publication as a WSGI application.

    `wake` is called when a confirmation mail may be due; `now` is the clock (UTC). Raises ConfigError if there is no
    secret, and TemplateError if a template of a page cannot be read.
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
    # Without these, Werkzeug would redirect to a URL with the Host of the request, which a client can choose.
    app.url_map.strict_slashes = app.url_map.merge_slashes = False
    renderer = Renderer(config.publication, templates=config.templates, catalogues=config.catalogues)
    renderer.check(*_TEMPLATES)
    site = Site(config, store, config.links(), renderer, wake, now)
    guard = abuse.AbuseGuard(app, config.web)
    app.register_blueprint(home.pages(site, guard))
    app.register_blueprint(readers.pages(site, guard))
    app.register_blueprint(health.pages(store))
    app.register_blueprint(archive.pages(config, store, renderer))
    _answer_errors(app, site, guard)

    @app.after_request
    def harden(response: flask.Response) -> flask.Response:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)  # the archive sets some of its own
        return response

    return app


def _answer_errors(app: flask.Flask, site: Site, guard: abuse.AbuseGuard) -> None:
    """Answer HTTP errors, broken templates and a store that cannot be used with a page of ours."""

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> flask.Response:
        response = site.message(_PAGES.get(error.code or 500, "wrong"), error.code or 500)
        for name, value in error.get_headers():
            if name in ("Allow", "Retry-After"):
                response.headers[name] = value
        wait = guard.retry_after() if error.code == 429 else None
        if wait is not None:
            response.headers["Retry-After"] = str(wait)
        return response

    @app.errorhandler(TemplateError)
    def broken(error: TemplateError) -> flask.Response:
        app.logger.error("%s", error)
        sorry = site.renderer.language.gettext("This page cannot be shown. Please try again later.")
        return flask.Response(f"{sorry}\n", 500, mimetype="text/plain")

    @app.errorhandler(StoreError)
    def busy(error: StoreError) -> flask.Response:
        app.logger.error("%s", error)
        response = site.message("busy", 503)
        response.headers["Retry-After"] = "60"
        return response
