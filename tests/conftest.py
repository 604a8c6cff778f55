"""Fixtures and values that several test files share: the folder of real data, papers and issues."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from newsletter.model import Issue, Mailbox, Paper, Publication
from newsletter.store import Store
from tests.fakes import FakeClock

if TYPE_CHECKING:
    from tests.pages import Server, Site

pytest_plugins = [
    "pytester",
    "tests.kinds",
    "tests.postgres",
    "tests.mailhost",
    "tests.chromium",
    "tests.monitor",
    *("tests.parsers", "tests.statements", "tests.routes"),
]

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real feeds, responses and bounces beside the checkout. Skips the test if it is absent."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("no real data: ../shared/data is not beside this checkout")
    return folder


def chaos_feed() -> SimpleNamespace:
    """The names of the shared server of faults. Run from its source: an import would write bytecode beside it."""
    path = SHARED / "tools" / "chaos" / "chaos_feed.py"
    if not path.is_file():
        pytest.skip("no chaos_feed.py: ../shared is not beside this checkout")
    return SimpleNamespace(**runpy.run_path(str(path), run_name="chaos_feed"))


PUBLICATION = Publication(
    title="Daily Papers",
    sender=Mailbox("Daily Papers", "digest@news.example.org"),
    bounce_address="bounces@news.example.org",
    postal_address="1 Example Street, Example City",
    list_id="daily-papers.news.example.org",
    base_url="https://news.example.org",
)


def paper(number: int = 1, **changes: Any) -> Paper:
    """A paper with plausible values; `changes` replace fields."""
    arxiv_id = f"2611.{number:05d}"
    plain = Paper(
        key=f"arxiv:{arxiv_id}",
        title=f"Paper number {number}",
        url=f"https://huggingface.co/papers/{arxiv_id}",
        abstract=f"We study the number {number}. It has properties.",
        authors=("Ada Lovelace", "Emmy Noether"),
        author_count=2,
        published=date(2026, 11, 23),
        upvotes=100 - number,
        comments=3,
        arxiv_id=arxiv_id,
        arxiv_url=f"https://arxiv.org/abs/{arxiv_id}",
        pdf_url=f"https://arxiv.org/pdf/{arxiv_id}",
        source="Hugging Face",
    )
    return replace(plain, **changes)


def issue(*papers: Paper, day: date = date(2026, 11, 24)) -> Issue:
    """An issue of these papers, by default of three."""
    return Issue(day=day, papers=papers or tuple(paper(n) for n in (1, 2, 3)), ranked_by_votes=True)


@pytest.fixture
def clock() -> FakeClock:
    """A clock that the test moves."""
    return FakeClock()


@pytest.fixture
def store(database_url: str, clock: FakeClock) -> Iterator[Store]:
    """An empty store, on each kind of database, whose time is `clock`."""
    with Store.open(database_url, now=clock.now) as opened:
        yield opened


@pytest.fixture
def serve() -> Iterator[Callable[[Site], Server]]:
    """A function that starts `newsletter web` for a Site; it is stopped after the test."""
    from tests.pages import Server  # not at the top, because pages.py imports this file

    running: list[Server] = []

    def start(site: Site) -> Server:
        running.append(Server(site))
        return running[-1]

    yield start
    for each in running:
        if each.process.poll() is None:
            each.stop()
