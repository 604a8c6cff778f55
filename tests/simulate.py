"""Replay real days and count which of their top papers reached the reader: `python -m tests.simulate VOTES.tsv`.

Each day's issue is made by `issue.compose` from the votes known that morning, and the runs of the following days add
what `late_risers.select` finds. Then each day is ranked by the last votes known, to count how many of its top papers
had been shown within seven days. The file is tab-separated, with a header and the columns paper_id, listing_day,
observed_utc and upvotes, one row per observation.

What is counted is chosen to flatter nobody: only days with more papers than the issue takes (elsewhere all are shown),
whose morning was observed and which were observed again; runs only on days that have papers; cards only of runs that
had such a day to look back at.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Final

from newsletter.issue.compose import compose
from newsletter.issue.late_risers import Candidate, Rule, select
from newsletter.issue.rules import IssueRules
from newsletter.model import Paper, ParsedFeed

COLUMNS: Final = ("paper_id", "listing_day", "observed_utc", "upvotes")
IN_TIME: Final = timedelta(days=7)
EVER: Final = datetime.max.replace(tzinfo=UTC)
MOST_COMPLAINTS: Final = 10


class UnreadableError(Exception):
    """A file or a row that cannot be used, in one line."""


# --- reading ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Observation:
    """What one row says: `paper`, listed on `day`, had `upvotes` at `moment` (UTC)."""

    paper: str
    day: date
    moment: datetime
    upvotes: int


@dataclass(slots=True)
class Day:
    """A day's papers in the order of the file, each with its votes over time."""

    votes: dict[str, list[tuple[datetime, int]]] = field(default_factory=dict)

    def known(self, moment: datetime) -> dict[str, int]:
        """The papers listed by then with the last upvotes seen."""
        seen = {paper: [upvotes for at, upvotes in votes if at <= moment] for paper, votes in self.votes.items()}
        return {paper: upvotes[-1] for paper, upvotes in seen.items() if upvotes}

    def moments(self) -> set[datetime]:
        """When it was looked at."""
        return {at for votes in self.votes.values() for at, _ in votes}


def read(lines: Iterable[str], name: str, complaints: list[str]) -> dict[date, Day]:
    """The days in a file, the oldest first. A bad row is left out and adds a line to `complaints`.

    Observations without a listing day are no mistake, but nothing can be done with them. Raises UnreadableError when a
    column is missing.
    """
    rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
    if missing:
        raise UnreadableError(f"{name}:1: no column {', '.join(missing)}: expected {', '.join(COLUMNS)}")
    observations: list[Observation] = []
    for row in rows:
        try:
            observations += _observations(row)
        except ValueError as error:
            complaints.append(f"{name}:{rows.line_num}: {error}: the row is left out")
    return _by_day(observations)


def _observations(row: Mapping[str, str | None]) -> Iterator[Observation]:
    """None or one. Raises ValueError with what is wrong."""
    paper, day, observed, upvotes = (row[column] for column in COLUMNS)
    if not paper or day is None or not observed or not upvotes:
        raise ValueError(f"expected {', '.join(COLUMNS)}")
    if day:
        at = datetime.fromisoformat(observed)
        yield Observation(paper, date.fromisoformat(day), at if at.tzinfo else at.replace(tzinfo=UTC), int(upvotes))


def _by_day(observations: Iterable[Observation]) -> dict[date, Day]:
    days: defaultdict[date, Day] = defaultdict(Day)
    for seen in observations:
        days[seen.day].votes.setdefault(seen.paper, []).append((seen.moment, seen.upvotes))
    for day in days.values():
        for votes in day.votes.values():
            votes.sort()
    return dict(sorted(days.items()))


# --- replaying -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Replay:
    """What the reader got, `shown`: paper to day; `cards`: the risers of each run; `twice`: cards that were repeats."""

    mornings: dict[date, list[str]] = field(default_factory=dict)
    shown: dict[str, date] = field(default_factory=dict)
    cards: dict[date, int] = field(default_factory=dict)
    twice: Counter[date] = field(default_factory=Counter)

    def show(self, papers: Iterable[str], on: date) -> None:
        """Note a section of the mail of that day."""
        for paper in papers:
            if paper in self.shown:
                self.twice[on] += 1
            self.shown.setdefault(paper, on)


def replay(days: Mapping[date, Day], max_papers: int, rule: Rule) -> Replay:
    """One run on each day that has papers: its issue from the morning's votes, and the risers of the past days."""
    result = Replay()
    for today, day in days.items():
        morning = morning_of(today, day)
        now = morning or datetime.combine(today, time(12), UTC)
        # Nobody knows what the issue of an unobserved morning held: nothing of it is a riser later.
        votes = day.known(now if morning else EVER)
        fresh = {paper: upvotes for paper, upvotes in votes.items() if paper not in result.shown}
        result.mornings[today] = ranked(fresh, today, max_papers if morning else len(fresh))
        result.show(result.mornings[today], today)
        risers = select(_past(days, today, now, rule), result.shown.keys(), today, max_papers, rule)
        result.show([riser.key for riser in risers], today)
        result.cards[today] = len(risers)
    return result


def morning_of(day: date, seen: Day) -> datetime | None:
    """When the day was first looked at, None unless on that very day (UTC)."""
    first = min(seen.moments())
    return first if first.date() == day else None


def ranked(votes: Mapping[str, int], day: date, max_papers: int) -> list[str]:
    """The papers of an issue made of these votes."""
    papers = tuple(Paper(key=paper, title=paper, upvotes=upvotes) for paper, upvotes in votes.items())
    return [paper.key for paper in compose([ParsedFeed(papers)], day, IssueRules(max_papers=max_papers)).papers]


def _past(days: Mapping[date, Day], today: date, now: datetime, rule: Rule) -> dict[date, list[Candidate]]:
    """The days that a run asks for again, as their votes stand now."""
    window = (today - timedelta(days=age) for age in range(1, rule.look_back + 1))
    return {day: _candidates(day, days[day], now) for day in window if day in days}


def _candidates(day: date, seen: Day, now: datetime) -> list[Candidate]:
    morning = morning_of(day, seen)
    then = seen.known(morning) if morning else {}
    return [Candidate(paper, upvotes, then.get(paper)) for paper, upvotes in seen.known(now).items()]


# --- counting --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Score:
    """Of some days: how many there were, the papers that ended on top, and how many of those reached the reader."""

    days: int
    top: int
    at_once: int  # in the issue of their day
    in_time: int  # within seven days
    runs: int
    cards: int
    most: int  # cards in one issue
    twice: int

    def cells(self) -> tuple[str, ...]:
        """The figures of one row of the table."""
        cards = f"{self.cards / self.runs:.2f}" if self.runs else "-"
        shares = _percent(self.at_once, self.top), _percent(self.in_time, self.top)
        return (str(self.days), *shares, cards, str(self.most), str(self.twice))


HEADING: Final = ("top", "half", "days", "ranked once", "within 7 days", "cards a day", "most", "twice")


def _row(cells: Iterable[str]) -> str:
    return "  ".join(cell.rjust(len(heading) + 2) for heading, cell in zip(HEADING, cells, strict=True))


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def measured(days: Mapping[date, Day], max_papers: int) -> list[date]:
    """The days that tell something: see the head of this file."""
    return [
        day
        for day, seen in days.items()
        if len(seen.votes) > max_papers and morning_of(day, seen) and len(seen.moments()) > 1
    ]


def score(days: Mapping[date, Day], told: Replay, counted: Sequence[date], max_papers: int, rule: Rule) -> Score:
    """What the replay achieved on the days in `counted`."""
    top = [(day, paper) for day in counted for paper in ranked(days[day].known(EVER), day, max_papers)]
    runs = {run for run in days for day in counted if timedelta() < run - day <= timedelta(days=rule.look_back)}
    return Score(
        days=len(counted),
        top=len(top),
        at_once=sum(told.shown.get(paper, date.max) <= day for day, paper in top),
        in_time=sum(told.shown.get(paper, date.max) - day <= IN_TIME for day, paper in top),
        runs=len(runs),
        cards=sum(told.cards[run] for run in runs),
        most=max((told.cards[run] for run in runs), default=0),
        twice=sum(told.twice.values()),
    )


def table(days: Mapping[date, Day], max_papers: int, rule: Rule) -> Iterator[str]:
    """A row for each half-year, to see whether the rule holds in all of them, and one for all."""
    told = replay(days, max_papers, rule)
    counted = measured(days, max_papers)
    halves: defaultdict[str, list[date]] = defaultdict(list)
    for day in counted:
        halves[f"{day.year} H{1 + (day.month > 6)}"].append(day)
    for label, some in [*halves.items(), ("all", counted)]:
        yield _row((str(max_papers), label, *score(days, told, some, max_papers, rule).cells()))


# --- the command -----------------------------------------------------------------------------------------------------


def main(words: Sequence[str] | None = None) -> int:
    """Print the table; 1 and one line on stderr when the file cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulate", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--max-papers", type=_positive, nargs="+", default=[5, 10, 20], metavar="N")
    parser.add_argument("--look-back", type=_positive, default=Rule().look_back, metavar="DAYS")
    parser.add_argument("--max-cards", type=_positive, default=Rule().max_cards, metavar="N")
    options = parser.parse_args(words)
    try:
        days = _load(options.file)
    except (UnreadableError, OSError, UnicodeDecodeError) as error:
        print(f"simulate: {options.file}: {error}", file=sys.stderr)
        return 1
    print(_row(HEADING))
    for max_papers in options.max_papers:
        for line in table(days, max_papers, Rule(options.look_back, options.max_cards)):
            print(line)
    return 0


def _positive(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, not {word}")
    return int(word)


def _load(path: Path) -> dict[date, Day]:
    complaints: list[str] = []
    with path.open(encoding="utf-8", newline="") as lines:
        days = read(lines, path.name, complaints)
    for complaint in complaints[:MOST_COMPLAINTS]:
        print(complaint, file=sys.stderr)
    if len(complaints) > MOST_COMPLAINTS:
        print(f"{path.name}: and {len(complaints) - MOST_COMPLAINTS} more rows left out", file=sys.stderr)
    if not days:
        raise UnreadableError("holds no observation with a listing day")
    return days


if __name__ == "__main__":
    sys.exit(main())
