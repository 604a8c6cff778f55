"""One process that starts parsers, for all the runs that a process of the tests makes.

The program forks one for each command, before it has a thread. A process of pytest has loaded all tests, and has
threads of servers: to fork it took 30 ms of CPU in each of a thousand runs. So one is forked while the process is
small, and serves every run in it. The tests of newsletter/children.py, and the commands that run as processes, have
their own.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from types import TracebackType

import pytest
from xdist import is_xdist_controller

from newsletter.bounces import process
from newsletter.children import Nursery
from newsletter.feed import gathering
from tests.kinds import wants_system


class Lasting(Nursery):
    """A nursery that goes on when a run has ended. It ends with the process that it belongs to."""

    _owner = 0

    def start(self) -> None:
        """Fork it, unless it is there."""
        if self._owner != os.getpid() or os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            super().start()
            self._owner = os.getpid()

    def close(self) -> None:
        """Leave it to the next run."""

    def stop(self) -> None:
        """Leave it to the next run."""

    def end(self) -> None:
        """Let it end, and wait for that."""
        if self._owner == os.getpid():
            super().close()
            super().stop()
            self._owner = 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, Exception):  # its answer may be under way
            os.kill(self._pid, signal.SIGKILL)
            self.end()


_nursery = Lasting()


def pytest_collection(session: pytest.Session) -> None:
    """Fork it before the tests are imported, in the processes that run tests which may need it."""
    asked = session.config
    if wants_system(asked) and not asked.option.collectonly and not is_xdist_controller(session):
        _nursery.start()


@pytest.fixture(scope="session", autouse=True)
def lasting_parser() -> Iterator[None]:
    """Have the runs in this process use it."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (gathering, process):
            patch.setattr(module, "parser", lambda: _nursery)
        yield
    _nursery.end()
