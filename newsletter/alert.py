"""A mail to the operator when there has been no issue for some days: "green but no mail" must not go unnoticed."""

from __future__ import annotations

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

_RUNS: Final = 10  # told in the mail

# Runs that say nothing about the issue of a day.
_SILENT: Final = frozenset({Verdict.DRY_RUN, Verdict.ALREADY_RUNNING, Verdict.ALREADY_SENT})


def due(config: Config, store: Store, report: RunReport) -> EmailMessage | None:
    """The mail to write after `report`, which is in the store already: once, on the day that is one too many."""
    if config.alerts.address is None or report.day is None or report.verdict in _SILENT:
        return None
    latest, *before = store.runs(_RUNS)
    first_today = not before or before[0].started_at.date() != latest.started_at.date()
    if not first_today or store.days_without_issue() != config.alerts.after:
        return None
    return _letter(config, store)


def _letter(config: Config, store: Store) -> EmailMessage:
    publication = config.publication
    told = "\n".join(
        f"{run.started_at:%Y-%m-%d %H:%M} UTC  {run.verdict}: {header_text(run.explanation)}"
        for run in store.runs(_RUNS)
    )
    letter = new_letter(
        publication,
        config.alerts.address or "",
        f"{header_text(publication.title)}: no issue for {config.alerts.after} days",
        utc_now(),
    )
    set_body(
        letter,
        f"No issue of {publication.title} went out on the last {config.alerts.after} days with a run.\n"
        f"The last runs, latest first:\n\n{told}\n\n`newsletter check` tries everything a run needs.\n",
    )
    return letter


def send(config: Config, letter: EmailMessage) -> None:
    """Hand the mail to a server. Raises TransportUnavailable when none takes it."""
    pool = Pool(config.smtp)
    try:
        copy = as_copy(letter, config.publication, utc_now())
        for _, outcome in send_letters(pool, [copy], lambda begun: None):
            if outcome.kind is not OutcomeKind.ACCEPTED:
                raise TransportUnavailable(f"{outcome.code or 'no answer'} {outcome.text}")
    finally:
        pool.close()
