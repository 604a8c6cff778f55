"""The pages behind the links in mails: unsubscribe, confirm, preferences, undo a change of address.

The link's token is the only credential.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import flask

from newsletter import addresses
from newsletter.addresses import identity, masked
from newsletter.errors import AddressError
from newsletter.links import Purpose
from newsletter.model import Subscriber, SubscriberStatus
from newsletter.store import ConfirmationState
from newsletter.web import choices
from newsletter.web.abuse import AbuseGuard
from newsletter.web.site import LONGEST_SHOWN, Site


def pages(site: Site, guard: AbuseGuard) -> flask.Blueprint:
    """The routes below ``/unsubscribe/``, ``/confirm/``, ``/preferences/`` and ``/undo/``."""
    blueprint = flask.Blueprint("readers", __name__)
    _add_unsubscribe(blueprint, site)
    _add_confirm(blueprint, site)
    _add_preferences(blueprint, site, guard)
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


def _add_preferences(blueprint: flask.Blueprint, site: Site, guard: AbuseGuard) -> None:
    @blueprint.get("/preferences/<token>")
    def look(token: str) -> flask.Response:
        reader = _reader(site, token)
        return reader if isinstance(reader, flask.Response) else _form(site, reader, token)

    @blueprint.post("/preferences/<token>")
    def choose(token: str) -> flask.Response:
        reader = _reader(site, token)
        if isinstance(reader, flask.Response):
            return reader
        form = flask.request.form
        try:
            chosen = choices.read(form.getlist("day"), form.get("pause", ""), form.get("until", ""), _today(site))
        except choices.Unclear as unclear:
            return _form(site, reader, token, 422, problem=str(unclear))
        site.store.prefer(reader.ref, days=chosen.days, paused_until=chosen.paused_until)
        changed = site.store.by_ref(reader.ref) or reader
        return _form(site, changed, token, said="saved")

    @guard.limit_moves
    def note(ref: str, address: str) -> None:
        site.store.ask_move(ref, address)
        site.wake()

    @blueprint.post("/preferences/<token>/address")
    def move(token: str) -> flask.Response:
        reader = _reader(site, token)
        if isinstance(reader, flask.Response):
            return reader
        email = flask.request.form.get("email", "")
        try:
            address = addresses.normalise(email)
        except AddressError as error:
            return _form(site, reader, token, 422, email=email[:LONGEST_SHOWN], address_problem=error.fault)
        if identity(address) == identity(reader.address):
            return _form(site, reader, token, 422, email=email[:LONGEST_SHOWN], address_problem="same")
        note(reader.ref, address)
        return _form(site, reader, token, said="asked")


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


def _reader(site: Site, token: str) -> Subscriber | flask.Response:
    """The active subscriber for whom `token` was made, or a page that says that there is none."""
    ref = site.links.verify(Purpose.PREFERENCES, token)
    reader = site.store.by_ref(ref) if ref else None
    if reader is None:
        return site.unknown()
    return reader if reader.status is SubscriberStatus.ACTIVE else site.message("inactive", 410)


def _form(site: Site, reader: Subscriber, token: str, status: int = 200, **said: str) -> flask.Response:
    today, language = _today(site), site.renderer.language
    paused = reader.paused_until if reader.paused_until and reader.paused_until > today else None
    values: dict[str, Any] = {"said": "", "problem": "", "address_problem": "", "email": ""} | said
    return site.page(
        "preferences.html",
        status,
        address=masked(reader.address),  # whoever a digest was forwarded to sees this page
        days=[{"name": language.weekday_alone(n), "chosen": bool(reader.days >> n & 1)} for n in range(7)],
        paused_until=paused.isoformat() if paused else "",
        paused_date=language.long_date(paused) if paused else "",
        first=(today + timedelta(days=1)).isoformat(),
        last=(today + choices.LONGEST_PAUSE).isoformat(),
        choose_url=flask.url_for("readers.choose", token=token),
        move_url=flask.url_for("readers.move", token=token),
        unsubscribe_url=flask.url_for("readers.leave", token=site.links.token(Purpose.UNSUBSCRIBE, reader.ref)),
        **values,
    )


def _preferences_url(site: Site, ref: str) -> str:
    return flask.url_for("readers.choose", token=site.links.token(Purpose.PREFERENCES, ref))


def _today(site: Site) -> date:
    """Today's date in the publication's time zone."""
    return site.now().astimezone(site.config.timezone).date()
