"""The send loop: claim a copy, note that it is being sent, hand it over, note what the server said.

A crash at any moment leaves at most one copy in doubt: the one that is SENDING. This file acts; the store remembers,
the transport talks, and the tables below decide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from newsletter.errors import TransportUnavailable
from newsletter.message import Copies
from newsletter.model import OUTCOME_STATE, Delivery, Envelope, FrozenIssue, Outcome, OutcomeKind, State
from newsletter.store import Store
from newsletter.transport import Transport

# Between attempts at a copy that the server put off. RFC 5321 section 4.5.4.1 asks a queue that runs for days to wait
# 30 minutes; a greylisting server lets us in after about five, and a daily issue is old the next morning.
DELAYS: Final = tuple(timedelta(minutes=minutes) for minutes in (5, 15, 30, 60))

# Claimed together, to read the ledger once for many copies; what is not reached is released.
BATCH: Final = 50

# Attempts at one copy whose connection is lost before the final dot, before the next reader gets a turn.
ATTEMPTS: Final = 2

# Connections lost in a row: then it is the server's trouble, not a copy's, and the run stops.
LOST_IN_A_ROW: Final = 5

# Copies in a row that the server blocked by policy: then it is about us, and the run stops before it does harm.
BLOCKED_IN_A_ROW: Final = 3

# A copy in doubt is sent again this often, with the same Message-ID, before it stays `uncertain`.
RESEND_UNCERTAIN: Final = 1


def retry_at(delivery: Delivery, now: datetime) -> datetime:
    """When a copy that was put off may be tried again; the wait grows with its attempts."""
    return now + DELAYS[min(delivery.attempts, len(DELAYS) - 1)]


@dataclass
class Pace:
    """Keeps `rate` messages per second (None: no limit) by spacing them evenly, so that no window ever holds more."""

    rate: float | None
    monotonic: Callable[[], float]  # seconds
    sleep: Callable[[float], None]  # seconds
    _next: float = field(default=0.0, init=False)

    def wait(self) -> None:
        """Return when the next message may go."""
        if self.rate is None:
            return
        now = self.monotonic()
        if self._next > now:
            self.sleep(self._next - now)
        self._next = max(now, self._next) + 1 / self.rate


@dataclass
class Sender:
    """Sends what is owed of one issue through one transport.

    `stop` is asked before each copy (SIGTERM drains: the copy under way is finished, the rest released);
    `progress` is told each outcome. `resend_uncertain` 0 holds copies in doubt.
    """

    store: Store
    transport: Transport
    pace: Pace
    now: Callable[[], datetime]  # UTC
    stop: Callable[[], bool] = lambda: False
    progress: Callable[[Outcome], None] = lambda outcome: None
    resend_uncertain: int = RESEND_UNCERTAIN
    _lost: int = field(default=0, init=False)
    _blocked: int = field(default=0, init=False)

    def send(self, issue: FrozenIssue, copies: Copies) -> None:
        """Send every copy of `issue` that is due. Raises TransportUnavailable when the server cannot be used at all.

        Whatever ends the loop, copies that were claimed but not begun are released.
        """
        while not self.stop():
            batch = self.store.claim(issue.id, BATCH, resend_uncertain=self.resend_uncertain)
            if not batch:
                return
            waiting = list(batch)
            try:
                while waiting and not self.stop():
                    self.pace.wait()
                    self._one(waiting.pop(0), copies)
            finally:
                self.store.release(waiting)

    def _one(self, delivery: Delivery, copies: Copies) -> None:
        envelope = copies.envelope(delivery)
        self.store.begin([delivery])
        try:
            outcome = self._hand_over(envelope)
        except TransportUnavailable:
            self.store.record([(delivery, Outcome(OutcomeKind.NOT_SENT), None)])
            raise
        later = retry_at(delivery, self.now()) if OUTCOME_STATE[outcome.kind] is State.DEFERRED else None
        self.store.record([(delivery, outcome, later)])
        self.progress(outcome)
        self._blocked = self._blocked + 1 if outcome.kind is OutcomeKind.BLOCKED else 0
        if self._blocked >= BLOCKED_IN_A_ROW:
            raise TransportUnavailable(f"the mail server blocks us: {outcome.code} {outcome.text}")

    def _hand_over(self, envelope: Envelope) -> Outcome:
        """Send one copy. A line that drops before the dot is tried again; then this copy has to wait its turn."""
        for _ in range(ATTEMPTS):
            outcome = self.transport.send(envelope)
            if outcome.kind is not OutcomeKind.NOT_SENT:
                self._lost = 0
                return outcome
            self._lost += 1
            if self._lost >= LOST_IN_A_ROW:
                raise TransportUnavailable(
                    f"the mail server drops every connection ({outcome.text or 'no reason given'})"
                )
        return Outcome(OutcomeKind.DEFERRED, outcome.code, outcome.text)
