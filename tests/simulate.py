"""Replay real days and count which of their top papers reached the reader: `python -m tests.simulate VOTES.tsv`.

Each day's issue is made by `issue.compose` from the votes known that morning, and the runs of the following days add
what `late_risers.select` finds. Then each day is ranked by the last votes known, to count how many of its top papers
had been shown within seven days. The file is tab-separated, with a header and the columns paper_id, listing_day,
observed_utc and upvotes, one row per observation.

Only informative days are counted: those with more papers than an issue takes (otherwise all are shown), and with
observations in the morning and later. There is a run on each day with papers. Cards are counted for runs that had such
a day to look back at.
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
    """The file cannot be used; the message is one line."""


# --- reading ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Observation:
    """A row of the file: `paper`, listed on `day`, had `upvotes` at `moment` (UTC)."""

    paper: str
    day: date
    moment: datetime
    upvotes: int


@dataclass(slots=True)
class Day:
    """A day's papers in the order of the file, each with its votes over time."""

    votes: dict[str, list[tuple[datetime, int]]] = field(default_factory=dict)

    def known(self, moment: datetime) -> dict[str, int]:
        """The papers listed until `moment`, with their latest upvotes then."""
        seen = {paper: [upvotes for at, upvotes in votes if at <= moment] for paper, votes in self.votes.items()}
        return {paper: upvotes[-1] for paper, upvotes in seen.items() if upvotes}

    def moments(self) -> set[datetime]:
        """The times of observations."""
        return {at for votes in self.votes.values() for at, _ in votes}


def read(lines: Iterable[str], name: str, complaints: list[str]) -> dict[date, Day]:
    """The days in a file, the oldest first. A bad row is left out and adds a line to `complaints`.

    Observations without a listing day are valid but not used. Raises UnreadableError if a column is missing.
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
    """The observation of a row, if it has a listing day. Raises ValueError with the reason for a bad row."""
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
    """Result of a replay: `shown` maps a paper to the day it was shown, `cards` a run to its number of late risers.

    `twice` counts the papers of a run that had been shown before.
    """

    mornings: dict[date, list[str]] = field(default_factory=dict)
    shown: dict[str, date] = field(default_factory=dict)
    cards: dict[date, int] = field(default_factory=dict)
    twice: Counter[date] = field(default_factory=Counter)

    def show(self, papers: Iterable[str], on: date) -> None:
        """Record that the mail of the day `on` shows `papers`."""
        for paper in papers:
            if paper in self.shown:
                self.twice[on] += 1
            self.shown.setdefault(paper, on)


def replay(days: Mapping[date, Day], max_papers: int, rule: Rule) -> Replay:
    """Make an issue on each day with papers, from the votes of its morning, with late risers of the past days."""
    result = Replay()
    for today, day in days.items():
        morning = morning_of(today, day)
        now = morning or datetime.combine(today, time(12), UTC)
        # The issue of a day without observations in the morning is unknown, so it gives no late risers later.
        votes = day.known(now if morning else EVER)
        fresh = {paper: upvotes for paper, upvotes in votes.items() if paper not in result.shown}
        result.mornings[today] = ranked(fresh, today, max_papers if morning else len(fresh))
        result.show(result.mornings[today], today)
        risers = select(_past(days, today, now, rule), result.shown.keys(), today, max_papers, rule)
        result.show([riser.key for riser in risers], today)
        result.cards[today] = len(risers)
    return result


def morning_of(day: date, seen: Day) -> datetime | None:
    """The first observation of `day` if it was made on that day (UTC), else None."""
    first = min(seen.moments())
    return first if first.date() == day else None


def ranked(votes: Mapping[str, int], day: date, max_papers: int) -> list[str]:
    """The keys of the papers of an issue made from these votes."""
    papers = tuple(Paper(key=paper, title=paper, upvotes=upvotes) for paper, upvotes in votes.items())
    return [paper.key for paper in compose([ParsedFeed(papers)], day, IssueRules(max_papers=max_papers)).papers]


def _past(days: Mapping[date, Day], today: date, now: datetime, rule: Rule) -> dict[date, list[Candidate]]:
    """The past days that a run looks back at, with the votes known `now`."""
    window = (today - timedelta(days=age) for age in range(1, rule.look_back + 1))
    return {day: _candidates(day, days[day], now) for day in window if day in days}


def _candidates(day: date, seen: Day, now: datetime) -> list[Candidate]:
    morning = morning_of(day, seen)
    then = seen.known(morning) if morning else {}
    return [Candidate(paper, upvotes, then.get(paper)) for paper, upvotes in seen.known(now).items()]


# --- counting --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Score:
    """Figures for some days: their number, the papers that were top at the end, and how many of these were shown."""

    days: int
    top: int
    at_once: int  # in the issue of their day
    in_time: int  # within seven days of it
    runs: int
    cards: int
    most: int  # greatest number of cards in one issue
    twice: int

    def cells(self) -> tuple[str, ...]:
        """The cells of a row of the table."""
        cards = f"{self.cards / self.runs:.2f}" if self.runs else "-"
        shares = _percent(self.at_once, self.top), _percent(self.in_time, self.top)
        return (str(self.days), *shares, cards, str(self.most), str(self.twice))


HEADING: Final = ("top", "half", "days", "ranked once", "within 7 days", "cards a day", "most", "twice")


def _row(cells: Iterable[str]) -> str:
    return "  ".join(cell.rjust(len(heading) + 2) for heading, cell in zip(HEADING, cells, strict=True))


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def measured(days: Mapping[date, Day], max_papers: int) -> list[date]:
    """The days that are counted, as described at the top of this file."""
    return [
        day
        for day, seen in days.items()
        if len(seen.votes) > max_papers and morning_of(day, seen) and len(seen.moments()) > 1
    ]


def score(days: Mapping[date, Day], told: Replay, counted: Sequence[date], max_papers: int, rule: Rule) -> Score:
    """The figures of a replay for the days in `counted`."""
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
    """The rows of the table: one for each half-year, to see whether the rule always holds, and one for all days."""
    told = replay(days, max_papers, rule)
    counted = measured(days, max_papers)
    halves: defaultdict[str, list[date]] = defaultdict(list)
    for day in counted:
        halves[f"{day.year} H{1 + (day.month > 6)}"].append(day)
    for label, some in [*halves.items(), ("all", counted)]:
        yield _row((str(max_papers), label, *score(days, told, some, max_papers, rule).cells()))


# --- the command -----------------------------------------------------------------------------------------------------


def main(words: Sequence[str] | None = None) -> int:
    """Print the table. Returns 0, or 1 with one line on standard error if the file cannot be used."""
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
