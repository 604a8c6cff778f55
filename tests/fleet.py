"""Several processes that send to one server with a limit, judged by the server's own log.

    python -m tests.fleet [--workers N] [--rate R] [--readers N] [--letters N] [--store sqlite|postgresql] [--delay MS]
                          [--connections N] [--later SECONDS]

Starts a mail server, so many processes that share the sending of one issue, and one that sends confirmation mails
meanwhile as `newsletter web` does. They begin together, or the last worker begins so many seconds later. Prints how
many messages arrived a second until the first of the workers had nothing left, how many a window of a second held at
most, how many connections were open at most, and how many messages each process sent. Without --rate there is no limit.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Final

from newsletter.config import Config, load
from newsletter.deliver import Sender
from newsletter.mail.message import compile_copies
from newsletter.model import OutcomeKind, RenderedIssue, State
from newsletter.runtime import utc_now
from newsletter.store import Store
from newsletter.transport import Pool
from newsletter.web.confirmations import ConfirmationSender
from tests import program
from tests.conftest import PUBLICATION, ROOT
from tests.windows import most_within

_CONFIG: Final = """\
sender: digest@news.example.org
postal_address: 1 Example Street
list_id: papers.news.example.org
base_url: https://news.example.org
secret: the secret of a measurement
feeds:
  - url: day.json
store: {store}
smtp:
  - host: 127.0.0.1
    port: {port}
    connections: {connections}
"""
_ISSUE: Final = RenderedIssue(day=utc_now().date(), subject="Papers", html="<p>papers</p>", text="papers\n" * 200)


@dataclass(frozen=True)
class Fleet:
    """What is started: processes that send `readers` copies, one that sends `letters`, and a server that is so slow."""

    workers: int = 4
    rate: float = 200.0  # 0: no limit
    readers: int = 4000
    letters: int = 500
    connections: int = 16
    delay: float = 0.0  # seconds for each reply
    later: float = 0.0  # seconds after which the last worker begins


@dataclass(frozen=True)
class Log:
    """What the server saw: when each message was complete (seconds) and who sent it, and its open connections."""

    messages: Sequence[tuple[float, str]]
    connections: int  # at once, at most
    accepted: int  # copies, as the ledger has it
    letters: int  # confirmation mails, as their process says
    ended: float  # when the first of the workers that sent some had nothing left

    @property
    def times(self) -> list[float]:
        return [moment for moment, _ in self.messages]

    @property
    def rate(self) -> float:
        """Messages a second while every worker had some left."""
        times = [moment for moment in self.times if moment <= self.ended]
        return (len(times) - 1) / (times[-1] - times[0])

    def shares(self, begin: float = 0.0, end: float = math.inf) -> Counter[str]:
        """How many messages each process sent between two moments, in seconds since the first message."""
        first = self.messages[0][0]
        return Counter(name for moment, name in self.messages if begin <= moment - first < end)


def run(fleet: Fleet, store: str, folder: Path) -> Log:
    """Run it to the end; `store` is the URL of a store that is empty."""
    with ExitStack() as stack:
        port, log = stack.enter_context(_sink(folder, fleet.delay))
        path = folder / "config.yaml"
        text = _CONFIG.format(store=store, port=port, connections=fleet.connections)
        path.write_text(text + (f"    rate: {fleet.rate}\n" if fleet.rate else ""), "utf-8")
        path.chmod(0o600)
        with Store.open(store) as opened:
            for reader in range(fleet.letters):
                opened.ask(f"new{reader}@host{reader}.example")
            opened.add_all((f"reader{reader}@example.org" for reader in range(fleet.readers)), revive=True)
            issue = opened.freeze(_ISSUE, PUBLICATION, lifetime=timedelta(hours=24))
            senders = [_start("send", path, f"worker{number}") for number in range(1, fleet.workers + 1)]
            made = [*senders, *([_start("web", path, "web")] if fleet.letters else [])]
            for process in made:
                assert _line(process) == "ready"
            _go([process for process in made if process is not senders[-1]] if fleet.later else made)
            if fleet.later:
                time.sleep(fleet.later)
                _go(senders[-1:])
            said = [process.communicate()[0].split() for process in made]
            assert all(process.returncode == 0 for process in made)
            accepted = opened.counts(issue.id)[State.ACCEPTED]
    lines = [line.split() for line in log.read_text("utf-8").splitlines()]
    return Log(
        sorted((float(line[1]), line[2]) for line in lines if line[0] == "message"),
        max((int(line[1]) for line in lines if line[0] == "open"), default=0),
        accepted,
        int(said[-1][0]) if fleet.letters else 0,
        min(float(moment) for sent, moment in said[: fleet.workers] if int(sent)),
    )


def _start(what: str, path: Path, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.fleet", what, str(path), name]
    return program.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _go(made: Sequence[subprocess.Popen[str]]) -> None:
    for process in made:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


def _send(config: Config) -> int:
    """One of the processes that send the issue: whichever copies are left, as workers do within one shard."""
    with Store.open(config.store) as store:
        (issue,) = store.unfinished()
        copies = compile_copies(issue, config.links())
        _wait_for_the_start()
        pool, sent = Pool(config.smtp, leases=store.leases()), Counter[OutcomeKind]()
        try:
            Sender(store, pool, utc_now, progress=lambda outcome: sent.update([outcome.kind])).send(issue, copies)
        finally:
            store.reserve(pool.close())
        return sent[OutcomeKind.ACCEPTED]


def _web(config: Config) -> int:
    """The process that sends confirmation mails; returns how many."""
    with Store.open(config.store) as store:
        sender = ConfirmationSender(config, store)
        _wait_for_the_start()
        return sender.send_due()


def _wait_for_the_start() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


# --- the server ------------------------------------------------------------------------------------------------------


@contextmanager
def _sink(folder: Path, delay: float) -> Iterator[tuple[int, Path]]:
    """Run the server; gives its port, and the path of its log."""
    log = folder / "sink.log"
    command = [sys.executable, "-m", "tests.fleet", "sink", str(log), str(delay)]
    with program.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), log
        finally:
            process.terminate()


async def _serve(log: Path, delay: float) -> None:
    connected = 0
    with log.open("w", 1, encoding="utf-8") as stream:

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connected
            name = ""
            connected += 1
            stream.write(f"open {connected}\n")

            async def say(words: bytes) -> None:
                await asyncio.sleep(delay)
                writer.write(words)

            with suppress(asyncio.IncompleteReadError, ConnectionError):
                await say(b"220 sink\r\n")
                while not (command := (await reader.readuntil(b"\n")).upper()).startswith(b"QUIT"):
                    if command.startswith(b"EHLO"):
                        name = command.split()[1].decode().lower().partition(".")[0]
                        await say(b"250-sink\r\n250-PIPELINING\r\n250 SMTPUTF8\r\n")
                    elif command.startswith(b"DATA"):
                        await say(b"354 go on\r\n")
                        await reader.readuntil(b"\r\n.\r\n")
                        stream.write(f"message {time.time():.6f} {name}\n")
                        await say(b"250 kept\r\n")
                    else:
                        await say(b"250 ok\r\n")
            connected -= 1
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0, limit=2**20)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


def main() -> None:
    """Run what the first argument names, or the whole with its options."""
    if sys.argv[1:2] == ["sink"]:
        asyncio.run(_serve(Path(sys.argv[2]), float(sys.argv[3])))
    elif sys.argv[1:2] in (["send"], ["web"]):
        config = load(Path(sys.argv[2]))
        named = replace(config, smtp=tuple(replace(each, helo=f"{sys.argv[3]}.example.org") for each in config.smtp))
        print((_send if sys.argv[1] == "send" else _web)(named), time.time())
    else:
        _measure()


def _measure() -> None:
    from tests.postgres import new_database, running

    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=Fleet.workers)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--readers", type=int, default=Fleet.readers)
    parser.add_argument("--letters", type=int, default=Fleet.letters)
    parser.add_argument("--connections", type=int, default=Fleet.connections)
    parser.add_argument("--delay", type=float, default=0.0, metavar="MS")
    parser.add_argument("--later", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--store", choices=["sqlite", "postgresql"], default="postgresql")
    asked = parser.parse_args()
    fleet = Fleet(
        asked.workers,
        asked.rate,
        asked.readers,
        asked.letters,
        asked.connections,
        asked.delay / 1000,
        asked.later,
    )
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store = f"sqlite:///{folder / 'fleet.db'}"
        if asked.store == "postgresql":
            store = stack.enter_context(new_database(stack.enter_context(running())))
        log = run(fleet, store, folder)
    print(f"{len(log.times)} messages arrived: {log.accepted} copies and {log.letters} confirmation mails")
    of = f", of {fleet.rate:g}: {log.rate / fleet.rate - 1:+.2%}" if fleet.rate else ""
    print(f"{log.rate:.2f} a second while every worker had copies left{of}")
    print(f"{most_within(1.0, log.times)} in a window of a second at most")
    print(f"{log.connections} connections at once, of {fleet.connections}")
    print(", ".join(f"{name} {number}" for name, number in sorted(log.shares().items())))


if __name__ == "__main__":
    main()
