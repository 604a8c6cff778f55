"""The home page: a form to subscribe, and the latest issue."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Final

import flask

from newsletter import addresses
from newsletter.errors import AddressError
from newsletter.web.abuse import AbuseGuard, CSRFError
from newsletter.web.latest import Excerpt, excerpt
from newsletter.web.site import LONGEST_SHOWN, Site

_HOUR: Final = timedelta(hours=1)


def pages(site: Site, guard: AbuseGuard) -> flask.Blueprint:
    """The routes ``/`` and ``/subscribe``."""
    blueprint = flask.Blueprint("home", __name__)

    def form(status: int = 200, *, email: str = "", problem: str = "", expired: bool = False) -> flask.Response:
        base = flask.url_for("home.show")
        return site.page(
            "home.html",
            status,
            subscribe_url=flask.url_for("home.subscribe"),
            archive_url=f"{base}archive/",
            feed_url=f"{base}feed.atom",
            csrf_token=guard.form_token(),
            email=email[:LONGEST_SHOWN],
            problem=problem,
            expired=expired,
            issue=_latest(site, base),
        )

    @blueprint.get("/")
    def show() -> flask.Response:
        return form()

    @guard.limit_sign_ups
    def note(address: str) -> None:
        site.store.ask(address)
        site.wake()

    @blueprint.post("/subscribe")
    def subscribe() -> flask.Response:
        email = flask.request.form.get("email", "")
        try:
            guard.check_form()
        except CSRFError:
            return form(400, email=email, expired=True)
        if flask.request.form.get("website"):  # a hidden field, which only robots fill in
            return site.message("asked")
        try:
            address = addresses.normalise(email)
        except AddressError as error:
            return form(422, email=email, problem=error.fault)
        full = site.store.sign_ups_full_until(site.config.web.overall, _HOUR)
        if full is not None:
            response = site.message("too-many", 429)
            response.headers["Retry-After"] = str(max(1, math.ceil((full - site.now()).total_seconds())))
            return response
        note(address)
        return site.message("asked")

    return blueprint


def _latest(site: Site, base: str) -> Excerpt | None:
    issue = site.store.latest_sent()
    return None if issue is None else excerpt(issue, f"{base}archive/{issue.rendered.day}", site.renderer.language)
