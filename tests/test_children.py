"""A parser in a child process costs its own document at most: whatever it does, the next one is parsed."""

from __future__ import annotations

import os
import resource
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from newsletter.children import Bounds, Nursery, Overrun, limits
from newsletter.errors import FeedFormatError, ParsersGone

SHORT = Bounds(cpu=1, wall=1.5, memory=128)


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    with Nursery() as running:
        yield running


def double(number: int) -> int:
    return 2 * number


def read(file: Path, document: bytes = b"") -> str:
    return file.read_text("utf-8")


def spin() -> None:
    while True:
        pass


def block() -> None:
    signal.pause()


def hoard() -> int:
    return len(bytearray(1 << 32))


def dive(depth: int = 0) -> int:
    return dive(depth + 1)


KEPT: list[bytearray] = []


def keep(megabytes: int) -> None:
    KEPT.append(bytearray(megabytes << 20))


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
        (spin, "more than 0 seconds of CPU"),
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
    # The system ends a child after whole seconds, the one that has begun included. A busy machine gives little in one.
    bounds = replace(SHORT, cpu=0, wall=60.0) if function is spin else SHORT
    with pytest.raises(Overrun, match=words):
        nursery.call(bounds, function)
    assert nursery.call(SHORT, double, 21) == 42


def test_an_error_of_the_function_comes_back_as_it_is(nursery: Nursery) -> None:
    with pytest.raises(FeedFormatError, match="not a feed"):
        nursery.call(SHORT, complain)


def test_a_large_document_goes_there_and_back(nursery: Nursery) -> None:
    assert len(nursery.call(SHORT, bytes.upper, b"x" * 20_000_000)) == 20_000_000


def ended(pid: int) -> bool:
    """Wait for the end of a process that is not ours."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 60)[0])
    finally:
        os.close(descriptor)


def test_a_child_takes_one_document_after_another(nursery: Nursery) -> None:
    first = nursery.call(SHORT, os.getpid)
    with pytest.raises(FeedFormatError):
        nursery.call(SHORT, complain)
    assert nursery.call(SHORT, os.getpid) == first


def test_a_child_that_keeps_much_memory_gets_no_other_document(nursery: Nursery) -> None:
    first = nursery.call(SHORT, os.getpid)
    nursery.call(SHORT, keep, 1)
    assert nursery.call(SHORT, os.getpid) == first
    nursery.call(SHORT, keep, 100)
    assert nursery.call(SHORT, os.getpid) != first
    assert ended(first)


def test_a_child_that_was_killed_without_a_document_is_replaced(nursery: Nursery) -> None:
    first = nursery.call(SHORT, os.getpid)
    os.kill(first, signal.SIGKILL)
    assert ended(first)
    assert nursery.call(SHORT, double, 21) == 42


def test_the_bounds_of_a_document_count_from_what_the_child_has_used_before() -> None:
    assert limits(Bounds(cpu=3, memory=100), used=0.2, mapped=7 << 20) == {
        resource.RLIMIT_CPU: 4,
        resource.RLIMIT_AS: 107 << 20,
    }
    assert limits(Bounds(cpu=3, memory=100), used=41.5, mapped=70 << 20) == {
        resource.RLIMIT_CPU: 45,
        resource.RLIMIT_AS: 170 << 20,
    }


def test_every_document_has_bounds_of_its_own(nursery: Nursery) -> None:
    found = [nursery.call(bounds, resource.getrlimit, resource.RLIMIT_CPU)[0] for bounds in (Bounds(9), Bounds(3))]
    assert found == [10, 4]


def test_the_child_of_a_nursery_that_was_killed_ends() -> None:
    with Nursery() as nursery:
        pid, of = nursery.call(SHORT, os.getpid), nursery.call(SHORT, os.getppid)
        os.kill(of, signal.SIGKILL)
        assert ended(pid)


def test_nothing_is_left_running() -> None:
    with Nursery() as nursery:
        pid = nursery.call(SHORT, os.getpid)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_nursery_that_was_closed_ends_meanwhile() -> None:
    with Nursery() as nursery:
        pid = nursery.call(SHORT, os.getpid)
        nursery.close()
        assert ended(pid)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_no_document_is_to_blame_for_a_nursery_that_was_killed(nursery: Nursery) -> None:
    os.kill(nursery.call(Bounds(), os.getppid), signal.SIGKILL)
    for _ in range(2):
        with pytest.raises(ParsersGone, match="run the command again"):
            nursery.call(Bounds(), double, 21)


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A named pipe: who reads it waits until somebody writes to it."""
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def test_calls_that_were_begun_are_done_one_after_another_meanwhile(nursery: Nursery, pipe: Path) -> None:
    waits = nursery.begin(Bounds(wall=60.0), read, pipe)
    fails = nursery.begin(SHORT, complain)
    large = nursery.begin(SHORT, bytes.upper, b"x" * 5_000_000)
    doubles = nursery.begin(SHORT, double, 21)
    pipe.write_text("written", "utf-8")
    assert doubles() == 42
    assert (waits(), len(large()), doubles()) == ("written", 5_000_000, 42)
    with pytest.raises(FeedFormatError, match="not a feed"):
        fails()
    assert nursery.call(SHORT, double, 4) == 8


def test_what_is_beyond_a_bound_costs_nothing_that_was_begun_after_it(nursery: Nursery) -> None:
    hangs, doubles = nursery.begin(SHORT, block), nursery.begin(SHORT, double, 21)
    assert doubles() == 42
    with pytest.raises(Overrun, match=r"more than 1\.5 seconds"):
        hangs()


def test_answers_are_awaited_before_too_many_bytes_wait(nursery: Nursery, pipe: Path) -> None:
    written = []

    def write() -> None:
        with pipe.open("w") as file:
            file.write("written")
            written.append(True)  # who reads it goes on when it is closed

    writer = Thread(target=write)
    first = nursery.begin(Bounds(wall=60.0), read, pipe, bytes(9_000_000))
    writer.start()
    length = nursery.begin(SHORT, len, bytes(9_000_000))
    assert written
    assert (first(), length()) == ("written", 9_000_000)
    writer.join()


def test_a_run_that_fails_waits_for_nothing_that_it_has_begun(pipe: Path) -> None:
    with suppress(KeyboardInterrupt), Nursery() as nursery:
        pid = nursery.call(SHORT, os.getpid)
        unread = nursery.begin(Bounds(wall=600.0), read, pipe)
        nursery.begin(SHORT, double, 21)
        raise KeyboardInterrupt
    assert ended(pid)
    with pytest.raises(ParsersGone):
        unread()
