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
from itertools import count, islice
from typing import Final

from newsletter.config import SmtpConfig
from newsletter.errors import TransportMisconfigured, TransportUnavailable
from newsletter.model import OutcomeKind
from newsletter.slots import Leases, SlotOrder
from newsletter.transport.connect import Connection, connect
from newsletter.transport.limits import BREAKS, Rest
from newsletter.transport.numbers import LOOK_EVERY, Numbers
from newsletter.transport.relay import RECONNECT, Line, Relay, Shared
from newsletter.transport.session import Answer, Copy, Down, Event, Session

# A server may need time to store the message, and giving up early makes duplicates (RFC 5321 section 4.5.3.2.6).
AFTER_DOT: Final = 600.0  # seconds

# `timeout` is for each reply, so that a server which drips never exceeds it. Opening a session may take so many times
# `timeout` in all.
_OPENED_WITHIN: Final = 4

# Answers that come together share a commit. Until a quarter of the copies under way have theirs, the loop waits this
# long for more. Messages that a server asks for meanwhile leave at once. Waiting for half of the copies takes a tenth
# less CPU for each, and leaves a near server without work for a thirtieth of the time.
_LINGER: Final = 0.002  # seconds
_ENOUGH: Final = 4

_QUIT_WITHIN: Final = 1.0  # seconds for the goodbye of all connections together
_GATHERED: Final = 1_024  # pieces of one write: IOV_MAX of Linux and the BSDs
_READ: Final = 4_096  # bytes; four replies take about 200


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
        self._monotonic, self._after_dot = monotonic, after_dot
        self._shared = Shared(monotonic, reconnect, breaks)
        self._relays = [Relay(server, self._shared) for server in servers]
        self._paces = {relay.name: relay.pace for relay in self._relays if relay.pace is not None}
        self._ready: dict[Line, float] = {}  # those whose message waits for a slot; how long it took to be ready
        self._numbers = Numbers(leases)
        for relay in self._relays:
            relay.begin_resting(resting or {})
        self._selector = selectors.DefaultSelector()
        self._opened: queue.SimpleQueue[tuple[Relay, int, Connection | TransportUnavailable]] = queue.SimpleQueue()
        self._bell, self._button = socket.socketpair()
        self._bell.setblocking(False)
        self._selector.register(self._bell, selectors.EVENT_READ, None)
        self._carrying: dict[Copy, Line] = {}
        self._touched: set[Line] = set()
        self._leaving: list[Line] = []  # those that have carried as many messages as they may
        self._checked = self._looked = monotonic()
        self._left: float = math.inf  # copies to offer, as far as is known
        self._unrecorded: set[Line] = set()  # with answers that the ledger may not have yet
        self._attempts = count()
        self._closed = False

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
        return [*self._shared.troubles.values()]

    @property
    def rests(self) -> dict[str, float]:
        """Seconds for which each server rests that told this sender of a limit in this run."""
        now = self._monotonic()
        return {name: until - now for name, until in self._shared.rests.items()}

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
        """Send QUIT on the connections where nothing is on its way, and close all.

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
                relay.try_again()
            while relay.error is None and now >= relay.not_before and relay.short(self._left):
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

    def _others_serve(self, relay: Relay) -> bool:
        return any(other.error is None for other in self._relays if other is not relay)

    def _worst(self) -> TransportUnavailable:
        errors = [relay.error for relay in self._relays if relay.error is not None]
        return next((error for error in errors if isinstance(error, TransportMisconfigured)), errors[0])

    def _connect(self, relay: Relay, attempt: int) -> None:
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
                    relay.not_opened(made)
                    events.append(Down(str(made)))
        return events

    def _add(self, relay: Relay, made: Connection, number: int) -> None:
        made.socket.setblocking(False)
        now = self._monotonic()
        session = Session(relay.name, made.extensions, by_token=made.by_token, by_program=made.by_program)
        line = Line(relay, made.socket, session, now, number=number, opened=now)
        relay.lines.add(line)
        relay.takers[line] = None
        relay.served, relay.failures = True, 0
        self._selector.register(line.socket, line.watched, line)

    def _drop(self, line: Line) -> None:
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

    def _taker(self, relay: Relay) -> Line | None:
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

    def _give(self, line: Line, copy: Copy) -> list[Event]:
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

    def _drop_politely(self, line: Line) -> None:
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

    def _write(self, line: Line) -> list[Event]:
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

    def _last_words(self, line: Line) -> list[Event]:
        """What the server had said before it hung up, such as 421 and why."""
        try:
            data = line.socket.recv(_READ)
        except OSError:
            return []
        return line.session.receive(data) if data else []

    def _read(self, line: Line) -> list[Event]:
        events: list[Event] = []
        try:
            while not line.session.closed:
                data = line.socket.recv(_READ)
                replies = line.session.replies
                events += line.session.receive(data)
                if line.session.replies != replies:
                    line.heard(self._monotonic())
                if len(data) < _READ and not isinstance(line.socket, ssl.SSLSocket):
                    break
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            events += line.session.lost(error.strerror or str(error))
        return self._noted(line, events)

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

    def _never_opened(self, relay: Relay, now: float) -> list[Event]:
        """Give up attempts to connect that take too long. Their threads end by themselves or with the program."""
        limit = _OPENED_WITHIN * relay.server.timeout
        late = [attempt for attempt, began in relay.opening.items() if now - began > limit]
        error = TransportUnavailable(f"{relay.name}: no session within {limit:g} seconds")
        for attempt in late:
            del relay.opening[attempt]
            relay.not_opened(error)
        return [Down(str(error)) for _ in late]

    def _noted(self, line: Line, events: list[Event]) -> list[Event]:
        """Return `events` after drawing the conclusions about the server."""
        carried = False
        for event in events:
            if isinstance(event, Answer):
                carried = True
                del self._carrying[event.copy]
                self._unrecorded.add(line)
                self._slot_used(line, event)
                event.copy.excused = line.accepted > 0
                line.accepted += event.outcome.kind is OutcomeKind.ACCEPTED
                line.relay.judge(event)
            elif isinstance(event, Down):
                self._drop(line)
                line.relay.lost(event, fruitless=carried and not line.accepted)
        if line.session.free and (line.session.idle or not line.full):
            line.relay.takers[line] = None
        return events

    def _slot_used(self, line: Line, answer: Answer) -> None:
        """Note what has become of the slot of a copy that is done with."""
        if (pace := line.relay.pace) is None:
            return
        if line.leaving is answer.copy and line.place is not None:
            replied = answer.outcome.kind not in (OutcomeKind.UNCERTAIN, OutcomeKind.NOT_SENT)
            pace.ended(line.place, self._monotonic(), replied=replied)
        else:
            pace.spoil(self._monotonic())


def _send(line: socket.socket, session: Session) -> int:
    """Write as much of the session's outbox as the system takes. TLS takes one piece at a time."""
    if isinstance(line, ssl.SSLSocket):
        return line.send(session.joined())
    pieces = session.outbox
    return line.sendmsg(pieces if len(pieces) <= _GATHERED else [*islice(pieces, _GATHERED)])
