"""A mail to the operator when there has been no issue for some days: "green but no mail" must not go unnoticed."""

from __future__ import annotations

import re
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid, parseaddr
from typing import Final

from newsletter.config import Config
from newsletter.errors import TransportUnavailable
from newsletter.message import plain
from newsletter.model import Delivery, Envelope, OutcomeKind, Report, Verdict
from newsletter.store import Store
from newsletter.transport import Answer, Copy, Pool
from newsletter.world import utc_now

_POLICY: Final = SMTP.clone(max_line_length=76)
_RUNS: Final = 10  # told in the mail

# Runs that say nothing about the issue of a day.
_SILENT: Final = frozenset({Verdict.DRY_RUN, Verdict.ALREADY_RUNNING, Verdict.ALREADY_SENT})


def due(config: Config, store: Store, report: Report) -> EmailMessage | None:
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
        f"{run.started_at:%Y-%m-%d %H:%M} UTC  {run.verdict}: {plain(run.explanation)}" for run in store.runs(_RUNS)
    )
    letter = EmailMessage(policy=_POLICY)
    letter["From"] = publication.sender
    letter["To"] = config.alerts.address
    letter["Subject"] = f"{plain(publication.title)}: no issue for {config.alerts.after} days"
    letter["Date"] = format_datetime(utc_now())
    letter["Message-ID"] = make_msgid(domain=parseaddr(publication.sender)[1].rpartition("@")[2])
    letter["Auto-Submitted"] = "auto-generated"
    letter.set_content(
        f"No issue of {publication.title} went out on the last {config.alerts.after} days with a run.\n"
        f"The last runs, latest first:\n\n{told}\n\n`newsletter check` tries everything a run needs.\n"
    )
    return letter


def send(config: Config, letter: EmailMessage) -> None:
    """Hand the mail to a server. Raises TransportUnavailable when none takes it."""
    message = re.sub(rb"(?m)^\.", b"..", letter.as_bytes())
    envelope = Envelope(config.publication.bounce_address, str(letter["To"]), (message,))
    waiting = [Copy(Delivery(0, 0, 0, "", str(letter["To"]), 0), envelope)]
    pool = Pool(config.smtp)
    try:
        while True:
            _, events = pool.offer(lambda: waiting.pop() if waiting else None)
            for event in events or pool.turn(hungry=bool(waiting)):
                if isinstance(event, Answer):
                    if event.outcome.kind is OutcomeKind.ACCEPTED:
                        return
                    raise TransportUnavailable(f"{event.outcome.code or 'no answer'} {event.outcome.text}")
    finally:
        pool.close()
