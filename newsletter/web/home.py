"""The home page: a form to subscribe, and the latest issue."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import flask

from newsletter import addresses
from newsletter.archive.excerpt import Excerpt, excerpt
from newsletter.archive.shown import shown
from newsletter.errors import AddressError
from newsletter.web.abuse import AbuseGuard, CSRFError
from newsletter.web.site import LONGEST_SHOWN, Site

_HOUR: Final = timedelta(hours=1)


def pages(site: Site, guard: AbuseGuard) -> flask.Blueprint:
    """The routes ``/`` and ``/subscribe``."""
    blueprint = flask.Blueprint("home", __name__)

    def form(
        status: int = 200, *, email: str = "", problem: str = "", expired: bool = False, again: bool = False
    ) -> flask.Response:
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
            again=again,
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
            return form(400, email=email, expired=guard.has_token(), again=not guard.has_token())
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


@dataclass(frozen=True, slots=True)
class _Latest:
    """The latest issue for the home page: its papers, or the middle of its mail if they are not known."""

    day: str  # in words, such as 24 November 2026
    url: str  # of the whole issue
    papers: dict[str, Any] | None
    excerpt: Excerpt | None


def _latest(site: Site, base: str) -> _Latest | None:
    """The latest issue; None if there is none, or its mail cannot be shown in part."""
    issue = site.store.latest_sent()
    if issue is None:
        return None
    day, language = issue.rendered.day, site.renderer.language
    contents = site.store.contents(day)
    papers = shown(site.config.publication, contents, language) if contents else None
    middle = None if contents else excerpt(issue)
    if papers is None and middle is None:
        return None
    return _Latest(language.long_date(day), f"{base}archive/{day}/", papers, middle)
