"""How a run ended: its verdict and exit code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Final

from newsletter.model.deliveries import State


class Verdict(StrEnum):
    """How a run ended, in one word. The last line of `run`, the log and `status` show it."""

    NEW_ISSUE = "new-issue"
    ALREADY_SENT = "already-sent"
    ALREADY_RUNNING = "already-running"
    QUIET_DAY = "quiet-day"
    WEEKEND = "weekend"
    STALE = "stale"
    TOO_LATE = "too-late"
    PARTLY_EXPIRED = "partly-expired"
    FILTERED_OUT = "filtered-out"
    NO_SUBSCRIBERS = "no-subscribers"
    DRY_RUN = "dry-run"
    STILL_OWED = "still-owed"
    PAUSED = "paused"
    FEED_FAILED = "feed-failed"
    SEND_FAILED = "send-failed"
    FAILED = "failed"


# Exit codes for cron (sysexits.h): 0 done or normal, 1 failed, 75 try again later. Two more are not a verdict's: 78 for
# a wrong configuration is set in errors.py, 2 for wrong usage by click.
VERDICT_EXIT: Final[Mapping[Verdict, int]] = {
    Verdict.NEW_ISSUE: os.EX_OK,
    Verdict.ALREADY_SENT: os.EX_OK,
    Verdict.ALREADY_RUNNING: os.EX_OK,
    Verdict.QUIET_DAY: os.EX_OK,
    Verdict.WEEKEND: os.EX_OK,
    Verdict.FILTERED_OUT: os.EX_OK,
    Verdict.NO_SUBSCRIBERS: os.EX_OK,
    Verdict.DRY_RUN: os.EX_OK,
    Verdict.STILL_OWED: os.EX_TEMPFAIL,
    Verdict.PAUSED: os.EX_TEMPFAIL,
    Verdict.FEED_FAILED: os.EX_TEMPFAIL,
    Verdict.STALE: os.EX_TEMPFAIL,
    Verdict.SEND_FAILED: os.EX_TEMPFAIL,
    Verdict.TOO_LATE: 1,
    Verdict.PARTLY_EXPIRED: 1,
    Verdict.FAILED: 1,
}


@dataclass(frozen=True, slots=True)
class RunReport:
    """The result of a run: its verdict, a sentence that explains it, and how many copies are in which state.

    `exit_code` replaces the verdict's own where an error is more precise (a wrong password is 78, not 75). `idle` means
    that copies are owed and this run tried none, because none is due yet or their issue is paused.
    """

    verdict: Verdict
    explanation: str
    day: date | None = None
    counts: Mapping[State, int] = field(default_factory=dict)
    exit_code: int | None = None
    idle: bool = False

    @property
    def exit(self) -> int:
        """The exit code of the command."""
        return VERDICT_EXIT[self.verdict] if self.exit_code is None else self.exit_code


@dataclass(frozen=True, slots=True)
class NoIssue:
    """The reason why a day has no issue: the verdict, and one sentence that explains it.

    `cause` is the error that led to it, if it was one.
    """

    verdict: Verdict
    explanation: str
    cause: Exception | None = field(default=None, compare=False)

    def report(self, day: date) -> RunReport:
        """The report of a run for `day` that made no issue."""
        return RunReport(self.verdict, self.explanation, day)
