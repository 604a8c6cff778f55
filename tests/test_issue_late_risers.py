"""Late risers: papers above the cut now that were below it then, each once; and the replay that chose the rule."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest

from newsletter.issue.late_risers import Candidate, Riser, Rule, select
from tests import simulate
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


@pytest.mark.parametrize(("age", "seen"), [(0, False), (-1, False), (1, True), (7, True), (8, False)])
def test_only_the_past_week_is_looked_at(age: int, seen: bool) -> None:
    day = TODAY - timedelta(days=age)
    assert bool(select({day: candidates(9)}, (), TODAY, 10)) is seen


def test_the_section_is_short_and_what_leaves_the_window_first_goes_first() -> None:
    days = {TODAY - timedelta(days=age): candidates(100 * age, 100 * age + 1, prefix=f"{age}") for age in (1, 7, 3)}
    assert keys(select(days, (), TODAY, 10, Rule(max_cards=3))) == ["7b", "7a", "3b"]
    assert select(days, (), TODAY, 10, Rule(max_cards=0)) == ()


def test_what_did_not_fit_is_found_by_the_next_run() -> None:
    days = {YESTERDAY: candidates(9, 8, 7, 6)}
    first = keys(select(days, (), TODAY, 10))
    assert keys(select(days, first, TODAY + timedelta(days=1), 10)) == ["d"]


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


def replayed(path: Path, *words: str, top: int = 1) -> list[str]:
    """The last row of the table: days, ranked once, within 7 days, cards a day, most, twice."""
    command = [sys.executable, "-m", "tests.simulate", str(path), "--max-papers", str(top), *words]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    return ran.stdout.splitlines()[-1].split()[2:]


OVERTAKEN = (
    "a 2026-11-19 2026-11-19T08:00Z 5 api",
    "b 2026-11-19 2026-11-19T08:00Z 4 api",
    "b 2026-11-19 2026-11-20T00:02Z 9 page",
)


def test_a_paper_that_overtakes_counts_as_missed_until_the_next_run_shows_it(tmp_path: Path) -> None:
    assert replayed(votes(tmp_path, *OVERTAKEN)) == ["1", "0.0%", "0.0%", "-", "0", "0"]
    next_day = "c 2026-11-20 2026-11-20T08:00Z 1 api"
    assert replayed(votes(tmp_path, *OVERTAKEN, next_day)) == ["1", "0.0%", "100.0%", "1.00", "1", "0"]


@pytest.mark.parametrize(("day", "reached"), [("2026-11-26", "100.0%"), ("2026-11-27", "0.0%")])
def test_a_week_is_seven_days(tmp_path: Path, day: str, reached: str) -> None:
    rows = (*OVERTAKEN, f"c {day} {day}T08:00Z 1 api")
    assert replayed(votes(tmp_path, *rows), "--look-back", "30")[2] == reached


def test_votes_of_the_future_are_not_known_to_a_run(tmp_path: Path) -> None:
    rows = (*OVERTAKEN[:2], "b 2026-11-19 2026-11-21T00:02Z 9 page", "c 2026-11-20 2026-11-20T08:00Z 1 api")
    assert replayed(votes(tmp_path, *rows))[2] == "0.0%"


def test_days_that_tell_nothing_are_not_counted(tmp_path: Path) -> None:
    never_again = ("a 2026-11-19 2026-11-19T08:00Z 5 api", "b 2026-11-19 2026-11-19T08:00Z 4 api")
    too_late = ("c 2026-11-20 2026-11-21T08:00Z 5 api", "d 2026-11-20 2026-11-22T08:00Z 5 api")
    too_few = ("e 2026-11-23 2026-11-23T08:00Z 5 api", "e 2026-11-23 2026-11-24T08:00Z 5 api")
    assert replayed(votes(tmp_path, *never_again, *too_late, *too_few))[0] == "0"


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
    assert simulate.main([str(votes(tmp_path, row, *OVERTAKEN)), "--max-papers", "1"]) == 0
    told = capsys.readouterr()
    assert told.err == f"votes.tsv:2: {reason}: the row is left out\n"
    assert told.out.splitlines()[-1].split()[2:4] == ["1", "0.0%"]


def test_a_file_that_is_no_such_file_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "absent", binary, votes(tmp_path), votes(tmp_path, head="paper_id\tday\n"), tmp_path):
        assert simulate.main([str(path)]) == 1
        told = capsys.readouterr()
        assert told.out == ""
        assert len(told.err.splitlines()) == 1
        assert str(path) in told.err


def test_on_real_days_the_rule_keeps_its_promise(shared_data: Path) -> None:
    """Of the papers that end in a day's top 10, 97 % reach the reader within 7 days; 2 cards a day, no repeats."""
    path = shared_data / "votes_over_time_to_2025.tsv"
    days, once, in_time, cards, _, twice = replayed(path, top=10)
    assert int(days) > 100
    assert float(once.rstrip("%")) < 90
    assert float(in_time.rstrip("%")) >= 97
    assert float(cards) <= 2
    assert twice == "0"
