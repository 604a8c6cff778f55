"""Summaries by the operator's program: run once for each paper, bounded, and never needed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from newsletter.config import SummaryConfig
from newsletter.model import Paper
from newsletter.runtime import Runtime
from newsletter.store import Store
from newsletter.summaries import SummaryFailed, cleaned, plan, run, summarised, with_summary
from tests.conftest import paper

ECHO = (
    "import sys; title, empty, abstract = sys.stdin.read().splitlines(); assert not empty; print(f'{title}|{abstract}')"
)


def program(code: str, timeout: float = 30.0, budget: int = 20) -> SummaryConfig:
    return SummaryConfig((sys.executable, "-c", code), timeout, budget)


class Desk:
    """A store, and the warnings of a run."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.warnings: list[str] = []
        self.asked: list[str] = []

    def summarise(self, config: SummaryConfig, paper: Paper) -> str:
        self.asked.append(paper.title)
        if "broken" in paper.title:
            raise SummaryFailed("it ended with 1: no model")
        return f"About {paper.title}."

    def run(self, *papers: Paper, budget: int = 20) -> dict[str, str]:
        config = SummaryConfig(("summarise",), 30.0, budget)
        return summarised(papers, config, self.store, Runtime(warn=self.warnings.append), self.summarise)


@pytest.fixture
def desk(database_url: str) -> Iterator[Desk]:
    with Store.open(database_url) as store:
        yield Desk(store)


@pytest.mark.system
def test_the_program_reads_title_and_abstract_and_prints_the_summary() -> None:
    assert run(program(ECHO), paper(1, title="Lämpchen", abstract="So. It is.")) == "Lämpchen|So. It is."


@pytest.mark.system
def test_arguments_are_no_shell_s() -> None:
    config = SummaryConfig((sys.executable, "-c", "import sys; print(sys.argv[1])", "$(id); echo *"))
    assert run(config, paper(1)) == "$(id); echo *"


@pytest.mark.system
@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import time; time.sleep(600)", "it took longer than 0.5 seconds"),
        ("import os; os.close(1); os.close(2); import time; time.sleep(600)", "it took longer than 0.5 seconds"),
        ("import subprocess; subprocess.Popen(['sleep', '600'])", "it took longer than 0.5 seconds"),
        ("print('x' * 10**6)", "it printed more than 64 KiB"),
        ("pass", "it printed nothing"),
        ("print('<script>x</script> \\x00 \\u200b')", "it printed nothing"),
        ("import sys; sys.exit('no\\nmodel\\x1b[31m')", "it ended with 1: no model [31m"),
    ],
)
def test_a_program_that_fails_says_why_and_is_gone(code: str, said: str) -> None:
    fast = "0.5 seconds" in said
    with pytest.raises(SummaryFailed) as caught:
        run(program(code, 0.5 if fast else 30.0), paper(1))
    assert str(caught.value) == said


@pytest.mark.system
def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SummaryFailed, match=r"nothing cannot be run: No such file or directory"):
        run(SummaryConfig((str(tmp_path / "nothing"),)), paper(1))


@pytest.mark.parametrize(
    ("output", "clean"),
    [
        (b"  One.\n\nTwo.\n", "One. Two."),
        (b"<b>Bold</b> &amp; <script>alert(1)</script>plain", "Bold & plain"),
        (b"\xff bad \x1b[31mred\x00 a\xe2\x80\xaeb", "\ufffd bad [31mred ab"),
        (b"if a<b then", "if a<b then"),
    ],
)
def test_what_it_prints_is_cleaned(output: bytes, clean: str) -> None:
    assert cleaned(output) == clean
    assert len(cleaned(output * 2_000)) <= 1_000


def test_the_plan_takes_papers_without_a_summary_within_the_budget() -> None:
    papers = [paper(1, summary="From the feed."), paper(2, abstract=""), *(paper(n) for n in range(3, 8))]
    planned = plan(papers, {paper(3).key}, 2)
    assert [each.title for each in planned.papers] == [paper(4).title, paper(5).title]
    assert planned.postponed == 2


def test_a_paper_is_summarised_once(desk: Desk) -> None:
    papers = [paper(1), paper(2)]
    assert desk.run(*papers) == desk.run(*papers) == {each.key: f"About {each.title}." for each in papers}
    assert desk.asked == [each.title for each in papers]
    assert with_summary(papers[0], desk.run(*papers)).summary == f"About {papers[0].title}."
    assert with_summary(paper(1, summary="Own."), desk.run(*papers)).summary == "Own."


def test_a_failure_costs_one_paper_its_summary_and_is_tried_again(desk: Desk) -> None:
    broken = paper(1, title="broken lamp")
    assert list(desk.run(broken, paper(2))) == [paper(2).key]
    assert desk.warnings == [
        "summary.command: 1 of 2 papers got no summary and have an excerpt: it ended with 1: no model"
    ]
    desk.run(broken)
    assert desk.asked.count("broken lamp") == 2


def test_a_program_that_always_fails_is_given_up(desk: Desk) -> None:
    assert desk.run(*(paper(n, title=f"broken {n}") for n in range(9))) == {}
    assert desk.asked == ["broken 0", "broken 1", "broken 2"]
    assert desk.warnings == [
        "summary.command: 9 of 9 papers got no summary and have an excerpt: it ended with 1: no model"
    ]


def test_the_budget_holds_in_each_run(desk: Desk) -> None:
    papers = [paper(n) for n in range(5)]
    assert len(desk.run(*papers, budget=2)) == 2
    assert desk.warnings == ["summary.budget: 3 papers beyond the budget of 2 got no summary and have an excerpt"]
    assert len(desk.run(*papers, budget=2)) == 4


def test_without_a_command_nothing_is_run(desk: Desk) -> None:
    assert summarised([paper(1)], SummaryConfig(), desk.store, Runtime(), desk.summarise) == {}
    assert desk.asked == []


def test_old_summaries_are_deleted(database_url: str) -> None:
    now = datetime(2026, 11, 24, tzinfo=UTC)
    with Store.open(database_url, now=lambda: now) as store:
        store.keep_summary("arxiv:1", "Old.")
    with Store.open(database_url, now=lambda: now + timedelta(days=41)) as store:
        store.keep_summary("arxiv:2", "New \x00 one.")
        store.keep_summary("arxiv:2", "Newer one.")
        assert store.summaries(["arxiv:1", "arxiv:2", "arxiv:3"]) == {"arxiv:2": "Newer one."}
