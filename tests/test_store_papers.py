"""The papers that a store keeps with each issue, and the search over them, on both databases."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import date, timedelta

import pytest
from sqlalchemy import text

from newsletter.model import (
    FrozenIssue,
    Gain,
    Issue,
    IssuePapers,
    LateRiser,
    Paper,
    Reason,
    ReasonKind,
    RenderedIssue,
    Result,
    State,
)
from newsletter.store import Store, contents, search_words
from tests.conftest import PUBLICATION, issue, paper
from tests.fakes import ACCEPTED, FakeClock

DAY = date(2026, 11, 24)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    clock = FakeClock()
    with Store.open(database_url, now=clock.now) as opened:
        opened.add("ada@example.org")
        yield opened


def freeze(store: Store, shown: Issue | None, day: date = DAY, *, replaces: int | None = None) -> FrozenIssue:
    rendered = RenderedIssue(day, "subject", "<p>html", "text")
    lifetime = timedelta(hours=24)
    return store.freeze(rendered, PUBLICATION, lifetime=lifetime, replaces=replaces, papers=IssuePapers(contents=shown))


def publish(store: Store, *papers: Paper, day: date = DAY) -> None:
    """Freeze an issue of these papers, of which a copy is accepted."""
    made = freeze(store, issue(*papers, day=day), day)
    (copy,) = store.claim(made.id, 1, resend_uncertain=1)
    store.turn([], [copy])
    store.turn([Result(copy, State.SENDING, ACCEPTED)], [])


def titles(store: Store, query: str) -> list[str]:
    found, number = store.search(query, limit=100)
    assert number == len(found)
    return [each.title for each in found]


# --- contents --------------------------------------------------------------------------------------------------------


def full() -> Issue:
    """An issue with a value in every field."""
    rich = paper(
        1, organisation="Institute", code_url="https://code.example", code_stars=3, project_url="https://p.example",
        discussion_url="https://d.example", summary="It works.", keywords=("a", "b"), also=("arXiv",), aliases=("x:1",),
    )  # fmt: skip
    return Issue(
        DAY,
        (rich, paper(2, published=None)),
        ranked_by_votes=True,
        by_source=True,
        left_out=4,
        skipped=5,
        seen=6,
        pinned={rich.key: "author: Ada"},
        rising=(LateRiser(paper(9), date(2026, 11, 20), 41),),
        since=date(2026, 11, 20),
        gains={rich.key: Gain(date(2026, 11, 21), 12)},
        reasons={rich.key: Reason(ReasonKind.TOPIC, "proteins")},
        notes=("only for the operator",),
        own=True,
    )


def test_an_issue_is_read_as_it_was_written() -> None:
    made = full()
    assert all(getattr(made, field.name) for field in fields(Issue))
    assert all(getattr(made.papers[0], field.name) for field in fields(Paper))
    assert contents.loaded(contents.dumped(made)) == replace(made, notes=())
    assert "operator" not in contents.dumped(made)


def test_what_other_versions_wrote_is_read() -> None:
    kept = json.loads(contents.dumped(issue()))
    kept["mood"] = "good"
    kept["papers"][0] |= {"colour": "blue"}
    for name in ("gains", "rising", "since", "seen"):
        del kept[name]
    del kept["papers"][0]["keywords"]
    assert contents.loaded(json.dumps(kept)) == issue()


def test_the_papers_of_an_issue_are_public_once_somebody_has_got_it(store: Store) -> None:
    made = freeze(store, full())
    assert store.contents(DAY) is None
    assert titles(store, "paper") == []
    (copy,) = store.claim(made.id, 1, resend_uncertain=1)
    store.turn([], [copy])
    store.turn([Result(copy, State.SENDING, ACCEPTED)], [])
    assert store.contents(DAY) == replace(full(), notes=())
    assert titles(store, "paper") == ["Paper number 1", "Paper number 2", "Paper number 9"]
    assert store.contents(DAY - timedelta(days=1)) is None


def test_an_issue_of_before_has_no_papers(store: Store) -> None:
    freeze(store, None)
    assert store.contents(DAY) is None


def test_an_issue_that_is_made_anew_leaves_nothing_in_the_index(store: Store) -> None:
    made = freeze(store, issue(paper(1, title="Zebras")))
    freeze(store, issue(paper(1, title="Lions")), replaces=made.id)
    (copy,) = store.claim(made.id, 1, resend_uncertain=1) or store.claim(made.id + 1, 1, resend_uncertain=1)
    store.turn([], [copy])
    store.turn([Result(copy, State.SENDING, ACCEPTED)], [])
    assert titles(store, "zebras") == []
    assert titles(store, "lions") == ["Lions"]
    if store._db.file is not None:
        with store._db.write() as connection:
            connection.execute(text("INSERT INTO paper_index (paper_index, rank) VALUES ('integrity-check', 1)"))


# --- search ----------------------------------------------------------------------------------------------------------

TITLE = "Score-Based Diffusion on the Poincaré Ball with GPT-4o in 3D: 自注意力, Straße, שָׁלוֹם"


@pytest.fixture(scope="module")
def two(shared_database_url: str) -> Iterator[Store]:
    """A store with two papers, for tests that only read."""
    with Store.open(shared_database_url, now=FakeClock().now) as opened:
        opened.add("ada@example.org")
        publish(opened, paper(1, title=TITLE), paper(2, title="Something else", authors=("Kurt Gödel",)))
        yield opened


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("diffusion", True),
        ("DIFFUSION", True),
        ("diff", True),
        ("fusion", False),
        ("poincare", True),
        ("Poincaré", True),
        ("poincaré diffusion", True),
        ("noether diffusion", True),
        ("noether unheard", False),
        ("score-based", True),
        ("score based", True),
        ("gpt-4o", True),
        ("gpt4o", False),
        ("3d", True),
        ("注意力", True),
        ("意力", True),
        ("力意", False),
        ("strasse", True),
        ("straße", True),
        ("Ⅳ", False),
        ("שלום", True),
    ],
)
def test_words_are_found_without_case_accents_and_hyphens(two: Store, query: str, found: bool) -> None:
    assert titles(two, query) == ([TITLE] if found else [])


@pytest.mark.parametrize(
    "query",
    [
        *("", "  ", "'", '"', '""', "*", "a*", "NOT", "AND OR", "a AND", "(", "NEAR(a b)", "words:a", "-a", "^a", "\\"),
        *(
            "%",
            "_",
            "a & b",
            "a | !b",
            "<->",
            "';DROP TABLE issues;--",
            "\0",
            "a\0b",
            "\ud800",
            "🙂",
            "{a}",
            "a:*",
            ":b",
        ),
        *("x" * 10_000, "a " * 10_000, "注" * 10_000, "́" * 500, "1e5 2.5 -7 http://a.example/b?c=d me@example.org"),
    ],
)
def test_any_text_is_a_query(two: Store, query: str) -> None:
    found, number = two.search(query, limit=5)
    assert len(found) == number <= 2


def test_syntax_of_the_databases_is_plain_words(store: Store) -> None:
    publish(store, paper(1, title="Not near or and"), paper(2, title="near"))
    assert titles(store, "NEAR") == ["Not near or and", "near"]
    assert titles(store, "not OR and") == ["Not near or and"]


def test_the_newest_come_first_and_in_pages(store: Store) -> None:
    for days in range(3):
        publish(store, paper(1, title=f"One {days}"), paper(2, title=f"Two {days}"), day=DAY + timedelta(days=days))
    first, number = store.search("ada", limit=4)
    rest, again = store.search("ada", limit=4, skip=4)
    assert [each.title for each in (*first, *rest)] == ["One 2", "Two 2", "One 1", "Two 1", "One 0", "Two 0"]
    assert number == again == 6
    assert [(each.day, each.place) for each in first[:2]] == [
        (DAY + timedelta(days=2), 1),
        (DAY + timedelta(days=2), 2),
    ]
    assert store.search("ada", limit=4, skip=10**9) == ([], 6)


def test_thousands_of_authors_are_named_by_three(store: Store) -> None:
    many = tuple(f"Author{n} Name" for n in range(3000))
    publish(store, paper(1, authors=many, author_count=3000), paper(2, authors=("A", "B", "C")))
    found, _ = store.search("paper", limit=5)
    assert [each.authors for each in found] == ["Author0 Name, Author1 Name, Author2 Name …", "A, B, C"]
    assert titles(store, "author1000") == ["Paper number 1"]


def test_a_query_is_bounded() -> None:
    assert len(search_words.wanted(" ".join(map(str, range(1000))))) == 8
    assert sum(len(piece) for term in search_words.wanted("x" * 10**6) for piece in term) == search_words.LONGEST_QUERY
