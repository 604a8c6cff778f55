"""One SMTP session after login, without a socket: bytes in, events and bytes to write out.

`offer` writes a copy's envelope (MAIL, RCPT, DATA). When the server is ready for the message, the message follows with
its final dot, and then Answer comes out. With PIPELINING (RFC 2920) the envelope is one write. To a server that is
`far`, the next copy's envelope follows a message without waiting, which saves half of the round trips. To a near server
it waits until the answer to the message was read: so no command leaves before that, and the server's own log proves
what was known when.

Whom a reply is about is decided by `newsletter.replies`; `kind_of` says what follows for the copy. A reply about one
reader is charged to them. A reply about everybody ends the session and is charged to nobody.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from newsletter.errors import TransportMisconfigured, TransportUnavailable
from newsletter.model import Delivery, Envelope, Outcome, OutcomeKind
from newsletter.replies import Concern, Judgement, Stage, judge
from newsletter.text import one_line
from newsletter.transport.program import FAULT

_GOOD: Final[dict[Stage, frozenset[int]]] = {
    Stage.MAIL: frozenset({250}),
    Stage.RCPT: frozenset({250, 251, 252}),
    Stage.DATA: frozenset({354}),
    Stage.DOT: frozenset({250}),
    Stage.RESET: frozenset({250}),
}

_CLOSING: Final = 421  # RFC 5321 section 3.8: allowed at any stage; the server has taken nothing
_LONGEST_LINE: Final = 65_536  # bytes; a longer line does not come from an SMTP server
_MOST_LINES: Final = 1_000  # of one reply
_DATA: Final = b"DATA\r\n"
_END: Final = b".\r\n"
_ENVELOPE: Final = (Stage.MAIL, Stage.RCPT, Stage.DATA)

# A login is needed, or is not valid (RFC 4954 section 6). On a session that has carried messages the token of its login
# has expired, and a new connection gets a new one.
_LOG_IN: Final = frozenset({530, 535})


@dataclass(slots=True, eq=False)
class Copy:
    """One reader's copy on its way: the ledger's row and what goes over the wire.

    `begun` is set by the sender when the row is SENDING; `server` names the server that was offered the copy. `excused`
    says that its connection had carried others before, so that losing the connection says nothing about this copy.
    `refusal` is the first reply of the envelope that was not a yes: its stage, code and words.
    """

    delivery: Delivery
    envelope: Envelope
    begun: bool = False
    server: str = ""
    excused: bool = False
    refusal: tuple[Stage, int, str] | None = None
    judgement: Judgement | None = None  # of the reply that decided, unless it was a yes


class Answer(NamedTuple):
    """What became of this copy."""

    copy: Copy
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Down:
    """The session is over. `error` is set when the reason concerns every copy."""

    reason: str
    error: TransportUnavailable | None = None


Event = Answer | Down


@dataclass(eq=False)
class Session:
    """The conversation with the server `name`, which offered `extensions` (lower case) to EHLO.

    `outbox` holds what is to be written, in pieces, so that a message is never copied on its way to the socket.
    """

    name: str
    extensions: dict[str, str]
    far: bool = False
    by_token: bool = False  # logged in with an access token, which expires
    by_program: bool = False  # transport.program is at the other end
    outbox: deque[bytes | memoryview] = field(default_factory=deque, init=False)
    closed: bool = field(default=False, init=False)
    offered: Copy | None = field(default=None, init=False)  # its envelope is out
    sent: Copy | None = field(default=None, init=False)  # its message is out, its answer is not in
    messages: int = field(default=0, init=False)
    replies: int = field(default=0, init=False)  # complete ones that came in
    # What the server owes an answer to: the stage, the copy, and what `_written` is when the question is out.
    _expected: deque[tuple[Stage, Copy | None, int]] = field(default_factory=deque, init=False)
    _rest: bytes = field(default=b"", init=False)  # the beginning of a line that is not complete yet
    _said: list[bytes] = field(default_factory=list, init=False)  # the lines of the reply under way
    _queued: int = field(default=0, init=False)  # bytes, over the session's life
    _written: int = field(default=0, init=False)  # bytes of these that are with the system
    _message_at: int = field(default=0, init=False)  # `_written` when the first byte of the message of `sent` is next
    _dot_at: int = field(default=0, init=False)  # `_written` when the final dot of `sent` is out

    def __post_init__(self) -> None:
        """Read once out of `extensions` what every copy depends on."""
        self._pipelining = "pipelining" in self.extensions  # RFC 2920: commands may leave before earlier answers
        self._takes_size = "size" in self.extensions  # RFC 1870
        limit = self.extensions.get("size", "")
        self._limit = int(limit) if limit.isdigit() and int(limit) > 0 else None  # bytes of a message

    @property
    def free(self) -> bool:
        """Whether a copy may be offered now. Without PIPELINING every command must have been answered."""
        if self.closed or self.offered is not None or not (self._pipelining or not self._expected):
            return False
        return self.sent is None or self.far

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way."""
        return self.offered is None and self.sent is None

    @property
    def at_the_dot(self) -> bool:
        """Whether the server has a whole message and owes the answer to its final dot."""
        return bool(self._expected) and self._expected[0][0] is Stage.DOT and not self.outbox

    @property
    def ready(self) -> bool:
        """Whether the server waits for a message of which nothing was written yet."""
        return self.sent is not None and self._written == self._message_at

    @property
    def waiting(self) -> bool:
        """Whether the server owes an answer or has not taken what was written."""
        return bool(self._expected or self.outbox)

    # --- out ---------------------------------------------------------------------------------------------------------

    def offer(self, copy: Copy) -> list[Event]:
        """Begin with a copy's envelope; only when `free`. Returns events at once for a copy that cannot be sent."""
        size = copy.envelope.size
        if self._limit is not None and self._limit < size:  # RFC 1870: the server would refuse the message
            error = TransportMisconfigured(f"{self.name} takes messages of {self._limit} bytes, a copy has {size}")
            return [Answer(copy, Outcome(OutcomeKind.NOT_SENT, None, str(error))), *self._down(str(error), error)]
        if not copy.envelope.rcpt_to.isascii() and "smtputf8" not in self.extensions:
            words = f"{self.name} cannot send to addresses beyond ASCII (RFC 6531)"
            return [Answer(copy, Outcome(OutcomeKind.REFUSED, None, words))]
        self.offered = copy
        if self._pipelining:
            mail, rcpt = self._mail(copy, size), self._rcpt(copy)
            asked = self._queued
            self._write(mail + rcpt + _DATA)
            expect = self._expected.append
            expect((Stage.MAIL, copy, asked + len(mail)))
            expect((Stage.RCPT, copy, asked + len(mail) + len(rcpt)))
            expect((Stage.DATA, copy, self._queued))
        else:
            self._step(Stage.MAIL, copy, self._mail(copy, size))
        return []

    def take_back(self) -> None:
        """Undo `offer` before anything of the copy was written."""
        self.offered = None
        self._queued -= len(self.outbox.pop())
        for _ in _ENVELOPE if self._pipelining else _ENVELOPE[:1]:
            self._expected.pop()

    def joined(self) -> bytes | memoryview:
        """The outbox as one piece, for a socket that takes only one at a time."""
        if len(self.outbox) > 1:
            whole = b"".join(self.outbox)
            self.outbox.clear()
            self.outbox.append(whole)
        return self.outbox[0]

    def wrote(self, number: int) -> None:
        """Remove the first `number` bytes of `outbox`, which are with the system now."""
        self._written += number
        if self._written == self._queued:  # the usual case
            self.outbox.clear()
            return
        while number:
            first = self.outbox.popleft()
            if number < len(first):
                self.outbox.appendleft(memoryview(first)[number:])
                return
            number -= len(first)

    def _send(self, copy: Copy) -> None:
        """Write the message that the server waits for, and its final dot."""
        self._message_at = self._queued
        self._write(*copy.envelope.pieces, _END)
        self._dot_at = self._queued
        self._expected.append((Stage.DOT, copy, self._dot_at))
        self.offered, self.sent = None, copy
        self.messages += 1

    def _write(self, *pieces: bytes) -> None:
        self.outbox += pieces
        self._queued += sum(map(len, pieces))

    def _mail(self, copy: Copy, size: int) -> bytes:
        """The command for a message of `size` bytes."""
        declared = f" SIZE={size}" if self._takes_size else ""
        utf8 = "" if copy.envelope.rcpt_to.isascii() else " SMTPUTF8"
        return f"MAIL FROM:<{copy.envelope.mail_from}>{declared}{utf8}\r\n".encode()

    @staticmethod
    def _rcpt(copy: Copy) -> bytes:
        return f"RCPT TO:<{copy.envelope.rcpt_to}>\r\n".encode()

    def _step(self, stage: Stage, copy: Copy, command: bytes) -> None:
        self._write(command)
        self._expected.append((stage, copy, self._queued))

    # --- in ----------------------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> list[Event]:
        """Take in what the server said; b"" when it hung up."""
        if not data:
            return self.lost("the server hung up")
        *lines, self._rest = (self._rest + data).split(b"\n")
        events: list[Event] = []
        said = self._said
        for line in lines:
            said.append(line)
            if line[3:4] != b"-":  # the last line of a reply (RFC 5321 section 4.2.1)
                self.replies += 1
                code = line[:3]
                events += self._reply(int(code) if code.isdigit() else 0)
                said.clear()
                if self.closed:
                    return events
        if len(self._rest) > _LONGEST_LINE or len(self._said) > _MOST_LINES:
            events += self.lost("the server's answer has no end")
        return events

    @property
    def _words(self) -> str:
        """The text of the reply under way as one line, without the reply codes."""
        return one_line(b" ".join(line[4:].rstrip(b"\r") for line in self._said))

    def lost(self, reason: str) -> list[Event]:
        """The connection is gone. A copy is uncertain if its final dot was written (RFC 1047); else it was not sent."""
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
        """End the session. The offered copy was not handed over; one whose message is out and unanswered is uncertain.

        `code` is the server's reply code when it spoke about itself.
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
        stage, copy, asked = self._expected.popleft()
        if self._written < asked:  # an answer to a question that the server has not got is no answer
            return self.lost(f"the server answered {stage} before it had it: {code} {self._words}")
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
        """End after a 421 or nonsense. A 421 in answer to the dot says that the message was not taken."""
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
        """Go on after an answer to the envelope; a refusal is judged when the whole envelope is answered."""
        if copy.refusal is None:
            if stage is Stage.DATA:
                self._send(copy)
            elif not self._pipelining and stage is Stage.MAIL:
                self._step(Stage.RCPT, copy, self._rcpt(copy))
            elif not self._pipelining:
                self._step(Stage.DATA, copy, _DATA)
            return []
        if self._pipelining and stage is not Stage.DATA:
            return []  # the answers to the rest of the envelope are on their way
        self.offered = None
        if stage is Stage.DATA and good:  # RFC 2920 section 3.1: DATA taken although no recipient was
            self._write(_END)
            self._expected.append((Stage.DATA, None, self._queued))
        self._write(b"RSET\r\n")
        self._expected.append((Stage.RESET, None, self._queued))
        return self._refused(copy, *copy.refusal)

    def _refused(self, copy: Copy, stage: Stage, code: int, words: str) -> list[Event]:
        """What a reply other than yes means: for this reader, for this server's rest, or for everybody."""
        copy.judgement = judge(stage, code, words)
        if self.by_token and self.messages and code in _LOG_IN and stage is not Stage.DOT:
            return [Answer(copy, Outcome(OutcomeKind.NOT_SENT, code, words)), *self._down(f"{code} {words}", code=code)]
        if needs_the_operator(copy.judgement) or (self.by_program and code == FAULT):
            error = TransportMisconfigured(f"{self.name} refused {stage} for everybody: {code} {words}")
            return [Answer(copy, Outcome(OutcomeKind.NOT_SENT, code, words)), *self._down(str(error), error)]
        return [Answer(copy, Outcome(kind_of(copy.judgement, code), code, words))]


def needs_the_operator(judgement: Judgement) -> bool:
    """Whether no copy can be sent until a person changes something: the login, the sender, the size of the message."""
    return judgement.for_good and judgement.concern in (Concern.SENDER, Concern.MESSAGE)


def kind_of(judgement: Judgement, code: int) -> OutcomeKind:
    """What follows for the copy from a reply with `code` (4xx or 5xx) that does not need the operator.

    A full mailbox or a bad moment is tried again even after a 5xx. What nobody understands is refused for this issue,
    because a 5xx asks for no second try (RFC 5321 section 4.2.1), and counts as nothing against the reader.
    """
    if judgement.concern is Concern.SENDER and judgement.certain:
        return OutcomeKind.SENDER
    if code < 500:
        return OutcomeKind.DEFERRED
    if judgement.concern in (Concern.SENDER, Concern.SERVER):
        return OutcomeKind.BLOCKED
    later = judgement.concern is Concern.MOMENT or (judgement.concern is Concern.RECIPIENT and not judgement.for_good)
    return OutcomeKind.DEFERRED if later else OutcomeKind.REFUSED
