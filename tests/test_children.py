"""A parser in a child process costs its own document at most: whatever it does, the next one is parsed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from newsletter.children import Bounds, Nursery, Overrun
from newsletter.errors import FeedFormatError, ParsersGone

SHORT = Bounds(cpu=1, wall=1.5, memory=128)


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    with Nursery() as running:
        yield running


def double(number: int) -> int:
    return 2 * number


def spin() -> None:
    while True:
        pass


def block() -> None:
    signal.pause()


def hoard() -> int:
    return len(bytearray(1 << 32))


def dive(depth: int = 0) -> int:
    return dive(depth + 1)


def die() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def leave() -> None:
    os._exit(0)


def complain() -> None:
    raise FeedFormatError("https://example.org: not a feed")


class Unpicklable(Exception):
    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}")


def fail_oddly() -> None:
    raise Unpicklable("no", "way")


def test_a_child_gives_what_the_function_returns(nursery: Nursery) -> None:
    assert [nursery.call(SHORT, double, number) for number in range(20)] == list(range(0, 40, 2))


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (spin, "more than 1 seconds of CPU"),
        (block, "more than 1.5 seconds to read"),
        (hoard, "more than 128 MB of memory"),
        (dive, "nested too deeply"),
        (die, "its parser broke down"),
        (leave, "its parser broke down"),
        (fail_oddly, "the parser failed: Unpicklable: no way"),
    ],
)
def test_what_is_beyond_a_bound_costs_itself_alone(
    nursery: Nursery, function: Callable[[], object], words: str
) -> None:
    bounds = replace(SHORT, wall=60.0) if function is spin else SHORT  # a busy machine gives little CPU in a second
    with pytest.raises(Overrun, match=words):
        nursery.call(bounds, function)
    assert nursery.call(SHORT, double, 21) == 42


def test_an_error_of_the_function_comes_back_as_it_is(nursery: Nursery) -> None:
    with pytest.raises(FeedFormatError, match="not a feed"):
        nursery.call(SHORT, complain)


def test_a_large_document_goes_there_and_back(nursery: Nursery) -> None:
    assert len(nursery.call(SHORT, bytes.upper, b"x" * 20_000_000)) == 20_000_000


def test_nothing_is_left_running() -> None:
    with Nursery() as nursery:
        pid = nursery.call(SHORT, os.getpid)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_no_document_is_to_blame_for_a_nursery_that_was_killed(nursery: Nursery) -> None:
    os.kill(nursery.call(Bounds(), os.getppid), signal.SIGKILL)
    for _ in range(2):
        with pytest.raises(ParsersGone, match="run the command again"):
            nursery.call(Bounds(), double, 21)
