"""No regular expression of the program takes more than linear time, whatever it is given."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Sequence

import pytest

from newsletter.children import Bounds, Nursery, Overrun
from tests.regexes import Use, uses, worst

# A linear search of a text of tests/regexes.py takes 1 to 25 ms; a quadratic one takes a fifth of a second to hours.
SECONDS = 0.09  # of CPU for one text
BOUNDS = Bounds(cpu=100, wall=150.0, memory=2_000)  # for all uses of a child

CHILDREN = 4  # each applies a part of the patterns

QUADRATIC = (r"\s*x", r"a+$", r"(a|aa)+$", r"<!--.*?-->", r"<body[^>]*>", r"\s*\S+://\S+\s*|.*@.*")


def apply(use: Use, text: str) -> None:
    pattern = re.compile(use.pattern, use.flags)
    if use.how == "search":
        for _ in pattern.finditer(text):
            pass
    else:
        getattr(pattern, use.how)(text)


def apply_to_each(some: Sequence[Use]) -> None:
    """Apply patterns to their texts, in a child that a signal ends when a text takes longer than SECONDS."""
    for use in some:
        for text in worst(use):
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            apply(use, text)
    signal.setitimer(signal.ITIMER_PROF, 0)  # the child goes on


def slow_of(nursery: Nursery, some: Sequence[Use]) -> list[Use]:
    """Those that take too long, found by halves."""
    try:
        nursery.call(BOUNDS, apply_to_each, some)
    except Overrun:
        if len(some) == 1:
            return list(some)
        half = len(some) // 2
        return slow_of(nursery, some[:half]) + slow_of(nursery, some[half:])
    return []


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as running:
        yield running


def test_the_patterns_are_found() -> None:
    assert len(uses()) > 150
    assert any("arxiv" in use.pattern.lower() for use in uses())


@pytest.mark.parametrize("part", range(CHILDREN))
def test_every_pattern_is_linear(nursery: Nursery, part: int) -> None:
    slow = slow_of(nursery, uses()[part::CHILDREN])
    assert not slow, "\n".join(f"{use.how} {use.pattern}" for use in slow)


@pytest.mark.parametrize("pattern", QUADRATIC)
def test_a_quadratic_pattern_would_be_found(nursery: Nursery, pattern: str) -> None:
    use = Use(pattern, int(re.DOTALL), "search")
    assert slow_of(nursery, [use]) == [use]


def test_the_quadratic_one_of_several_is_named(nursery: Nursery) -> None:
    some = [Use(pattern, 0, "search") for pattern in ("a+", "b", "<[^>]*+>")]
    assert slow_of(nursery, some) == [some[2]]
