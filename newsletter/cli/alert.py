"""The command `alert`: a mail to the operator about a job that failed, also when the store is what broke."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Final

import click

from newsletter import files
from newsletter.cli.setup import program
from newsletter.config import Config
from newsletter.errors import NewsletterError, TransportUnavailable
from newsletter.mail.letter import as_copy, new_letter, send_letters, set_body
from newsletter.mail.message import header_text
from newsletter.model import OutcomeKind, Verdict
from newsletter.store import Store
from newsletter.transport import Pool

_AGAIN: Final = timedelta(hours=23)  # so a daily job that fails every day is reported every day
_RUNS: Final = 10  # runs that the mail lists

# What systemd says about the unit that failed (systemd.exec(5), MONITOR_SERVICE_RESULT and the like).
_TOLD: Final = {"MONITOR_UNIT": "unit", "MONITOR_SERVICE_RESULT": "result", "MONITOR_EXIT_STATUS": "exit status"}


def tell(config: Config, job: str) -> int:
    """Write to `alerts.address` that `job` failed, unless that was reported lately; returns the exit code."""
    now = datetime.now(UTC)
    told = _told(config)
    if config.alerts.address is None:
        click.echo(f"newsletter: {job} failed, and alerts.address is not set: nobody is told", err=True)
        return 0
    with ExitStack() as opened:
        store, broken = _opened(config, opened)
        if not due(told.get(job), now, store.runs(1)[0].verdict if store and store.runs(1) else None):
            return 0
        letter = _letter(config, job, store, broken, now)
        try:
            _send(config, store, letter, now)
        except NewsletterError as error:
            click.echo(f"newsletter: {job} failed, and the alert could not be sent: {error}", err=True)
            return os.EX_TEMPFAIL
    _note(config, {**told, job: now})
    click.echo(f"newsletter: wrote to {config.alerts.address}: {letter['Subject']}", err=True)
    return 0


def due(last: datetime | None, now: datetime, verdict: str | None) -> bool:
    """Whether to tell the operator: not twice a day, and not while `send` still tries what is owed.

    `last` is when it was told before, and `verdict` that of the last run.
    """
    if verdict == Verdict.STILL_OWED:
        return False
    return last is None or not timedelta(0) <= now - last < _AGAIN


def _opened(config: Config, opened: ExitStack) -> tuple[Store | None, str]:
    """The store, or None and why it cannot be opened."""
    try:
        return opened.enter_context(Store.open(config.store)), ""
    except (NewsletterError, OSError) as error:
        return None, str(error)


def _letter(config: Config, job: str, store: Store | None, broken: str, now: datetime) -> EmailMessage:
    title = header_text(config.publication.title)
    letter = new_letter(config.publication, config.alerts.address or "", f"{title}: {job} failed", now)
    said = "".join(f"{words}: {os.environ[name]}\n" for name, words in _TOLD.items() if os.environ.get(name))
    runs = "".join(
        f"{run.started_at:%Y-%m-%d %H:%M} UTC  {run.verdict}: {header_text(run.explanation)}\n"
        for run in (store.runs(_RUNS) if store else ())
    )
    history = f"The last runs, latest first:\n\n{runs}" if store else f"The store cannot be opened: {broken}\n"
    advice = f"`{' '.join(program())} -c {config.path.absolute()} check` tries everything a run needs.\n"
    set_body(letter, f"The job {job} of {title} failed.\n{said}\n{history}\n{advice}")
    return letter


def _send(config: Config, store: Store | None, letter: EmailMessage, now: datetime) -> None:
    """Hand the mail to a server; without a store, outside the limits that are kept there.

    Raises TransportUnavailable when no server takes it.
    """
    copy, outcome = as_copy(letter, config.publication, now), None
    if store:
        pool = Pool(config.smtp, leases=store.leases())
    else:
        pool = Pool([replace(server, rate=None, per_day=None) for server in config.smtp])
    reserve = store.reserve if store else lambda orders: None
    for _, outcome in send_letters(pool, [copy], lambda begun: None, reserve):
        if outcome.kind is not OutcomeKind.ACCEPTED:
            raise TransportUnavailable(f"{outcome.code or 'no answer'} {outcome.text}")
    if outcome is None:
        raise TransportUnavailable("smtp.per_day is used up")


# --- what was told, in a file: the store may be what broke -----------------------------------------------------------


def _file(config: Config) -> Path:
    return config.path.absolute().with_name(f"{config.path.name}.alerts")


def _told(config: Config) -> dict[str, datetime]:
    """When each job was last reported.

    A file that cannot be read counts as empty, because a mail too many does less harm than none.
    """
    try:
        kept = json.loads(_file(config).read_text("utf-8"))
        return {str(job): datetime.fromisoformat(at) for job, at in kept.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _note(config: Config, told: Mapping[str, datetime]) -> None:
    kept = {job: at.isoformat() for job, at in told.items()}
    try:
        files.replace(_file(config), json.dumps(kept).encode(), private=True)
    except OSError as error:
        click.echo(f"newsletter: {_file(config)}: {error.strerror}; the next failure is reported again", err=True)
