"""The mails that come back, and how they count against an address."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class ReportKind(StrEnum):
    """Kind of a mail in the bounce mailbox."""

    PERMANENT = "permanent"  # a server has given up (action "failed", RFC 3464 section 2.3.3, or words to that effect)
    TEMPORARY = "temporary"  # a server still tries (action "delayed")
    COMPLAINT = "complaint"  # the recipient marked a copy as spam (RFC 5965)
    UNSUBSCRIBE = "unsubscribe"  # a request to leave the list
    AUTO_REPLY = "auto-reply"  # an automatic answer such as an absence notice (RFC 3834)
    OTHER = "other"  # a person's mail, a read receipt, a report of success
    BROKEN = "broken"  # it looks like a report but cannot be parsed


class Weight(StrEnum):
    """How a report counts against the address it is about."""

    HARD = "hard"
    SOFT = "soft"
    COMPLAINT = "complaint"
    NONE = "none"


class SuppressionState(StrEnum):
    """State of a decision to suppress a subscriber for bounces or refusals."""

    WAITING = "waiting"  # decided by a run that has not ended
    HELD = "held"  # the brake waits for the operator
    DONE = "done"  # carried out without the operator
    CONFIRMED = "confirmed"  # carried out because the operator confirmed it
    DROPPED = "dropped"  # no longer justified, or discarded by the operator


@dataclass(frozen=True, slots=True)
class Strike:
    """A report about a subscriber: its kind, what it counts as, and the day of the issue that bounced."""

    kind: ReportKind
    weight: Weight
    day: date


@dataclass(frozen=True, slots=True)
class CopyReference:
    """The copy that a report is provably about: its subscriber's ref, and the issue's day if known."""

    ref: str
    day: date | None = None


@dataclass(frozen=True, slots=True)
class BouncePolicy:
    """How many issues must bounce before a subscriber is suppressed: by default one hard, or three soft in 14 days.

    A limit of 0 never suppresses. `soft_days` is in calendar days.
    """

    hard: int = 1
    soft: int = 3
    soft_days: int = 14
    complaint: int = 1
