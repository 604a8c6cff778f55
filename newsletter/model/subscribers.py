"""The people on the list, and the requests that an address has to confirm."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final


class SubscriberStatus(StrEnum):
    """Where a subscriber stands. Only ACTIVE ones get issues."""

    PENDING = "pending"  # a sign-up on the web that the address's owner has not confirmed
    ACTIVE = "active"
    UNSUBSCRIBED = "unsubscribed"
    SUPPRESSED = "suppressed"  # after bounces, a complaint or the operator's decision, until they confirm again
    FORGOTTEN = "forgotten"  # erased on request: only a keyed hash of the address is kept


EVERY_DAY: Final = 0b1111111


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A person on the list.

    `ref` is 16 random hex digits; links and Message-IDs are made from it and not from the address. `address` keeps the
    local part as they wrote it, with the domain in ASCII form. Times are UTC. `days` is a bit mask of the weekdays on
    which they want an issue (bit 0 is Monday); no issue goes to them before `paused_until`. `consent` says how they
    agreed, `reason` why the status is what it is.
    """

    id: int
    ref: str
    address: str
    status: SubscriberStatus
    created_at: datetime
    status_at: datetime
    days: int = EVERY_DAY
    paused_until: date | None = None
    consent: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NewSubscriber:
    """A person to add to the list, with all that an exported file says of them, so that an export can be imported.

    `status` is their status in the file: whoever left or is suppressed there is not mailed here either. Times are UTC,
    None if unknown. `choice` is what they chose (issue.choice.Choice.written), empty if nothing.
    """

    address: str
    status: SubscriberStatus = SubscriberStatus.ACTIVE
    consent: str = ""
    reason: str = ""
    days: int = EVERY_DAY
    paused_until: date | None = None
    created_at: datetime | None = None
    status_at: datetime | None = None
    choice: str = ""


class RequestKind(StrEnum):
    """What somebody asked for on the web that an address has to confirm."""

    SIGN_UP = "sign-up"
    MOVE = "move"  # a subscriber wants their mails at that address


@dataclass(frozen=True, slots=True)
class SignUp:
    """A request on the web for mails to `address`, which its owner has to confirm. `asked_at` is UTC.

    With `moves`, a subscriber asked for their mails to go to this new address. `ref` (16 hex digits) is that of the
    request's links.
    """

    id: int  # of the subscriber, or of the move
    ref: str
    address: str
    asked_at: datetime
    moves: bool


@dataclass(frozen=True, slots=True)
class MoveNotice:
    """A mail that is due to the old `address` of a reader whose mails now go to `new_address`."""

    id: int  # of the move
    ref: str  # of the move, for the link to undo it
    address: str
    new_address: str
