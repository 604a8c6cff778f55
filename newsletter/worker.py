"""Workers: processes that send shards of issues, on as many machines as wanted, over one PostgreSQL database.

    sweep, every few seconds -> a job for each shard that is owed -> Worker._take: the shard's lock, then Sending

Procrastinate carries the jobs. A job begins a worker's walk through the shards of an issue that are owed and free, over
connections that stay open meanwhile. The lock of a shard says whether it is
free, and the ledger says whether a copy is owed.
"""

from __future__ import annotations

import asyncio
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib import resources
from typing import Final

from newsletter.config import Config
from newsletter.errors import ConfigError, NewsletterError, StoreAway, StoreError
from newsletter.extras import needed
from newsletter.runtime import Runtime
from newsletter.sending import Sending, describe
from newsletter.store import QUEUE, SHARD_TASK, Store
from newsletter.text import count

with needed("scale", "newsletter worker"):
    import procrastinate
    import psycopg
    from procrastinate.exceptions import ProcrastinateException

_SWEEP_EVERY: Final = 5.0  # seconds

# How long a worker leaves the jobs alone when no server takes mail, the canary was put off, or a job has failed.
_REST: Final = 30.0  # seconds

# Seconds to wait for the database before the engine is started again; the last is repeated.
_RECONNECT: Final = (0.5, 1.0, 2.0, 5.0)


def open_store(config: Config) -> Store:
    """The store with the tables of this program and of the engine, both created and upgraded as needed.

    Raises ConfigError when it is not on PostgreSQL or belongs to another list, and StoreError.
    """
    if not config.store.startswith("postgresql"):
        raise ConfigError("newsletter worker needs a postgresql:// database; SQLite has one sender", key="store")
    store = Store.open(config.store, witness=config.witness_file)
    try:
        store.check_list(config.publication.list_id)
        store.upgrade_engine(*engine_schema())
    except BaseException:
        store.close()
        raise
    return store


def engine_schema() -> tuple[str, dict[str, str]]:
    """The SQL of the engine's tables, and that of its migrations by name."""
    folder = resources.files("procrastinate.sql")
    scripts = [file for file in (folder / "migrations").iterdir() if file.name.endswith(".sql")]
    return (folder / "schema.sql").read_text("utf-8"), {file.name: file.read_text("utf-8") for file in scripts}


@dataclass
class Worker:
    """A process that takes shards, `concurrency` of them at a time, each with its own connections to the servers.

    `say` is called with one line for the log, also from other threads.
    """

    config: Config
    concurrency: int
    say: Callable[[str], None]
    _asked_to_stop: threading.Event = field(default_factory=threading.Event, init=False)
    _stores: queue.SimpleQueue[Store] = field(default_factory=queue.SimpleQueue, init=False)
    _rests_until: float = field(default=0.0, init=False)  # monotonic
    _stopping: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def run(self) -> None:
        """Work until SIGTERM or Ctrl-C, which let the copies under way end. Raises NewsletterError at its start."""
        self.config.secret.reveal()  # before anything is begun: it is the operator's to mend
        with ExitStack() as opened:
            first = opened.enter_context(open_store(self.config))
            for _ in range(self.concurrency):
                store = opened.enter_context(Store.open(self.config.store, witness=self.config.witness_file))
                self._stores.put(store)
            self.say(f"ready: takes {count(self.concurrency, 'shard')} at a time")
            asyncio.run(self._serve(first))
        self.say("stopped")

    async def _serve(self, store: Store) -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(self.concurrency + 2))  # jobs, and the sweep
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end, number)
        failed = 0
        while not self._stopping.is_set():
            try:
                await self._engine(store)
                failed = 0
            except (ProcrastinateException, psycopg.Error, OSError) as error:
                self.say(f"the database is away: {_line(error)}")
                await self._pause(_RECONNECT[min(failed, len(_RECONNECT) - 1)])
                failed += 1

    def _end(self, number: int) -> None:
        self.say(f"{signal.Signals(number).name}: finishing the copies under way")
        self._asked_to_stop.set()
        self._stopping.set()

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _engine(self, store: Store) -> None:
        """Run the engine until the worker stops. Raises ProcrastinateException when its connections fail."""
        connector = procrastinate.PsycopgConnector(conninfo=store.conninfo, min_size=1, max_size=4, timeout=10)
        app = procrastinate.App(connector=connector)
        app.task(name=SHARD_TASK, queue=QUEUE)(self._take)
        async with app.open_async():
            engine = asyncio.create_task(
                app.run_worker_async(
                    queues=[QUEUE],
                    concurrency=self.concurrency,
                    delete_jobs="always",
                    install_signal_handlers=False,
                )
            )
            others = [asyncio.create_task(self._sweep(store)), asyncio.create_task(self._stopping.wait())]
            try:
                await asyncio.wait([engine, *others], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (*others, engine):  # the engine ends its jobs first
                    task.cancel()
                with suppress(asyncio.CancelledError):
                    await engine

    async def _sweep(self, store: Store) -> None:
        """Give up what has expired, and defer what is owed, again and again."""
        while True:
            with suppress(StoreError):  # the engine notices it, too, and says so
                await asyncio.to_thread(self._sweep_once, store)
            await asyncio.sleep(_SWEEP_EVERY)

    def _sweep_once(self, store: Store) -> None:
        for day, number in store.expire().items():
            copies = count(number, "copy", "copies")
            self.say(f"{copies} of the issue of {day} expired before they could be sent (issue.lifetime)")
        if not self._resting:
            store.defer_jobs()

    # --- a job, in a thread of its own ---

    @property
    def _resting(self) -> bool:
        return time.monotonic() < self._rests_until

    def _take(self, issue: int, shard: int) -> None:
        """Send a shard of an issue, and then the others that are free. What it cannot do now is deferred anew."""
        if self._asked_to_stop.is_set() or self._resting:
            return
        try:
            with self._store() as store:
                self._send(store, issue, shard)
        except StoreAway as error:  # for a moment, or a shard was taken over
            self.say(f"issue {issue}, shard {shard}: {error}")
        except NewsletterError as error:
            self.say(f"issue {issue}, shard {shard}: {error}")
            self._rest()
        except BaseException:
            self._rest()
            raise

    def _send(self, store: Store, issue_id: int, shard: int) -> None:
        issue = store.issue_of(issue_id)
        free = set(store.shards_due(issue_id)) - store.shards_held(issue_id)
        if issue is None or issue.paused is not None or shard not in free:
            return
        runtime = Runtime(stop=self._asked_to_stop.is_set, warn=self.say)
        sending = Sending(self.config, store, runtime, {})
        begun = time.monotonic()
        failure = sending.issues([issue], first=shard, wait=False)
        if sending.answered:
            seconds = time.monotonic() - begun
            self.say(f"issue of {issue.rendered.day}: {_answers(sending.answered)} in {seconds:.1f} s")
        if not store.shards_due(issue_id):
            self.say(f"issue of {issue.rendered.day}: {describe(store.counts(issue_id))}")
        if failure is not None:
            self.say(f"issue of {issue.rendered.day}: {failure}")
        if sending.full_until is not None:
            self.say(f"smtp.per_day is used up until {sending.full_until:%Y-%m-%d %H:%M} UTC")
        # An issue that is paused gets no jobs; one that waits for its canary does, and would fail again at once.
        waits = failure is not None and store.paused(issue_id) is None
        if waits or sending.full_until is not None:
            self._rest()

    def _rest(self) -> None:
        self._rests_until = time.monotonic() + _REST

    @contextmanager
    def _store(self) -> Iterator[Store]:
        store = self._stores.get()
        try:
            yield store
        finally:
            self._stores.put(store)


def _answers(number: int) -> str:
    return count(number, "copy answered", "copies answered")


def _line(error: BaseException) -> str:
    causes: Sequence[BaseException] = [error, *([error.__cause__] if error.__cause__ else [])]
    return next((line for cause in reversed(causes) for line in str(cause).splitlines() if line), type(error).__name__)
