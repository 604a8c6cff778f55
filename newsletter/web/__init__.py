"""The pages readers reach from a mail, behind a web server that speaks https: today the one that lets them leave.

A GET changes nothing, whoever fetches the link: scanners that open every link of a mail must not unsubscribe anybody. A
POST acts, without cookie, login or redirect (RFC 8058 section 3.2), and may be repeated. The token in the link is the
only key; one that is not ours gets the same polite page as any other wrong address, with 404.
"""

from __future__ import annotations

import flask

from newsletter.config import Config
from newsletter.links import Purpose
from newsletter.render import Renderer
from newsletter.store import Store
from newsletter.web import archive

# Nothing is executed or loaded, the link tells nobody else where it led, and nobody frames the button.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}

_LARGEST_POST = 10_000  # bytes; a one-click POST has 26


def create_app(config: Config, store: Store) -> flask.Flask:
    """The pages of one publication as a WSGI application. Raises ConfigError when there is no secret."""
    app = flask.Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = _LARGEST_POST
    links = config.links()
    renderer = Renderer(config.publication, templates=config.templates)

    def page(state: str, status: int = 200) -> tuple[str, int]:
        return renderer.page("web/unsubscribe.html", state=state), status

    app.register_blueprint(archive.pages(config, store, renderer))

    @app.get("/unsubscribe/<token>")
    def ask(token: str) -> tuple[str, int]:
        ref = links.verify(Purpose.UNSUBSCRIBE, token)
        return page("ask") if ref and store.by_ref(ref) else page("unknown", 404)

    @app.post("/unsubscribe/<token>")
    def leave(token: str) -> tuple[str, int]:
        ref = links.verify(Purpose.UNSUBSCRIBE, token)
        if ref is None or store.by_ref(ref) is None:
            return page("unknown", 404)
        store.unsubscribe_ref(ref)  # once or again: who is off the list stays off it
        return page("left")

    @app.errorhandler(404)
    def unknown(error: Exception) -> tuple[str, int]:
        return page("unknown", 404)

    @app.after_request
    def harden(response: flask.Response) -> flask.Response:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)  # the archive has its own
        return response

    return app
