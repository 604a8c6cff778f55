"""What a mail server's replies say about it, and when it gets copies again: without a socket, on a clock of our own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from newsletter.config import SmtpConfig
from newsletter.errors import SenderRefused, TransportMisconfigured, TransportUnavailable
from newsletter.model import Delivery, Envelope, Outcome, OutcomeKind
from newsletter.replies import Concern, Judgement, Stage
from newsletter.transport.limits import Rest
from newsletter.transport.relay import ASIDE, BLOCKED_IN_A_ROW, LOST_IN_A_ROW, Relay, Shared
from newsletter.transport.session import Answer, Copy, Down

LIMIT = Judgement(Concern.SENDER, for_good=False, rule="quota", limit=True)
REPUTATION = Judgement(Concern.SENDER, for_good=True, rule="reputation")
FAILED = TransportUnavailable("connection refused")


@dataclass
class Clock:
    """Stands still until it is set."""

    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Place:
    """A relay with its clock, and answers for it."""

    clock: Clock = field(default_factory=Clock)
    connections: int = 4

    def __post_init__(self) -> None:
        self.shared = Shared(self.clock, reconnect=(0.1, 0.5), breaks=(1.0, 3.0))
        self.relay = Relay(SmtpConfig(host="mx.example", port=587, connections=self.connections), self.shared)

    def answers(self, kind: OutcomeKind, code: int, text: str = "", judgement: Judgement | None = None) -> None:
        copy = Copy(Delivery(1, 1, 1, "a" * 16, "ada@example.org", 0), Envelope("b@x.example", "ada@example.org", ()))
        copy.judgement = judgement
        if kind is OutcomeKind.DEFERRED:
            copy.refusal = (Stage.MAIL, code, text)
        self.relay.judge(Answer(copy, Outcome(kind, code, text)))


def aside(relay: Relay) -> tuple[type[BaseException] | None, float]:
    """Why the relay gets no copies, and for how many seconds."""
    return (type(relay.error) if relay.error else None), relay.not_before - relay.shared.monotonic()


def test_a_limit_without_a_time_is_met_with_breaks_and_then_a_rest() -> None:
    place = Place()
    breaks = []
    for _ in range(2):
        place.answers(OutcomeKind.SENDER, 454, "Throttling failure", LIMIT)
        breaks.append(place.relay.break_until - place.clock.now)
        place.clock.now = place.relay.break_until
    assert breaks == [1.0, 3.0]
    assert place.relay.error is None
    place.answers(OutcomeKind.SENDER, 454, "Throttling failure", LIMIT)
    assert aside(place.relay) == (SenderRefused, 300.0)
    assert place.shared.rests == {"mx.example:587": place.clock.now + 300.0}


def test_several_connections_that_tell_of_one_limit_cost_one_break() -> None:
    place = Place()
    for _ in range(4):
        place.answers(OutcomeKind.SENDER, 454, "Throttling failure", LIMIT)
    assert (place.relay.breaks, place.relay.error) == (1, None)


def test_an_accepted_copy_begins_the_breaks_anew() -> None:
    place = Place()
    place.answers(OutcomeKind.SENDER, 454, "Throttling failure", LIMIT)
    place.answers(OutcomeKind.ACCEPTED, 250)
    assert place.relay.breaks == 0


@pytest.mark.parametrize(
    ("rested", "text", "seconds"),
    [
        (0, "5.4.5 quota exceeded", 300.0),
        (2, "5.4.5 quota exceeded", 1_800.0),
        (9, "5.4.5 quota exceeded", 3_600.0),
        (9, "quota exceeded, try again in 92 seconds", 92.0),
    ],
)
def test_a_quota_makes_it_rest_as_long_as_it_asks_or_ever_longer(rested: int, text: str, seconds: float) -> None:
    place = Place()
    place.relay.begin_resting({"mx.example:587": Rest(-1.0, rested)})
    place.answers(OutcomeKind.SENDER, 550, text, LIMIT)
    assert aside(place.relay) == (SenderRefused, seconds)
    assert place.relay.resting


def test_a_verdict_on_the_sender_that_no_time_lifts_is_no_rest() -> None:
    place = Place()
    place.answers(OutcomeKind.SENDER, 554, "your domain is blocked", REPUTATION)
    assert aside(place.relay) == (SenderRefused, ASIDE)
    assert not place.relay.resting
    assert not place.shared.rests


@pytest.mark.parametrize("kind", [OutcomeKind.BLOCKED, OutcomeKind.DEFERRED])
def test_copies_refused_in_a_row_are_about_the_server(kind: OutcomeKind) -> None:
    place = Place()
    for _ in range(BLOCKED_IN_A_ROW - 1):
        place.answers(kind, 452, "disk full")
    place.answers(OutcomeKind.ACCEPTED, 250)
    for _ in range(BLOCKED_IN_A_ROW - 1):
        place.answers(kind, 452, "disk full")
    assert place.relay.error is None
    place.answers(kind, 452, "disk full")
    assert aside(place.relay) == (TransportUnavailable, ASIDE)


def test_connections_that_are_lost_with_copies_wait_longer_and_then_put_it_aside() -> None:
    place = Place(connections=2)
    waits: list[Any] = []
    for _ in range(LOST_IN_A_ROW):  # one more is allowed than for one connection
        place.relay.lost(Down("closed"), fruitless=True)
        waits.append(round(place.relay.not_before - place.clock.now, 3))
    assert waits == [0.1, 0.5, 0.5, 0.5, 0.5]
    assert place.relay.error is None
    place.relay.lost(Down("closed"), fruitless=True)
    assert str(place.relay.error) == "mx.example:587 drops every connection (closed)"


def test_the_end_of_a_session_that_carried_something_is_nothing_to_wait_for() -> None:
    place = Place()
    place.relay.lost(Down("closed"), fruitless=False)
    assert (place.relay.not_before, place.relay.losses, place.relay.error) == (0.0, 0, None)


def test_a_server_that_never_served_is_put_aside_at_the_first_failure() -> None:
    place = Place()
    place.relay.not_opened(FAILED)
    assert aside(place.relay) == (TransportUnavailable, ASIDE)
    assert place.shared.troubles == {"mx.example:587": FAILED}


def test_one_that_has_served_gets_some_attempts() -> None:
    place = Place()
    place.relay.served = True
    waits = []
    for _ in place.shared.reconnect:
        place.relay.not_opened(FAILED)
        waits.append(round(place.relay.not_before - place.clock.now, 3))
    assert (waits, place.relay.error) == ([0.1, 0.5], None)
    place.relay.not_opened(FAILED)
    assert place.relay.error is FAILED


def test_a_wrong_login_is_not_tried_again_soon() -> None:
    place = Place()
    place.relay.served = True
    place.relay.not_opened(TransportMisconfigured("wrong password"))
    assert aside(place.relay) == (TransportMisconfigured, ASIDE)


def test_one_that_was_put_aside_begins_anew() -> None:
    place = Place()
    place.answers(OutcomeKind.SENDER, 550, "5.4.5 quota exceeded", LIMIT)
    place.relay.try_again()
    assert (place.relay.error, place.relay.resting, place.relay.rests) == (None, False, 1)


def test_it_is_short_of_connections_while_there_are_copies_for_more() -> None:
    place = Place(connections=2)
    assert place.relay.short(1)
    place.relay.opening[0] = place.clock.now
    assert not place.relay.short(1)
    assert place.relay.short(2)
    place.relay.opening[1] = place.clock.now
    assert not place.relay.short(99)
