"""What readers chose, on both databases: kept, moved along, forgotten; and what editions could be picked from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta

import pytest
from sqlalchemy import insert, select

from newsletter.issue.choice import Choice
from newsletter.issue.selector import Selector
from newsletter.links import Links
from newsletter.model import (
    Editions,
    IssuePapers,
    LateRiser,
    NewSubscriber,
    RenderedEdition,
    RenderedIssue,
    Result,
    RunReport,
    State,
    Verdict,
)
from newsletter.store import ConfirmationState, Store
from newsletter.store.schema import choices, deliveries, renderings, shards, subscribers
from tests.conftest import PUBLICATION, issue, paper
from tests.fakes import ACCEPTED, FakeClock

DAY = date(2026, 11, 24)
ADA, NEW = "ada@example.org", "new@example.org"
LINKS = Links("the secret", PUBLICATION)
PROTEINS = Choice.of(Selector.of(topics=["protein design"]), on_top=False, hour=7, zone="Europe/Berlin")
RENDERED = RenderedIssue(DAY, "Papers", "<p>html", "text\n")


@pytest.fixture
def store(database_url: str, clock: FakeClock) -> Iterator[Store]:
    with Store.open(database_url, now=clock.now, hasher=LINKS.forgotten_hashes) as opened:
        opened.add(ADA)
        yield opened


def ref(store: Store, address: str = ADA) -> str:
    reader = store.find(address)
    assert reader is not None
    return reader.ref


def test_a_choice_is_kept_until_the_reader_chooses_anew(store: Store) -> None:
    assert store.choice_of(ref(store)) == Choice()
    assert store.choose(ref(store), PROTEINS)
    assert store.choice_of(ref(store)) == PROTEINS
    assert [choice for _, choice in store.choices()] == [PROTEINS]
    assert store.choose(ref(store), Choice())
    assert list(store.choices()) == []


def test_nobody_chooses_who_is_not_on_the_list(store: Store) -> None:
    key = ref(store)
    assert not store.choose("0" * 16, PROTEINS)
    assert store.choice_of("0" * 16) == Choice()
    store.unsubscribe(ADA)
    assert not store.choose(key, PROTEINS)
    assert list(store.choices()) == []


def test_a_choice_is_forgotten_with_its_reader(store: Store) -> None:
    store.choose(ref(store), PROTEINS)
    store.forget(ADA)
    assert list(store.choices()) == []


def test_a_choice_moves_along_to_a_new_address(store: Store, clock: FakeClock) -> None:
    store.choose(ref(store), PROTEINS)
    store.ask_move(ref(store), NEW)
    (move,) = store.due_sign_ups(9)
    clock.move(minutes=1)
    assert store.confirm(move.ref, move.asked_at, "pressed") is ConfirmationState.CONFIRMED
    assert store.choice_of(ref(store, NEW)) == PROTEINS


def test_a_reader_at_the_new_address_keeps_their_own_choice(store: Store, clock: FakeClock) -> None:
    store.add(NEW)
    store.choose(ref(store, NEW), Choice(hour=5))
    store.choose(ref(store), PROTEINS)
    store.ask_move(ref(store), NEW)
    (move,) = store.due_sign_ups(9)
    clock.move(minutes=1)
    store.confirm(move.ref, move.asked_at, "pressed")
    assert store.choice_of(ref(store, NEW)) == Choice(hour=5)


def test_a_row_of_another_version_harms_nobody(store: Store) -> None:
    """A zone that this machine does not know costs the hour alone, and what cannot be read is nothing chosen."""
    rows = ['{"hour":7,"unheard":["of"],"weekly":true,"zone":"Moon/Crater"}', "{"]
    for number, text in enumerate(rows):
        store.add(f"{number}@example.org")
        with store._db.write() as connection:
            who = connection.execute(
                select(subscribers.c.id).where(subscribers.c.identity == f"{number}@example.org")
            ).scalar_one()
            connection.execute(insert(choices).values(subscriber_id=who, choice=text))
    assert [choice for _, choice in store.choices()] == [Choice.of(weekly=True), Choice()]


def test_a_weekly_row_that_cannot_be_read_brings_nothing_on_other_weekdays(store: Store) -> None:
    store.prefer(ref(store), days=1 << DAY.weekday(), paused_until=None)
    reader = store.find(ADA)
    assert reader is not None
    with store._db.write() as connection:
        row = '{"selector":{"topics":["the"]},"weekly":true}'
        connection.execute(insert(choices).values(subscriber_id=reader.id, choice=row))
    assert [wish.rests for age in (0, 1) for wish in store.wishes(DAY + timedelta(days=age))] == [False, True]


def test_the_papers_that_editions_could_be_picked_from_are_kept(store: Store) -> None:
    days = [DAY - timedelta(days=age) for age in (9, 3, 0)]
    for number, day in enumerate(days):
        riser = LateRiser(paper(90 + number), day - timedelta(days=1), 5)
        uncut = replace(issue(paper(number), paper(50 + number), day=day), rising=(riser,))
        store.freeze(
            replace(RENDERED, day=day), PUBLICATION, lifetime=timedelta(hours=24), papers=IssuePapers(candidates=uncut)
        )
    found = store.recent_candidates(7)
    assert [day for day, _ in found] == days[:0:-1]
    assert found[0][1].papers == (paper(2), paper(52))
    assert found[0][1].rising[0].paper == paper(92)
    assert [day for day, _ in store.recent_candidates(1)] == [DAY]


def test_old_candidates_are_dropped(store: Store) -> None:
    for day in (DAY - timedelta(days=61), DAY - timedelta(days=60), DAY):
        uncut = issue(paper(1), day=day)
        store.freeze(
            replace(RENDERED, day=day), PUBLICATION, lifetime=timedelta(hours=24), papers=IssuePapers(candidates=uncut)
        )
    assert [day for day, _ in store.recent_candidates(99)] == [DAY, DAY - timedelta(days=60)]


def edition(*readers: int, topic: str = "secret topic") -> RenderedEdition:
    return RenderedEdition(replace(RENDERED, html=f"<p>{topic}", text=f"{topic}\n"), ("arxiv:1",), readers)


def test_editions_and_hours_are_frozen_with_the_issue(store: Store, clock: FakeClock) -> None:
    """Copies come in the order in which they are due, and none before its hour; each lives from its hour on."""
    ids = {}
    for name in ("b", "c", "d", "e"):
        store.add(f"{name}@example.org")
        reader = store.find(f"{name}@example.org")
        assert reader is not None
        ids[name] = reader.id
        store.choose(reader.ref, PROTEINS)
    frozen = store.freeze(
        RENDERED,
        PUBLICATION,
        lifetime=timedelta(hours=24),
        editions=Editions(
            (edition(ids["b"]), edition(ids["c"])),
            unfitting=frozenset({ids["e"]}),
            hours={ids["b"]: (12, "UTC"), ids["d"]: (6, "UTC")},
        ),
    )
    assert store.unfitting(frozen.id) == 1
    assert sum(store.counts(frozen.id).values()) == 4
    assert store.not_yet_due(frozen.id) == (2, clock.now().replace(hour=12))

    def claimed() -> list[tuple[str, str]]:
        found = []
        for shard in store.shards_due(frozen.id):
            with store.shard(frozen.id, shard, resend_uncertain=0) as free:
                assert free is not None
                copies = store.claim(frozen.id, 10, resend_uncertain=0)
                found += copies
                store.turn([], copies)
                store.turn([Result(copy, State.SENDING, ACCEPTED) for copy in copies], [])
        made = [store.rendering(copy.rendering_id) for copy in found]
        return [(copy.address[0], each.rendered.text.strip()) for copy, each in zip(found, made, strict=True) if each]

    assert claimed() == [("a", "text"), ("c", "secret topic")]
    clock.move(hours=4, minutes=59)
    assert claimed() == []
    clock.move(minutes=1)
    assert claimed() == [("b", "secret topic")]
    clock.move(hours=18)  # the next morning, at six; the others would be too old
    assert claimed() == [("d", "text")]
    assert store.expire() == {}
    assert store.issue(DAY) == frozen


def test_a_copy_that_misses_its_hour_expires_a_lifetime_later(store: Store, clock: FakeClock) -> None:
    reader = store.find(ADA)
    assert reader is not None
    store.choose(reader.ref, PROTEINS)
    hours = Editions(hours={reader.id: (12, "UTC")})
    store.freeze(RENDERED, PUBLICATION, lifetime=timedelta(hours=2), editions=hours)
    clock.move(hours=6, minutes=59)
    assert store.expire() == {}
    clock.move(minutes=1)
    assert store.expire() == {DAY: 1}


def test_an_edition_is_forgotten_with_the_only_reader_who_got_it(store: Store) -> None:
    store.add(NEW)
    readers = []
    for address in (ADA, NEW):
        reader = store.find(address)
        assert reader is not None
        store.choose(reader.ref, PROTEINS)
        readers.append(reader.id)
    made = (edition(*readers[:1], topic="hers alone"), edition(*readers[1:], topic="the other's"))
    store.freeze(RENDERED, PUBLICATION, lifetime=timedelta(hours=24), editions=Editions(made))
    store.forget(ADA)
    with store._db.read() as connection:
        kept = set(connection.execute(select(renderings.c.html)).scalars())
    assert kept == {"<p>html", "<p>the other's"}


def test_the_hour_of_a_forgotten_reader_is_in_no_copy_of_theirs(store: Store) -> None:
    reader = store.find(ADA)
    assert reader is not None
    hours = {reader.id: (7, "Asia/Kathmandu")}
    made = store.freeze(RENDERED, PUBLICATION, lifetime=timedelta(hours=24), editions=Editions(hours=hours))
    store.forget(ADA)
    with store._db.read() as connection:
        of_copy = select(deliveries.c.state, deliveries.c.due_at, deliveries.c.ends_at)
        assert connection.execute(of_copy).all() == [(State.WITHDRAWN, None, None)]
        assert connection.execute(select(shards.c.open, shards.c.due_at)).all() == [(False, None)]
    assert store.claim(made.id, 10, resend_uncertain=0) == []


def test_an_import_brings_choices_and_changes_none_of_a_reader(store: Store) -> None:
    store.choose(ref(store), Choice(hour=5))
    store.merge([NewSubscriber(ADA, choice=PROTEINS.written), NewSubscriber(NEW, choice=PROTEINS.written)])
    assert store.choice_of(ref(store)) == Choice(hour=5)
    assert store.choice_of(ref(store, NEW)) == PROTEINS


def test_an_issue_whose_readers_all_rest_has_no_copies_and_is_no_day_without_an_issue(store: Store) -> None:
    store.choose(ref(store), Choice(weekly=True))
    reader = store.find(ADA)
    assert reader is not None
    resting = Editions(resting=frozenset({reader.id}))
    made = store.freeze(RENDERED, PUBLICATION, lifetime=timedelta(hours=24), editions=resting)
    assert store.counts(made.id) == dict.fromkeys(State, 0)
    assert store.unfinished() == []
    store.record_run(RunReport(Verdict.NEW_ISSUE, "no copies", DAY), made.frozen_at)
    assert store.days_without_issue() == 0


def test_what_a_reader_had_at_an_address_before_counts(store: Store, clock: FakeClock) -> None:
    """Also over two moves, and for who chose only afterwards."""
    shown = paper(1)
    store.freeze(
        RENDERED,
        PUBLICATION,
        lifetime=timedelta(hours=24),
        papers=IssuePapers(shown=(shown,), candidates=issue(shown, day=DAY), offered={DAY: (shown,)}),
    )
    (copy,) = store.claim(1, 10, resend_uncertain=0)
    store.turn([], [copy])
    store.turn([Result(copy, State.SENDING, ACCEPTED)], [])
    for before, address in ((ADA, NEW), (NEW, "newer@example.org")):
        clock.move(minutes=1)
        store.ask_move(ref(store, before), address)
        (move,) = store.due_sign_ups(9)
        clock.move(minutes=1)
        assert store.confirm(move.ref, move.asked_at, "pressed") is ConfirmationState.CONFIRMED
    store.choose(ref(store, "newer@example.org"), Choice.of(weekly=True))
    reader = store.find("newer@example.org")
    assert reader is not None
    assert store.seen([shown, paper(2)])[reader.id] == {shown.key}
    assert store.seen([shown], weekly=True)[reader.id] == {shown.key}
    (wish,) = store.wishes(DAY + timedelta(days=1))
    assert (wish.reader, wish.rests, wish.since) == (reader.id, True, DAY)
    store.choose(reader.ref, PROTEINS)
    assert store.seen([shown], weekly=True) == {}
    assert store.seen([shown])[reader.id] == {shown.key}


def test_a_paper_was_shown_also_under_another_key(store: Store) -> None:
    """Titles are compared between keys of several kinds, not between two ids or two links."""
    title = "Night owls that fold proteins"
    old = paper(1, key="link:https://blog.example.org/owls", title=title)
    other = paper(2, key="link:https://blog.example.org/cats", title="Cats that never sleep at night")
    store.freeze(
        RENDERED,
        PUBLICATION,
        lifetime=timedelta(hours=24),
        papers=IssuePapers(shown=(other,), candidates=issue(old, other, day=DAY), offered={DAY: (old, other)}),
        editions=Editions((RenderedEdition(RENDERED, (old.key,), (id_of(store, ADA),)),)),
    )
    store.choose(ref(store), PROTEINS)
    now = paper(3, key="arxiv:2611.00003", title=title)
    again = paper(4, key="link:https://elsewhere.example.org/", title=title)
    assert store.seen([now, paper(5, key="arxiv:2611.00005")]) == {id_of(store, ADA): {now.key}}
    assert store.seen([again]) == {}
    assert store.seen([old, now]) == {id_of(store, ADA): {old.key, now.key}}


def id_of(store: Store, address: str) -> int:
    reader = store.find(address)
    assert reader is not None
    return reader.id


def test_who_came_back_joined_anew(store: Store, clock: FakeClock) -> None:
    clock.move(days=-60)
    store.add(NEW)
    store.choose(ref(store, NEW), Choice.of(weekly=True))
    store.unsubscribe(NEW)
    clock.move(days=58)
    store.add(NEW)
    store.choose(ref(store, NEW), Choice.of(weekly=True))
    assert [wish.since for wish in store.wishes(DAY)] == [DAY - timedelta(days=7)]


def test_weekly_readers_rest_and_their_papers_are_those_since_their_last_mail(store: Store, clock: FakeClock) -> None:
    """A copy that expired was no mail, one that waits for its hour is, and an issue that is made anew has none yet."""
    clock.move(days=-60)
    names = {}
    for number, days in enumerate((0b1, 0b11111, 0b10, 0b1111111)):
        store.add(f"{number}@example.org")
        reader = store.find(f"{number}@example.org")
        assert reader is not None
        names[reader.id] = number
        said = Selector.of(topics=['"weekly":true'])
        store.choose(reader.ref, Choice.of(None if number < 3 else said, weekly=number < 3))
        store.prefer(reader.ref, days=days, paused_until=None)
    clock.move(days=60)

    def asked(day: date, besides: int | None = None) -> dict[int, tuple[bool, int | None]]:
        found = {names[each.reader]: each for each in store.wishes(day, besides=besides)}
        return {n: (each.rests, (DAY - each.since).days if each.since else None) for n, each in sorted(found.items())}

    assert asked(DAY) == {0: (False, 28), 1: (False, 28), 2: (False, 28), 3: (False, None)}
    lifetime = timedelta(hours=24)
    first = next(reader for reader, number in names.items() if number == 0)
    waits = Editions(hours={first: (23, "UTC")}, resting=frozenset(set(names) - {first}))
    made = store.freeze(RENDERED, PUBLICATION, lifetime=lifetime, editions=waits)
    assert asked(DAY, besides=made.id)[0] == (False, 28)
    later = DAY + timedelta(days=1)
    assert asked(later) == {0: (True, 0), 1: (False, 27), 2: (False, 27), 3: (False, None)}
    clock.move(days=3)
    store.expire()
    assert asked(later)[0] == (False, 27)
    assert asked(DAY + timedelta(days=7))[0] == (False, 21)
    store.prune(deliveries_before=later, reports_before=None, runs_before=None)
    assert asked(DAY + timedelta(days=7))[0] == (False, 0)  # nobody knows any more who was shown what
