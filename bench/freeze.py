"""How long it takes to freeze an issue for a long list: one row of the ledger for each reader, in one transaction.

    python -m bench.freeze sqlite:///NEW_FILE | postgresql://USER@HOST/EMPTY_DATABASE [--readers N] [--chose N]

Prints the seconds that have passed, the CPU seconds of this process and of PostgreSQL's (if it runs on this machine),
the bytes of a reader and of a copy on the disk, and the memory of this process before and at most. Readers are made in
the database; `--chose` of them chose an hour, and their rows are made by this process.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import event, text

from bench.publication import DAY, PUBLICATION
from newsletter.issue.choice import Choice
from newsletter.model import Editions, RenderedIssue
from newsletter.store import Store

RENDERED: Final = RenderedIssue(DAY, "Daily Papers", "<p>papers</p>", "papers")

# Refs are random in a real list: their index is not in the order of the rows.
_COLUMNS: Final = "INSERT INTO subscribers (ref, address, identity, status, created_at, status_at)"
_READERS: Final = {
    "postgresql": f"""{_COLUMNS}
    SELECT substr(md5(n::text), 1, 16), 'reader' || n || '@example.org', 'reader' || n || '@example.org', 'active',
    now(), now() FROM generate_series(1, :readers) AS n""",  # noqa: S608 - constants
    "sqlite": f"""WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :readers)
    {_COLUMNS}
    SELECT lower(hex(randomblob(8))), 'reader' || n || '@example.org', 'reader' || n || '@example.org', 'active',
    '2026-01-01 00:00:00.000000', '2026-01-01 00:00:00.000000' FROM numbers""",  # noqa: S608
}


@dataclass(frozen=True)
class Used:
    """CPU seconds and peak memory in MB of a process up to now."""

    cpu: float
    peak: float


def used(process: int) -> Used:
    """Read what Linux accounts to a process."""
    fields = Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(")")[2].split()
    status = Path(f"/proc/{process}/status").read_text("utf-8")
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    return Used((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), peak)


@contextmanager
def backends(store: Store) -> Iterator[dict[int, Used]]:
    """The backends of PostgreSQL on this machine that this process has worked with, as each was at first."""
    found: dict[int, Used] = {}

    def begun(connection: Any) -> None:
        process = connection.connection.dbapi_connection.info.backend_pid
        if process not in found and Path(f"/proc/{process}/stat").exists():
            found[process] = used(process)

    engine = store._db.engine  # noqa: SLF001 - the measurement needs to know whose CPU it is
    if engine.dialect.name == "postgresql":
        event.listen(engine, "begin", begun)
    yield found


def fill(store: Store, readers: int, chose: int) -> None:
    """Make the list."""
    with store._db.write() as connection:  # noqa: SLF001
        connection.execute(text(_READERS[connection.dialect.name]), {"readers": readers})
        choice = Choice(hour=7, zone="Europe/Berlin").written
        rows = "INSERT INTO choices (subscriber_id, choice) SELECT id, :choice FROM subscribers WHERE id <= :chose"
        connection.execute(text(rows), {"choice": choice, "chose": chose})
    if store._db.file is None:  # noqa: SLF001
        with store._db.session() as connection:  # noqa: SLF001
            connection.execute(text("ANALYZE"))


def size(store: Store) -> int:
    """The bytes of the database."""
    sql = "SELECT pg_database_size(current_database())"
    if store._db.file is not None:  # noqa: SLF001
        sql = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
    with store._db.read() as connection:  # noqa: SLF001
        found: int = connection.execute(text(sql)).scalar_one()
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--readers", type=int, default=1_000_000)
    parser.add_argument("--chose", type=int, default=0)
    asked = parser.parse_args()
    with Store.open(asked.url) as store:
        empty = size(store)
        fill(store, asked.readers, asked.chose)
        listed = size(store)
        hours = dict.fromkeys(range(1, asked.chose + 1), (7, "Europe/Berlin"))
        with backends(store) as theirs:
            before, begun = used(os.getpid()), time.monotonic()
            issue = store.freeze(RENDERED, PUBLICATION, lifetime=timedelta(hours=24), editions=Editions(hours=hours))
            took, after = time.monotonic() - begun, used(os.getpid())
        there = sum(used(process).cpu - first.cpu for process, first in theirs.items())
        print(f"{sum(store.counts(issue.id).values())} copies in {took:.1f} s, load {os.getloadavg()[0]:.1f}")
        print(f"CPU: {after.cpu - before.cpu:.1f} s here, {there:.1f} s in the database's process")
        readers, copies = listed - empty, size(store) - listed
        print(f"on the disk: {readers / asked.readers:.0f} bytes a reader, {copies / asked.readers:.0f} a copy")
        print(f"memory of this process: {before.peak:.0f} MB before, {after.peak:.0f} MB at most")
    return 0


if __name__ == "__main__":
    sys.exit(main())
