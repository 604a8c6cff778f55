"""Hand-written stand-ins for the edges: a mail server that answers as told, and a clock that moves when told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from newsletter.errors import TransportUnavailable
from newsletter.model import Envelope, Outcome, OutcomeKind

ACCEPTED = Outcome(OutcomeKind.ACCEPTED, 250, "ok")
DEFERRED = Outcome(OutcomeKind.DEFERRED, 451, "later")
REFUSED = Outcome(OutcomeKind.REFUSED, 550, "no such user")
UNCERTAIN = Outcome(OutcomeKind.UNCERTAIN, None, "connection lost")
NOT_SENT = Outcome(OutcomeKind.NOT_SENT, 421, "too many")


class Crash(BaseException):
    """The process dies here: nothing of ours may catch it."""


class FakeTransport:
    """Answers each address with the outcomes scripted for it, in turn, then with ACCEPTED; keeps what it was handed.

    A scripted exception is raised instead.
    """

    def __init__(self, **scripts: list[Outcome | BaseException]) -> None:
        self.scripts = {f"{name}@example.org": list(script) for name, script in scripts.items()}
        self.handed: dict[str, list[Envelope]] = defaultdict(list)
        self.before: Callable[[Envelope], None] = lambda envelope: None

    def open(self) -> None:
        """Nothing to connect to."""

    def close(self) -> None:
        """Nothing to close."""

    def send(self, envelope: Envelope) -> Outcome:
        self.before(envelope)
        script = self.scripts.get(envelope.rcpt_to)
        answer = script.pop(0) if script else ACCEPTED
        if isinstance(answer, TransportUnavailable):
            raise answer
        self.handed[envelope.rcpt_to].append(envelope)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    @property
    def order(self) -> list[str]:
        """The addresses that were handed something, in the order of their first copy."""
        return [address.partition("@")[0] for address in self.handed]


class FakeClock:
    """Time that stands still until somebody sleeps or moves it; `slept` keeps every wait in seconds."""

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
