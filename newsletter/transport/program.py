"""Mail by a program in place of a server, such as the sendmail of Postfix or Exim, or msmtp.

The program is reached as a server is: a thread at the other end of a pair of sockets speaks SMTP, runs the program for
each message, and turns its exit code into a reply. So limits, connections and verdicts are those of any server.

The program gets the message from a file rather than from a pipe. If this process ends while the program reads, nothing
of the message is missing, and how far it was read is known.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Final

from newsletter.errors import TransportMisconfigured
from newsletter.text import one_line

EXTENSIONS: Final[Mapping[str, str]] = {"pipelining": "", "smtputf8": ""}

# The reply to a message when no copy can be sent until the operator acts. transport.session knows that it comes from
# here, since the 554 of a server does not mean that.
FAULT: Final = 554

# What exit codes mean (sysexits.h, and those of a shell that cannot run a program). All others may pass: the copy is
# deferred, never refused. EX_NOHOST is among them, because msmtp means its own server by it.
_REPLIES: Final[Mapping[int, tuple[int, str]]] = {
    os.EX_OK: (250, "2.0.0 taken"),
    os.EX_USAGE: (FAULT, "5.3.5 EX_USAGE: it does not know its arguments"),
    os.EX_NOUSER: (550, "5.1.1 EX_NOUSER: no such user"),
    os.EX_OSFILE: (FAULT, "5.3.5 EX_OSFILE: a file that it needs is missing"),
    os.EX_NOPERM: (FAULT, "5.3.5 EX_NOPERM: it may not do that"),
    os.EX_CONFIG: (FAULT, "5.3.5 EX_CONFIG: its configuration is wrong"),
    126: (FAULT, "5.3.5 exit code 126: not executable"),
    127: (FAULT, "5.3.5 exit code 127: not found"),
}
_NAMES: Final = {getattr(os, name): name for name in dir(os) if name.startswith("EX_")}

# What a program quotes of the server that it talks to: "server message: 550 5.1.1 no such user" (msmtp), or
# "RCPT TO:<x> (550 5.1.1 no such user)" (ssmtp). Then the server's own words decide.
_QUOTED: Final = re.compile(r"(?:server message: |\()([45]\d\d)[ -]([^\n)]{0,400})")
_QUOTE: Final = frozenset({451, FAULT})  # replies in whose place a quoted one comes

_WITHIN: Final = 600.0  # seconds for one message, as for the reply of a server
_LONGEST: Final = 2_000  # bytes of what a program says


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: its exit code, negative for a signal; how much it read of the message; what it said.

    `read` and `size` are in bytes. `said` is what it wrote to standard output and error, cut off.
    """

    code: int
    read: int
    size: int
    said: str


def reply_to(ended: Ended) -> tuple[int, str] | None:
    """The reply code and words for how the program ended; None when nobody knows what became of the message. Pure."""
    if ended.code < 0:
        if ended.read >= ended.size:
            return None
        return 451, f"4.3.0 killed by signal {-ended.code} before it had the message"
    if ended.code == os.EX_OK and ended.read == 0:
        return FAULT, "5.3.5 it ended without reading the message"
    code, meaning = _REPLIES.get(ended.code, (451, f"4.3.0 {_NAMES.get(ended.code, f'exit code {ended.code}')}"))
    if code in _QUOTE and ended.code != os.EX_CONFIG and (quoted := _QUOTED.search(ended.said)):
        return int(quoted[1]), one_line(quoted[2])
    words = one_line(ended.said) if ended.code else ""
    return code, f"{meaning}: {words}" if words else meaning


def connect(command: Sequence[str]) -> socket.socket:
    """A connection that hands over to `command`. Raises TransportMisconfigured when there is no such program."""
    if shutil.which(command[0]) is None:
        raise TransportMisconfigured(f"smtp.sendmail: there is no program {command[0]} that this user may run")
    ours, theirs = socket.socketpair()
    threading.Thread(target=_serve, args=(theirs, tuple(command)), daemon=True).start()
    return ours


def _serve(line: socket.socket, command: tuple[str, ...]) -> None:
    """Speak SMTP, as far as transport.session does, until the other side hangs up."""
    with line, line.makefile("rb") as commands, suppress(OSError):
        line.settimeout(None)
        sender = recipient = ""
        for raw in commands:
            words = raw.decode("utf-8", "replace").rstrip("\r\n")
            answer: str | None = "250 ok"
            match words[:4]:
                case "MAIL":
                    sender = _address(words)
                case "RCPT":
                    recipient = _address(words)
                case "DATA":
                    line.sendall(b"354 go on\r\n")
                    answer = _deliver([*command, "-oi", "-f", sender, "--", recipient], commands)
                case "QUIT":
                    answer = None
            if answer is None:
                return
            line.sendall(f"{answer}\r\n".encode())


def _address(words: str) -> str:
    return words.partition("<")[2].partition(">")[0]


def _deliver(command: Sequence[str], lines: IO[bytes]) -> str | None:
    """Read a message and run the program; returns the reply, or None when there is none to give."""
    message = _receive(lines)
    if message is None:
        return None
    try:
        reply = reply_to(_run(command, message))
    except OSError as error:  # there is no room for the file, or for another process
        reply = 452, f"4.3.1 {error.strerror}"
    return None if reply is None else f"{reply[0]} {reply[1]}"


def _receive(lines: IO[bytes]) -> bytes | None:
    """A message as programs expect it: lines end in LF, no dots are added. None if it is cut off."""
    kept: list[bytes] = []
    for line in lines:
        if line == b".\r\n":
            return b"".join(kept)
        plain = line.removeprefix(b".")
        kept.append(plain[:-2] + b"\n" if plain.endswith(b"\r\n") else plain)
    return None


def _run(command: Sequence[str], message: bytes) -> Ended:
    """Run a program with `message` as its standard input, without a shell. Raises OSError if it cannot be started."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        given.write(message)
        given.flush()
        given.seek(0)
        process = subprocess.Popen(command, stdin=given, stdout=said, stderr=said, start_new_session=True)
        try:
            code = process.wait(_WITHIN)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
        said.seek(0)
        words = said.read(_LONGEST).decode("utf-8", "replace")
        # The program has its own descriptor for the same open file, so its position is ours.
        return Ended(code, os.lseek(given.fileno(), 0, os.SEEK_CUR), len(message), words)
