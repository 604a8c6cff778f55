"""One SMTP session after login, without a socket: bytes in, events and bytes to write out.

`offer` writes a copy's envelope (MAIL, RCPT, DATA); when the server is ready for the message, it follows, with its
final dot; then Answer comes out. With PIPELINING (RFC 2920) the envelope is one write. To a server that is `far`, the
next copy's envelope follows a message without waiting, which saves half of the round trips; to a near one it waits, so
that a command never leaves before the answer to the message ahead of it was read, and the server's own log proves what
we knew.

What a reply means stands in the tables: a fact about one reader, charged to them, or the server's trouble with
everybody, charged to nobody. The two must never be mixed up.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from newsletter.errors import TransportMisconfigured, TransportUnavailable
from newsletter.model import Delivery, Envelope, Outcome, OutcomeKind
from newsletter.text import one_line


class Stage(StrEnum):
    """What the server is answering."""

    MAIL = "MAIL FROM"
    RCPT = "RCPT TO"
    DATA = "DATA"
    DOT = "the message"
    RESET = "RSET"


# Replies that condemn the run, not the reader: sender refused, login missing, message too big. 552 5.2.x is about one
# mailbox, which is full or takes no message of this size (RFC 3463 section 3.3).
_EVERYBODY: Final[dict[Stage, re.Pattern[str]]] = {
    Stage.MAIL: re.compile(r"5\d\d"),
    Stage.RCPT: re.compile(r"530"),
    Stage.DATA: re.compile(r"530|552(?! 5\.2\.)"),
    Stage.DOT: re.compile(r"552(?! 5\.2\.)|5\d\d 5\.3\.4"),
}

_GOOD: Final[dict[Stage, frozenset[int]]] = {
    Stage.MAIL: frozenset({250}),
    Stage.RCPT: frozenset({250, 251, 252}),
    Stage.DATA: frozenset({354}),
    Stage.DOT: frozenset({250}),
    Stage.RESET: frozenset({250}),
}

# Policy (RFC 3463 section 3.8): spam, authentication, reputation. It says nothing about the address, so the copy waits.
_POLICY: Final = re.compile(r"5\d\d 5\.7\.\d+")

_CLOSING: Final = 421  # RFC 5321 section 3.8: said at any stage, nothing was taken
_LONGEST_LINE: Final = 65_536  # bytes without a line end: then it is no SMTP server
_MOST_LINES: Final = 1_000  # of one reply
_END: Final = b".\r\n"
_ENVELOPE: Final = (Stage.MAIL, Stage.RCPT, Stage.DATA)


@dataclass(slots=True, eq=False)
class Copy:
    """One reader's copy on its way: the ledger's row and what goes over the wire.

    `begun` is the sender's note that the row is SENDING; `server` names who was offered it. `excused` says that its
    connection had carried others before: when it was lost, that says nothing of this copy.
    """

    delivery: Delivery
    envelope: Envelope
    begun: bool = False
    server: str = ""
    excused: bool = False
    refusal: tuple[Stage, int, str] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of this copy."""

    copy: Copy
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Down:
    """The session is over; `error` says why, when the reason concerns everybody."""

    reason: str
    error: TransportUnavailable | None = None


Event = Answer | Down


@dataclass(eq=False)
class Session:
    """The conversation with the server `name`, which offered `extensions` (lower case) to EHLO.

    `outbox` holds what is to be written, in pieces: a message is never copied on its way to the socket.
    """

    name: str
    extensions: dict[str, str]
    far: bool = False
    outbox: deque[bytes | memoryview] = field(default_factory=deque, init=False)
    closed: bool = field(default=False, init=False)
    offered: Copy | None = field(default=None, init=False)  # its envelope is out
    sent: Copy | None = field(default=None, init=False)  # its message is out, its answer is not in
    messages: int = field(default=0, init=False)
    replies: int = field(default=0, init=False)  # whole ones that came in
    _expected: deque[tuple[Stage, Copy | None]] = field(default_factory=deque, init=False)
    _rest: bytes = field(default=b"", init=False)  # of an answer whose line has no end yet
    _said: list[bytes] = field(default_factory=list, init=False)  # the lines of the reply under way
    _queued: int = field(default=0, init=False)  # bytes, over the session's life
    _written: int = field(default=0, init=False)  # of them
    _dot_at: int = field(default=0, init=False)  # `_written` when the final dot of `sent` is out

    def __post_init__(self) -> None:
        """Read what every copy depends on out of `extensions`, once."""
        self._pipelining = "pipelining" in self.extensions  # RFC 2920: commands may leave before earlier answers
        self._takes_size = "size" in self.extensions  # RFC 1870
        limit = self.extensions.get("size", "")
        self._limit = int(limit) if limit.isdigit() and int(limit) > 0 else None  # bytes of a message

    @property
    def free(self) -> bool:
        """Whether a copy may be offered now; without PIPELINING, only when every command was answered."""
        if self.closed or self.offered is not None or not (self._pipelining or not self._expected):
            return False
        return self.sent is None or self.far

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way."""
        return self.offered is None and self.sent is None

    @property
    def at_the_dot(self) -> bool:
        """Whether the server has a whole message and owes the answer that counts."""
        return bool(self._expected) and self._expected[0][0] is Stage.DOT and not self.outbox

    @property
    def waiting(self) -> bool:
        """Whether the server owes an answer, or has not taken what we wrote."""
        return bool(self._expected or self.outbox)

    # --- out ---------------------------------------------------------------------------------------------------------

    def offer(self, copy: Copy) -> list[Event]:
        """Begin with a copy's envelope; only when `free`. Events come at once for one that cannot be sent at all."""
        size = copy.envelope.size
        if self._limit is not None and self._limit < size:  # the server is spared a message beyond its limit
            error = TransportMisconfigured(f"{self.name} takes messages of {self._limit} bytes, a copy has {size}")
            return [Answer(copy, Outcome(OutcomeKind.NOT_SENT, None, str(error))), *self._down(str(error), error)]
        if not copy.envelope.rcpt_to.isascii() and "smtputf8" not in self.extensions:
            words = f"{self.name} cannot send to addresses beyond ASCII (RFC 6531)"
            return [Answer(copy, Outcome(OutcomeKind.REFUSED, None, words))]
        self.offered = copy
        if self._pipelining:
            self._write("".join(self._command(stage, copy) for stage in _ENVELOPE).encode())
            self._expected += [(stage, copy) for stage in _ENVELOPE]
        else:
            self._step(Stage.MAIL, copy)
        return []

    def take_back(self) -> None:
        """Undo `offer` before anything of the copy was written."""
        self.offered = None
        self._queued -= len(self.outbox.pop())
        for _ in _ENVELOPE if self._pipelining else _ENVELOPE[:1]:
            self._expected.pop()

    def joined(self) -> bytes | memoryview:
        """The outbox as one piece, for a socket that takes no more at a time."""
        if len(self.outbox) > 1:
            whole = b"".join(self.outbox)
            self.outbox.clear()
            self.outbox.append(whole)
        return self.outbox[0]

    def wrote(self, number: int) -> None:
        """The first `number` bytes of `outbox` are with the system now."""
        self._written += number
        while number:
            first = self.outbox.popleft()
            if number < len(first):
                self.outbox.appendleft(memoryview(first)[number:])
                return
            number -= len(first)

    def _send(self, copy: Copy) -> None:
        """Write the message that the server waits for, and its final dot."""
        self._write(*copy.envelope.pieces, _END)
        self._dot_at = self._queued
        self._expected.append((Stage.DOT, copy))
        self.offered, self.sent = None, copy
        self.messages += 1

    def _write(self, *pieces: bytes) -> None:
        self.outbox += pieces
        self._queued += sum(map(len, pieces))

    def _command(self, stage: Stage, copy: Copy) -> str:
        envelope = copy.envelope
        if stage is Stage.MAIL:
            size = f" SIZE={envelope.size}" if self._takes_size else ""
            utf8 = "" if envelope.rcpt_to.isascii() else " SMTPUTF8"
            return f"MAIL FROM:<{envelope.mail_from}>{size}{utf8}\r\n"
        return f"RCPT TO:<{envelope.rcpt_to}>\r\n" if stage is Stage.RCPT else "DATA\r\n"

    def _step(self, stage: Stage, copy: Copy) -> None:
        self._write(self._command(stage, copy).encode())
        self._expected.append((stage, copy))

    # --- in ----------------------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> list[Event]:
        """What the server said; b"" when it hung up."""
        if not data:
            return self.lost("the server hung up")
        *lines, self._rest = (self._rest + data).split(b"\n")
        events: list[Event] = []
        for line in lines:
            self._said.append(line)
            if line[3:4] != b"-":  # the last line of a reply (RFC 5321 section 4.2.1)
                self.replies += 1
                events += self._reply(int(line[:3]) if line[:3].isdigit() else 0)
                self._said.clear()
                if self.closed:
                    return events
        if len(self._rest) > _LONGEST_LINE or len(self._said) > _MOST_LINES:
            events += self.lost("the server's answer has no end")
        return events

    @property
    def _words(self) -> str:
        """The reply under way without its codes, as one line."""
        return one_line(b" ".join(line[4:].rstrip(b"\r") for line in self._said))

    def lost(self, reason: str) -> list[Event]:
        """The line is gone: what was not wholly written was not sent, what was is in doubt (RFC 1047)."""
        if self.closed:
            return []
        events: list[Event] = []
        if self.sent is not None:
            doubt = self._written >= self._dot_at
            kind = OutcomeKind.UNCERTAIN if doubt else OutcomeKind.NOT_SENT
            events.append(Answer(self.sent, Outcome(kind, None, reason)))
            self.sent = None
        return events + self._down(reason)

    def _down(self, reason: str, error: TransportUnavailable | None = None, code: int | None = None) -> list[Event]:
        """The end: an offered copy was not handed over; one whose message is out and unanswered is in doubt.

        `code` is what the server said of itself.
        """
        events: list[Event] = []
        if self.sent is not None:
            events.append(Answer(self.sent, Outcome(OutcomeKind.UNCERTAIN, None, reason)))
        if self.offered is not None:
            events.append(Answer(self.offered, Outcome(OutcomeKind.NOT_SENT, code, reason)))
        self.sent = self.offered = None
        self.closed = True
        self._expected.clear()
        return [*events, Down(reason, error)]

    def _reply(self, code: int) -> list[Event]:
        if code == _CLOSING:
            return self._closing(f"{code} {self._words}", code)
        if not self._expected:
            return self.lost(f"the server spoke out of turn: {code} {self._words}")
        stage, copy = self._expected.popleft()
        good = code in _GOOD[stage]
        if copy is None:  # RSET, or the end of a DATA that had no recipient
            return [] if good or stage is not Stage.RESET else self.lost(f"{code} {self._words}")
        if not good and not 400 <= code <= 599:
            return self._closing(f"the server broke the protocol: {code} {self._words}", None)
        if stage is Stage.DOT:
            return self._answered(copy, code, good=good)
        if not good and copy.refusal is None:
            copy.refusal = (stage, code, self._words)
        return self._enveloped(stage, copy, good=good)

    def _closing(self, reason: str, code: int | None) -> list[Event]:
        """421, or nonsense: instead of the answer to the dot, 421 says that the message was not taken."""
        if code is not None and self.sent is not None and self._expected and self._expected[0][0] is Stage.DOT:
            sent, self.sent = self.sent, None
            return [Answer(sent, Outcome(OutcomeKind.NOT_SENT, code, reason)), *self._down(reason, code=code)]
        return self._down(reason, code=code)

    def _answered(self, copy: Copy, code: int, *, good: bool) -> list[Event]:
        self.sent = None
        if good:
            return [Answer(copy, Outcome(OutcomeKind.ACCEPTED, code, self._words))]
        return self._refused(copy, Stage.DOT, code, self._words)

    def _enveloped(self, stage: Stage, copy: Copy, *, good: bool) -> list[Event]:
        """After an answer to one of the envelope's commands: the next step, or what a refusal means."""
        if copy.refusal is None:
            if stage is Stage.DATA:
                self._send(copy)
            elif not self._pipelining:
                self._step({Stage.MAIL: Stage.RCPT, Stage.RCPT: Stage.DATA}[stage], copy)
            return []
        if self._pipelining and stage is not Stage.DATA:
            return []  # the answers to the rest of the envelope are on their way
        self.offered = None
        if stage is Stage.DATA and good:  # RFC 2920 section 3.1: DATA taken although no recipient was
            self._write(_END)
            self._expected.append((Stage.DATA, None))
        self._write(b"RSET\r\n")
        self._expected.append((Stage.RESET, None))
        return self._refused(copy, *copy.refusal)

    def _refused(self, copy: Copy, stage: Stage, code: int, words: str) -> list[Event]:
        """What a reply other than yes means, for this reader or for everybody."""
        said = f"{code} {words}"
        if _EVERYBODY[stage].match(said):
            error = TransportMisconfigured(f"{self.name} refused {stage} for everybody: {said}")
            return [Answer(copy, Outcome(OutcomeKind.NOT_SENT, code, words)), *self._down(str(error), error)]
        return [Answer(copy, Outcome(_kind(code, said), code, words))]


def _kind(code: int, said: str) -> OutcomeKind:
    if code < 500:
        return OutcomeKind.DEFERRED
    return OutcomeKind.BLOCKED if _POLICY.match(said) else OutcomeKind.REFUSED
