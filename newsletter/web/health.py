"""`/healthz`: whether the pages can do their work, for a load balancer or a container's health check."""

from __future__ import annotations

import json

import flask

from newsletter.errors import NewsletterError
from newsletter.store import Store


def pages(store: Store) -> flask.Blueprint:
    """The route ``/healthz``. It asks the database one question that costs nothing, and says nothing else of it."""
    blueprint = flask.Blueprint("health", __name__)

    @blueprint.get("/healthz")
    def healthz() -> flask.Response:
        try:
            store.reachable()
        except NewsletterError as error:
            flask.current_app.logger.warning("healthz: %s", error)
            return _answer("store unavailable", 503)
        return _answer("ok", 200)

    return blueprint


def _answer(status: str, code: int) -> flask.Response:
    return flask.Response(json.dumps({"status": status}) + "\n", code, mimetype="application/json")
