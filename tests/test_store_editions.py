"""Joined editions in the store, on both databases: kept in few bytes, read in order, gone when they are old."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta

from sqlalchemy import func, select, update

from newsletter.issue import editions as planning
from newsletter.issue.choice import Choice
from newsletter.issue.editions import Day, Week
from newsletter.issue.selector import Selector
from newsletter.model import (
    NO_LINE,
    Editions,
    FrozenIssue,
    Issue,
    IssuePapers,
    JoinedEdition,
    Piece,
    RenderedEdition,
    RenderedIssue,
    Result,
    State,
)
from newsletter.store import Store
from newsletter.store.schema import renderings
from tests.conftest import PUBLICATION, paper
from tests.fakes import ACCEPTED, FakeClock

DAY = date(2026, 11, 24)
PIECES = tuple(Piece(f"<p>{n} \x91 \u2028", f"text {n}\n") for n in range(4))


def edition(number: int, papers: int = 30) -> JoinedEdition:
    return JoinedEdition(
        f"24 Nov: Paper {number}",
        "A title of usual length; another title of usual length; and a third",
        f"{papers} papers",
        "4",
        "120 papers of the day did not make the cut.",
        (0, 1),
        tuple((100 + 7 * at * number % 900, 50 + 11 * at if at % 2 else NO_LINE, at + 1) for at in range(papers)),
        (3,),
        tuple(f"your topic: the words {number} of {at}" if at < 10 else "" for at in range(papers)),
    )


def rendered(day: date = DAY) -> RenderedIssue:
    return RenderedIssue(day, "Papers", "<p>html", "text\n")


def readers(store: Store, number: int) -> list[int]:
    found = []
    for n in range(number):
        store.add(f"reader{n}@example.org")
        reader = store.find(f"reader{n}@example.org")
        assert reader is not None
        found.append(reader.id)
    return found


def accept_all(store: Store, issue: FrozenIssue) -> None:
    while claimed := store.claim(issue.id, 100, resend_uncertain=1):
        store.turn([], claimed)
        store.turn([Result(copy, State.SENDING, ACCEPTED) for copy in claimed], [])


def test_joined_editions_come_back_as_they_were_frozen_in_less_than_a_kilobyte(store: Store) -> None:
    theirs = readers(store, 6)
    keys = tuple(f"arxiv:2611.{n:05d}" for n in range(30))
    made = [RenderedEdition(edition(n), keys, (reader,)) for n, reader in enumerate(theirs[1:], 1)]
    made.insert(2, RenderedEdition(rendered(), keys, (theirs[0],)))
    issue = store.freeze(
        rendered(), PUBLICATION, lifetime=timedelta(hours=24), editions=Editions(tuple(made), pieces=PIECES)
    )
    assert store.pieces(issue.id) == PIECES
    kept = store.joined(issue.id, 0, 100)
    assert list(kept.values()) == [edition(n) for n in range(1, 6)]
    first, second, *_ = kept
    assert list(store.joined(issue.id, second, 2)) == [second, sorted(kept)[2]]
    assert store.rendering(first) is None  # it is no whole mail
    sizes = [func.length(column) for column in (renderings.c.joined, renderings.c.papers, renderings.c.html)]
    with store._db.read() as connection:
        found = connection.execute(select(*sizes).where(renderings.c.joined.is_not(None))).all()
    assert max(sum(row) for row in found) < 800
    claimed = {copy.subscriber_id: copy.rendering_id for copy in store.claim(issue.id, 100, resend_uncertain=1)}
    assert [kept.get(claimed[reader]) for reader in theirs] == [None, *(edition(n) for n in range(1, 6))]


def test_pieces_of_an_earlier_version_are_read_and_html_that_several_have_is_kept_once(store: Store) -> None:
    (reader,) = readers(store, 1)
    long = "<p>an owl</p>" * 500
    pieces = (Piece(long, "1"), Piece(long, "22"), Piece("", "around"), Piece(long + "!", ""))
    own = Editions((RenderedEdition(edition(1), ("arxiv:2611.00001",), (reader,)),), pieces)
    issue = store.freeze(rendered(), PUBLICATION, lifetime=timedelta(days=1), editions=own)
    assert store.pieces(issue.id) == pieces
    kept = renderings.c.pieces.is_not(None)
    with store._db.write() as connection:
        written = connection.execute(select(renderings.c.pieces).where(kept)).scalar_one()
        assert written.count(long) == 2
        before = json.dumps([(piece.html, piece.text) for piece in pieces])
        connection.execute(update(renderings).where(kept).values(pieces=before))
    assert store.pieces(issue.id) == pieces


def test_pieces_go_with_the_last_of_their_editions(store: Store, clock: FakeClock) -> None:
    (reader,) = readers(store, 1)
    made = Editions((RenderedEdition(edition(1), (), (reader,)),), pieces=PIECES)
    issue = store.freeze(rendered(), PUBLICATION, lifetime=timedelta(hours=24), editions=made)
    accept_all(store, issue)
    store.prune(deliveries_before=DAY, reports_before=None, runs_before=None)
    assert store.pieces(issue.id) == PIECES
    store.prune(deliveries_before=DAY + timedelta(days=1), reports_before=None, runs_before=None)
    assert store.pieces(issue.id) == ()
    assert store.joined(issue.id, 0, 9) == {}
    assert store.issue(DAY) is not None


def test_each_reader_gets_each_paper_once_over_twenty_days(store: Store) -> None:
    """The feed lists each paper for three days; a third of the readers want a topic, a third more, a third a week."""
    theirs = readers(store, 9)
    topics = ("owls", "kites", "lenses")
    choices = [
        Choice.of(Selector.of(topics=[topic]), on_top=on_top, weekly=weekly)
        for topic in topics
        for on_top, weekly in ((False, False), (True, False), (True, True))
    ]
    for reader, choice in zip(theirs, choices, strict=True):
        found = store.find(f"reader{theirs.index(reader)}@example.org")
        assert found is not None
        assert store.choose(found.ref, choice)
    got: dict[int, list[str]] = {reader: [] for reader in theirs}
    for age in range(20):
        day = DAY + timedelta(days=age)
        listed = tuple(
            paper(n, title=f"{topics[n % 3].capitalize()} of day {n // 6}", upvotes=100 - n % 7)
            for n in range(6 * age, 6 * age + 18)
        )
        new = tuple(each for each in listed if not store.shown([each]))
        main = Issue(day, new[:4], ranked_by_votes=True)
        candidates = Issue(day, listed, ranked_by_votes=True)
        week = Week.of([candidates, *(each for _, each in store.recent_candidates(21))], main, 4)
        seen = store.seen(week.issue.papers)
        wishes = [replace(each, seen=seen.get(each.reader, frozenset())) for each in store.wishes(day)]
        planned = planning.plan(Day(main, candidates, week), wishes)
        made = [
            RenderedEdition(edition(1), tuple(each.key for each in made.issue.papers), made.readers)
            for made in planned.editions
        ]
        issue = store.freeze(
            rendered(day),
            PUBLICATION,
            lifetime=timedelta(hours=24),
            editions=Editions(
                tuple(made),
                pieces=PIECES,
                unfitting=frozenset(planned.unfitting),
                resting=frozenset(planned.resting),
            ),
            papers=IssuePapers(shown=main.papers, candidates=candidates, offered={day: listed}),
        )
        of_readers = {reader: each.papers for each in made for reader in each.readers}
        without = {*planned.unfitting, *planned.resting}
        for reader in theirs:
            if reader not in without:
                got[reader] += of_readers.get(reader, tuple(each.key for each in main.papers))
        accept_all(store, issue)
    assert all(len(keys) == len(set(keys)) for keys in got.values())
    assert min(map(len, got.values())) >= 15
