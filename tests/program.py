"""Starts Python programs as processes in a tenth of the time: they are forked from one that has `newsletter` loaded.

`run` and `Popen` take what those of subprocess take, and give the same; `file` and `script` are for others. A command
of this Python with `-m MODULE` or `-c CODE` is forked from the *nest*: a process of this one's, which has imported all
of the program and has one thread. So is one of the Python of another environment, once `installed` has named it: its
nest has imported what is installed there.

    this process -- words, folder, environment, descriptors --> nest -- forks --> the program, which is our child

As after a real start: the program has a pid of its own and this process as its parent, so that waiting, signals, exit
codes and the use of resources are the kernel's; it has its standard streams and `pass_fds`, and no other descriptor;
its own folder, environment, time zone, umask, session and process group; sys.argv and sys.path; `__main__` runs anew.
At the end it waits for its threads and calls what atexit has.

Otherwise than after a real start: the modules of the program are loaded, also those of extras, and take their memory;
/proc/PID/cmdline shows the nest; the interpreter is not taken to pieces at the end. Tests of these, of an installation
and of another user use subprocess.

What a nest cannot imitate is really started: another command; one with a variable of REAL that is not as it was when
this process began; one with `preexec_fn`, `user`, `group`, `executable` or `shell`; and everything on a system that is
none of _CLONE. Programs with the same LD_PRELOAD, such as those whose clock is faked, have a nest of their own.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import io
import itertools
import json
import marshal
import math
import os
import pkgutil
import re
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, Final, NoReturn, TextIO

ROOT = Path(__file__).resolve().parents[1]
COMMAND: Final = (sys.executable, "-m", "newsletter")  # what a command line of `newsletter` begins with

# What a process reads before, or while, it loads its modules: the beginnings of names of environment variables.
REAL: Final = ("PYTHON", "LC_", "LANG", "LD_", "FAKETIME_", "DONT_FAKE")

FAKETIME: Final = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)

# The number of clone(2) among the system calls of Linux, by the machine.
_CLONE: Final = {"x86_64": 56, "aarch64": 220}.get(os.uname().machine) if sys.platform == "linux" else None
_CLONE_PARENT: Final = 0x8000

_COLLAPSE: Final = 25  # MADV_COLLAPSE of madvise(2), since Linux 6.1
_HUGE: Final = 1 << 21  # bytes of a huge page
_LARGEST: Final = 1 << 17  # bytes of a request
_MOST: Final = 253  # descriptors with a request, SCM_MAX_FD of Linux


class Popen(subprocess.Popen[Any]):
    """subprocess.Popen whose process comes from the nest, if it can."""

    # The step of subprocess.Popen that makes the process, on POSIX; the same since Python 3.11.
    def _execute_child(
        self, args: Any, executable: Any, preexec_fn: Any, close_fds: bool, pass_fds: Any, cwd: Any, env: Any,
        startupinfo: Any, creationflags: Any, shell: bool,
        p2cread: int, p2cwrite: int, c2pread: int, c2pwrite: int, errread: int, errwrite: int,
        restore_signals: bool, gid: Any, gids: Any, uid: Any, umask: int, start_new_session: bool, process_group: int,
    ) -> None:  # fmt: skip
        words = [os.fspath(word) for word in args] if isinstance(args, list | tuple) else []
        environ = dict(os.environ if env is None else env)
        odd = executable or preexec_fn or not close_fds or shell or gid or gids or uid
        nest = None if odd or not _is_ours(words) else _nest_for(words[0], environ)
        if nest is None:
            super()._execute_child(  # type: ignore[misc]
                args, executable, preexec_fn, close_fds, pass_fds, cwd, env, startupinfo, creationflags, shell,
                p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite,
                restore_signals, gid, gids, uid, umask, start_new_session, process_group,
            )  # fmt: skip
            return
        streams = [given if given >= 0 else own for own, given in enumerate((p2cread, c2pwrite, errwrite))]
        request = {
            "words": words[1:],
            "folder": os.fspath(cwd or Path.cwd()),
            "environ": environ,
            "umask": umask if umask >= 0 else _umask(),
            "session": start_new_session,
            "group": process_group,
            "passed": list(pass_fds),
        }
        self.pid = nest.fork(request, [*streams, *pass_fds])
        self._child_created = True
        self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)  # type: ignore[attr-defined]


def run(
    command: Any, *, input: str | bytes | None = None, capture_output: bool = False, timeout: float | None = None,  # noqa: A002
    check: bool = False, **options: Any,
) -> subprocess.CompletedProcess[Any]:  # fmt: skip
    """subprocess.run, whose process comes from the nest, if it can."""
    if capture_output:
        options["stdout"] = options["stderr"] = subprocess.PIPE
    if input is not None:
        options["stdin"] = subprocess.PIPE
    with Popen(command, **options) as process:
        try:
            out, err = process.communicate(input, timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


def file(path: Path, *words: str) -> list[str]:
    """The command line of a Python program that is one file, in the form that comes from the nest."""
    code = "import runpy, sys; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
    return [sys.executable, "-c", code, str(path), *words]


# Has a program run by `script`, with its arguments, folder, environment and streams, and ends as that does.
# Without the modules `socket` and `json` it starts in half of the time.
_CLIENT: Final = """\
#!{python} -IS
import _socket, marshal, os, sys
line = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
line.connect({path!r})
words = marshal.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)])
streams = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
line.sendmsg([words], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
sys.exit(int(line.recv(16)))
"""


@contextmanager
def script(path: Path, environ: Callable[[], Mapping[str, str]] = dict) -> Iterator[None]:
    """A script at `path` that other programs start as `newsletter`, during the block: each time a process of the nest.

    It runs in the folder, environment and streams of the script; what `environ` gives then goes beyond them.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(f"{path}.line")
        listener.listen()
        path.write_text(_CLIENT.format(python=sys.executable, path=f"{path}.line"), "utf-8")
        path.chmod(0o755)
        thread = threading.Thread(target=_run_each, args=(listener, environ))
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _run_each(listener: socket.socket, environ: Callable[[], Mapping[str, str]]) -> None:
    with suppress(OSError):  # the listener was shut down
        while True:
            line, _ = listener.accept()
            words, streams, _, _ = socket.recv_fds(line, _LARGEST, 3)
            arguments, folder, theirs = marshal.loads(words)
            stdin, stdout, stderr = streams
            done = run(
                [*COMMAND, *arguments], cwd=folder, env={**alike(theirs), **environ()},
                stdin=stdin, stdout=stdout, stderr=stderr,
            )  # fmt: skip
            for stream in streams:
                os.close(stream)
            line.send(str(done.returncode).encode())
            line.close()


def clock(ahead: timedelta) -> dict[str, str]:
    """The environment, beside its own, of a program whose clock is so far ahead; it needs Debian's faketime."""
    asked = f"{math.ceil(ahead.total_seconds()):+d}"
    return {"LD_PRELOAD": str(FAKETIME), "DONT_FAKE_MONOTONIC": "1", "FAKETIME_NO_CACHE": "1", "FAKETIME": asked}


def _is_ours(words: list[str]) -> bool:
    """Whether a command is one of this Python's, or of one that was named, which a nest knows how to run."""
    return words[:1] != [] and words[0] in _pythons and words[1:2] in (["-m"], ["-c"])


_pythons: Final = {sys.executable}


def installed(python: Path) -> None:
    """Fork the programs of the interpreter `python` too, in whose environment the newsletter is installed."""
    _pythons.add(str(python))


def loading(environ: Mapping[str, str]) -> dict[str, str]:
    """What of an environment decides how a program is loaded."""
    return {name: value for name, value in environ.items() if name.startswith(REAL)}


_own: Final = loading(os.environ)


def alike(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment in which a program is loaded as this process was."""
    return {name: value for name, value in environ.items() if not name.startswith(REAL)} | _own


# --- this process ----------------------------------------------------------------------------------------------------


class _Nest:
    """The nest, seen from the process that it belongs to. It ends when that process ends."""

    def __init__(self, python: str, environ: dict[str, str]) -> None:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours = python == sys.executable
        with theirs:
            number = str(theirs.fileno())
            self._process = subprocess.Popen(
                [python, *(["-m", "tests.program"] if ours else [__file__]),
                 number, "newsletter"],  # so that /proc/PID/cmdline names it
                cwd=ROOT if ours else Path(python).parent, env=environ,
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
            )  # fmt: skip
        self._owner = os.getpid()
        self._one_at_a_time = threading.Lock()
        atexit.register(self.end)

    def end(self) -> None:
        """Let it end, and wait for that."""
        if self._owner == os.getpid():
            self._line.close()
            self._process.wait()

    def fork(self, request: dict[str, Any], descriptors: list[int]) -> int:
        """The pid of a program, which is a child of this process."""
        with self._one_at_a_time:
            socket.send_fds(self._line, [json.dumps(request).encode()], descriptors)
            return int(self._line.recv(_LARGEST))


def _umask() -> int:
    """The umask of this process; see proc_pid_status(5)."""
    (line,) = re.findall(r"^Umask:\s*(\d+)$", Path("/proc/self/status").read_text("ascii"), re.MULTILINE)
    return int(line, 8)


_nests: Final[dict[Any, _Nest]] = {}  # by the pid of their process, and by how they are loaded


def _nest_for(python: str, environ: dict[str, str]) -> _Nest | None:
    """The nest for programs in this environment, which is begun if necessary; None for those that have none."""
    here = loading(environ)
    odd = python == sys.executable and here != _own and "LD_PRELOAD" not in here
    if _CLONE is None or odd:
        return None
    key = (os.getpid(), python, *sorted(here.items()))
    if key not in _nests:
        _nests[key] = _Nest(python, environ)
    return _nests[key]


# --- the nest --------------------------------------------------------------------------------------------------------


def main(line: socket.socket) -> None:
    """Be the nest of whoever is at the other end of `line`, and in each program that it forks, the program."""
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks decides when to end
    gc.disable()  # nothing of what is loaded is garbage
    _load()
    if __package__:  # a nest of this checkout, which forks hundreds
        _warm_up()
        _compact()
    gc.freeze()  # a collection in a program would write to, and so copy, every page that it shares with the nest
    gc.enable()
    request = _next_request(line)
    if request is None:
        os._exit(0)  # to take the interpreter to pieces takes a quarter of the time that the nest took to begin
    signal.signal(signal.SIGINT, interrupt)
    _become(request)


def _load() -> None:
    """Import all of the program, so that no process has to."""
    import newsletter
    from newsletter.errors import MissingExtra

    for module in pkgutil.walk_packages(newsletter.__path__, "newsletter."):
        if not module.name.endswith("__main__") and ".migrations" not in module.name:
            with suppress(
                ImportError, MissingExtra
            ):  # of an extra that is not installed here: whoever needs it will see that
                importlib.import_module(module.name)


def _warm_up() -> None:
    """Run commands, so that no process has to make anew what each one makes once.

    That is a fifth to a third of what a command takes: locales, patterns, style sheets, and SQL statements.
    """
    from newsletter import resources
    from newsletter.cli import cli
    from newsletter.errors import NewsletterError
    from tests import statements

    statements.share()
    with TemporaryDirectory() as folder, redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        path = Path(folder, "config.yaml")
        path.write_text(_CONFIG.format(folder=folder), "utf-8")
        path.chmod(0o600)
        Path(folder, "sendmail").write_text("#!/bin/sh\nexec cat > /dev/null\n", "utf-8")
        Path(folder, "sendmail").chmod(0o700)
        Path(folder, "readers.txt").write_text("ada@example.org\n", "utf-8")
        shutil.copy(resources.find("sample_day.json"), folder)
        for words in _USUAL:
            with suppress(NewsletterError, SystemExit):
                cli.main(["-c", str(path), *(word.format(folder) for word in words.split())], standalone_mode=False)
    assert threading.active_count() == 1


def _compact() -> None:
    """Have the memory in huge pages, where the system can: to fork a process and to end it takes half as long."""
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    maps = Path("/proc/self/maps").read_text("utf-8")
    for begin, end in re.findall(r"^(\w+)-(\w+) rw-p \w+ 00:00 0 ", maps, re.MULTILINE):  # of no file
        first, last = -(-int(begin, 16) // _HUGE) * _HUGE, int(end, 16) // _HUGE * _HUGE
        if first < last:
            advise(first, last - first, _COLLAPSE)


_USUAL: Final = (
    "subscribers import {}/readers.txt",
    "run --date 2026-07-31",
    "send",
    "status --json",
    "backup {}/backup.tar",
    "-c {}/other/config.yaml restore {}/backup.tar",
)
_CONFIG: Final = """\
sender: digest@news.example.org
postal_address: 1 Example Street
list_id: papers.news.example.org
secret: a secret of this process
feeds:
  - url: sample_day.json
smtp:
  - sendmail: {folder}/sendmail
"""


def _next_request(line: socket.socket) -> dict[str, Any] | None:
    """Fork a program for each request. Returns the request in the program; in the nest None, when nobody asks more."""
    while True:
        words, descriptors, _, _ = socket.recv_fds(line, _LARGEST, _MOST)
        if not words:
            return None
        if (program := _sibling()) == 0:
            request: dict[str, Any] = json.loads(words)
            _take(descriptors, [0, 1, 2, *request["passed"]])
            line.detach()
            return request
        line.send(str(program).encode())
        for descriptor in descriptors:
            os.close(descriptor)


def _sibling() -> int:
    """What os.fork does, but that the parent of the new process is this one's parent: whoever asked."""
    python = ctypes.pythonapi
    python.PyOS_BeforeFork()
    pid = python.syscall(_CLONE, _CLONE_PARENT, 0, 0, 0, 0)
    (python.PyOS_AfterFork_Parent if pid else python.PyOS_AfterFork_Child)()
    assert pid >= 0, "the nest cannot fork"
    return int(pid)


def _take(descriptors: list[int], numbers: list[int]) -> None:
    """Have each descriptor under its number, and no others."""
    free = max(*descriptors, *numbers) + 1
    for place, descriptor in enumerate(descriptors):
        os.dup2(descriptor, free + place)
    for place, number in enumerate(numbers):
        os.dup2(free + place, number)
    ends = [2, *sorted(numbers[3:]), os.sysconf("SC_OPEN_MAX")]
    for before, after in itertools.pairwise(ends):
        os.closerange(before + 1, after)


def _become(request: dict[str, Any]) -> NoReturn:
    """Run the program in this process, and end it."""
    os.chdir(request["folder"])
    os.umask(request["umask"])
    if request["session"]:
        os.setsid()
    if request["group"] >= 0:
        os.setpgid(0, request["group"])
    os.environ.clear()
    os.environ.update(request["environ"])
    time.tzset()
    sys.stdin, sys.stdout, sys.stderr = map(_stream, (sys.stdin, sys.stdout, sys.stderr))
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc, assignment]
    code: Any = 0
    try:
        _run(*request["words"])
    except SystemExit as ended:
        code = ended.code
    _end(code)


def _run(option: str, what: str, *words: str) -> None:
    """Do what `python OPTION WHAT WORDS` does."""
    if option == "-m":
        sys.argv, sys.path[0] = [what, *words], str(Path.cwd())
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[0] = ["-c", *words], ""
        sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(what, "<string>", "exec"), vars(sys.modules["__main__"]))


def _stream(old: TextIO) -> TextIO:
    """A standard stream as the interpreter opens it, on the descriptor of the nest's one, which stays as it is."""
    assert isinstance(old, io.TextIOWrapper)
    number = old.fileno()
    plain = os.environ.get("PYTHONUNBUFFERED") and old.writable()
    raw = open(number, "wb" if old.writable() else "rb", buffering=0 if plain else -1, closefd=False)  # noqa: SIM115
    lines = not plain and (number == 2 or os.isatty(number))
    return io.TextIOWrapper(raw, old.encoding, old.errors, line_buffering=lines, write_through=bool(plain))


def _end(code: Any) -> NoReturn:
    """End this process as the interpreter does, without taking it to pieces, which copies its memory."""
    if not isinstance(code, int | None):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit((code or 0) & 0xFF)
    sys.exit(code)  # the interpreter knows what to say of what cannot be written


if __name__ == "__main__":
    if not __package__:  # the nest of another environment, which knows nothing of this checkout
        sys.path[0] = str(Path.cwd())
    main(socket.socket(fileno=int(sys.argv[1])))
