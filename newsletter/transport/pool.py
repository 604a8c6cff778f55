"""The connections to all mail servers in one loop: several at once to each, opened in parallel, within its limits.

A server that fails slows down only itself. It is put aside for a while, and the others take its copies. A server that
refuses this sender rests, for as long as it asks. When none is left, the pool raises TransportUnavailable, the sender
stops, and no copy is charged.
"""

from __future__ import annotations

import math
import queue
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Final

from newsletter.config import SmtpConfig
from newsletter.errors import SenderRefused, TransportMisconfigured, TransportUnavailable
from newsletter.model import OutcomeKind
from newsletter.replies import Stage, stated_wait
from newsletter.slots import Leases, SlotOrder
from newsletter.transport.connect import Connection, connect, server_name
from newsletter.transport.limits import BREAKS, RESTS, Pace, Place, Rest
from newsletter.transport.numbers import LOOK_EVERY, Numbers
from newsletter.transport.session import Answer, Copy, Down, Event, Session

# A server may need time to store the message, and giving up early makes duplicates (RFC 5321 section 4.5.3.2.6).
AFTER_DOT: Final = 600.0  # seconds

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

# `timeout` is for each reply, so that a server which drips never exceeds it. Opening a session may take so many times
# `timeout` in all.
_OPENED_WITHIN: Final = 4

# Seconds until a server that was put aside is tried again, while others serve.
ASIDE: Final = 300.0

# Answers that come together share a commit. Until a quarter of the copies under way have theirs, the loop waits this
# long for more. Messages that a server asks for meanwhile leave at once. Waiting for half of the copies takes a tenth
# less CPU for each, and leaves a near server without work for a thirtieth of the time.
_LINGER: Final = 0.002  # seconds
_ENOUGH: Final = 4

# A server is far, and not just busy, when none of so many answers came sooner. Then round trips are the cost of a copy.
_FAR: Final = 0.015  # seconds
_SURE: Final = 32

_QUIT_WITHIN: Final = 1.0  # seconds for the goodbye of all connections together
_GATHERED: Final = 1_024  # pieces of one write: IOV_MAX of Linux and the BSDs
_READ: Final = 4_096  # bytes; four replies take about 200


@dataclass(eq=False)
class _Relay:
    """One mail server in this run."""

    server: SmtpConfig
    pace: Pace | None  # None: it has no limit
    lines: set[_Line] = field(default_factory=set)
    takers: dict[_Line, None] = field(default_factory=dict)  # those that may take a copy, longest free first
    opening: dict[int, float] = field(default_factory=dict)  # attempts to connect: when each began
    numbers: dict[int, int] = field(default_factory=dict)  # attempt -> the number of its connection
    ceiling: int = 0  # connections that it allows, as far as is known
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

    def allowed_at(self, now: float) -> float:
        """When its limit allows to offer it the next copy, `now` or later."""
        return now if self.pace is None else self.pace.allowed_at(now)


@dataclass(eq=False)
class _Line:
    """One connection."""

    relay: _Relay
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


class Pool:
    """Carries copies over the connections of `servers`. One loop owns it; it is not for threads.

    A server with a limit gets messages only at the slots that the store grants: whoever drives the pool passes on its
    `orders` and returns them with `granted`, and in the end those of `close`. `leases` count the connections of all
    processes; the pool closes them. `resting` are the servers that refused this sender within a day. `after_dot`,
    `reconnect` and `breaks` are in seconds.
    """

    def __init__(
        self,
        servers: Sequence[SmtpConfig],
        *,
        leases: Leases | None = None,
        resting: Mapping[str, Rest] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        after_dot: float = AFTER_DOT,
        reconnect: Sequence[float] = RECONNECT,
        breaks: Sequence[float] = BREAKS,
    ) -> None:
        self._monotonic, self._after_dot, self._reconnect, self._breaks = monotonic, after_dot, reconnect, breaks
        self._relays = [_Relay(server, _pace(server), ceiling=server.connections) for server in servers]
        self._paces = {relay.name: relay.pace for relay in self._relays if relay.pace is not None}
        self._ready: dict[_Line, float] = {}  # those whose message waits for a slot; how long it took to be ready
        self._numbers = Numbers(leases)
        self._begin_resting(resting or {})
        self._selector = selectors.DefaultSelector()
        self._opened: queue.SimpleQueue[tuple[_Relay, int, Connection | TransportUnavailable]] = queue.SimpleQueue()
        self._bell, self._button = socket.socketpair()
        self._bell.setblocking(False)
        self._selector.register(self._bell, selectors.EVENT_READ, None)
        self._carrying: dict[Copy, _Line] = {}
        self._touched: set[_Line] = set()
        self._leaving: list[_Line] = []  # those that have carried as many messages as they may
        self._checked = self._looked = monotonic()
        self._left: float = math.inf  # copies to offer, as far as is known
        self._unrecorded: set[_Line] = set()  # with answers that the ledger may not have yet
        self._attempts = count()
        self._troubles: dict[str, TransportUnavailable] = {}
        self._rests: dict[str, float] = {}  # until when each server rests that began to in this run
        self._closed = False

    def _begin_resting(self, resting: Mapping[str, Rest]) -> None:
        """Leave alone the servers that an earlier run found refusing this sender."""
        for relay in self._relays:
            if (rest := resting.get(relay.name)) is not None:
                relay.rests = rest.times
                if rest.seconds > 0:
                    relay.error = SenderRefused(f"{relay.name} has refused this sender and is left alone for now")
                    relay.not_before, relay.resting = self._monotonic() + rest.seconds, True

    # --- for the sender ----------------------------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """Copies that were offered and not answered."""
        return len(self._carrying)

    def offer(self, next_copy: Callable[[], Copy | None]) -> tuple[list[Copy], list[Event]]:
        """Give copies to every connection that is free and within its limits, until `next_copy` gives None.

        Returns those that go out with the next `turn`, not before, and the answers for those that cannot be sent.
        """
        given: list[Copy] = []
        events: list[Event] = []
        for relay in self._relays:
            while (line := self._taker(relay)) is not None:
                copy = next_copy()
                if copy is None:
                    return given, events
                answers = self._give(line, copy)
                events += answers
                if not answers:
                    given.append(copy)
        return given, events

    def take_back(self, copy: Copy) -> None:
        """Undo `offer` for a copy that must not go after all; only before the next `turn`."""
        line = self._carrying.pop(copy)
        line.session.take_back()
        if line.relay.pace is not None:
            line.relay.pace.give_back()
        self._noted(line, [])

    def orders(self, most: int) -> list[SlotOrder]:
        """What to ask of the store for the servers that have a limit; `most` copies are left to offer, or more."""
        self._left = most
        if not self._paces:
            return []
        now = self._monotonic()
        found = (
            relay.pace.order(now, most, ready=bool(relay.takers) and now >= relay.break_until)
            for relay in self._relays
            if relay.pace is not None and relay.error is None
        )
        return [order for order in found if order is not None]

    def granted(self, orders: Iterable[SlotOrder]) -> None:
        """Take in what the store has filled in, once that is committed, and with it all answers so far."""
        self._unrecorded.clear()
        for order in orders:
            self._paces[order.server].take(order)

    def turn(self, *, has_more: bool) -> list[Event]:
        """Write what is to be written, wait for events, and return them. `has_more`: there are more copies to offer.

        Raises TransportUnavailable when no server is left and nothing is on its way.
        """
        events = self._flush()
        if has_more and not events:  # it may raise, and then the answers of `events` would be lost
            self._open()
        if not events:
            events = self._listen(has_more=has_more)
            until = self._monotonic() + _LINGER
            while events and len(events) < len(self._carrying) // _ENOUGH and self._monotonic() < until:
                events += self._hear(max(0.0, until - self._monotonic()))
        return events + self._overdue()

    def _listen(self, *, has_more: bool) -> list[Event]:
        """Wait for an event, or for a connection that may take one of more copies; a second at most."""
        until = self._monotonic() + self._patience(has_more=has_more)
        while True:
            events = self._hear(max(0.0, until - self._monotonic()))
            free = has_more and any(relay.takers for relay in self._relays)
            if events or free or self._monotonic() >= until:
                return events

    def _hear(self, patience: float) -> list[Event]:
        """The events within `patience` seconds; returns as soon as there are any, or a message waits for its slot."""
        events: list[Event] = []
        if self._ready:
            left, wait = self._let_leave()
            patience = 0.0 if left else min(patience, wait)
            events += left
        for key, mask in self._selector.select(patience):
            line = key.data
            if line is None:
                events += self._welcome()
                continue
            if mask & selectors.EVENT_READ:
                events += self._read(line)
            if line.session.outbox and line in line.relay.lines:
                events += self._write(line)
        return events

    @property
    def troubles(self) -> list[TransportUnavailable]:
        """Why servers were put aside, the last reason of each; while another serves, nothing else says so."""
        return [*self._troubles.values()]

    @property
    def rests(self) -> dict[str, float]:
        """Seconds for which each server rests that told this sender of a limit in this run."""
        now = self._monotonic()
        return {name: until - now for name, until in self._rests.items()}

    @property
    def next_try(self) -> float | None:
        """Seconds until the first of the servers that rest may be tried again; None when none rests."""
        now = self._monotonic()
        waits = [relay.not_before - now for relay in self._relays if relay.error is not None and relay.resting]
        return min(waits, default=None)

    def full_until(self) -> float | None:
        """Seconds until a server that has used up its day takes messages again; None when one may take them now."""
        now = self._monotonic()
        waits = [relay.pace.full_for(now) if relay.pace else 0.0 for relay in self._relays if not relay.error]
        return min(waits) if waits and min(waits) > 0 else None

    def give_up(self) -> list[Event]:
        """Drop every connection: copies whose message is out become uncertain, others were not sent."""
        lines = [line for relay in self._relays for line in relay.lines]
        return [event for line in lines for event in self._noted(line, line.session.lost("the run was ended"))]

    def close(self) -> list[SlotOrder]:
        """Say goodbye on connections where nothing is on its way, and hang up.

        Where an answer was not recorded, because the database is away, no QUIT tells the server that it was read.
        Returns what to tell the store about slots that were not used.
        """
        self._closed = True
        lines = [line for relay in self._relays for line in relay.lines]
        polite = [
            line for line in lines if line.session.idle and not line.session.waiting and line not in self._unrecorded
        ]
        for line in polite:
            with suppress(OSError):
                line.socket.settimeout(_QUIT_WITHIN)
                line.socket.sendall(b"QUIT\r\n")
        deadline = time.monotonic() + _QUIT_WITHIN
        for line in polite:
            with suppress(OSError):
                line.socket.settimeout(max(0.01, deadline - time.monotonic()))
                line.socket.recv(_READ)
        for line in lines:
            self._drop(line)
        with suppress(queue.Empty):  # what was opened and not yet welcomed
            while True:
                made = self._opened.get_nowait()[2]
                if isinstance(made, Connection):
                    made.socket.close()
        self._selector.close()
        self._bell.close()
        self._button.close()
        self._numbers.close()
        return [order for pace in self._paces.values() if (order := pace.last()) is not None]

    # --- connections -------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """Open connections where some are missing; raises TransportUnavailable when no server is left."""
        now = self._monotonic()
        for relay in self._relays:
            if relay.error is not None and now >= relay.not_before and self._others_serve(relay):
                relay.error, relay.failures, relay.losses, relay.blocked, relay.resting = None, 0, 0, 0, False
            while relay.error is None and now >= relay.not_before and self._short(relay):
                if not relay.served and relay.opening:  # the first connection shows whether the server serves at all
                    break
                has = len(relay.lines) + len(relay.opening)
                number = self._numbers.take(relay.name, relay.server.connections, now, has=has)
                if number is None:
                    break
                attempt = next(self._attempts)
                relay.opening[attempt], relay.numbers[attempt] = now, number
                threading.Thread(target=self._connect, args=(relay, attempt), daemon=True).start()
        if not self._carrying and all(relay.error for relay in self._relays):
            raise self._worst()

    def _yield(self, now: float) -> None:
        """Give back the numbers of closed connections, and close some where another process waits."""
        self._numbers.settle(now)
        for relay in self._relays:
            lines = sorted((line for line in relay.lines if not line.retired), key=lambda line: line.opened)
            owed = self._numbers.owes(relay.name, relay.server.connections, [line.opened for line in lines], now)
            for line in lines[:owed]:
                line.retired = True
                if line.session.idle and relay.takers.pop(line, 0) is None:  # else `_taker` ends it when it is idle
                    self._leaving.append(line)

    def _short(self, relay: _Relay) -> bool:
        """Whether another connection is allowed, and there is a copy for it."""
        unused = len(relay.takers) + len(relay.opening)
        return len(relay.lines) + len(relay.opening) < relay.ceiling and unused < self._left

    def _others_serve(self, relay: _Relay) -> bool:
        return any(other.error is None for other in self._relays if other is not relay)

    def _worst(self) -> TransportUnavailable:
        errors = [relay.error for relay in self._relays if relay.error is not None]
        return next((error for error in errors if isinstance(error, TransportMisconfigured)), errors[0])

    def _connect(self, relay: _Relay, attempt: int) -> None:
        """Connect in a thread of its own, because connecting blocks, also in DNS."""
        try:
            made: Connection | TransportUnavailable = connect(relay.server)
        except TransportUnavailable as error:
            made = error
        except Exception as error:  # any error must reach the loop
            made = TransportUnavailable(f"{relay.name}: {error}")
        self._opened.put((relay, attempt, made))
        with suppress(OSError):
            self._button.send(b"!")
        if self._closed and isinstance(made, Connection):
            made.socket.close()

    def _welcome(self) -> list[Event]:
        """Take in what the threads have made: connections or errors."""
        with suppress(BlockingIOError):
            self._bell.recv(_READ)
        events: list[Event] = []
        with suppress(queue.Empty):
            while True:
                relay, attempt, made = self._opened.get_nowait()
                number = relay.numbers.pop(attempt)
                if isinstance(made, Connection) and attempt in relay.opening:
                    del relay.opening[attempt]
                    self._add(relay, made, number)
                    continue
                self._numbers.give(relay.name, number, self._monotonic())
                if relay.opening.pop(attempt, None) is None:  # it was given up
                    if isinstance(made, Connection):
                        made.socket.close()
                elif not isinstance(made, Connection):
                    self._not_opened(relay, made)
                    events.append(Down(str(made)))
        return events

    def _add(self, relay: _Relay, made: Connection, number: int) -> None:
        made.socket.setblocking(False)
        now = self._monotonic()
        session = Session(relay.name, made.extensions, by_token=made.by_token, by_program=made.by_program)
        line = _Line(relay, made.socket, session, now, number=number, opened=now)
        relay.lines.add(line)
        relay.takers[line] = None
        relay.served, relay.failures = True, 0
        self._selector.register(line.socket, line.watched, line)

    def _not_opened(self, relay: _Relay, error: TransportUnavailable) -> None:
        if isinstance(error, SenderRefused):
            self._rest(relay, str(error))
        elif isinstance(error, TransportMisconfigured) or not relay.served:
            self._put_aside(relay, error)
        elif relay.lines:
            relay.ceiling = len(relay.lines)  # it allows no more than these
        elif relay.failures < len(self._reconnect):
            relay.not_before = self._monotonic() + self._reconnect[relay.failures]
            relay.failures += 1
        else:
            self._put_aside(relay, error)

    def _put_aside(self, relay: _Relay, error: TransportUnavailable, seconds: float = ASIDE) -> None:
        relay.error, relay.not_before = error, self._monotonic() + seconds
        self._troubles[relay.name] = error

    def _refused_sender(self, relay: _Relay, answer: Answer) -> None:
        """The server speaks of this sender. If it is a limit, it gets a break or rests; else it is put aside."""
        now, outcome = self._monotonic(), answer.outcome
        if relay.error is not None or now < relay.break_until:
            return  # it has told several connections at once
        words = f"{relay.name} refuses this sender for now: {outcome.code} {outcome.text}"
        limit = answer.copy.judgement is not None and answer.copy.judgement.limit
        if not limit:
            self._put_aside(relay, SenderRefused(words))
        elif (outcome.code or 0) < 500 and stated_wait(outcome.text) is None and relay.breaks < len(self._breaks):
            relay.break_until = now + self._breaks[relay.breaks]
            relay.breaks += 1
        else:
            self._rest(relay, words)

    def _rest(self, relay: _Relay, words: str) -> None:
        """Leave the server alone: as long as it asks, else until its day allows a message, else ever longer."""
        now = self._monotonic()
        full = relay.pace.full_for(now) if relay.pace is not None else 0.0
        asked = stated_wait(words)
        seconds = asked.total_seconds() if asked is not None else full or RESTS[min(relay.rests, len(RESTS) - 1)]
        relay.rests, relay.resting = relay.rests + 1, True
        self._rests[relay.name] = now + seconds
        self._put_aside(relay, SenderRefused(words), seconds)

    def _drop(self, line: _Line) -> None:
        line.relay.lines.discard(line)
        line.relay.takers.pop(line, None)
        self._touched.discard(line)
        self._ready.pop(line, None)
        with suppress(KeyError, ValueError):
            self._selector.unregister(line.socket)
        line.socket.close()
        if line.number is not None:
            self._numbers.give(line.relay.name, line.number, self._monotonic())
            line.number = None

    # --- what happens on them ----------------------------------------------------------------------------------------

    def _taker(self, relay: _Relay) -> _Line | None:
        """A connection of `relay` that may take a copy now."""
        if relay.error is not None or (relay.break_until and self._monotonic() < relay.break_until):
            return None
        for line in tuple(relay.takers):
            if not line.full:
                now = self._monotonic() if relay.pace is not None else 0.0
                return None if relay.allowed_at(now) > now else line
            if line.session.idle:
                del relay.takers[line]
                self._leaving.append(line)
        return None

    def _give(self, line: _Line, copy: Copy) -> list[Event]:
        relay = line.relay
        del relay.takers[line]
        line.offered = self._monotonic()
        if relay.pace is not None:
            relay.pace.book()
        copy.server = relay.name
        self._carrying[copy] = line
        self._touched.add(line)
        refused = line.session.offer(copy)
        return self._noted(line, refused) if refused else refused

    def _drop_politely(self, line: _Line) -> None:
        with suppress(OSError):
            line.socket.send(b"QUIT\r\n")
        self._drop(line)

    def _patience(self, *, has_more: bool) -> float:
        """Seconds to wait for events: until a limit, a break or a new attempt to connect allows more; at most one."""
        now = self._monotonic()
        paces = [line.relay.pace for line in self._ready]
        waits = [1.0, *(pace.ask_at() - now for pace in paces if pace is not None and pace.starved(now))]
        for relay in self._relays if has_more else ():
            if relay.error is not None:
                continue
            if relay.takers:  # all of its limits must allow a copy
                allowed = relay.allowed_at(now)
                if allowed == math.inf and relay.pace is not None:  # slots are to be ordered
                    allowed = relay.pace.ask_at()
                waits.append(max(relay.break_until - now, allowed - now, 0.0))
            elif not relay.lines and not relay.opening:
                waits.append(max(relay.not_before, self._numbers.look_at(relay.name)) - now)
        return max(0.0, min(waits))

    def _flush(self) -> list[Event]:
        while self._leaving:  # only now: a QUIT, too, tells the server that its answer was read
            self._drop_politely(self._leaving.pop())
        touched, self._touched = self._touched, set()
        return [event for line in touched for event in self._write(line)]

    def _write(self, line: _Line) -> list[Event]:
        """Write as much as the system takes. Watch for more room only while something is left."""
        session = line.session
        if line.relay.pace is not None and session.ready and line.leaving is not session.sent:
            self._ready.setdefault(line, self._monotonic() - line.offered)  # until `_let_leave`
            return []
        try:
            while session.outbox and not session.closed:
                session.wrote(_send(line.socket, session))
                line.moved = self._monotonic()
                line.asked = line.moved if session.sent is None else None
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        except OSError as error:
            return self._noted(line, [*self._last_words(line), *session.lost(error.strerror or str(error))])
        watched = selectors.EVENT_READ | (selectors.EVENT_WRITE if session.outbox else 0)
        if watched != line.watched and line in line.relay.lines:
            line.watched = watched
            self._selector.modify(line.socket, watched, line)
        return []

    def _let_leave(self) -> tuple[list[Event], float]:
        """Write the messages whose slot has come. Returns events, and the seconds until the next may leave."""
        events: list[Event] = []
        wait = math.inf
        for line in list(self._ready):
            pace, now = line.relay.pace, self._monotonic()
            assert pace is not None
            at = pace.leaves_at(now)
            if at > now:
                wait = min(wait, at - now)
                continue
            line.place = pace.leave(now, self._ready.pop(line))
            line.leaving = line.session.sent
            events += self._write(line)
        return events, wait

    def _last_words(self, line: _Line) -> list[Event]:
        """What the server had said before it hung up, such as 421 and why."""
        try:
            data = line.socket.recv(_READ)
        except OSError:
            return []
        return line.session.receive(data) if data else []

    def _read(self, line: _Line) -> list[Event]:
        events: list[Event] = []
        try:
            while not line.session.closed:
                data = line.socket.recv(_READ)
                replies = line.session.replies
                events += line.session.receive(data)
                if line.session.replies != replies:
                    self._heard(line)
                if len(data) < _READ and not isinstance(line.socket, ssl.SSLSocket):
                    break
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            events += line.session.lost(error.strerror or str(error))
        return self._noted(line, events)

    def _heard(self, line: _Line) -> None:
        """Note when the server spoke, and how far it is: the quickest answer counts, the others waited for its work."""
        relay, line.moved = line.relay, self._monotonic()
        if line.asked is not None:
            relay.round_trip, relay.timed = min(relay.round_trip, line.moved - line.asked), relay.timed + 1
            line.session.far = relay.round_trip > _FAR and relay.timed >= _SURE
            line.asked = None

    def _overdue(self) -> list[Event]:
        """Connections whose server has been silent for too long; looked at once a second."""
        now = self._monotonic()
        if now - self._looked >= LOOK_EVERY:
            self._looked = now
            self._yield(now)
        if now - self._checked < 1.0 and self._after_dot >= 1.0:
            return []
        self._checked = now
        events: list[Event] = []
        for line in [line for relay in self._relays for line in relay.lines]:
            timeout = self._after_dot if line.session.at_the_dot else line.relay.server.timeout
            if line.session.waiting and now - line.moved > timeout:
                events += self._noted(line, line.session.lost(f"no answer within {timeout:g} seconds"))
        for relay in self._relays:
            events += self._never_opened(relay, now)
        return events

    def _never_opened(self, relay: _Relay, now: float) -> list[Event]:
        """Give up attempts to connect that take too long. Their threads end by themselves or with the program."""
        limit = _OPENED_WITHIN * relay.server.timeout
        late = [attempt for attempt, began in relay.opening.items() if now - began > limit]
        error = TransportUnavailable(f"{relay.name}: no session within {limit:g} seconds")
        for attempt in late:
            del relay.opening[attempt]
            self._not_opened(relay, error)
        return [Down(str(error)) for _ in late]

    def _noted(self, line: _Line, events: list[Event]) -> list[Event]:
        """Return `events` after drawing the conclusions about the server."""
        carried = False
        for event in events:
            if isinstance(event, Answer):
                carried = True
                del self._carrying[event.copy]
                self._unrecorded.add(line)
                self._slot_used(line, event)
                event.copy.excused = line.accepted > 0
                self._judge(line, event)
            elif isinstance(event, Down):
                self._ended(line, event, carried=carried)
        if line.session.free and (line.session.idle or not line.full):
            line.relay.takers[line] = None
        return events

    def _slot_used(self, line: _Line, answer: Answer) -> None:
        """Note what has become of the slot of a copy that is done with."""
        if (pace := line.relay.pace) is None:
            return
        if line.leaving is answer.copy and line.place is not None:
            replied = answer.outcome.kind not in (OutcomeKind.UNCERTAIN, OutcomeKind.NOT_SENT)
            pace.ended(line.place, self._monotonic(), replied=replied)
        else:
            pace.spoil(self._monotonic())

    def _judge(self, line: _Line, answer: Answer) -> None:
        """Draw the conclusions from one answer about the server."""
        relay, outcome = line.relay, answer.outcome
        if outcome.kind is OutcomeKind.ACCEPTED:
            line.accepted += 1
            relay.losses = relay.blocked = relay.breaks = 0
        elif outcome.kind is OutcomeKind.SENDER:
            self._refused_sender(relay, answer)
        elif outcome.kind is OutcomeKind.BLOCKED or _before_the_recipient(answer):
            relay.blocked += 1
            if relay.blocked >= BLOCKED_IN_A_ROW:
                does = "refuses copies in a row" if outcome.kind is OutcomeKind.BLOCKED else "takes no mail now"
                self._put_aside(relay, TransportUnavailable(f"{relay.name} {does}: {outcome.code} {outcome.text}"))

    def _ended(self, line: _Line, down: Down, *, carried: bool) -> None:
        """A session is over. If nothing was on its way, the server only closed an idle connection."""
        relay = line.relay
        self._drop(line)
        if down.error is not None:
            self._put_aside(relay, down.error)
        elif carried and not line.accepted:
            relay.not_before = self._monotonic() + self._reconnect[min(relay.losses, len(self._reconnect) - 1)]
            relay.losses += 1
            if relay.losses >= LOST_IN_A_ROW + relay.server.connections - 1:  # all may fall at once
                words = f"{relay.name} drops every connection ({down.reason})"
                self._put_aside(relay, TransportUnavailable(words))


def _pace(server: SmtpConfig) -> Pace | None:
    """What keeps the limits of a server, if it has any."""
    limited = server.rate is not None or server.per_day is not None
    return Pace(server_name(server), server.rate, server.per_day) if limited else None


def _before_the_recipient(answer: Answer) -> bool:
    """Whether a copy was put off at MAIL, when the server knows only its sender and size."""
    refusal = answer.copy.refusal
    return answer.outcome.kind is OutcomeKind.DEFERRED and refusal is not None and refusal[0] is Stage.MAIL


def _send(line: socket.socket, session: Session) -> int:
    """Write as much of the session's outbox as the system takes. TLS takes one piece at a time."""
    if isinstance(line, ssl.SSLSocket):
        return line.send(session.joined())
    pieces = session.outbox
    return line.sendmsg(pieces if len(pieces) <= _GATHERED else [*islice(pieces, _GATHERED)])
