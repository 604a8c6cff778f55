"""What it costs that every reader has an edition of their own, beside an issue of which all get the main edition.

    python -m bench editions [--readers N] [--papers N]

Each of 10,000 readers chose up to ten topics, an author and words never to see; no two chose the same. Both issues are
picked, rendered, frozen in SQLite, and sent to a server that takes every copy at once; each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final

from bench.issues import made_up_day
from bench.publication import DAY
from newsletter import editions, feed, prepare
from newsletter.config import Config, FeedConfig, load
from newsletter.issue.choice import Choice
from newsletter.issue.compose import compose
from newsletter.issue.rules import UNCUT, IssueRules
from newsletter.issue.selector import Selector
from newsletter.mail.render import Renderer
from newsletter.model import IssuePapers, Outcome, OutcomeKind, Result, State
from newsletter.runtime import Runtime
from newsletter.sending import Editions
from newsletter.store import Store

_BATCH: Final = 200
_TURN: Final = 8
_ACCEPTED: Final = Outcome(OutcomeKind.ACCEPTED, 250, "2.0.0 Ok: queued as 4bF3xT2K9Pz1")


def main(arguments: Sequence[str]) -> None:
    """Print the figures."""
    asked = _parsed(arguments)
    if asked.only:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(_measured(Path(folder), asked.readers, asked.papers, own=asked.only == "own")))
        return
    own, main_one = (_in_a_process(asked, which) for which in ("own", "main"))
    readers = asked.readers
    print(
        f"{readers} readers, {own['editions']:.0f} editions of {asked.papers} papers, {own['shown']:.1f} shown in each"
    )
    for what in ("picking and rendering", "freezing", "sending"):
        print(f"{what:<42}{1000 * (own[what] - main_one[what]) / readers:>10.3f} ms of CPU per copy above one edition")
    extra = sum(own[what] - main_one[what] for what in ("picking and rendering", "freezing", "sending"))
    print(f"{'together':<42}{1000 * extra / readers:>10.3f} ms of CPU per copy above one edition  <= 0.5")
    print(f"{'kept of each edition':<42}{(own['bytes'] - main_one['bytes']) / own['editions']:>10.0f} bytes  <= 1024")
    print(f"{'of which pieces':<42}{own['pieces'] / own['editions']:>10.0f} bytes")
    for name in ("made", "sent"):
        print(
            f"{'memory of the process when all is ' + name:<42}{own[name]:>10.0f} MB;"
            f" with one edition {main_one[name]:.0f}"
        )


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench editions", description=__doc__)
    parser.add_argument("--readers", type=int, default=10_000)
    parser.add_argument("--papers", type=int, default=150)
    parser.add_argument("--only", choices=("own", "main"), help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _in_a_process(asked: argparse.Namespace, which: str) -> dict[str, float]:
    command = [sys.executable, "-m", "bench", "editions", "--readers", str(asked.readers)]
    command += ["--papers", str(asked.papers), "--only", which]
    found: dict[str, float] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return found


def _measured(folder: Path, readers: int, papers: int, *, own: bool) -> dict[str, float]:
    """CPU seconds of each step, bytes of the store and MB of memory, where each reader has an edition or none has."""
    config, prepared = _prepared(folder, papers)
    found: dict[str, float] = {}
    with Store.open(config.store) as store:
        _add_readers(config, prepared, readers, own=own)
        before = _size(config)
        begin = _cpu()
        made = editions.make(config, prepared, store, Runtime(), again=False, replaces=None)
        found["picking and rendering"] = _cpu() - begin
        begin = _cpu()
        issue = store.freeze(
            prepared.rendered,
            config.publication,
            lifetime=timedelta(days=1),
            editions=made,
            key_id=config.links().key_id,
            papers=IssuePapers(shown=prepared.shown, contents=prepared.contents, candidates=prepared.candidates),
        )
        found["freezing"] = _cpu() - begin
        found["made"] = _peak()
        found["bytes"] = _size(config) - before
        found["editions"] = max(1, len(made.made))
        found["shown"] = sum(len(each.papers) for each in made.made) / found["editions"]
        found["pieces"] = _size_of_pieces(config)
        del made
        begin = _cpu()
        sent = _send(store, Editions(issue, config, store), issue.id)
        found["sending"] = _cpu() - begin
        found["sent"] = _peak()
        assert sent > 0.9 * readers, sent
    return found


def _prepared(folder: Path, papers: int) -> tuple[Config, prepare.Prepared]:
    path = folder / "config.yaml"
    path.write_text(
        "sender: digest@news.example.org\npostal_address: 1 Example Street\nlist_id: papers.news.example.org\n"
        "base_url: https://news.example.org\nsecret: the secret of a measurement\nfeeds:\n  - url: day.json\n",
        "utf-8",
    )
    path.chmod(0o600)
    config = load(path, {})
    parsed = feed.parse(json.dumps(_mixed(papers)).encode(), FeedConfig("day.json"))
    issue = compose([parsed], DAY, config.issue)
    uncut = compose([parsed], DAY, IssueRules(max_papers=UNCUT))
    rendered = Renderer(config.publication).issue(issue)
    return config, prepare.Prepared(issue, rendered, rendered, {DAY: parsed.papers}, uncut)


def _mixed(number: int) -> list[dict[str, object]]:
    """A day of papers with titles and abstracts of their own. A few words are frequent, most are rare (Zipf's law)."""
    chosen = random.Random(1)  # noqa: S311 - it makes up words
    syllables = [first + vowel for first in "bdfgklmnprstvz" for vowel in "aeiou"]
    words = [f"{''.join(chosen.choices(syllables, k=chosen.randint(2, 4)))}n" for _ in range(8000)]
    weights = [1 / (rank + 20) for rank in range(len(words))]
    papers = made_up_day(number)
    for entry in papers:
        paper = entry["paper"]
        assert isinstance(paper, dict)
        about = chosen.choices(words, weights, k=8)
        paper["title"] = " ".join(about).capitalize()
        sentences = (chosen.choices(words, weights, k=13) + chosen.sample(about, 2) for _ in range(12))
        paper["summary"] = ". ".join(" ".join(sentence).capitalize() for sentence in sentences) + "."
        paper["authors"] = [{"name": f"{chosen.choice(words)} {chosen.choice(words)}".title()} for _ in range(5)]
    return papers


def _choices(prepared: prepare.Prepared, number: int) -> Iterator[Choice]:
    """As many different choices: words and authors of the day's papers."""
    chosen = random.Random(2)  # noqa: S311 - it makes up readers
    titles = [paper.title.split() for paper in prepared.candidates.papers]
    topics = [" ".join(pair) for title in titles for pair in pairwise(title)]
    authors = sorted({author for paper in prepared.candidates.papers for author in paper.authors})
    known: set[str] = set()
    while len(known) < number:
        by = chosen.sample(authors, 1) if chosen.random() < 0.3 else []
        never = chosen.sample(chosen.choice(titles), 1) if chosen.random() < 0.3 else []
        selector = Selector.of(topics=chosen.sample(topics, chosen.randint(1, 10)), authors=by, never=never)
        choice = Choice.of(selector, on_top=chosen.random() < 0.5)
        if choice.hash not in known:
            known.add(choice.hash)
            yield choice


def _add_readers(config: Config, prepared: prepare.Prepared, number: int, *, own: bool) -> None:
    at = str(datetime.now(UTC).replace(tzinfo=None))
    with closing(sqlite3.connect(_file(config))) as database, database:
        database.executemany(
            "INSERT INTO subscribers (id, ref, address, identity, status, created_at, status_at) VALUES"
            " (?1, printf('%016x', ?1), ?2, ?2, 'active', ?3, ?3)",
            ((reader, f"reader{reader}@example.org", at) for reader in range(1, number + 1)),
        )
        if own:
            choices = enumerate(_choices(prepared, number), 1)
            database.executemany(
                "INSERT INTO choices (subscriber_id, choice) VALUES (?, ?)",
                ((reader, choice.written) for reader, choice in choices),
            )


def _send(store: Store, copies: Editions, issue: int) -> int:
    """Claim, make and settle every copy, as the send loop does."""
    sent = 0
    while claimed := store.claim(issue, _BATCH, resend_uncertain=1):
        results: list[Result] = []
        for start in range(0, len(claimed), _TURN):
            some = claimed[start : start + _TURN]
            for delivery in some:
                sent += copies.envelope(delivery).size > 0
            store.turn(results, some)
            results = [Result(delivery, State.SENDING, _ACCEPTED) for delivery in some]
        store.turn(results, [])
    return sent


def _size_of_pieces(config: Config) -> float:
    with closing(sqlite3.connect(_file(config))) as database:
        return float(database.execute("SELECT coalesce(sum(length(pieces)), 0) FROM renderings").fetchone()[0])


def _size(config: Config) -> int:
    """Bytes of the store's file and of what is not yet in it."""
    with closing(sqlite3.connect(_file(config))) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return Path(_file(config)).stat().st_size


def _file(config: Config) -> str:
    return config.store.removeprefix("sqlite:///")


def _cpu() -> float:
    times = os.times()
    return times.user + times.system


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
