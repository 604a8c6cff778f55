"""Hand-written fakes: a transport that answers as scripted, and a clock that the test moves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from newsletter.errors import TransportUnavailable
from newsletter.model import Envelope, Outcome, OutcomeKind
from newsletter.slots import SlotOrder
from newsletter.transport import Answer, Copy, Event

ACCEPTED = Outcome(OutcomeKind.ACCEPTED, 250, "ok")
DEFERRED = Outcome(OutcomeKind.DEFERRED, 451, "later")
REFUSED = Outcome(OutcomeKind.REFUSED, 550, "no such user")
UNCERTAIN = Outcome(OutcomeKind.UNCERTAIN, None, "connection lost")
NOT_SENT = Outcome(OutcomeKind.NOT_SENT, None, "connection lost")


class Crash(BaseException):
    """Stands for the death of the process. The code under test must not catch it."""


class FakeCarrier:
    """A transport that takes one copy at a time.

    Each address gets its scripted outcomes in turn and then ACCEPTED. A scripted exception is raised instead of giving
    an outcome; TransportUnavailable means that the server cannot be used from then on. `handed` keeps the envelopes by
    address.
    """

    def __init__(self, **scripts: list[Outcome | BaseException]) -> None:
        self.scripts = {f"{name}@example.org": list(script) for name, script in scripts.items()}
        self.handed: dict[str, list[Envelope]] = defaultdict(list)
        self.excused = False  # set on each copy: its connection was lost after it had carried others
        self.before: Callable[[Envelope], None] = lambda envelope: None
        self._current: Copy | None = None
        self._answer: Outcome | BaseException = ACCEPTED
        self._dead: TransportUnavailable | None = None

    @property
    def in_flight(self) -> int:
        return int(self._current is not None)

    def full_until(self) -> float | None:
        return None

    def orders(self, most: int) -> list[SlotOrder]:
        return []

    def granted(self, orders: Sequence[SlotOrder]) -> None:
        assert not orders

    def offer(self, next_copy: Callable[[], Copy | None]) -> tuple[list[Copy], list[Event]]:
        if self._current is not None or self._dead is not None or (copy := next_copy()) is None:
            return [], []
        script = self.scripts.get(copy.envelope.rcpt_to)
        self._answer = script.pop(0) if script else ACCEPTED
        if isinstance(self._answer, TransportUnavailable):
            self._dead = self._answer
            return [], [Answer(copy, NOT_SENT)]
        self._current = copy
        return [copy], []

    def take_back(self, copy: Copy) -> None:
        assert copy is self._current
        self._current = None

    def turn(self, *, has_more: bool) -> list[Event]:
        copy = self._current
        if self._dead is not None:
            raise self._dead
        if copy is None:
            return []
        self.before(copy.envelope)
        self.handed[copy.envelope.rcpt_to].append(copy.envelope)
        self._current = None
        copy.excused = self.excused
        if isinstance(self._answer, BaseException):
            raise self._answer
        return [Answer(copy, self._answer)]

    def give_up(self) -> list[Event]:
        copy, self._current = self._current, None
        return [] if copy is None else [Answer(copy, UNCERTAIN)]

    @property
    def order(self) -> list[str]:
        """The local parts of the addresses that got a copy, in the order of their first copy."""
        return [address.partition("@")[0] for address in self.handed]


class FakeClock:
    """A clock that stands still except for `sleep` and `move`. `slept` keeps the seconds of each sleep."""

    START = datetime(2026, 11, 24, 7, 0, tzinfo=UTC)

    def __init__(self) -> None:
        self.seconds = 0.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.START + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds

    def move(self, **by: float) -> None:
        self.seconds += timedelta(**by).total_seconds()
