"""One subscriber's copy of an issue: its states and moves as a table, what SMTP carries, and the outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple


class State(StrEnum):
    """State of one subscriber's copy of an issue. ACCEPTED means that the next server took it, not that it arrived."""

    PENDING = "pending"
    CLAIMED = "claimed"
    SENDING = "sending"
    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    REFUSED = "refused"
    UNCERTAIN = "uncertain"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


# The allowed transitions; the store refuses all others. A row is committed as SENDING before the final dot of its DATA,
# so a crash leaves at most one uncertain copy per open connection (RFC 1047 describes the gap).
TRANSITIONS: Final[Mapping[State, frozenset[State]]] = {
    # WITHDRAWN: the subscriber left after the issue was frozen. EXPIRED: the issue has outlived `issue.lifetime`.
    State.PENDING: frozenset({State.CLAIMED, State.WITHDRAWN, State.EXPIRED}),
    # PENDING: the run ended before this copy was begun.
    # REFUSED, DEFERRED: the server's reply to MAIL or RCPT, or this copy cannot be made.
    # WITHDRAWN: the operator withdrew the issue, or the subscriber left, before this copy was begun.
    State.CLAIMED: frozenset({State.SENDING, State.PENDING, State.REFUSED, State.DEFERRED, State.WITHDRAWN}),
    # PENDING: the connection was lost before the final dot, so the server has no message.
    # UNCERTAIN: the connection was lost after the final dot, or the process died.
    State.SENDING: frozenset({State.ACCEPTED, State.DEFERRED, State.REFUSED, State.UNCERTAIN, State.PENDING}),
    State.DEFERRED: frozenset({State.CLAIMED, State.WITHDRAWN, State.EXPIRED}),
    State.UNCERTAIN: frozenset({State.CLAIMED, State.WITHDRAWN, State.EXPIRED}),
    State.ACCEPTED: frozenset(),
    # PENDING: many copies were refused alike, so the fault is not the recipients' (the issue is paused).
    State.REFUSED: frozenset({State.PENDING}),
    State.WITHDRAWN: frozenset(),
    State.EXPIRED: frozenset(),
}

# States that a later run may still change.
OPEN: Final = frozenset({State.PENDING, State.CLAIMED, State.SENDING, State.DEFERRED, State.UNCERTAIN})

# States of copies that a later run sends, unless their issue expires first.
OWED: Final = frozenset({State.PENDING, State.CLAIMED, State.DEFERRED})


class Delivery(NamedTuple):
    """A ledger row that this process has claimed: one subscriber's copy of rendering `rendering_id`."""

    id: int
    rendering_id: int
    subscriber_id: int
    ref: str  # of the subscriber
    address: str  # as it was when the issue was frozen
    attempts: int  # number of finished attempts
    doubts: int = 0  # number of attempts with the outcome UNCERTAIN


class Envelope(NamedTuple):
    """What SMTP carries (RFC 5321 section 2.3.1): reverse-path, one recipient, and the message.

    `pieces` are the message's bytes in order. Copies of an issue share most of these objects, to save memory. The
    message is ready to send: each line ends in CRLF, there is no other CR, LF or NUL, and it is dot-stuffed (section
    4.5.2). The final dot is not included.
    """

    mail_from: str
    rcpt_to: str
    pieces: tuple[bytes, ...]

    @property
    def size(self) -> int:
        """Length of the message in bytes, dot-stuffing included."""
        return sum(map(len, self.pieces))

    @property
    def message(self) -> bytes:
        """The message as a whole."""
        return b"".join(self.pieces)


class OutcomeKind(StrEnum):
    """Outcome of one attempt to hand over one copy."""

    ACCEPTED = "accepted"  # 250 to the final dot
    DEFERRED = "deferred"  # 4xx: a temporary failure
    BLOCKED = "blocked"  # 5xx that may be about the sender or the server and is not about the address
    SENDER = "sender"  # a refusal of the sender (quota, rate, reputation): not counted as an attempt
    REFUSED = "refused"  # any other 5xx: a permanent failure
    UNCERTAIN = "uncertain"  # the connection was lost after the final dot (RFC 1047)
    NOT_SENT = "not-sent"  # the connection was lost before the final dot, or 421: not counted as an attempt


# The state to which each outcome takes a copy.
OUTCOME_STATE: Final[Mapping[OutcomeKind, State]] = {
    OutcomeKind.ACCEPTED: State.ACCEPTED,
    OutcomeKind.DEFERRED: State.DEFERRED,
    OutcomeKind.BLOCKED: State.DEFERRED,
    OutcomeKind.SENDER: State.DEFERRED,
    OutcomeKind.REFUSED: State.REFUSED,
    OutcomeKind.UNCERTAIN: State.UNCERTAIN,
    OutcomeKind.NOT_SENT: State.PENDING,
}

# Outcomes that say nothing about the copy: they do not count as an attempt.
UNCHARGED: Final = frozenset({OutcomeKind.SENDER, OutcomeKind.NOT_SENT})


class Outcome(NamedTuple):
    """An outcome with its evidence: the SMTP reply `code` (None if the connection was lost) and the reply's `text`."""

    kind: OutcomeKind
    code: int | None = None
    text: str = ""


class Result(NamedTuple):
    """An outcome to record for a copy whose row is in state `source`.

    `not_before` (UTC) is the earliest time of the next attempt; None if it may be at once or there is none.
    """

    delivery: Delivery
    source: State
    outcome: Outcome
    not_before: datetime | None = None
