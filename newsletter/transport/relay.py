"""One mail server in this run: its connections, what its replies say about it, and when it gets copies again.

It opens no socket and waits for nothing: pool.py does, and tells it here what happened. A server that fails is put
aside, and is tried again after a while if others serve. A server that refuses this sender rests, for as long as it
asks.
"""

from __future__ import annotations

import math
import selectors
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from newsletter.config import SmtpConfig
from newsletter.errors import SenderRefused, TransportMisconfigured, TransportUnavailable
from newsletter.model import OutcomeKind
from newsletter.replies import Stage, stated_wait
from newsletter.transport.connect import server_name
from newsletter.transport.limits import RESTS, Pace, Place, Rest
from newsletter.transport.session import Answer, Copy, Down, Session

# So many connections of one server lost in a row without an accepted copy, beyond those that were open, show that the
# server has trouble, and not a copy.
LOST_IN_A_ROW: Final = 5

# So many copies in a row that one server blocked, or put off before it knew the recipient, are about the sender or the
# server. It is put aside.
BLOCKED_IN_A_ROW: Final = 3

# Seconds before the next attempt to connect to a server that has served in this run and now does not, or that has
# dropped a connection which had carried nothing. If it had carried a copy, the next attempt is made at once, because
# some servers close after a few messages.
RECONNECT: Final = (0.1, 0.5, 2.0, 5.0)

# Seconds until a server that was put aside is tried again, while others serve.
ASIDE: Final = 300.0

# A server is far, and not just busy, when none of so many answers came sooner. Then round trips are the cost of a copy.
# On a busy machine 32 answers in a row of a server beside us have come later.
_FAR: Final = 0.015  # seconds
_SURE: Final = 256


@dataclass(eq=False)
class Shared:
    """What the servers of one pool share: the clock, how long to wait, and what the sender is to hear of them.

    `reconnect` and `breaks` are in seconds; `rests` are moments of `monotonic`.
    """

    monotonic: Callable[[], float]
    reconnect: Sequence[float]
    breaks: Sequence[float]
    troubles: dict[str, TransportUnavailable] = field(default_factory=dict)  # why each was put aside, the last time
    rests: dict[str, float] = field(default_factory=dict)  # until when each rests that began to in this run


@dataclass(eq=False)
class Relay:
    """One mail server. Times are moments of the clock that it shares with the others."""

    server: SmtpConfig
    shared: Shared
    lines: set[Line] = field(default_factory=set)
    takers: dict[Line, None] = field(default_factory=dict)  # those that may take a copy, longest free first
    opening: dict[int, float] = field(default_factory=dict)  # attempts to connect: when each began
    numbers: dict[int, int] = field(default_factory=dict)  # attempt -> the number of its connection
    failures: int = 0  # to connect, in a row
    losses: int = 0  # of connections, in a row
    blocked: int = 0  # copies, in a row
    served: bool = False
    round_trip: float = math.inf  # seconds, the shortest
    timed: int = 0  # answers that were looked at for it
    not_before: float = 0.0  # of the next attempt to connect
    error: TransportUnavailable | None = None  # why it is put aside, if it is
    breaks: int = 0  # that it got in a row
    break_until: float = 0.0
    resting: bool = False  # put aside because of a limit of this sender
    rests: int = 0  # within a day

    def __post_init__(self) -> None:
        """Work out once what every copy asks for."""
        self.name = server_name(self.server)
        self.pace = _pace(self.server)  # None: it has no limit
        self.ceiling = self.server.connections  # connections that it allows, as far as is known

    def begin_resting(self, resting: Mapping[str, Rest]) -> None:
        """Leave it alone if an earlier run found that it refuses this sender; `resting` are such servers by name."""
        if (rest := resting.get(self.name)) is not None:
            self.rests = rest.times
            if rest.seconds > 0:
                self.error = SenderRefused(f"{self.name} has refused this sender and is left alone for now")
                self.not_before, self.resting = self.shared.monotonic() + rest.seconds, True

    def allowed_at(self, now: float) -> float:
        """When its limit allows to offer it the next copy, `now` or later."""
        return now if self.pace is None else self.pace.allowed_at(now)

    def short(self, left: float) -> bool:
        """Whether another connection is allowed, and there is a copy for it among the `left` ones to offer."""
        unused = len(self.takers) + len(self.opening)
        return len(self.lines) + len(self.opening) < self.ceiling and unused < left

    def try_again(self) -> None:
        """Take it back after it was put aside, as if nothing had happened."""
        self.error, self.failures, self.losses, self.blocked, self.resting = None, 0, 0, 0, False

    def put_aside(self, error: TransportUnavailable, seconds: float = ASIDE) -> None:
        """Give it no copies because of `error`, and try it again after `seconds` at the earliest."""
        self.error, self.not_before = error, self.shared.monotonic() + seconds
        self.shared.troubles[self.name] = error

    def not_opened(self, error: TransportUnavailable) -> None:
        """Draw the conclusion from an attempt to connect that failed."""
        if isinstance(error, SenderRefused):
            self._rest(str(error))
        elif isinstance(error, TransportMisconfigured) or not self.served:
            self.put_aside(error)
        elif self.lines:
            self.ceiling = len(self.lines)  # it allows no more than these
        elif self.failures < len(self.shared.reconnect):
            self.not_before = self.shared.monotonic() + self.shared.reconnect[self.failures]
            self.failures += 1
        else:
            self.put_aside(error)

    def judge(self, answer: Answer) -> None:
        """Draw the conclusion from the answer for one copy."""
        outcome = answer.outcome
        if outcome.kind is OutcomeKind.ACCEPTED:
            self.losses = self.blocked = self.breaks = 0
        elif outcome.kind is OutcomeKind.SENDER:
            self._refused_sender(answer)
        elif outcome.kind is OutcomeKind.BLOCKED or _before_the_recipient(answer):
            self.blocked += 1
            if self.blocked >= BLOCKED_IN_A_ROW:
                does = "refuses copies in a row" if outcome.kind is OutcomeKind.BLOCKED else "takes no mail now"
                self.put_aside(TransportUnavailable(f"{self.name} {does}: {outcome.code} {outcome.text}"))

    def lost(self, down: Down, *, fruitless: bool) -> None:
        """Draw the conclusion from the end of a session. `fruitless`: it had copies, and none was accepted."""
        if down.error is not None:
            self.put_aside(down.error)
        elif fruitless:
            reconnect = self.shared.reconnect
            self.not_before = self.shared.monotonic() + reconnect[min(self.losses, len(reconnect) - 1)]
            self.losses += 1
            if self.losses >= LOST_IN_A_ROW + self.server.connections - 1:  # all may fall at once
                self.put_aside(TransportUnavailable(f"{self.name} drops every connection ({down.reason})"))

    def _refused_sender(self, answer: Answer) -> None:
        """The server speaks of this sender. If it is a limit, it gets a break or rests; else it is put aside."""
        now, outcome = self.shared.monotonic(), answer.outcome
        if self.error is not None or now < self.break_until:
            return  # it has told several connections at once
        words = f"{self.name} refuses this sender for now: {outcome.code} {outcome.text}"
        limit = answer.copy.judgement is not None and answer.copy.judgement.limit
        if not limit:
            self.put_aside(SenderRefused(words))
        elif (outcome.code or 0) < 500 and stated_wait(outcome.text) is None and self.breaks < len(self.shared.breaks):
            self.break_until = now + self.shared.breaks[self.breaks]
            self.breaks += 1
        else:
            self._rest(words)

    def _rest(self, words: str) -> None:
        """Leave it alone: as long as it asks, else until its day allows a message, else ever longer."""
        now = self.shared.monotonic()
        full = self.pace.full_for(now) if self.pace is not None else 0.0
        asked = stated_wait(words)
        seconds = asked.total_seconds() if asked is not None else full or RESTS[min(self.rests, len(RESTS) - 1)]
        self.rests, self.resting = self.rests + 1, True
        self.shared.rests[self.name] = now + seconds
        self.put_aside(SenderRefused(words), seconds)


@dataclass(eq=False)
class Line:
    """A connection that `connect` has made: its session, and what it has carried in this run."""

    relay: Relay
    socket: socket.socket
    session: Session
    moved: float  # when bytes last went out, or a whole reply came in
    accepted: int = 0  # copies
    asked: float | None = None  # when a command left that nothing else was ahead of
    offered: float = 0.0  # when it got its last copy
    leaving: Copy | None = None  # whose message has a slot
    place: Place | None = None  # that slot
    number: int | None = None  # among the connections of all processes
    opened: float = 0.0
    retired: bool = False  # another process is to have it
    watched: int = selectors.EVENT_READ

    @property
    def full(self) -> bool:
        """Whether it takes no more: it has carried as many messages as its server takes on one, or is for others."""
        most = self.relay.server.messages_per_connection
        carried = self.session.messages + (self.session.offered is not None)
        return self.retired or (most is not None and carried >= most)

    def heard(self, now: float) -> None:
        """Note when the server spoke, and how far it is: the quickest answer counts, the others waited for its work."""
        relay, self.moved = self.relay, now
        if self.asked is not None:
            relay.round_trip, relay.timed = min(relay.round_trip, now - self.asked), relay.timed + 1
            self.session.far = relay.round_trip > _FAR and relay.timed >= _SURE
            self.asked = None


def _pace(server: SmtpConfig) -> Pace | None:
    """What keeps the limits of a server, if it has any."""
    limited = server.rate is not None or server.per_day is not None
    return Pace(server_name(server), server.rate, server.per_day) if limited else None


def _before_the_recipient(answer: Answer) -> bool:
    """Whether a copy was put off at MAIL, when the server knows only its sender and size."""
    refusal = answer.copy.refusal
    return answer.outcome.kind is OutcomeKind.DEFERRED and refusal is not None and refusal[0] is Stage.MAIL
