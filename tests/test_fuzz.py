"""A few damaged inputs for every parser; `python -m tests.fuzz` tries as many as there is time for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from newsletter.children import Bounds
from newsletter.errors import AddressError
from tests import fuzz

INPUTS = 40
BOUNDS = Bounds(cpu=1, wall=60.0)
SHORT = Bounds(cpu=1, wall=0.2)  # seconds of wall time end it sooner than a second of CPU, and before it has begun too


@pytest.fixture(scope="module")
def outcomes() -> dict[str, fuzz.Outcome]:
    return fuzz.run(list(fuzz.TARGETS), seed=14, first=0, inputs=INPUTS, seconds=300)


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_no_damage_breaks_a_parser(outcomes: dict[str, fuzz.Outcome], name: str) -> None:
    outcome = outcomes[name]
    assert outcome.faults == []
    assert outcome.verdicts.total() == INPUTS


def _crashes(_: bytes) -> object:
    raise ZeroDivisionError


def _never_ends(_: bytes) -> object:
    while True:
        pass


def _says_nothing(_: bytes) -> object:
    raise AddressError("")


@pytest.mark.parametrize(("parse", "bounds"), [(_crashes, BOUNDS), (_never_ends, SHORT), (_says_nothing, BOUNDS)])
def test_a_parser_that_breaks_is_a_fault(
    parse: Callable[[bytes], object], bounds: Bounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(fuzz.TARGETS, "broken", fuzz.Target(parse, [b"text"]))
    outcome = fuzz.run(["broken"], seed=1, first=0, inputs=1, seconds=60, bounds=bounds)["broken"]
    assert len(outcome.faults) == 1


def test_an_input_is_known_by_its_number() -> None:
    target = fuzz.TARGETS["mail"]
    assert [fuzz.damaged(target, 3, n) for n in range(20)] == [fuzz.damaged(target, 3, n) for n in range(20)]
    assert len({fuzz.damaged(target, 3, n) for n in range(20)}) > 15


def test_a_message_cannot_command_a_terminal() -> None:
    assert str(AddressError("found: \x1b[31m\nrtl \u202e, Kärlek 論文")) == "found: ?[31m?rtl ?, Kärlek 論文"
    assert len(str(AddressError("x" * 5_000))) == 2_000
