"""The connections to all mail servers, in one loop: several at once for each, opened in parallel, within its limits.

A server that refuses us slows only itself: it is put aside for a while, and the others take its copies. When none is
left, the pool raises TransportUnavailable, and whoever sends stops; nobody is charged.
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
from newsletter.errors import TransportMisconfigured, TransportUnavailable
from newsletter.model import OutcomeKind
from newsletter.transport.connect import Connection, connect, server_name
from newsletter.transport.limits import SECONDS_PER_DAY, Window
from newsletter.transport.session import Answer, Copy, Down, Event, Session, Stage

# The server may take its time to store the message; giving up early makes duplicates (RFC 5321 section 4.5.3.2.6).
AFTER_DOT: Final = 600.0  # seconds

# Connections of one server lost in a row without one accepted copy, after all that were open: then it is the server's
# trouble, not a copy's.
LOST_IN_A_ROW: Final = 5

# Copies in a row that one server blocked by policy, or put off before it knew whom they were for: then it is about us,
# or about itself, and it is left alone before it does harm.
BLOCKED_IN_A_ROW: Final = 3

# Seconds before the next attempt to connect to a server that has served us in this run and now does not, or has dropped
# a connection that had carried nothing. Where it had, that is done at once: some servers close after a few messages.
RECONNECT: Final = (0.1, 0.5, 2.0, 5.0)

# A session that is not opened within so many times `timeout`, which each single answer has, never will be: the server
# says something from time to time, and nothing to the point.
_OPENED_WITHIN: Final = 4

# Seconds until a server that was put aside gets another chance, while others serve.
ASIDE: Final = 300.0

# Answers that come together share a commit: until a quarter of the copies under way have theirs, it pays to wait this
# long for more of them. Messages that a server asks for meanwhile leave at once. Waiting for half of them takes a tenth
# less CPU a copy, but leaves a near server without work for a thirtieth of the time.
_LINGER: Final = 0.002  # seconds
_ENOUGH: Final = 4

# A server of which none of so many answers came sooner is far, not just busy: then round trips are what a copy costs.
_FAR: Final = 0.015  # seconds
_SURE: Final = 32

_QUIT_WITHIN: Final = 1.0  # seconds for the goodbye of all connections together
_GATHERED: Final = 1_024  # pieces of one write: IOV_MAX of Linux and the BSDs
_READ: Final = 4_096  # bytes; four replies have two hundred


@dataclass(eq=False)
class _Relay:
    """One mail server in this run."""

    server: SmtpConfig
    rate: Window | None
    day: Window | None
    lines: set[_Line] = field(default_factory=set)
    takers: dict[_Line, None] = field(default_factory=dict)  # those that may take a copy, longest free first
    opening: dict[int, float] = field(default_factory=dict)  # attempts to connect: when each began
    ceiling: int = 0  # connections it allows, as far as we know
    failures: int = 0  # to connect, in a row
    losses: int = 0  # of connections, in a row
    blocked: int = 0  # copies, in a row
    served: bool = False
    round_trip: float = math.inf  # seconds, the shortest
    timed: int = 0  # answers that were looked at for it
    not_before: float = 0.0
    error: TransportUnavailable | None = None  # put aside, and why

    def __post_init__(self) -> None:
        """Name what is asked for with every copy, once."""
        self.name = server_name(self.server)
        self.windows = [window for window in (self.rate, self.day) if window is not None]


@dataclass(eq=False)
class _Line:
    """One connection."""

    relay: _Relay
    socket: socket.socket
    session: Session
    moved: float  # when bytes last went out, or a whole reply came in
    accepted: int = 0  # copies
    asked: float | None = None  # when a command left that nothing else was ahead of
    watched: int = selectors.EVENT_READ

    @property
    def full(self) -> bool:
        """Whether it has carried as many messages as its server takes on one connection."""
        most = self.relay.server.messages_per_connection
        carried = self.session.messages + (self.session.offered is not None)
        return most is not None and carried >= most


class Pool:
    """Carries copies over the connections of `servers`. Not for threads: one loop owns it.

    `used` is what earlier runs noted of each server, for limits that outlive a run: its messages' ages in seconds.
    `after_dot` and the waits of `reconnect` are in seconds too.
    """

    def __init__(
        self,
        servers: Sequence[SmtpConfig],
        *,
        used: Mapping[str, Iterable[float]] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        after_dot: float = AFTER_DOT,
        reconnect: Sequence[float] = RECONNECT,
    ) -> None:
        self._monotonic, self._after_dot, self._reconnect = monotonic, after_dot, reconnect
        self._relays = [self._relay(server, (used or {}).get(server_name(server), ())) for server in servers]
        self._selector = selectors.DefaultSelector()
        self._opened: queue.SimpleQueue[tuple[_Relay, int, Connection | TransportUnavailable]] = queue.SimpleQueue()
        self._bell, self._button = socket.socketpair()
        self._bell.setblocking(False)
        self._selector.register(self._bell, selectors.EVENT_READ, None)
        self._carrying: dict[Copy, _Line] = {}
        self._touched: set[_Line] = set()
        self._leaving: list[_Line] = []  # those that have carried as many messages as they may
        self._checked = monotonic()
        self._attempts = count()
        self._troubles: dict[str, TransportUnavailable] = {}
        self._closed = False

    def _relay(self, server: SmtpConfig, ages: Iterable[float]) -> _Relay:
        now = self._monotonic()
        relay = _Relay(
            server,
            Window.per_second(server.rate) if server.rate is not None else None,
            Window(server.per_day, SECONDS_PER_DAY) if server.per_day is not None else None,
            ceiling=server.connections,
        )
        times = [now - age for age in ages]
        for window in relay.windows:
            window.remember(times)
        return relay

    # --- for the sender ----------------------------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """Copies that were offered and not answered."""
        return len(self._carrying)

    def offer(self, next_copy: Callable[[], Copy | None]) -> tuple[list[Copy], list[Event]]:
        """Give copies to every connection that is free and within its limits, until `next_copy` gives None.

        Returns those that will go out with the next `turn`, not before, and the answers for those that cannot.
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
        for window in line.relay.windows:
            window.give_back()
        self._noted(line, [])

    def turn(self, *, has_more: bool) -> list[Event]:
        """Write what is to be written, wait until something happens, and say what; `has_more`: there are more copies.

        Raises TransportUnavailable when no server is left and nothing is on its way.
        """
        events = self._flush()
        if has_more and not events:  # it may raise, and what was answered must not be lost
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
        """What happens within `patience` seconds, or at once when something has."""
        events: list[Event] = []
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
        """Why servers were put aside so far, the last reason of each: with another that serves, nobody else says so."""
        return [*self._troubles.values()]

    def full_until(self) -> float | None:
        """Seconds until a server that has used up its day takes messages again; None when one may take some now."""
        now = self._monotonic()
        waits = [relay.day.allowed_at(now) - now if relay.day else 0.0 for relay in self._relays if not relay.error]
        return min(waits) if waits and min(waits) > 0 else None

    def close(self) -> None:
        """Say goodbye on connections where nothing is on its way, and hang up."""
        self._closed = True
        lines = [line for relay in self._relays for line in relay.lines]
        polite = [line for line in lines if line.session.idle and not line.session.waiting]
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

    # --- connections -------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """Open connections where some are missing; raises TransportUnavailable when no server is left."""
        now = self._monotonic()
        for relay in self._relays:
            if relay.error is not None and now >= relay.not_before and self._others_serve(relay):
                relay.error, relay.failures, relay.losses, relay.blocked = None, 0, 0, 0
            while relay.error is None and now >= relay.not_before and self._short(relay):
                if not relay.served and relay.opening:  # the first connection tells whether the server serves at all
                    break
                attempt = next(self._attempts)
                relay.opening[attempt] = now
                threading.Thread(target=self._connect, args=(relay, attempt), daemon=True).start()
        if not self._carrying and all(relay.error for relay in self._relays):
            raise self._worst()

    @staticmethod
    def _short(relay: _Relay) -> bool:
        return len(relay.lines) + len(relay.opening) < relay.ceiling

    def _others_serve(self, relay: _Relay) -> bool:
        return any(other.error is None for other in self._relays if other is not relay)

    def _worst(self) -> TransportUnavailable:
        errors = [relay.error for relay in self._relays if relay.error is not None]
        return next((error for error in errors if isinstance(error, TransportMisconfigured)), errors[0])

    def _connect(self, relay: _Relay, attempt: int) -> None:
        """In a thread of its own: connecting blocks, in DNS too."""
        try:
            made: Connection | TransportUnavailable = connect(relay.server)
        except TransportUnavailable as error:
            made = error
        except Exception as error:  # whatever it is, the loop must hear of it
            made = TransportUnavailable(f"{relay.name}: {error}")
        self._opened.put((relay, attempt, made))
        with suppress(OSError):
            self._button.send(b"!")
        if self._closed and isinstance(made, Connection):
            made.socket.close()

    def _welcome(self) -> list[Event]:
        """Take in the connections that the threads made, or did not."""
        with suppress(BlockingIOError):
            self._bell.recv(_READ)
        events: list[Event] = []
        with suppress(queue.Empty):
            while True:
                relay, attempt, made = self._opened.get_nowait()
                if relay.opening.pop(attempt, None) is None:  # it was given up
                    if isinstance(made, Connection):
                        made.socket.close()
                elif isinstance(made, Connection):
                    self._add(relay, made)
                else:
                    self._not_opened(relay, made)
                    events.append(Down(str(made)))
        return events

    def _add(self, relay: _Relay, made: Connection) -> None:
        made.socket.setblocking(False)
        line = _Line(relay, made.socket, Session(relay.name, made.extensions), self._monotonic())
        relay.lines.add(line)
        relay.takers[line] = None
        relay.served, relay.failures = True, 0
        self._selector.register(line.socket, line.watched, line)

    def _not_opened(self, relay: _Relay, error: TransportUnavailable) -> None:
        if isinstance(error, TransportMisconfigured) or not relay.served:
            self._put_aside(relay, error)
        elif relay.lines:
            relay.ceiling = len(relay.lines)  # it allows no more than these
        elif relay.failures < len(self._reconnect):
            relay.not_before = self._monotonic() + self._reconnect[relay.failures]
            relay.failures += 1
        else:
            self._put_aside(relay, error)

    def _put_aside(self, relay: _Relay, error: TransportUnavailable) -> None:
        relay.error, relay.not_before = error, self._monotonic() + ASIDE
        self._troubles[relay.name] = error

    def _drop(self, line: _Line) -> None:
        line.relay.lines.discard(line)
        line.relay.takers.pop(line, None)
        self._touched.discard(line)
        with suppress(KeyError, ValueError):
            self._selector.unregister(line.socket)
        line.socket.close()

    # --- what happens on them ----------------------------------------------------------------------------------------

    def _taker(self, relay: _Relay) -> _Line | None:
        """A connection of `relay` that may take a copy now."""
        if relay.error is not None:
            return None
        for line in tuple(relay.takers):
            if not line.full:
                now = self._monotonic() if relay.windows else 0.0
                return None if any(window.allowed_at(now) > now for window in relay.windows) else line
            if line.session.idle:
                del relay.takers[line]
                self._leaving.append(line)
        return None

    def _give(self, line: _Line, copy: Copy) -> list[Event]:
        relay = line.relay
        del relay.takers[line]
        now = self._monotonic()
        for window in relay.windows:
            window.take(now)
        copy.server = relay.name
        self._carrying[copy] = line
        self._touched.add(line)
        return self._noted(line, line.session.offer(copy))

    def _drop_politely(self, line: _Line) -> None:
        with suppress(OSError):
            line.socket.send(b"QUIT\r\n")
        self._drop(line)

    def _patience(self, *, has_more: bool) -> float:
        """Seconds to wait for something to happen: until a limit or a new attempt allows more, at most one."""
        now = self._monotonic()
        waits = [1.0]
        for relay in self._relays if has_more else ():
            if relay.error is not None:
                continue
            if relay.takers:  # all of its limits must allow a copy; perhaps they do by now
                waits.append(max((window.allowed_at(now) - now for window in relay.windows), default=0.0))
            elif not relay.lines and not relay.opening:
                waits.append(relay.not_before - now)
        return max(0.0, min(waits))

    def _flush(self) -> list[Event]:
        while self._leaving:  # only now: a QUIT, too, says that we have read what was answered
            self._drop_politely(self._leaving.pop())
        touched, self._touched = self._touched, set()
        return [event for line in touched for event in self._write(line)]

    def _write(self, line: _Line) -> list[Event]:
        """Write as much as the system takes; watch for more room only while there is something left."""
        session = line.session
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
        """Note when the server spoke, and how far away it is: the quickest answer tells, others met with its work."""
        relay, line.moved = line.relay, self._monotonic()
        if line.asked is not None:
            relay.round_trip, relay.timed = min(relay.round_trip, line.moved - line.asked), relay.timed + 1
            line.session.far = relay.round_trip > _FAR and relay.timed >= _SURE
            line.asked = None

    def _overdue(self) -> list[Event]:
        """Connections whose server has been silent for too long; looked at once a second."""
        now = self._monotonic()
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
        """Give up attempts to connect that take too long; their threads end by themselves, or with the program."""
        limit = _OPENED_WITHIN * relay.server.timeout
        late = [attempt for attempt, began in relay.opening.items() if now - began > limit]
        error = TransportUnavailable(f"{relay.name}: no session within {limit:g} seconds")
        for attempt in late:
            del relay.opening[attempt]
            self._not_opened(relay, error)
        return [Down(str(error)) for _ in late]

    def _noted(self, line: _Line, events: list[Event]) -> list[Event]:
        """The same events, after drawing the conclusions about the server."""
        carried = False
        for event in events:
            if isinstance(event, Answer):
                carried = True
                del self._carrying[event.copy]
                event.copy.excused = line.accepted > 0
                self._judge(line, event)
            elif isinstance(event, Down):
                self._ended(line, event, carried=carried)
        if line.session.free and (line.session.idle or not line.full):
            line.relay.takers[line] = None
        return events

    def _judge(self, line: _Line, answer: Answer) -> None:
        """What one answer says about the server."""
        relay, outcome = line.relay, answer.outcome
        if outcome.kind is OutcomeKind.ACCEPTED:
            line.accepted += 1
            relay.losses = relay.blocked = 0
        elif outcome.kind is OutcomeKind.BLOCKED or _before_the_recipient(answer):
            relay.blocked += 1
            if relay.blocked >= BLOCKED_IN_A_ROW:
                does = "blocks us" if outcome.kind is OutcomeKind.BLOCKED else "takes no mail now"
                self._put_aside(relay, TransportUnavailable(f"{relay.name} {does}: {outcome.code} {outcome.text}"))

    def _ended(self, line: _Line, down: Down, *, carried: bool) -> None:
        """A session is over. One on which nothing was on its way was only tired of waiting."""
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


def _before_the_recipient(answer: Answer) -> bool:
    """Whether a copy was put off at MAIL, where nothing but its sender and its size is known."""
    refusal = answer.copy.refusal
    return answer.outcome.kind is OutcomeKind.DEFERRED and refusal is not None and refusal[0] is Stage.MAIL


def _send(line: socket.socket, session: Session) -> int:
    """Write as much of the session's outbox as the system takes; TLS cannot gather pieces itself."""
    if isinstance(line, ssl.SSLSocket):
        return line.send(session.joined())
    pieces = session.outbox
    return line.sendmsg(pieces if len(pieces) <= _GATHERED else [*islice(pieces, _GATHERED)])
