"""Late risers: papers above the cut now that were below it then, each once; and the replay that chose the rule."""

from __future__ import annotations

import sys
from datetime import date, timedelta
from pathlib import Path

import pytest

from newsletter.issue.late_risers import Candidate, Riser, Rule, select
from newsletter.issue.rules import IssueRules
from tests import program, simulate
from tests.conftest import ROOT

TODAY = date(2026, 11, 24)
YESTERDAY = TODAY - timedelta(days=1)


def candidates(*votes: int, then: int | None = 0, prefix: str = "") -> list[Candidate]:
    """Papers a, b, c... with these upvotes now."""
    return [Candidate(f"{prefix}{letter}", upvotes, then) for letter, upvotes in zip("abcdefgh", votes, strict=False)]


def keys(risers: tuple[Riser, ...]) -> list[str]:
    return [riser.key for riser in risers]


def test_a_paper_that_climbed_over_the_cut_is_shown_with_its_day_and_gain() -> None:
    day = [Candidate("top", 60, 20), Candidate("late", 50, 9), Candidate("second", 30, 15)]
    assert select({YESTERDAY: day}, {"top", "second"}, TODAY, 2) == (Riser("late", YESTERDAY, 41, 50),)


def test_a_paper_below_the_cut_waits() -> None:
    assert select({YESTERDAY: candidates(9, 8, 7)}, {"a", "b"}, TODAY, 2) == ()


def test_what_was_shown_is_never_shown_again() -> None:
    assert select({YESTERDAY: candidates(9, 8)}, {"a", "b"}, TODAY, 10) == ()


def test_each_section_has_a_cut_of_its_own() -> None:
    day = [Candidate("a", 90), Candidate("b", 80), Candidate("c", 9, section="HN"), Candidate("d", 8, section="HN")]
    assert keys(select({YESTERDAY: day}, {"a"}, TODAY, 1)) == ["c"]


def test_shown_papers_keep_their_place_above_the_cut() -> None:
    assert select({YESTERDAY: candidates(9, 8, 7)}, {"a", "b"}, TODAY, 3) == (Riser("c", YESTERDAY, 7, 7),)


def test_equal_votes_keep_the_order_of_the_feed_as_the_issue_does() -> None:
    assert keys(select({YESTERDAY: candidates(5, 5, 5)}, set(), TODAY, 2)) == ["a", "b"]


def test_all_votes_of_a_paper_listed_later_came_since() -> None:
    assert select({YESTERDAY: candidates(12, then=None)}, (), TODAY, 10) == (Riser("a", YESTERDAY, 12, 12),)


@pytest.mark.parametrize(("age", "seen"), [(0, False), (-1, False), (1, True), (6, True), (7, False)])
def test_only_the_past_week_is_looked_at(age: int, seen: bool) -> None:
    day = TODAY - timedelta(days=age)
    assert bool(select({day: candidates(9)}, (), TODAY, 10)) is seen


def test_the_section_is_short_and_what_leaves_the_window_first_goes_first() -> None:
    days = {TODAY - timedelta(days=age): candidates(100 * age, 100 * age + 1, prefix=f"{age}") for age in (1, 6, 3)}
    assert keys(select(days, (), TODAY, 10, Rule(max_cards=3))) == ["6b", "6a", "3b"]
    assert select(days, (), TODAY, 10, Rule(max_cards=0)) == ()


def test_what_did_not_fit_is_found_by_the_next_run() -> None:
    days = {YESTERDAY: candidates(9, 8, 7, 6)}
    first = keys(select(days, (), TODAY, 10, Rule(max_cards=3)))
    assert keys(select(days, first, TODAY + timedelta(days=1), 10, Rule(max_cards=3))) == ["d"]


@pytest.mark.parametrize(("max_papers", "cards"), [(1, 3), (10, 3), (12, 3), (20, 5), (50, 12), (1000, 250)])
def test_a_larger_cut_has_room_for_more_late_risers(max_papers: int, cards: int) -> None:
    assert IssueRules(max_papers=max_papers).rising.max_cards == cards
    assert IssueRules(max_papers=max_papers, max_rising=2).rising.max_cards == 2


def test_a_paper_listed_on_two_days_is_one() -> None:
    days = {YESTERDAY: candidates(9), TODAY - timedelta(days=3): candidates(9)}
    assert select(days, (), TODAY, 10) == (Riser("a", TODAY - timedelta(days=3), 9, 9),)


def test_the_order_of_the_mapping_decides_nothing() -> None:
    days = {TODAY - timedelta(days=age): candidates(age, age, prefix=f"{age}") for age in range(1, 8)}
    backwards = dict(reversed(days.items()))
    assert select(days, (), TODAY, 10) == select(backwards, (), TODAY, 10)


# --- the replay that chose the rule ----------------------------------------------------------------------------------

HEAD = "paper_id\tlisting_day\tobserved_utc\tupvotes\tseen_in\n"


def votes(tmp_path: Path, *rows: str, head: str = HEAD) -> Path:
    """A file of observations; in `rows` a space stands for a tab."""
    path = tmp_path / "votes.tsv"
    path.write_text(head + "".join(row.replace(" ", "\t") + "\n" for row in rows), "utf-8")
    return path


def replayed(path: Path, *words: str, cut: int = 1) -> list[str]:
    """The last row of the table: days, first mail, within 7 days, cards a day, most, twice."""
    command = [sys.executable, "-m", "tests.simulate", str(path), "--max-papers", str(cut), *words]
    ran = program.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    return str(ran.stdout).splitlines()[-1].split()[3:]


# Paper b has overtaken paper a when the run of the next morning knows the votes, and c has when the week is over.
RISEN = (
    "a 2026-11-18 2026-11-18T08:00Z 5 api",
    "a 2026-11-18 2026-11-19T00:02Z 6 page",
    "b 2026-11-18 2026-11-18T08:00Z 4 api",
    "b 2026-11-18 2026-11-19T00:02Z 9 page",
    "c 2026-11-18 2026-11-18T08:00Z 0 api",
    "c 2026-11-18 2026-11-20T00:02Z 20 page",
)


def test_a_day_is_ranked_when_it_is_ripe_and_not_before(tmp_path: Path) -> None:
    path = votes(tmp_path, *RISEN[:4], "a 2026-11-18 2026-11-19T12:00Z 7 page")
    assert replayed(path)[:2] == ["1", "100.0%"]
    assert replayed(path, "--settle", "0")[:2] == ["1", "0.0%"]
    assert replayed(path, "--at", "23:00")[:2] == ["0", "-"]  # nothing is known of the day after that run


def test_a_paper_that_overtakes_counts_as_missed_until_the_next_run_shows_it(tmp_path: Path) -> None:
    assert replayed(votes(tmp_path, *RISEN)) == ["1", "0.0%", "0.0%", "-", "0", "0"]
    next_day = "d 2026-11-19 2026-11-20T00:02Z 1 page"
    assert replayed(votes(tmp_path, *RISEN, next_day)) == ["1", "0.0%", "100.0%", "1.00", "1", "0"]


@pytest.mark.parametrize(("day", "reached"), [("2026-11-24", "100.0%"), ("2026-11-25", "0.0%")])
def test_a_week_is_seven_days_from_the_listing_to_the_mail(tmp_path: Path, day: str, reached: str) -> None:
    rows = (*RISEN, f"d {day} {day}T23:50Z 1 page")
    assert replayed(votes(tmp_path, *rows), "--look-back", "30")[2] == reached


def test_votes_of_the_future_are_not_known_to_a_run(tmp_path: Path) -> None:
    late = "c 2026-11-18 2026-11-20T08:01Z 20 page"
    rows = (*RISEN[:5], late, "d 2026-11-19 2026-11-20T00:02Z 1 page")
    assert replayed(votes(tmp_path, *rows))[2] == "0.0%"


def test_days_that_tell_nothing_are_not_counted(tmp_path: Path) -> None:
    never_again = RISEN[:4]
    unknown = ("e 2026-11-20 2026-11-20T08:00Z 5 api", "f 2026-11-20 2026-11-23T08:00Z 5 api")
    too_few = ("g 2026-11-23 2026-11-24T00:02Z 5 page", "g 2026-11-23 2026-11-25T08:00Z 5 api")
    assert replayed(votes(tmp_path, *never_again, *unknown, *too_few))[0] == "0"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a 2026-11-19 2026-11-19T08:00Z many api", "invalid literal for int() with base 10: 'many'"),
        ("a 2026-11-19 noon 5 api", "Invalid isoformat string: 'noon'"),
        ("a 2026-11-31 2026-11-19T08:00Z 5 api", "day is out of range for month"),
        ("a", "expected paper_id, listing_day, observed_utc, upvotes"),
    ],
)
def test_a_malformed_row_is_named_in_one_line_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], row: str, reason: str
) -> None:
    assert simulate.main([str(votes(tmp_path, row, *RISEN)), "--max-papers", "1"]) == 0
    told = capsys.readouterr()
    assert told.err == f"votes.tsv:2: {reason}: the row is left out\n"
    assert told.out.splitlines()[-1].split()[3:5] == ["1", "0.0%"]


def test_a_file_that_is_no_such_file_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "absent", binary, votes(tmp_path), votes(tmp_path, head="paper_id\tday\n"), tmp_path):
        assert simulate.main([str(path)]) == 1
        told = capsys.readouterr()
        assert told.out == ""
        assert len(told.err.splitlines()) == 1
        assert str(path) in told.err


@pytest.mark.parametrize("cut", [10, 20, 25])
def test_on_real_days_the_rule_keeps_its_promise(shared_data: Path, cut: int) -> None:
    """The first mail has 90 % of the final top, a week of mails 99 %, with one card a day at most and no repeats."""
    path = shared_data / "votes_over_time_to_2025.tsv"
    days, once, in_time, cards, _, twice = replayed(path, cut=cut)
    assert int(days) > 30
    assert float(once.rstrip("%")) >= 90
    assert float(in_time.rstrip("%")) >= 99
    assert float(cards) <= 1
    assert twice == "0"


def test_ranked_at_once_the_first_mail_misses_more(shared_data: Path) -> None:
    path = shared_data / "votes_over_time_to_2025.tsv"
    assert float(replayed(path, "--settle", "0", cut=10)[1].rstrip("%")) < 90
