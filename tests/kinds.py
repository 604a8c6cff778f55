"""Which tests are unit tests, and which tests run in one process because they share a server.

A unit test uses the process of pytest alone: it starts no other process, opens no socket, asks no server (neither a
database server nor our own web application, be it within this process), and takes less than a second with all its
parameters; SQLite in a folder of its own is fine. `make unit` runs these. A test is taken for one unless its code, the
code of its fixtures, or code under tests/ that these name, names something of OUTSIDE. Where that is wrong the test
fails when it makes a call of FORBIDDEN, and says what to do: it gets the mark `system`. A test that takes longer has
the mark `slow`.

pytest-xdist runs the tests in as many processes as there are cores. The tests that share a server stay together, so
that each server is started once; the other tests of a file stay together too, except those of ONE_BY_ONE.
"""

from __future__ import annotations

import gc
import inspect
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Generator, Iterator
from functools import cache, wraps
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask
from xdist.scheduler import LoadScopeScheduling

from tests import needs

if TYPE_CHECKING:
    from xdist.remote import Producer

# Modules, and names in our own ones, whose users start a process, talk to a server or drive the web application.
OUTSIDE = {
    *("subprocess", "multiprocessing", "pty", "socket", "socketserver", "http.server", "http.client", "imaplib"),
    *("aiosmtpd", "psycopg", "schemathesis", "selenium", "newsletter.demo", "newsletter.preview.server"),
    *("newsletter.children", "newsletter.bounces.mailbox", "newsletter.transport.connect", "newsletter.transport.pool"),
    *("create_app", "flask"),
}

# The fixtures of these servers have the name as their parameter, so that it is part of the name of each test that uses
# one. Browser and mail host are one group, since some tests use both.
SERVERS = {"postgresql": "postgresql", "chromium": "browser", "postfix": "browser"}

# Groups that take longest, and so begin first: at the end no process should be alone with one.
LONG = (
    *("postgresql", "browser", "tests/test_check.py", "tests/test_wheel.py", "tests/test_schedule_github.py"),
    *("tests/test_feed_chaos.py", "tests/test_web.py"),
)

# Files whose tests take long together and share little: they are spread one by one.
ONE_BY_ONE = {"test_chaos.py", "test_regexes.py"}

# Files whose tests are no unit tests: `make unit` does not even import them, which takes two seconds.
SYSTEM_FILES = {
    *(
        "test_chaos.py",
        "test_cli.py",
        "test_feed_chaos.py",
        "test_preview.py",
        "test_regexes.py",
        "test_web_browser.py",
    ),
    *("test_web_fuzz.py", "test_wheel.py"),
}

# Calls that no unit test makes.
FORBIDDEN: tuple[tuple[Any, str], ...] = (
    (subprocess.Popen, "__init__"),
    (os, "fork"),
    (socket.socket, "bind"),
    (socket.socket, "connect"),
    (Flask, "wsgi_app"),
)

ADVICE = (
    "a unit test starts a process, opens a socket or asks the web application: "
    "mark it `system`, or see OUTSIDE in tests/kinds.py"
)

ROOM = 1024 * 1024 * 1024  # bytes; the folders of a test are removed when it has passed


def pytest_configure() -> None:
    """Have pytest make the folders of the tests in memory, where there is room and nobody asks for another place."""
    GUARD.install()
    folder = needs.memory(ROOM)
    if folder is not None and "TMPDIR" not in os.environ:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(folder))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave SYSTEM_FILES alone where only unit tests are asked for."""
    return True if config.option.markexpr == "unit" and collection_path.name in SYSTEM_FILES else None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep Python's garbage collector away from the tests themselves, which stay until the end: a sixth of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the unit tests."""
    assert isinstance(item, pytest.Function)
    others = item.path.name in SYSTEM_FILES or any(item.get_closest_marker(name) for name in ("system", "slow"))
    if not others and server_of(item.nodeid) is None and not any(map(starts_something, functions_of(item))):
        item.add_marker("unit")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Have pytest-xdist take its groups from `group_of`: first those of LONG, then the one that has the most tests."""
    return Scheduling(config, log)


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Runs the tests of a group in one process."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)

    def _assign_work_unit(self, node: Any) -> None:
        if (group := longest(self.workqueue)) is not None:
            self.workqueue.move_to_end(group, last=False)
        super()._assign_work_unit(node)


def longest(waiting: Collection[str]) -> str | None:
    """The group of LONG that comes first of those that wait, if there is one."""
    return next((group for group in LONG if group in waiting), None)


def group_of(nodeid: str) -> str:
    """The name of the tests that run in one process with this test."""
    path = nodeid.partition("::")[0]
    return server_of(nodeid) or (nodeid if Path(path).name in ONE_BY_ONE else path)


def server_of(nodeid: str) -> str | None:
    """The group of the server that a test uses, None when it uses none."""
    parameters = nodeid.partition("[")[2]
    return next((group for server, group in SERVERS.items() if re.search(rf"\b{server}\b", parameters)), None)


def functions_of(item: pytest.Function) -> Iterator[Callable[..., Any]]:
    """The functions that run for a test: its own, and those of its fixtures."""
    yield item.function
    for definitions in item._fixtureinfo.name2fixturedefs.values():
        yield from (definition.func for definition in definitions)


@cache
def starts_something(function: Callable[..., Any]) -> bool:
    """Whether a function of a test or fixture starts a process or talks to a server, as far as its code shows."""
    return reaches_outside(function)


def reaches_outside(thing: Any, seen: set[int] | None = None) -> bool:
    """Whether a function, class or module, or whatever of tests/ it names, names something of OUTSIDE."""
    seen = set() if seen is None else seen
    if id(thing) in seen:
        return False
    seen.add(id(thing))
    if is_outside(thing):
        return True
    if inspect.isclass(thing) and is_ours(thing):
        members = [member for each in thing.__mro__ if is_ours(each) for member in vars(each).values()]
        return any(reaches_outside(member, seen) for member in members)
    if isinstance(thing, (property, classmethod, staticmethod)):
        return any(reaches_outside(getattr(thing, name, None), seen) for name in ("fget", "__func__"))
    thing = inspect.unwrap(thing) if callable(thing) else thing
    if not isinstance(thing, FunctionType) or not is_ours(thing):
        return False
    names = set(names_in(thing.__code__))
    named = [thing.__globals__[name] for name in names if name in thing.__globals__]
    named += [sys.modules[name] for name in names if name.startswith("tests.")]  # a function may import what it uses
    for module in [each for each in named if isinstance(each, ModuleType) and is_ours(each)]:
        named += [vars(module)[name] for name in names if name in vars(module)]
    return bool(names & OUTSIDE) or any(reaches_outside(each, seen) for each in named)


def is_ours(thing: Any) -> bool:
    """Whether a module, function or class is part of tests/."""
    return module_name(thing).startswith("tests.")


def module_name(thing: Any) -> str:
    """The name of a module, or of the module that defines a function or class."""
    return thing.__name__ if isinstance(thing, ModuleType) else str(getattr(thing, "__module__", ""))


def is_outside(thing: Any) -> bool:
    """Whether something is one of OUTSIDE, or is defined in a module of it."""
    return isinstance(thing, ModuleType | FunctionType | type) and in_outside(module_name(thing))


@cache
def in_outside(module: str) -> bool:
    """Whether a module is one of OUTSIDE, or within one."""
    return any(f"{module}.".startswith(f"{name}.") for name in OUTSIDE)


def names_in(code: CodeType) -> Iterator[str]:
    """The global names, attributes and imports that a function and those within it use."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)


class Guard:
    """Refuses the calls of FORBIDDEN while a unit test is under way, and remembers that.

    A thread that an earlier test has left behind, such as one that still connects, may end what it does.
    """

    def __init__(self) -> None:
        self.on = False
        self.refused = False
        self._earlier: set[int | None] = set()

    def install(self) -> None:
        """Put it before each call of FORBIDDEN, for as long as this process lasts."""
        for owner, name in FORBIDDEN:
            setattr(owner, name, self._refusing(getattr(owner, name)))

    def begin(self) -> None:
        """Refuse from now on."""
        self.on = True
        self._earlier = {thread.ident for thread in threading.enumerate()} - {threading.get_ident()}

    def end(self) -> bool:
        """Refuse nothing any longer. Returns whether anything was refused."""
        self.on = False
        refused, self.refused = self.refused, False
        return refused

    def _refusing(self, act: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(act)
        def refuse(*args: Any, **kwargs: Any) -> Any:
            if not self.on or threading.get_ident() in self._earlier:
                return act(*args, **kwargs)
            self.refused = True
            raise OSError(ADVICE)

        return refuse


GUARD = Guard()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Guard a unit test. A fixture for each of thousands of tests would take a second in all."""
    if item.get_closest_marker("unit") is not None:
        GUARD.begin()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown() -> Generator[None, object, object]:
    """Fail a unit test that is none, also when the program took what was refused for a fault of the network."""
    try:
        return (yield)
    finally:
        if GUARD.end():
            pytest.fail(ADVICE)
