"""The tests are sorted as `make unit` and pytest-xdist need it."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pytest

from newsletter.children import Nursery
from tests import chaos
from tests.conftest import ROOT, paper
from tests.kinds import FORBIDDEN, GUARD, LONG, SERVERS, group_of, longest, starts_something
from tests.needs import memory
from tests.pages import Site


def calls_a_program() -> None:
    subprocess.run(["true"], check=True)


def calls_it_within() -> None:
    def inner() -> None:
        calls_a_program()

    inner()


def calls_it_through_a_module() -> None:
    chaos.provoke(chaos.FAULTS[0], memory(0) or ROOT, "", 0, 0)


def calls_it_through_a_class() -> None:
    Starter().start()


def imports_it() -> None:
    import psycopg

    psycopg.connect("")


def forks() -> None:
    Nursery()


def asks_the_web_application() -> None:
    Site(ROOT).client.get("/")


class Starter:
    """Starts a program in a method."""

    def start(self) -> None:
        calls_a_program()


def calls_nothing() -> None:
    assert paper(1) != paper(2)


@pytest.mark.parametrize(
    "function",
    [
        *(calls_a_program, calls_it_within, calls_it_through_a_module, calls_it_through_a_class, imports_it, forks),
        asks_the_web_application,
    ],
)
def test_what_uses_more_than_this_process_however_far_away_is_no_unit_test(function: Callable[[], None]) -> None:
    assert starts_something(function)


def test_what_starts_nothing_is_a_unit_test() -> None:
    assert not starts_something(calls_nothing)


@pytest.mark.system
def test_a_unit_test_can_neither_start_a_process_nor_ask_the_web_application(pytester: pytest.Pytester) -> None:
    pytester.makeconftest('pytest_plugins = ["tests.kinds"]')
    pytester.makepyfile(
        """
        from newsletter.preview.server import flask as web
        from newsletter.schedule.crontabs import subprocess as hidden

        def test_process():
            try:
                hidden.run(["true"])
            except OSError:
                pass

        def test_web():
            try:
                web.Flask("x").test_client().get("/")
            except OSError:
                pass

        def test_nothing():
            pass
        """
    )
    result = pytester.runpytest_subprocess("-p", "xdist")
    result.assert_outcomes(passed=3, errors=2)
    result.stdout.fnmatch_lines(["*a unit test starts a process, opens a socket or asks the web application*"] * 2)


def test_tests_that_share_a_server_are_one_group_and_the_others_of_a_file_another(
    postgres_url: str, request: pytest.FixtureRequest
) -> None:
    assert group_of(request.node.nodeid) == group_of("tests/test_store.py::test_x[postgresql-1]") == "postgresql"
    assert group_of("tests/test_x.py::test_x[chromium-light]") == group_of("tests/test_y.py::test_y[none-postfix]")
    assert group_of("tests/test_x.py::test_x[sqlite]") == group_of("tests/test_x.py::test_y") == "tests/test_x.py"
    assert group_of("tests/test_chaos.py::test_x[1]") != group_of("tests/test_chaos.py::test_x[2]")


def test_the_groups_that_take_longest_begin_first() -> None:
    assert longest(["tests/test_a.py", "tests/test_wheel.py", "browser", "postgresql"]) == "postgresql"
    assert longest(["tests/test_a.py", "tests/test_wheel.py"]) == "tests/test_wheel.py"
    assert longest(["tests/test_a.py"]) is None


def test_each_group_that_takes_long_is_there() -> None:
    assert all(group in SERVERS.values() or (ROOT / group).is_file() for group in LONG)


def test_a_thread_of_an_earlier_test_may_end_what_it_does(request: pytest.FixtureRequest) -> None:
    asked = threading.Event()
    gave: list[Any] = []

    def take() -> None:
        asked.wait(20)
        owner, name = next(each for each in FORBIDDEN if each[1] == "bind")
        with owner() as made:
            gave.append(getattr(made, name)(("127.0.0.1", 0)))

    assert request.node.get_closest_marker("unit") is not None
    thread = threading.Thread(target=take)
    thread.start()
    GUARD.begin()  # as the next test does
    asked.set()
    thread.join(20)
    assert gave == [None]
