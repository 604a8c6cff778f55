"""Runs a parser in a child process with bounds on CPU, memory and wall time, so that no document stops the program.

    parent -- bounds, job --> nursery (forked once, one thread) -- the same --> child: one job at a time, and its answer

The nursery exists because a process with threads must not fork: a lock that another thread holds would stay locked in
the child for ever. It is forked before any thread starts, and shares the modules that are loaded by then.

A child takes one document after another, as a fork costs more than parsing most of them. It ends with the first that is
beyond a bound, and when it holds much more memory than it began with; the next document gets a new one. So what a
document breaks, it breaks for itself alone, and the bounds count from where the document before it left the child.

The parent may wait for an answer (`Nursery.call`), or do something else meanwhile (`Nursery.begin`). The nursery keeps
jobs that wait for the child, and answers that wait for the parent. A thread of the parent would not do: it hardly ever
gets its turn while another one imports modules.
"""

from __future__ import annotations

import contextlib
import gc
import math
import os
import pickle
import resource
import select
import signal
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, ParamSpec, Self, TypeVar

from newsletter.errors import ParsersGone

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_LENGTH: Final = struct.Struct("!Q")
_MEGABYTE: Final = 1 << 20
_LARGEST_ANSWER: Final = 512 * _MEGABYTE  # bytes
_MOST_KEPT: Final = 64 * _MEGABYTE  # bytes that a child may hold beside what it began with, and still get a job
_MOST_AHEAD: Final = 16 * _MEGABYTE  # bytes of jobs whose answers the parent may leave for later


class Overrun(Exception):
    """A document was beyond a bound, or its parser ended without an answer; the message says which, in a few words."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one document may cost: seconds of CPU, seconds of wall time, and megabytes beside what the program holds."""

    cpu: int = 3
    wall: float = 4.0
    memory: int = 512


class Nursery:
    """Calls functions in a child process; a context manager. To be entered while the process has one thread."""

    def __init__(self) -> None:
        self._pid = 0
        self._write = self._read = -1
        self._begun: deque[_Begun] = deque()  # whose answers have not been read, the oldest first
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
            _nursery(jobs_read, answers_write)
        os.close(jobs_read)
        os.close(answers_write)
        self._write, self._read = jobs_write, answers_read
        self._begun.clear()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def close(self) -> None:
        """Let the nursery end, and its child, also when it has a job. `stop` waits for that."""
        self._begun.clear()
        for descriptor in {self._write, self._read} - {-1}:
            os.close(descriptor)
        self._write = self._read = -1

    def stop(self) -> None:
        """End the nursery and its child, also when it has a job."""
        self.close()
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
        return self.begin(bounds, function, *args, **kwargs)()

    def begin(
        self,
        bounds: Bounds,
        function: Callable[Arguments, Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Callable[[], Result]:
        """Begin a `call`, and give what waits for its answer. What is begun is done one after another.

        Waits for older answers while jobs without one are more than 16 MB.
        """
        job = pickle.dumps((function, args, kwargs))
        begun = _Begun(len(job))
        with self._one_at_a_time:
            while self._begun and len(job) + sum(each.size for each in self._begun) > _MOST_AHEAD:
                self._read_answer()
            self._begun.append(begun)
            with contextlib.suppress(BrokenPipeError):  # then there is no answer either
                _send(self._write, pickle.dumps(bounds))
                _send(self._write, job)

        def answer() -> Result:
            with self._one_at_a_time:
                while begun in self._begun:
                    self._read_answer()
            result: Result = begun.opened()
            return result

        return answer

    def _read_answer(self) -> None:
        """Wait for the oldest answer that was not read."""
        self._begun[0].answer = _exactly(self._read)
        self._begun.popleft()


@dataclass(eq=False)
class _Begun:
    """A job that was sent: its bytes, and its pickled answer; None if it has none, or not yet."""

    size: int
    answer: bytes | None = None

    def opened(self) -> Any:
        """What the function returned. Raises what it raised, Overrun, and ParsersGone."""
        if self.answer is None:
            raise ParsersGone("the process that starts parsers was killed; run the command again")
        kind, value = pickle.loads(self.answer)  # noqa: S301 - our own child wrote it
        if kind == "result":
            return value
        raise value


# --- in the nursery --------------------------------------------------------------------------------------------------


def _nursery(jobs: int, answers: int) -> None:
    """Give jobs to a child until the parent closes its end; never returns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to end
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    parent = _Parent(jobs, answers)
    child: _Child | None = None
    try:
        gc.freeze()  # a collection in a child would write to, and so copy, every page that it shares with the nursery
        gc.collect(0)  # the program has put the first one off, and a document may make much garbage
        while True:
            bounds, job = parent.next_job()
            if child is not None and not child.fit():
                child.end()
                child = None
            child = child or _fork(jobs, answers)
            parent.answer(child.call(bounds, job, parent))
    except EOFError:
        if child is not None:
            child.end(at_once=True)
    except BaseException:  # the parent is gone: nobody is left to tell
        os._exit(1)
    os._exit(0)


class _Parent:
    """The parent as the nursery sees it: where it reads jobs and writes answers, and those that wait."""

    def __init__(self, jobs: int, answers: int) -> None:
        os.set_blocking(answers, False)
        self._jobs, self._answers = jobs, answers
        self._waiting: deque[tuple[bytes, bytes]] = deque()
        self._unread = bytearray()

    def next_job(self) -> tuple[bytes, bytes]:
        """The next job, behind its bounds. Raises EOFError when the parent has closed its end."""
        while not self._waiting:
            self.attend(None)
        return self._waiting.popleft()

    def answer(self, data: bytes) -> None:
        """Give the parent an answer as soon as it reads it."""
        self._unread += _LENGTH.pack(len(data)) + data

    def attend(self, seconds: float | None, *others: int) -> bool:
        """Wait once, at most `seconds`, for the parent or one of `others`; returns whether one of these can be read.

        Raises EOFError when the parent has closed its end, and OSError when it does not read any more.
        """
        read, write, _ = select.select([self._jobs, *others], [self._answers] if self._unread else [], [], seconds)
        if write:
            del self._unread[: os.write(self._answers, self._unread)]
        if self._jobs in read:
            bounds, job = _exactly(self._jobs), _exactly(self._jobs)
            if bounds is None or job is None:
                raise EOFError
            self._waiting.append((bounds, job))
        return any(other in read for other in others)


@dataclass
class _Child:
    """A child as the nursery sees it: where it reads jobs and writes answers, and the memory in bytes that it may keep.

    `status` is that of `os.waitpid`, None while it runs.
    """

    pid: int
    jobs: int
    answers: int
    most: int
    status: int | None = None

    def call(self, bounds: bytes, job: bytes, parent: _Parent) -> bytes:
        """The pickled answer to a pickled job; the child has ended if there is none within the bounds.

        Meanwhile the parent is attended to.
        """
        allowed: Bounds = pickle.loads(bounds)  # noqa: S301 - our own parent wrote it
        with contextlib.suppress(BrokenPipeError):  # it has met a bound while it read the job
            _send(self.jobs, bounds)
            _send(self.jobs, job)
        answer, timed_out = _within(self.answers, allowed.wall, parent)
        if answer is not None:
            return answer
        if timed_out:
            os.kill(self.pid, signal.SIGKILL)
        _, self.status = os.waitpid(self.pid, 0)
        return pickle.dumps(("error", Overrun(_why(self.status, allowed, timed_out=timed_out))))

    def fit(self) -> bool:
        """Whether it can take another job: it runs, and has not kept too much memory."""
        if self.status is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = status if ended else None
        return self.status is None and _mapped(self.pid) <= self.most

    def end(self, *, at_once: bool = False) -> None:
        """Let it end, which it does when it has no job; with `at_once` also when it has one."""
        if at_once and self.status is None:
            os.kill(self.pid, signal.SIGKILL)
        os.close(self.jobs)
        os.close(self.answers)
        if self.status is None:
            os.waitpid(self.pid, 0)


def _fork(*parents: int) -> _Child:
    """A new child; `parents` are the nursery's own ends, which would stay open in the child after its death."""
    jobs_read, jobs_write = os.pipe()
    answers_read, answers_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        for descriptor in (*parents, jobs_write, answers_read):
            os.close(descriptor)
        _work(jobs_read, answers_write)
    os.close(jobs_read)
    os.close(answers_write)
    return _Child(pid, jobs_write, answers_read, _mapped() + _MOST_KEPT)


# --- in a child ------------------------------------------------------------------------------------------------------


def _work(jobs: int, answers: int) -> None:
    """Do jobs, each within its bounds, until the nursery closes its end; never returns."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        while (bounds := _exactly(jobs)) is not None:
            _limit(pickle.loads(bounds))  # noqa: S301 - our own parent wrote it
            if (job := _exactly(jobs)) is not None:
                _send(answers, _answer(job))
    except MemoryError:
        os._exit(_OUT_OF_MEMORY)
    except RecursionError:
        os._exit(_TOO_DEEP)
    except OSError:  # the nursery is gone
        os._exit(1)
    os._exit(0)


def limits(bounds: Bounds, used: float, mapped: int) -> dict[int, int]:
    """The soft limits of a child for one job, when it has `used` so many seconds of CPU and `mapped` so many bytes."""
    return {
        resource.RLIMIT_CPU: math.ceil(used) + bounds.cpu,
        resource.RLIMIT_AS: mapped + bounds.memory * _MEGABYTE,
    }


def _limit(bounds: Bounds) -> None:
    for kind, soft in limits(bounds, time.process_time(), _mapped()).items():
        _, hard = resource.getrlimit(kind)  # stays, because it could not be raised for the next job
        resource.setrlimit(kind, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _answer(job: bytes) -> bytes:
    """The pickled answer to a pickled job. Raises MemoryError and RecursionError, which end the child."""
    try:
        function, args, kwargs = pickle.loads(job)  # noqa: S301 - our own parent wrote it
        return pickle.dumps(("result", function(*args, **kwargs)))
    except (MemoryError, RecursionError):
        raise
    except Exception as error:
        return _pickled(error)


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


def _mapped(process: int | str = "self") -> int:
    """Bytes of address space that a process has mapped; an estimate where /proc does not tell."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    except OSError:
        return 1024 * _MEGABYTE


# --- bytes over a pipe -----------------------------------------------------------------------------------------------


def _within(descriptor: int, seconds: float, parent: _Parent) -> tuple[bytes | None, bool]:
    """The next message, and whether it takes longer than `seconds` or is endless; None when the other end is closed.

    Meanwhile `parent` is attended to.
    """
    deadline = time.monotonic() + seconds
    parts: list[bytes] = []
    missing = _LENGTH.size
    head = True
    while missing:
        left = deadline - time.monotonic()
        if not parent.attend(max(0.0, left), descriptor):
            if left <= 0:
                return None, True
            continue
        data = os.read(descriptor, min(missing, _MEGABYTE))
        if not data:
            return None, False
        parts.append(data)
        missing -= len(data)
        if head and not missing:
            (missing,) = _LENGTH.unpack(b"".join(parts))
            parts, head = [], False
            if missing > _LARGEST_ANSWER:
                return None, True
    return b"".join(parts), False


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
