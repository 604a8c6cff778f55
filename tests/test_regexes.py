"""No regular expression of the program takes more than linear time, whatever it is given."""

from __future__ import annotations

import math
import re
import resource
import time
from collections.abc import Iterator

import pytest

from newsletter.children import Bounds, Nursery, Overrun
from tests.regexes import Use, uses, worst

# A linear search of so many characters takes 3 to 300 ms; a quadratic one takes hours.
SECONDS = 2  # of CPU for one text
BOUNDS = Bounds(cpu=100, wall=150.0, memory=2_000)  # for all texts of a use

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


def apply_to_each(use: Use, seconds: int) -> None:
    """Apply a pattern to its texts, in a child that ends when one of them takes longer: a child for each is slower."""
    for text in worst(use):
        most = math.ceil(time.process_time()) + seconds
        resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))
        apply(use, text)


def test_the_patterns_are_found() -> None:
    assert len(USES) > 150
    assert any("arxiv" in use.pattern.lower() for use in USES)


@pytest.mark.parametrize("use", USES, ids=lambda use: f"{use.how} {use.pattern[:60]}")
def test_a_pattern_is_linear(nursery: Nursery, use: Use) -> None:
    nursery.call(BOUNDS, apply_to_each, use, SECONDS)


@pytest.mark.parametrize("pattern", [r"\s*x", r"a+$", r"(a|aa)+$", r"<!--.*?-->"])
def test_a_quadratic_pattern_would_be_found(nursery: Nursery, pattern: str) -> None:
    use = Use(pattern, int(re.DOTALL), "search")
    with pytest.raises(Overrun, match="seconds"):
        nursery.call(BOUNDS, apply_to_each, use, 1)
