"""The cost of a claim on PostgreSQL while an issue is sent, with another snapshot held open all the time.

    python -m bench.claims postgresql://USER@HOST/EMPTY_DATABASE [--copies N]

Every copy is claimed, begun and recorded as accepted, in batches, as the send loop does it. Prints the buffers and the
milliseconds of a claim at the start, in the middle and at the end by EXPLAIN (ANALYZE, BUFFERS); the share of updates
that stayed within their page; and the size of the table beside its size after VACUUM FULL.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

import psycopg
from sqlalchemy import Engine, create_engine, event

from bench.publication import DAY, PUBLICATION
from newsletter.model import Delivery, Outcome, OutcomeKind, RenderedIssue, Result, State
from newsletter.runtime import utc_now
from newsletter.store import Store
from newsletter.store.claims import EACH_OF_SHARD

BATCH: Final = 200
TURN: Final = 8  # copies begun in one commit, as with eight connections
RENDERED: Final = RenderedIssue(DAY, "Daily Papers", "<p>papers</p>", "papers")
READERS: Final = """
INSERT INTO subscribers (ref, address, identity, status, created_at, status_at)
SELECT to_char(n, 'FM0000000000000000'), 'r' || n || '@example.org', 'r' || n || '@example.org', 'active', now(), now()
FROM generate_series(1, %s) AS n
"""


@contextmanager
def snapshot(url: str) -> Iterator[None]:
    """Hold a snapshot open, as a backup or a long report does: PostgreSQL keeps every row version that it may see."""
    with psycopg.connect(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SELECT count(*) FROM deliveries")
        yield


def explained(engine: Engine, issue: int, shard: int) -> tuple[int, float]:
    """The buffers and the milliseconds of the next claim of fresh copies in a shard; it is undone."""
    asked = {"issue": issue, "shard": shard, "after": 0, "now": utc_now(), "most": BATCH, "doubts": 1}
    with engine.connect() as connection:
        (plan,) = connection.execute(EACH_OF_SHARD[0][0], asked).one()[0]
    top = plan["Plan"]
    return top["Shared Hit Blocks"] + top["Shared Read Blocks"], plan["Execution Time"]


def explaining(url: str) -> Engine:
    """An engine that explains each statement instead."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def explain(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> tuple[str, Any]:
        return f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", parameters

    return engine


def settle(store: Store, claimed: Sequence[Delivery]) -> None:
    """Begin and record the copies as the send loop does: answers of one turn with the begins of the next."""
    accepted = Outcome(OutcomeKind.ACCEPTED, 250, "2.0.0 Ok: queued as 4bF3xT2K9Pz1")
    results: list[Result] = []
    for start in range(0, len(claimed), TURN):
        some = claimed[start : start + TURN]
        store.turn(results, some)
        results = [Result(copy, State.SENDING, accepted) for copy in some]
    store.turn(results, [])


def measured(url: str, copies: int) -> list[tuple[int, int, float]]:
    """Send all copies; returns how many were sent, the buffers and the milliseconds of the claim that came next."""
    found: list[tuple[int, int, float]] = []
    with Store.open(url) as store, psycopg.connect(url) as looker:
        with looker.transaction():
            looker.execute(READERS, (copies,))
        started = time.monotonic()
        issue = store.freeze(RENDERED, PUBLICATION, lifetime=timedelta(hours=24))
        shards = store.shards_due(issue.id)
        engine = explaining(url)
        print(f"frozen: {copies} copies in {len(shards)} shards, {time.monotonic() - started:.1f} s")
        looker.execute("ANALYZE deliveries")
        looker.commit()
        sent = 0
        with snapshot(url):
            for shard in shards:
                if shard in {shards[0], shards[len(shards) // 2], shards[-1]}:
                    found.append((sent, *explained(engine, issue.id, shard)))
                with store.shard(issue.id, shard, resend_uncertain=1):
                    while claimed := store.claim(issue.id, BATCH, resend_uncertain=1):
                        settle(store, claimed)
                        sent += len(claimed)
        assert store.counts(issue.id)[State.ACCEPTED] == copies
    return found


def sizes(url: str) -> tuple[float, int, int]:
    """The share of updates within their page, and the bytes of the table before and after VACUUM FULL."""
    size = "SELECT pg_relation_size('deliveries')"
    hot = "SELECT n_tup_hot_upd::float / greatest(n_tup_upd, 1) FROM pg_stat_user_tables WHERE relname = 'deliveries'"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        share, before = (connection.execute(query).fetchone() or (0,) for query in (hot, size))
        connection.execute("VACUUM FULL deliveries")
        after = connection.execute(size).fetchone() or (0,)
    return share[0], before[0], after[0]


def main() -> int:
    """Measure and print; returns 1 when a claim at the end costs more than 1.2 times one at the start."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--copies", type=int, default=200_000)
    asked = parser.parse_args()
    started = time.monotonic()
    found = measured(asked.url, asked.copies)
    for sent, buffers, milliseconds in found:
        print(f"after {sent:>8} copies: {buffers:>6} buffers a claim, {milliseconds:.2f} ms")
    print(f"{time.monotonic() - started:.0f} s")
    share, before, after = sizes(asked.url)
    print(f"updates within their page: {share:.1%}; table {before / 1e6:.1f} MB, vacuumed {after / 1e6:.1f} MB")
    return int(found[-1][1] > 1.2 * found[0][1] or before > 2 * after)


if __name__ == "__main__":
    sys.exit(main())
