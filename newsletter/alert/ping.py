"""Pings to a monitor that expects one from every run, and speaks up when none comes or one says that a run failed."""

from __future__ import annotations

from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from newsletter.bounces import redacted
from newsletter.config import Pings
from newsletter.errors import ConfigError
from newsletter.model import RunReport, State, Verdict
from newsletter.request import Unanswered, request

_WITHIN: Final = 5.0  # seconds for each attempt
_ATTEMPTS: Final = 2
_BODY: Final = 10_000  # bytes; healthchecks.io keeps 100 kB


class Ping(StrEnum):
    """What a monitor is told."""

    START = "start"
    SUCCESS = "success"
    FAILURE = "failure"


# Verdicts of which a monitor hears nothing: the run that is at work reports itself, and a rehearsal is no run.
_UNTOLD: Final = frozenset({Verdict.ALREADY_RUNNING, Verdict.DRY_RUN})

# Verdicts of a daily run whose cause is gone once a later `send` has sent everything.
_HEALED: Final = frozenset({Verdict.SEND_FAILED, Verdict.STILL_OWED, Verdict.PAUSED, Verdict.FAILED})


def ping_for(report: RunReport, daily: Verdict | None = None) -> Ping | None:
    """What to tell a monitor about a run that ended with `report`; None for nothing.

    Exit code 0 is a success. So is `still-owed` once some readers have the issue: a server that greylists one address
    need not wake anybody, and if that copy expires the verdict is `partly-expired`. Everything else is a failure.

    A `send` gives `daily`, the verdict of the last daily run. Its success is told only where it heals that run: else it
    would hide that today's run failed for another reason.
    """
    if report.verdict in _UNTOLD:
        return None
    some = report.verdict is Verdict.STILL_OWED and bool(report.counts.get(State.ACCEPTED))
    if report.exit and not some:
        return Ping.FAILURE
    return Ping.SUCCESS if daily is None or daily in _HEALED else None


def body_of(report: RunReport) -> str:
    """The body of a ping: the verdict as `run` prints it, without addresses, and the exit code."""
    return f"verdict: {report.verdict} - {redacted(report.explanation)}\nexit code: {report.exit}\n"


def send(pings: Pings, ping: Ping, body: str = "", *, within: float = _WITHIN) -> str | None:
    """Tell the monitor; returns what went wrong in one line without the URL, or None.

    Takes twice `within` seconds at most, and once for a start, which is tried once: the issue matters more.
    """
    url = {Ping.START: pings.start, Ping.SUCCESS: pings.success, Ping.FAILURE: pings.failure}[ping]
    if url is None:
        return None
    try:
        address = url.reveal()
    except ConfigError as error:
        return f"the {ping} ping could not be sent: {error}"
    said = ""
    for _ in range(1 if ping is Ping.START else _ATTEMPTS):
        try:
            content = {"Content-Type": "text/plain; charset=utf-8"}
            answer = request("POST", address, body=body.encode()[:_BODY], headers=content, within=within)
        except Unanswered as error:
            said = str(error)
            continue
        if 200 <= answer.status < 300:
            return None
        said = f"it answered {answer.status}"
    return f"the {ping} ping could not be sent: {host(address)}: {said}"


def host(url: str) -> str:
    """The host and port of a URL, which is all of it that may be shown."""
    return urlsplit(url).netloc
