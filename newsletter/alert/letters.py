"""A mail to the operator when no issue has gone out for some days, though no run has reported an error."""

from __future__ import annotations

from datetime import timedelta
from email.message import EmailMessage
from typing import Final

from newsletter.config import Config
from newsletter.errors import TransportUnavailable
from newsletter.mail.letter import as_copy, new_letter, send_letters, set_body
from newsletter.mail.message import header_text
from newsletter.model import OutcomeKind, RunReport, Verdict
from newsletter.runtime import utc_now
from newsletter.store import Store
from newsletter.transport import Pool

_RUNS: Final = 10  # runs that the mail lists

# Runs that say nothing about the issue of a day.
_SILENT: Final = frozenset({Verdict.DRY_RUN, Verdict.ALREADY_RUNNING, Verdict.ALREADY_SENT})

# While an outage lasts, the operator is reminded of it this often.
_AGAIN: Final = timedelta(days=7)


def due(config: Config, store: Store, report: RunReport) -> EmailMessage | None:
    """The mail to write after `report`, which is in the store already; None if no mail is due.

    A mail is due when some readers did not get their copy in time. It is also due when `alerts.after` days with a run
    have passed without an issue that anybody got: once, and again each week while that lasts.
    """
    if config.alerts.address is None:
        return None
    if report.verdict is Verdict.PARTLY_EXPIRED:
        subject = f"{header_text(config.publication.title)}: some readers did not get their copy"
        return _letter(config, store, subject, f"{report.explanation}.\n")
    if report.day is None or report.verdict in _SILENT or store.days_without_issue() < config.alerts.after:
        return None
    last = store.last_alert()
    if last is not None and store.runs(1)[0].started_at.date() - last < _AGAIN:
        return None
    days = store.days_without_issue()
    publication = config.publication
    return _letter(
        config,
        store,
        f"{header_text(publication.title)}: no issue for {days} days",
        f"No issue of {publication.title} went out on the last {days} days with a run.\n",
    )


def _letter(config: Config, store: Store, subject: str, words: str) -> EmailMessage:
    told = "\n".join(
        f"{run.started_at:%Y-%m-%d %H:%M} UTC  {run.verdict}: {header_text(run.explanation)}"
        for run in store.runs(_RUNS)
    )
    letter = new_letter(
        config.publication,
        config.alerts.address or "",
        subject,
        utc_now(),
    )
    set_body(
        letter,
        f"{words}The last runs, latest first:\n\n{told}\n\n`newsletter check` tries everything a run needs.\n",
    )
    return letter


def send(config: Config, store: Store, letter: EmailMessage) -> None:
    """Hand the alert to a server and note it in the store. Raises TransportUnavailable when no server takes it."""
    deliver(config, store, letter)
    store.note_alert()


def deliver(config: Config, store: Store, letter: EmailMessage) -> None:
    """Hand a mail to the operator to a server. Raises TransportUnavailable when no server takes it."""
    copy, outcome = as_copy(letter, config.publication, utc_now()), None
    for _, outcome in send_letters(Pool(config.smtp, leases=store.leases()), [copy], lambda begun: None, store.reserve):
        if outcome.kind is not OutcomeKind.ACCEPTED:
            raise TransportUnavailable(f"{outcome.code or 'no answer'} {outcome.text}")
    if outcome is None:
        raise TransportUnavailable("smtp.per_day is used up")
