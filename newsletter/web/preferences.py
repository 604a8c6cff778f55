"""The preferences page: what a reader gets, and when; a pause; another address.

What a reader types is in no log, and is stored only with the button that says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from typing import Any, Final

import flask
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge

from newsletter import addresses
from newsletter.addresses import identity, masked
from newsletter.errors import AddressError
from newsletter.issue.choice import Choice
from newsletter.languages import Language
from newsletter.links import Purpose
from newsletter.mail.cards import picked_for
from newsletter.mail.latex import readable
from newsletter.model import Subscriber, SubscriberStatus
from newsletter.web import choices
from newsletter.web.abuse import AbuseGuard
from newsletter.web.recent import DAYS, Picked, PickedDay, Recent
from newsletter.web.site import LONGEST_SHOWN, Site

# Bytes of the form. All choices that are allowed take up to 28 kB, percent-encoded and with what the page began with;
# what is longer is shown again, with what is wrong. The server drops a body above 64 kB.
_LARGEST: Final = 60_000

_SHOWN: Final = 20  # papers of a day that are named to a reader who asks what would be picked


@dataclass(frozen=True, slots=True)
class _Page:
    """The page of a reader, for whom `token` was made."""

    site: Site
    reader: Subscriber
    token: str


def add_to(blueprint: flask.Blueprint, site: Site, guard: AbuseGuard) -> None:
    """Add the routes below ``/preferences/``."""
    _add_choices(blueprint, site)
    _add_address(blueprint, site, guard)


def _add_choices(blueprint: flask.Blueprint, site: Site) -> None:
    recent = Recent(lambda: site.store.recent_candidates(DAYS))

    @blueprint.get("/preferences/<token>")
    def look(token: str) -> flask.Response:
        page = _page(site, token)
        if isinstance(page, flask.Response):
            return page
        recent.refresh()  # so that the papers are ready when the reader asks what would be picked
        return _form(page)

    @blueprint.post("/preferences/<token>")
    def choose(token: str) -> flask.Response:
        page = _page(site, token)
        if isinstance(page, flask.Response):
            return page
        form = _sent()
        if form is None:
            return _form(page, 413, mistakes={"topics": choices.Mistake("too-much-data")})
        return _answer(page, recent, form)


def _add_address(blueprint: flask.Blueprint, site: Site, guard: AbuseGuard) -> None:
    @guard.limit_moves
    def note(ref: str, address: str) -> None:
        site.store.ask_move(ref, address)
        site.wake()

    @blueprint.post("/preferences/<token>/address")
    def move(token: str) -> flask.Response:
        page = _page(site, token)
        if isinstance(page, flask.Response):
            return page
        email = flask.request.form.get("email", "")
        try:
            address = addresses.normalise(email)
        except AddressError as error:
            return _form(page, 422, email=email[:LONGEST_SHOWN], address_problem=error.fault)
        if identity(address) == identity(page.reader.address):
            return _form(page, 422, email=email[:LONGEST_SHOWN], address_problem="same")
        note(page.reader.ref, address)
        return _form(page, said="asked")


def _answer(page: _Page, recent: Recent, form: MultiDict[str, str]) -> flask.Response:
    """What became of a form: refused, shown with what it would pick, or saved."""
    before = page.site.store.choice_of(page.reader.ref)
    values, days, stored = form.to_dict(), form.getlist("day"), _filled(page, before)
    filled = choices.Filled.typed(values, days, stored)
    judged = choices.judge(filled, _today(page.site))
    if isinstance(judged, choices.Refused):
        return _form(page, 422, filled=filled, mistakes=judged.mistakes, problem=judged.problem)
    if form.get("act") == "show":
        selector = judged.choice.selector
        picks = selector is not None and (selector.asks or selector.more or not judged.choice.on_top)
        picked = recent.picked(judged.choice) if picks else None
        return _form(page, filled=filled, said="shown", picked=picked)
    alone = choices.judge(choices.Filled.typed(choices.without_had(values), days, stored), _today(page.site))
    notes = {"merged": judged != alone, "no-longer-weekly": before.weekly and not judged.choice.weekly}
    return _saved(page, judged, [name for name, holds in notes.items() if holds])


def _saved(page: _Page, accepted: choices.Accepted, notes: Sequence[str]) -> flask.Response:
    """Store what was accepted, and show the page with it."""
    store, reader = page.site.store, page.reader
    if not store.choose(reader.ref, accepted.choice):
        return page.site.message("inactive", 410)  # they have just left
    store.prefer(reader.ref, days=accepted.days, paused_until=accepted.paused_until)
    changed = replace(page, reader=store.by_ref(reader.ref) or reader)
    return _form(changed, said="saved", notes=notes)


def _sent() -> MultiDict[str, str] | None:
    """The form that was sent, None if it is larger than any that the page can make sense of."""
    flask.request.max_content_length = _LARGEST
    try:
        return flask.request.form
    except RequestEntityTooLarge:
        return None


def _page(site: Site, token: str) -> _Page | flask.Response:
    """The page of the active subscriber for whom `token` was made, or a response that says why there is none."""
    ref = site.links.verify(Purpose.PREFERENCES, token)
    reader = site.store.by_ref(ref) if ref else None
    if reader is None:
        return site.unknown()
    return _Page(site, reader, token) if reader.status is SubscriberStatus.ACTIVE else site.message("inactive", 410)


def _form(
    page: _Page,
    status: int = 200,
    *,
    filled: choices.Filled | None = None,
    mistakes: Mapping[str, choices.Mistake] | None = None,
    picked: Picked | None = None,
    notes: Sequence[str] = (),
    **said: str,
) -> flask.Response:
    """The preferences page, filled in as `filled` or as the store has it; `picked` is what the choices would pick.

    `notes` say what else a reader should know whose choices were saved.
    """
    site, reader = page.site, page.reader
    today, language = _today(site), site.renderer.language
    paused, stored = _paused(page), _filled(page, site.store.choice_of(reader.ref))
    shown = filled or stored
    values: dict[str, Any] = {"said": "", "problem": "", "address_problem": "", "email": ""} | said
    return site.page(
        "preferences.html",
        status,
        address=masked(reader.address),  # whoever a digest was forwarded to sees this page
        days=[{"name": language.weekday_alone(n), "chosen": str(n) in shown.days} for n in range(7)],
        paused_until=paused.isoformat() if paused else "",
        paused_date=language.long_date(paused) if paused else "",
        filled=asdict(shown),
        had=stored.fields,
        mistakes={name: asdict(mistake) for name, mistake in (mistakes or {}).items()},
        offered={"papers": choices.papers_offered(shown.papers), "hours": choices.HOURS, "zones": choices.zones()},
        list_zone=str(site.config.timezone),
        picked=picked and _shown(picked, language),
        notes=notes,
        first=(today + timedelta(days=1)).isoformat(),
        last=(today + choices.LONGEST_PAUSE).isoformat(),
        choose_url=flask.url_for("readers.choose", token=page.token),
        move_url=flask.url_for("readers.move", token=page.token),
        unsubscribe_url=flask.url_for("readers.leave", token=site.links.token(Purpose.UNSUBSCRIBE, reader.ref)),
        **values,
    )


def _filled(page: _Page, choice: Choice) -> choices.Filled:
    return choices.Filled.stored(page.reader.days, _paused(page), choice)


def _paused(page: _Page) -> date | None:
    """The day on which the reader's pause ends; None if there is no pause, or no longer."""
    until = page.reader.paused_until
    return until if until and until > _today(page.site) else None


def _shown(picked: Picked, language: Language) -> dict[str, Any]:
    """What was picked, as plain values for the template."""
    days = [
        {
            "date": _dates(each, language),
            "papers": [
                {
                    "title": readable(pick.paper.title),
                    "url": pick.paper.url or "",
                    "why": picked_for(pick.reason, language),
                }
                for pick in each.picks[:_SHOWN]
            ],
            "more": max(0, len(each.picks) - _SHOWN),
        }
        for each in picked.days
    ]
    return {"days": days, "found": any(each.picks for each in picked.days), "complete": picked.complete}


def _dates(picked: PickedDay, language: Language) -> str:
    last = language.long_date(picked.day)
    if picked.since is None or picked.since == picked.day:
        return last
    return language.gettext("%(first)s to %(last)s", first=language.long_date(picked.since), last=last)


def _today(site: Site) -> date:
    """Today's date in the publication's time zone."""
    return site.now().astimezone(site.config.timezone).date()
