"""Measure how large a store grows, and how long it takes to open: ``python -m bench.size [READERS]``.

Three years of daily issues are sent to a tenth of 20,000 readers, with the default retention; the figures of all of
them follow from the formula, since issues do not depend on readers:

    bytes = issues x (rendering + papers shown) + (90 + 1) days x readers x copy + readers x subscriber

A copy grows with the reader's address and with the server's words.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from bench.issues import made_up_day, render
from bench.publication import PUBLICATION
from newsletter import feed
from newsletter.config import FeedConfig, RetentionConfig
from newsletter.issue.rules import IssueRules
from newsletter.model import IssuePapers, Outcome, OutcomeKind, Paper, RenderedIssue, Result, RunReport, State, Verdict
from newsletter.store import Store

_DAYS: Final = 3 * 365
_READERS: Final = 2_000
_WANTED: Final = 20_000

# Postfix's words; those of other servers are as long.
_ACCEPTED: Final = Outcome(OutcomeKind.ACCEPTED, 250, "2.0.0 Ok: queued as 4XyzAbC1d2eF3g")


def main(readers: int = _READERS) -> None:
    """Send three years of issues, and print the size and what it consists of."""
    listed, shown = (json.dumps(made_up_day(number)).encode() for number in (50, IssueRules().max_papers))
    rendered, papers = render(shown), feed.parse(listed, FeedConfig("day.json")).papers
    kept = RetentionConfig()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.db"
        clock = [datetime(2026, 1, 1, 7, tzinfo=UTC)]
        with Store.open(f"sqlite:///{path}", now=lambda: clock[0]) as store:
            store.add_all((f"reader{n:05d}@mail.example.org" for n in range(readers)), revive=False)
            for number in range(_DAYS):
                _day(store, rendered, papers, clock[0], number)
                store.prune(
                    deliveries_before=(clock[0] - timedelta(kept.deliveries - 1)).date(),
                    reports_before=clock[0] - timedelta(kept.reports),
                    runs_before=clock[0] - timedelta(kept.runs),
                )
                clock[0] += timedelta(days=1)
        _report(path, readers, kept.deliveries)


def _day(store: Store, rendered: RenderedIssue, papers: Sequence[Paper], now: datetime, number: int) -> None:
    """One day's issue, accepted by everyone."""
    today = [
        replace(paper, key=f"arxiv:{number:04d}.{n:05d}", title=f"{number}: {paper.title}")
        for n, paper in enumerate(papers)
    ]
    fresh = replace(rendered, day=now.date(), html=rendered.html.replace("2611.", f"{number:04d}."))
    papers_shown = today[: IssueRules().max_papers]
    issue = store.freeze(
        fresh, PUBLICATION, lifetime=timedelta(1), papers=IssuePapers(shown=papers_shown, offered={now.date(): today})
    )
    while copies := store.claim(issue.id, 1000, resend_uncertain=1):
        store.turn([], copies)
        store.turn([Result(copy, State.SENDING, _ACCEPTED) for copy in copies], [])
    store.record_run(RunReport(Verdict.NEW_ISSUE, f"{len(papers)} accepted", now.date()), now)


def _report(path: Path, readers: int, days: int) -> None:
    with closing(sqlite3.connect(path)) as database:
        pages = dict(database.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name"))
    kinds = {"copies": 0, "subscribers": 0, "issues": 0}
    for name, size in pages.items():
        table = name.removeprefix("sqlite_autoindex_").removeprefix("ix_")
        kind = next(
            (kind for kind, word in (("copies", "deliveries"), ("subscribers", "subscribers")) if word in table),
            "issues",
        )
        kinds[kind] += size
    copy, subscriber, issue = (
        kinds["copies"] / (days * readers),
        kinds["subscribers"] / readers,
        kinds["issues"] / _DAYS,
    )
    total = path.stat().st_size  # with free pages, which the next issue uses
    papers = IssueRules().max_papers
    print(f"{readers} readers, {_DAYS} issues of {papers} papers, {days} days of copies: {total / 1e6:.1f} MB")
    print(
        f"a copy {copy:.0f} B, a subscriber {subscriber:.0f} B, an issue with what it has shown {issue / 1000:.1f} KB"
    )
    expected = (
        _DAYS * issue + (days + 1) * _WANTED * copy + _WANTED * subscriber
    )  # a day more: today's, before it is pruned
    print(f"so for {_WANTED} readers: {expected / 1e6:.0f} MB (bar: < 250)")
    begin = time.process_time()
    Store.open(f"sqlite:///{path}").close()
    print(f"opening it: {time.process_time() - begin:.3f} s of CPU (bar: < 0.1), {os.cpu_count()} cores")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
