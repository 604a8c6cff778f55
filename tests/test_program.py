"""Programs from the nest (tests/program.py) are what they are after a real start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import program
from tests.conftest import ROOT

# What a process knows of itself, and whether the nest has it loaded.
SAYS = """\
import json, os, signal, sys, time
print(json.dumps({
    "parent": os.getppid(), "folder": os.getcwd(), "argv": sys.argv, "path": sys.path, "environ": dict(os.environ),
    "zone": time.strftime("%Z", time.localtime(0)), "umask": os.umask(0), "in": sys.stdin.read(),
    "leads": [os.getsid(0) == os.getpid(), os.getpgrp() == os.getpid()],
    "descriptors": sorted(map(int, os.listdir("/proc/self/fd")))[:-1],
    "interrupt": str(signal.getsignal(signal.SIGINT)),
    "streams": [
        (each.encoding, each.errors, each.line_buffering, each.write_through) for each in (sys.stdout, sys.stderr)
    ],
    "name": __name__, "main": sys.modules["__main__"].__dict__ is globals(),
}))
"""


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cwd": "/", "env": {**os.environ, "TZ": "Asia/Tokyo", "MORE": "1"}, "umask": 0o27, "input": "words"},
        {"start_new_session": True},
        {"process_group": 0},
    ],
)
def test_a_program_knows_of_itself_what_it_knows_after_a_real_start(options: dict[str, Any]) -> None:
    usual = {"cwd": ROOT, "env": dict(os.environ), "input": "", "capture_output": True, "text": True, "check": True}
    read, write = os.pipe()
    command = [sys.executable, "-c", SAYS, "a word", "-x"]
    really, forked = (
        json.loads(each(command, pass_fds=[write], **{**usual, **options}).stdout)
        for each in (subprocess.run, program.run)
    )
    os.close(read)
    os.close(write)
    assert forked == really
    assert forked["parent"] == os.getpid()


# A shell without job control starts what is in the background with SIGINT ignored, and so its children.
INTERRUPTIBLE = "import os, signal; signal.signal(signal.SIGINT, signal.default_int_handler)"


@pytest.mark.parametrize(
    ("code", "ended"),
    [
        ("import sys; sys.exit(75)", 75),
        ("import sys; sys.exit('words')", 1),
        ("raise ValueError", 1),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        (f"{INTERRUPTIBLE}; os.kill(os.getpid(), signal.SIGINT)", -signal.SIGINT),
        ("import atexit, threading; atexit.register(print, 2); threading.Timer(0.01, print, [1]).start()", 0),
        ("import sys; sys.stdout = open('/dev/full', 'w'); print(1)", 120),
    ],
)
def test_a_program_ends_as_after_a_real_start(code: str, ended: int) -> None:
    command = [sys.executable, "-c", code]
    really, forked = (each(command, capture_output=True, text=True) for each in (subprocess.run, program.run))
    assert (forked.returncode, forked.stdout) == (really.returncode, really.stdout) == (ended, forked.stdout)
    assert forked.stderr.splitlines()[-1:] == really.stderr.splitlines()[-1:]


def test_a_program_is_killed_and_waited_for() -> None:
    with program.Popen([sys.executable, "-c", "print(1, flush=True); input()"], stdin=-1, stdout=-1) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        process.kill()
        assert process.wait() == -signal.SIGKILL


def test_what_the_nest_cannot_imitate_is_really_started(tmp_path: Path) -> None:
    loaded = [sys.executable, "-c", "import sys; print('sqlalchemy' in sys.modules, *sys.argv[1:])", "x"]
    assert program.run(loaded, capture_output=True).stdout == b"True x\n"
    for name in ("PYTHONHASHSEED", "LC_ALL", "LD_BIND_NOW"):
        assert program.run(loaded, env={**os.environ, name: ""}, capture_output=True).stdout == b"False x\n"
    assert program.run([sys.executable, "-IS", *loaded[1:]], capture_output=True).stdout == b"False x\n"
    assert program.run(["true"]).returncode == 0
    with pytest.raises(FileNotFoundError):
        program.run([tmp_path / "nothing"])
