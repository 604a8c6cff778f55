"""No regular expression of the program takes more than linear time, whatever it is given."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from newsletter.children import Bounds, Nursery, Overrun
from tests.regexes import Use, uses, worst

# A linear search of a million characters takes 5 to 50 ms; a quadratic one takes hours.
BOUNDS = Bounds(cpu=5, wall=30.0, memory=2_000)

USES = uses()


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as running:
        yield running


def apply(use: Use, text: str) -> None:
    pattern = re.compile(use.pattern, use.flags)
    if use.how == "search":
        for _ in pattern.finditer(text):
            pass
    else:
        getattr(pattern, use.how)(text)


def apply_each(nursery: Nursery, use: Use, bounds: Bounds) -> None:
    for text in worst(use):
        nursery.call(bounds, apply, use, text)


def test_the_patterns_are_found() -> None:
    assert len(USES) > 150
    assert any("arxiv" in use.pattern.lower() for use in USES)


@pytest.mark.parametrize("use", USES, ids=lambda use: f"{use.how} {use.pattern[:60]}")
def test_a_pattern_is_linear(nursery: Nursery, use: Use) -> None:
    apply_each(nursery, use, BOUNDS)


@pytest.mark.parametrize("pattern", [r"\s*x", r"a+$", r"(a|aa)+$", r"<!--.*?-->"])
def test_a_quadratic_pattern_would_be_found(nursery: Nursery, pattern: str) -> None:
    use = Use(pattern, int(re.DOTALL), "search")
    with pytest.raises(Overrun, match="seconds"):
        apply_each(nursery, use, Bounds(cpu=1, wall=10.0, memory=2_000))
