"""The pages behind the links in mails: unsubscribe, confirm, preferences, more or less, undo a change of address.

The link's token is the only credential.
"""

from __future__ import annotations

import flask

from newsletter.links import Purpose
from newsletter.store import ConfirmationState
from newsletter.web import feedback, preferences
from newsletter.web.abuse import AbuseGuard
from newsletter.web.site import Site


def pages(site: Site, guard: AbuseGuard) -> flask.Blueprint:
    """The routes below ``/unsubscribe/``, ``/confirm/``, ``/preferences/``, ``/feedback/`` and ``/undo/``."""
    blueprint = flask.Blueprint("readers", __name__)
    _add_unsubscribe(blueprint, site)
    _add_confirm(blueprint, site)
    preferences.add_to(blueprint, site, guard)
    feedback.add_to(blueprint, site)
    _add_undo(blueprint, site)
    return blueprint


def _add_unsubscribe(blueprint: flask.Blueprint, site: Site) -> None:
    """Add the unsubscribe page: no limit, cookie, login or redirect (RFC 8058 section 3.2). A repeat is harmless."""

    @blueprint.get("/unsubscribe/<token>")
    def ask(token: str) -> flask.Response:
        ref = site.links.verify(Purpose.UNSUBSCRIBE, token)
        return site.page("unsubscribe.html", state="ask") if ref and site.store.by_ref(ref) else site.unknown()

    @blueprint.post("/unsubscribe/<token>")
    def leave(token: str) -> flask.Response:
        ref = site.links.verify(Purpose.UNSUBSCRIBE, token)
        if ref is None or site.store.by_ref(ref) is None:
            return site.unknown()
        site.store.unsubscribe_ref(ref)  # changes nothing if they have left already
        return site.page("unsubscribe.html", state="left")


def _add_confirm(blueprint: flask.Blueprint, site: Site) -> None:
    def answer(ref: str, confirmation: ConfirmationState) -> flask.Response:
        if confirmation is ConfirmationState.VOID:
            return site.unknown()
        if confirmation is ConfirmationState.OPEN:
            return site.page("confirm.html", state="ask", preferences_url="", first_copy=False)
        ref = site.store.subscriber_of(ref)
        return site.page(
            "confirm.html",
            state="done",
            preferences_url=_preferences_url(site, ref),
            first_copy=site.store.has_first_copy(ref),
        )

    @blueprint.get("/confirm/<token>")
    def offer(token: str) -> flask.Response:
        asked = site.links.verify_confirm(token)
        return site.unknown() if asked is None else answer(asked[0], site.store.standing(*asked))

    @blueprint.post("/confirm/<token>")
    def confirm(token: str) -> flask.Response:
        asked = site.links.verify_confirm(token)
        if asked is None:
            return site.unknown()
        consent = f"confirmed on the web {site.now():%Y-%m-%d %H:%M} UTC"
        confirmation = site.store.confirm(*asked, consent, first_copy=site.config.web.first_copy)
        site.wake()  # a first copy is due, or a mail that tells an old address of a move
        return answer(asked[0], confirmation)


def _add_undo(blueprint: flask.Blueprint, site: Site) -> None:
    """Add the page that undoes a change of address. Its link is mailed to the old address."""

    def answer(state: ConfirmationState) -> flask.Response:
        if state is ConfirmationState.VOID:
            return site.unknown()
        return site.page("undo.html", state="ask" if state is ConfirmationState.OPEN else "done")

    @blueprint.get("/undo/<token>")
    def offer_undo(token: str) -> flask.Response:
        ref = site.links.verify(Purpose.UNDO, token)
        return site.unknown() if ref is None else answer(site.store.undo_state(ref))

    @blueprint.post("/undo/<token>")
    def undo(token: str) -> flask.Response:
        ref = site.links.verify(Purpose.UNDO, token)
        return site.unknown() if ref is None else answer(site.store.undo(ref))


def _preferences_url(site: Site, ref: str) -> str:
    return flask.url_for("readers.choose", token=site.links.token(Purpose.PREFERENCES, ref))
