"""Runs a parser in a child process with bounds on CPU, memory and wall time, so that no document stops the program.

    parent -- job --> nursery (forked once, one thread) -- forks --> child: one job, its bounds, its answer -- parent

The nursery exists because a process with threads must not fork: a lock that another thread holds would stay locked in
the child for ever. It is forked before any thread starts, shares the modules that are loaded by then, and forks a child
for each document in about three milliseconds. What a child breaks, it breaks for itself alone.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import pickle
import resource
import select
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, ParamSpec, Self, TypeVar

from newsletter.errors import ParsersGone

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_LENGTH: Final = struct.Struct("!Q")
_MEGABYTE: Final = 1 << 20
_LARGEST_ANSWER: Final = 512 * _MEGABYTE  # bytes


class Overrun(Exception):
    """A document was beyond a bound, or its parser ended without an answer; the message says which, in a few words."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one document may cost: seconds of CPU, seconds of wall time, and megabytes beside what the program holds."""

    cpu: int = 3
    wall: float = 4.0
    memory: int = 512


class Nursery:
    """Forks a child for each call; a context manager. To be entered while the process has one thread.

    The modules named in `preload` are imported in the nursery, so that no child has to.
    """

    def __init__(self, *preload: str) -> None:
        self._preload = preload
        self._pid = 0
        self._write = self._read = -1
        self._one_at_a_time = threading.Lock()

    def __enter__(self) -> Self:
        self.start()
        return self

    def start(self) -> None:
        """Fork the nursery."""
        sys.stdout.flush()
        sys.stderr.flush()
        jobs_read, jobs_write = os.pipe()
        answers_read, answers_write = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(jobs_write)
            os.close(answers_read)
            _nursery(jobs_read, answers_write, self._preload)
        os.close(jobs_read)
        os.close(answers_write)
        self._write, self._read = jobs_write, answers_read

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:  # a child may be at work: its own bounds end it
            os.kill(self._pid, signal.SIGKILL)
        self.stop()

    def stop(self) -> None:
        """End the nursery when its child, if there is one, has ended."""
        os.close(self._write)
        os.close(self._read)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)

    def call(
        self,
        bounds: Bounds,
        function: Callable[Arguments, Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """What `function` returns or raises, called in a child. All of it must be picklable.

        Raises Overrun when the child meets one of its bounds, or dies, and ParsersGone when the nursery was killed.
        """
        with self._one_at_a_time:
            try:
                _send(self._write, pickle.dumps((bounds, function, args, kwargs)))
                answer = _exactly(self._read)
            except BrokenPipeError:
                answer = None
        if answer is None:
            raise ParsersGone("the process that starts parsers was killed; run the command again")
        kind, value = pickle.loads(answer)  # noqa: S301 - our own child wrote it
        if kind == "result":
            result: Result = value
            return result
        raise value


# --- in the nursery --------------------------------------------------------------------------------------------------


def _nursery(jobs: int, answers: int, preload: Sequence[str]) -> None:
    """Take jobs until the parent closes its end; never returns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to end
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        for name in preload:
            importlib.import_module(name)
        gc.freeze()  # a collection in a child would write to, and so copy, every page that it shares with the nursery
        while (job := _exactly(jobs)) is not None:
            _send(answers, _in_a_child(job))
    except BaseException:  # the parent is gone: nobody is left to tell
        os._exit(1)
    os._exit(0)


def _in_a_child(job: bytes) -> bytes:
    """The pickled answer to a pickled job."""
    bounds: Bounds = pickle.loads(job)[0]  # noqa: S301 - our own parent wrote it
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        _work(job, bounds, write)
    os.close(write)
    answer = _within(read, bounds.wall)
    os.close(read)
    if answer is None:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if answer is not None and len(answer) > 0:
        return answer
    return pickle.dumps(("error", Overrun(_why(status, bounds, timed_out=answer is None))))


def _work(job: bytes, bounds: Bounds, write: int) -> None:
    """Do one job within its bounds; never returns."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (bounds.cpu, bounds.cpu + 1))
    memory = _mapped() + bounds.memory * _MEGABYTE
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    try:
        _, function, args, kwargs = pickle.loads(job)  # noqa: S301 - our own parent wrote it
        answer = pickle.dumps(("result", function(*args, **kwargs)))
    except MemoryError:
        os._exit(_OUT_OF_MEMORY)
    except RecursionError:
        os._exit(_TOO_DEEP)
    except Exception as error:
        answer = _pickled(error)
    with contextlib.suppress(OSError), os.fdopen(write, "wb") as stream:
        stream.write(answer)
    os._exit(0)


_OUT_OF_MEMORY: Final = 3  # exit statuses of a child
_TOO_DEEP: Final = 4


def _pickled(error: Exception) -> bytes:
    """The error for the parent; one that cannot travel becomes an Overrun with its words."""
    try:
        data = pickle.dumps(("error", error))
        pickle.loads(data)  # noqa: S301 - made in the line above
    except Exception:
        return pickle.dumps(("error", Overrun(f"the parser failed: {type(error).__name__}: {error}"[:500])))
    return data


def _why(status: int, bounds: Bounds, *, timed_out: bool) -> str:
    """Which bound a child has met, by its exit status."""
    if timed_out:
        return f"it takes more than {bounds.wall:g} seconds to read"
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL):
        return f"it takes more than {bounds.cpu} seconds of CPU to read"
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == _OUT_OF_MEMORY:
        return f"it takes more than {bounds.memory} MB of memory to read"
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == _TOO_DEEP:
        return "it is nested too deeply"
    return "its parser broke down"


def _mapped() -> int:
    """Bytes of address space that this process has mapped already; an estimate where /proc does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    except OSError:
        return 1024 * _MEGABYTE


# --- bytes over a pipe -----------------------------------------------------------------------------------------------


def _within(descriptor: int, seconds: float) -> bytes | None:
    """What is written until the other end is closed; None when that takes longer than `seconds`, or has no end."""
    deadline = time.monotonic() + seconds
    parts: list[bytes] = []
    size = 0
    while size <= _LARGEST_ANSWER:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return None
        data = os.read(descriptor, _MEGABYTE)
        if not data:
            return b"".join(parts)
        parts.append(data)
        size += len(data)
    return None


def _send(descriptor: int, data: bytes) -> None:
    view = memoryview(_LENGTH.pack(len(data)) + data)
    while view:
        view = view[os.write(descriptor, view) :]


def _exactly(descriptor: int) -> bytes | None:
    """The next message; None when the other end is closed."""
    head = _read(descriptor, _LENGTH.size)
    return None if head is None else _read(descriptor, _LENGTH.unpack(head)[0])


def _read(descriptor: int, size: int) -> bytes | None:
    parts: list[bytes] = []
    while size:
        data = os.read(descriptor, min(size, _MEGABYTE))
        if not data:
            return None
        parts.append(data)
        size -= len(data)
    return b"".join(parts)
