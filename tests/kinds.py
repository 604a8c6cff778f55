"""Which tests are unit, component and system tests, and which run in one process because they share a server.

* A unit test is pure: it uses this process alone, and neither a database nor the web application. `make unit` runs it.
* A component test also uses a database file (SQLite) or the web application within this process. `make check` runs
  both. Neither starts another process, opens a socket or asks a server.
* A system test is any other. `make test` runs all. So it does with a test that takes more than a second of CPU with
  all its parameters: that has the mark `slow`.

A test is the largest kind that REACH has for a name in its code, in the code of its fixtures, or in code under tests/
that these name. Where that is too small the test fails at a call of FORBIDDEN, and says what to do: it gets the mark of
its kind, `component` or `system`.

pytest-xdist runs the tests in as many processes as there are cores. The tests that share a server stay together, so
that each server is started once; the other tests of a file stay together too, and so do the files of TOGETHER.
"""

from __future__ import annotations

import gc
import inspect
import os
import re
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from contextlib import suppress
from enum import IntEnum
from functools import cache, wraps
from importlib import import_module
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask
from xdist.scheduler import LoadScopeScheduling

from tests import needs

if TYPE_CHECKING:
    from xdist.remote import Producer


class Kind(IntEnum):
    """What a test uses, from little to much."""

    UNIT = 1
    COMPONENT = 2
    SYSTEM = 3

    @property
    def mark(self) -> str:
        """Its name in pytest."""
        return self.name.lower()


# Modules, and names in our own ones, whose users are at least of a kind.
REACH: dict[Kind, set[str]] = {
    Kind.SYSTEM: {
        *("subprocess", "multiprocessing", "pty", "socket", "socketserver", "http.server", "http.client", "imaplib"),
        *("aiosmtpd", "psycopg", "schemathesis", "selenium", "newsletter.demo", "newsletter.preview.server"),
        *("newsletter.children", "newsletter.bounces.mailbox", "newsletter.transport.connect"),
        "newsletter.transport.pool",
    },
    Kind.COMPONENT: {"sqlite3", "sqlalchemy", "newsletter.store", "flask", "create_app"},
}

# Servers that are started for tests. Their fixtures have the name as their parameter, so that it is part of the name of
# each test that uses one.
SERVERS = ("postgresql", "chromium", "postfix")

# Servers that some tests use together: all tests that use any of them are a group. To start one takes a second or two.
USED_TOGETHER = {"chromium", "postfix"}

# Groups that take longest, or long for their few tests, and so begin first: the longest that is left should be short,
# since at the end no process should be alone with one.
LONG = (
    *("postgresql", "chromium+postfix", "faketime", "tests/test_check.py", "tests/test_wheel.py"),
    *("tests/test_cli.py", "tests/test_feed_chaos.py"),
    *("tests/test_proxies.py", "tests/test_limits.py", "tests/test_container.py", "tests/test_bounces_poison.py"),
    *("tests/test_days.py", "tests/test_regexes.py", "tests/test_web_fuzz.py", "tests/test_systemd.py"),
    *("tests/test_fuzz.py", "tests/test_quickstart.py", "tests/test_worker.py", "tests/test_web_load.py"),
    *("tests/test_editions.py", "tests/test_web.py"),
)

# Files that share what takes long to begin, by the name of their group. Programs with a faked clock come from a process
# of their own (tests/program.py), which takes two seconds.
TOGETHER = dict.fromkeys(("tests/test_chaos.py", "tests/test_schedule_github.py"), "faketime")

# Files of which each test is a system test. Where none is asked for they are not imported, which takes two seconds.
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

# Calls, and the smallest kind of tests that may make them.
FORBIDDEN: tuple[tuple[Any, str, Kind], ...] = (
    (subprocess.Popen, "__init__", Kind.SYSTEM),
    (os, "fork", Kind.SYSTEM),
    (socket.socket, "bind", Kind.SYSTEM),
    (socket.socket, "connect", Kind.SYSTEM),
    (sqlite3, "connect", Kind.COMPONENT),
    (sqlite3.dbapi2, "connect", Kind.COMPONENT),
    (Flask, "wsgi_app", Kind.COMPONENT),
)

TESTPATHS = pytest.Config.ArgsSource.TESTPATHS  # all files of tests are asked for

ROOM = 1024 * 1024 * 1024  # bytes; the folders of a test are removed when it has passed


def pytest_configure() -> None:
    """Have pytest make the folders of the tests in memory, where there is room and nobody asks for another place."""
    GUARD.install()
    folder = needs.memory(ROOM)
    if folder is not None and "TMPDIR" not in os.environ:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(folder))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave SYSTEM_FILES alone where no system test is asked for."""
    return True if collection_path.name in SYSTEM_FILES and not wants_system(config) else None


def wants_system(config: pytest.Config) -> bool:
    """Whether system tests are asked for, too."""
    return config.option.markexpr not in ("unit", "unit or component")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep Python's garbage collector away from the tests themselves, which stay until the end: a sixth of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collectstart(collector: pytest.Collector) -> None:
    """In a process of pytest-xdist, import the files of tests, each process from another file on.

    pytest rewrites and compiles each file of tests that has changed, in a new checkout all of them, which takes four
    seconds. What one process has compiled the others find. If a file cannot be imported, the collection says so.
    """
    config = collector.config
    worker: dict[str, Any] = getattr(config, "workerinput", {})
    if not worker or not isinstance(collector, pytest.Session) or config.args_source is not TESTPATHS:
        return
    files = sorted(Path(__file__).parent.glob("test_*.py"))
    first = len(files) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
    for file in files[first:] + files[:first]:
        with suppress(Exception, pytest.skip.Exception):
            import_module(f"tests.{file.stem}")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark a test with its kind, if tests are chosen by marks. Each process of pytest-xdist collects all tests."""
    if item.config.option.markexpr and item.get_closest_marker("slow") is None:
        item.add_marker(kind_of(item).mark)


def kind_of(item: pytest.Item) -> Kind:
    """The kind of a test; one with the mark `slow` may do anything."""
    assert isinstance(item, pytest.Function)
    if item.path.name in SYSTEM_FILES or item.get_closest_marker("slow") is not None or servers_of(item.nodeid):
        return Kind.SYSTEM
    marked = (kind for kind in Kind if item.get_closest_marker(kind.mark) is not None)
    return max(Kind.UNIT, *marked, *map(kind_of_function, functions_of(item)))


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
    servers = set(servers_of(nodeid))
    if servers & USED_TOGETHER:
        servers |= USED_TOGETHER
    return "+".join(sorted(servers)) or TOGETHER.get(path, path)


def servers_of(nodeid: str) -> list[str]:
    """The servers that a test uses."""
    parameters = nodeid.partition("[")[2]
    return [server for server in SERVERS if re.search(rf"\b{server}\b", parameters)]


def functions_of(item: pytest.Function) -> Iterator[Callable[..., Any]]:
    """The functions that run for a test: its own, and those of its fixtures."""
    yield item.function
    for definitions in item._fixtureinfo.name2fixturedefs.values():
        yield from (definition.func for definition in definitions)


@cache
def kind_of_function(function: Callable[..., Any]) -> Kind:
    """The kind of a test that runs this function, as far as its code shows."""
    return reach(function, set())


def reach(thing: Any, seen: set[int]) -> Kind:
    """The largest kind that REACH has for a function, class or module, or for whatever of tests/ it names."""
    if id(thing) in seen:
        return Kind.UNIT
    seen.add(id(thing))
    if (outside := kind_of_module(thing)) > Kind.UNIT:
        return outside
    if inspect.isclass(thing) and is_ours(thing):
        return furthest((member for each in thing.__mro__ if is_ours(each) for member in vars(each).values()), seen)
    if isinstance(thing, (property, classmethod, staticmethod)):
        return furthest((getattr(thing, name, None) for name in ("fget", "__func__")), seen)
    thing = inspect.unwrap(thing) if callable(thing) else thing
    if not isinstance(thing, FunctionType) or not is_ours(thing):
        return Kind.UNIT
    kind, named = named_in(thing)
    return max(kind, furthest(named, seen))


@cache
def named_in(function: FunctionType) -> tuple[Kind, list[Any]]:
    """The largest kind that REACH has for a name in a function, and what its names mean."""
    names = set(names_in(function.__code__))
    named = [function.__globals__[name] for name in names if name in function.__globals__]
    named += [sys.modules[name] for name in names if name.startswith("tests.")]  # a function may import what it uses
    for module in [each for each in named if isinstance(each, ModuleType) and is_ours(each)]:
        named += [vars(module)[name] for name in names if name in vars(module)]
    return max((kind for kind, those in REACH.items() if names & those), default=Kind.UNIT), named


def furthest(things: Iterable[Any], seen: set[int]) -> Kind:
    """The largest kind of these."""
    return max((reach(thing, seen) for thing in things), default=Kind.UNIT)


def is_ours(thing: Any) -> bool:
    """Whether a module, function or class is part of tests/."""
    return module_name(thing).startswith("tests.")


def module_name(thing: Any) -> str:
    """The name of a module, or of the module that defines a function or class."""
    return thing.__name__ if isinstance(thing, ModuleType) else str(getattr(thing, "__module__", ""))


def kind_of_module(thing: Any) -> Kind:
    """What REACH has for a module, or for the module that defines a function or class."""
    return kind_of_name(module_name(thing)) if isinstance(thing, ModuleType | FunctionType | type) else Kind.UNIT


@cache
def kind_of_name(module: str) -> Kind:
    """What REACH has for the name of a module, or of one that contains it."""
    kinds = (kind for kind, names in REACH.items() if any(f"{module}.".startswith(f"{name}.") for name in names))
    return max(kinds, default=Kind.UNIT)


def names_in(code: CodeType) -> Iterator[str]:
    """The global names, attributes and imports that a function and those within it use."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)


class Guard:
    """Refuses the calls of FORBIDDEN while a test of a smaller kind is under way, and remembers that.

    A thread that an earlier test has left behind, such as one that still connects, may end what it does.
    """

    def __init__(self) -> None:
        self._kind = Kind.SYSTEM
        self._refused = ""
        self._earlier: set[int | None] = set()

    def install(self) -> None:
        """Put it before each call of FORBIDDEN, for as long as this process lasts."""
        for owner, name, least in FORBIDDEN:
            setattr(owner, name, self._refusing(getattr(owner, name), least))

    def begin(self, kind: Kind) -> None:
        """Refuse from now on what a test of this kind may not call."""
        self._kind = kind
        self._earlier = {thread.ident for thread in threading.enumerate()} - {threading.get_ident()}

    def end(self) -> str:
        """Refuse nothing any longer. Returns what to say about what was refused, nothing if nothing was."""
        self._kind = Kind.SYSTEM
        refused, self._refused = self._refused, ""
        return refused

    def _refusing(self, act: Callable[..., Any], least: Kind) -> Callable[..., Any]:
        @wraps(act)
        def refuse(*args: Any, **kwargs: Any) -> Any:
            if self._kind >= least or threading.get_ident() in self._earlier:
                return act(*args, **kwargs)
            what = f"a {self._kind.mark} test calls {act.__qualname__}"
            self._refused = f"{what}: mark it `{least.mark}`, or see REACH in tests/kinds.py"
            raise OSError(self._refused)

        return refuse


GUARD = Guard()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Guard a test. A fixture for each of thousands of tests would take a second in all."""
    GUARD.begin(kind_of(item))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown() -> Generator[None, object, object]:
    """Fail a test that made a call of FORBIDDEN, also when the program took that for a fault of the network.

    What ends with this test may be a server that other tests have used, which starts a process to stop it.
    """
    refused = GUARD.end()
    try:
        return (yield)
    finally:
        if refused:
            pytest.fail(refused)
