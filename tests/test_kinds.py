"""The tests are sorted as `make unit`, `make check` and pytest-xdist need it."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pytest

from newsletter.children import Nursery
from tests import chaos
from tests.conftest import ROOT, paper
from tests.kinds import FORBIDDEN, GUARD, LONG, SERVERS, TOGETHER, Kind, group_of, kind_of, kind_of_function, longest
from tests.migrated import store_file
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


def opens_a_file_of_a_store() -> None:
    store_file(ROOT)


def connects() -> None:
    import sqlite3

    sqlite3.connect(":memory:")


@pytest.mark.parametrize(
    "function",
    [calls_a_program, calls_it_within, calls_it_through_a_module, calls_it_through_a_class, imports_it, forks],
)
def test_what_starts_a_process_however_far_away_is_a_system_test(function: Callable[[], None]) -> None:
    assert kind_of_function(function) is Kind.SYSTEM


@pytest.mark.parametrize("function", [asks_the_web_application, opens_a_file_of_a_store, connects])
def test_what_uses_a_database_file_or_the_web_application_is_a_component_test(function: Callable[[], None]) -> None:
    assert kind_of_function(function) is Kind.COMPONENT


def test_what_calculates_is_a_unit_test() -> None:
    assert kind_of_function(calls_nothing) is Kind.UNIT


CALLS = """
import pytest
from newsletter.preview.server import flask as web
from newsletter.schedule.crontabs import subprocess as processes
from newsletter.store.engines import sqlite3 as database

def quietly(act):
    try:
        act()
    except OSError:
        pass

def test_process():
    quietly(lambda: processes.run(["true"]))

@pytest.mark.component
def test_process_of_a_component():
    quietly(lambda: processes.run(["true"]))

def test_web():
    quietly(lambda: web.Flask("x").test_client().get("/"))

def test_database():
    quietly(lambda: database.connect(":memory:"))

@pytest.mark.component
def test_web_and_database_of_a_component():
    web.Flask("x").test_client().get("/")
    database.connect(":memory:").close()

@pytest.fixture(scope="session")
def server():
    yield
    processes.run(["true"])

@pytest.mark.system
def test_anything(server):
    processes.run(["true"])

def test_nothing_while_the_server_is_stopped():
    pass
"""


@pytest.mark.system
def test_a_call_that_the_kind_of_a_test_may_not_make_fails_it(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmarkers = unit\n component\n system\n")
    pytester.makeconftest('pytest_plugins = ["tests.kinds"]')
    pytester.makepyfile(CALLS)
    result = pytester.runpytest_subprocess("-p", "xdist")
    result.assert_outcomes(passed=7, errors=4)
    result.stdout.fnmatch_lines_random(
        [
            "*a unit test calls Popen.__init__: mark it `system`, or see REACH in tests/kinds.py*",
            "*a component test calls Popen.__init__: mark it `system`*",
            "*a unit test calls Flask.wsgi_app: mark it `component`*",
            "*a unit test calls connect: mark it `component`*",
        ]
    )


def test_tests_that_share_a_server_are_one_group_and_the_others_of_a_file_another(
    postgres_url: str, request: pytest.FixtureRequest
) -> None:
    assert group_of(request.node.nodeid) == group_of("tests/test_store.py::test_x[postgresql-1]") == "postgresql"
    assert group_of("tests/test_x.py::test_x[chromium-light]") == group_of("tests/test_y.py::test_y[chromium]")
    assert group_of("tests/test_x.py::test_x[none-chromium-postfix]") == group_of(
        "tests/test_y.py::y[postfix-chromium]"
    )
    mixed = {group_of(f"tests/test_x.py::x[{uses}]") for uses in ("chromium", "postfix", "chromium-postfix")}
    assert mixed == {"chromium+postfix"}
    assert group_of("tests/test_x.py::test_x[sqlite]") == group_of("tests/test_x.py::test_y") == "tests/test_x.py"
    assert group_of("tests/test_chaos.py::test_x[1]") == group_of("tests/test_schedule_github.py::test_y") == "faketime"
    assert group_of("tests/test_chaos.py::test_x[postgresql-1]") == "postgresql"


def test_the_groups_that_take_longest_begin_first() -> None:
    assert longest(["tests/test_a.py", "tests/test_wheel.py", "chromium", "postgresql"]) == "postgresql"
    assert longest(["tests/test_a.py", "tests/test_wheel.py"]) == "tests/test_wheel.py"
    assert longest(["tests/test_a.py"]) is None


def test_each_group_that_takes_long_is_there() -> None:
    shared = {*SERVERS, *TOGETHER.values()}
    assert all(set(group.split("+")) <= shared or (ROOT / group).is_file() for group in LONG)
    assert all((ROOT / file).is_file() for file in TOGETHER)


def test_a_thread_of_an_earlier_test_may_end_what_it_does(request: pytest.FixtureRequest) -> None:
    asked = threading.Event()
    gave: list[Any] = []

    def take() -> None:
        asked.wait(20)
        owner, name, _ = next(each for each in FORBIDDEN if each[1] == "bind")
        with owner() as made:
            gave.append(getattr(made, name)(("127.0.0.1", 0)))

    assert kind_of(request.node) is Kind.UNIT
    thread = threading.Thread(target=take)
    thread.start()
    GUARD.begin(Kind.UNIT)  # as the next test does
    asked.set()
    thread.join(20)
    assert gave == [None]
