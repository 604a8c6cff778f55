"""Replay real days and count which of their top papers reached the reader: `python -m tests.simulate VOTES.tsv`.

A run takes place every day at the hour `--at` (UTC). It takes the newest ripe day (`issue.calendar.day_due`, with the
calendar of Hugging Face) that has papers and no issue. The issue is made by `issue.compose` from the votes known at
that moment, and has what `late_risers.select` finds in the days before. Then each day is ranked by the last votes
known, to count how many of its top papers were in the first mail, and how many in any mail within seven days of the
day of their listing. Every setting that is not given has the product's default.

The file is tab-separated, with a header and the columns paper_id, listing_day, observed_utc and upvotes, one row per
observation.

Only informative days are counted: those with more papers than an issue takes (otherwise all are shown), with an
observation in the twelve hours before the run (an older one says less than the run would have known), and with one
later. A day without such an observation shows all its papers, so that it gives no late risers later. Cards are counted
for runs that had an informative day to look back at.
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

from newsletter.issue.calendar import CALENDARS, day_due
from newsletter.issue.compose import compose
from newsletter.issue.late_risers import Candidate, Rule, select
from newsletter.issue.rules import IssueRules
from newsletter.model import Paper, ParsedFeed

COLUMNS: Final = ("paper_id", "listing_day", "observed_utc", "upvotes")
IN_TIME: Final = timedelta(days=7)
RECENT: Final = timedelta(hours=12)
TOP: Final = 10
DEFAULT: Final = IssueRules()
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


@dataclass(frozen=True, slots=True)
class Schedule:
    """The daily runs: at which hour of the day (UTC), and for which rules."""

    at: time
    rules: IssueRules

    def run(self, number: date) -> datetime:
        """The moment of the run on the date `number`."""
        return datetime.combine(number, self.at, UTC)

    def due(self, number: date) -> date:
        """The newest ripe day at the run on the date `number`."""
        return day_due((CALENDARS["hugging-face"],), UTC, self.run(number), self.rules.settling)


@dataclass(slots=True)
class Replay:
    """Result of a replay: `shown` maps a paper to the date of the mail that shows it; the others are by issue day.

    `mailed` is the date of the mail, `cards` its number of late risers, `twice` how many of its papers had been shown
    before. `known` holds the days of which the votes at the moment of the run are known.
    """

    shown: dict[str, date] = field(default_factory=dict)
    mailed: dict[date, date] = field(default_factory=dict)
    cards: dict[date, int] = field(default_factory=dict)
    twice: Counter[date] = field(default_factory=Counter)
    known: set[date] = field(default_factory=set)

    def show(self, papers: Iterable[str], day: date) -> None:
        """Record that the mail with the issue of `day` shows `papers`."""
        for paper in papers:
            if paper in self.shown:
                self.twice[day] += 1
            self.shown.setdefault(paper, self.mailed[day])


def replay(days: Mapping[date, Day], schedule: Schedule) -> Replay:
    """Make the issues of all days with papers, each with late risers of the days before it."""
    result = Replay()
    first, last = min(days), max(days) + timedelta(days=1) + schedule.rules.settling
    for number in range((last - first).days + 1):
        today = first + timedelta(days=number)
        due = schedule.due(today)
        if due in days and due not in result.mailed:
            result.mailed[due] = today
            _issue(days, due, schedule, result)
    return result


def _issue(days: Mapping[date, Day], day: date, schedule: Schedule, result: Replay) -> None:
    """Make the issue of `day` and record what it shows."""
    rules, now = schedule.rules, schedule.run(result.mailed[day])
    votes = days[day].known(EVER)
    if any(now - RECENT <= moment <= now for moment in days[day].moments()):
        result.known.add(day)
        votes = days[day].known(now)
    fresh = {paper: upvotes for paper, upvotes in votes.items() if paper not in result.shown}
    result.show(ranked(fresh, day, rules.max_papers if day in result.known else max(1, len(fresh))), day)
    week = (day - timedelta(days=back) for back in range(1, rules.rising.look_back + 1))
    past = {
        each: _candidates(days[each], now, schedule.run(result.mailed[each])) for each in week if each in result.mailed
    }
    risers = select(past, result.shown.keys(), day, rules.max_papers, rules.rising)
    result.show([riser.key for riser in risers], day)
    result.cards[day] = len(risers)


def ranked(votes: Mapping[str, int], day: date, max_papers: int) -> list[str]:
    """The keys of the papers of an issue made from these votes."""
    papers = tuple(Paper(key=paper, title=paper, upvotes=upvotes) for paper, upvotes in votes.items())
    return [paper.key for paper in compose([ParsedFeed(papers)], day, IssueRules(max_papers=max_papers)).papers]


def _candidates(seen: Day, now: datetime, made: datetime) -> list[Candidate]:
    """The papers of a past day with their votes `now` and when its issue was made."""
    then = seen.known(made)
    return [Candidate(paper, upvotes, then.get(paper)) for paper, upvotes in seen.known(now).items()]


# --- counting --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Score:
    """Figures for some days: their number, the papers that were top at the end, and how many of these were shown."""

    days: int
    top: int
    at_once: int  # in the first mail with their day
    in_time: int  # in a mail within seven days of the day of listing
    runs: int
    cards: int
    most: int  # greatest number of cards in one issue
    twice: int

    def cells(self) -> tuple[str, ...]:
        """The cells of a row of the table."""
        cards = f"{self.cards / self.runs:.2f}" if self.runs else "-"
        shares = _percent(self.at_once, self.top), _percent(self.in_time, self.top)
        return (str(self.days), *shares, cards, str(self.most), str(self.twice))


HEADING: Final = ("cut", "top", "half", "days", "first mail", "within 7 days", "cards a day", "most", "twice")


def _row(cells: Iterable[str]) -> str:
    return "  ".join(cell.rjust(len(heading) + 2) for heading, cell in zip(HEADING, cells, strict=True))


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def measured(days: Mapping[date, Day], told: Replay, schedule: Schedule) -> list[date]:
    """The days that are counted, as described at the top of this file."""
    return [
        day
        for day, seen in days.items()
        if day in told.known
        and len(seen.votes) > schedule.rules.max_papers
        and max(seen.moments()) > schedule.run(told.mailed[day])
    ]


def score(days: Mapping[date, Day], told: Replay, counted: Sequence[date], top: int, rule: Rule) -> Score:
    """The figures of a replay for the days in `counted`, of each the first `top` papers at the end."""
    best = [(day, paper) for day in counted for paper in ranked(days[day].known(EVER), day, top)]
    runs = {run for run in days for day in counted if timedelta() < run - day <= timedelta(days=rule.look_back)}
    return Score(
        days=len(counted),
        top=len(best),
        at_once=sum(told.shown.get(paper, date.max) <= told.mailed[day] for day, paper in best),
        in_time=sum(told.shown.get(paper, date.max) - day <= IN_TIME for day, paper in best),
        runs=len(runs),
        cards=sum(told.cards[run] for run in runs),
        most=max((told.cards[run] for run in runs), default=0),
        twice=sum(told.twice.values()),
    )


def table(days: Mapping[date, Day], schedule: Schedule) -> Iterator[str]:
    """The rows of a cut: for each top one per half-year, to see whether the rule always holds, and one for all days."""
    rules = schedule.rules
    told = replay(days, schedule)
    counted = measured(days, told, schedule)
    halves: defaultdict[str, list[date]] = defaultdict(list)
    for day in counted:
        halves[f"{day.year} H{1 + (day.month > 6)}"].append(day)
    for top in sorted({min(TOP, rules.max_papers), rules.max_papers}):
        for label, some in [*halves.items(), ("all", counted)]:
            cells = score(days, told, some, top, rules.rising).cells()
            yield _row((str(rules.max_papers), str(top), label, *cells))


# --- the command -----------------------------------------------------------------------------------------------------


def main(words: Sequence[str] | None = None) -> int:
    """Print the table. Returns 0, or 1 with one line on standard error if the file cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulate", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--at", type=time.fromisoformat, default=time(8), metavar="HH:MM", help="of the runs, UTC")
    parser.add_argument("--settle", type=_whole, default=DEFAULT.settle, metavar="HOURS")
    parser.add_argument("--max-papers", type=_positive, nargs="+", default=[5, 10, 15, 20, 25], metavar="N")
    parser.add_argument("--look-back", type=_positive, default=DEFAULT.look_back, metavar="DAYS")
    parser.add_argument("--max-rising", type=_positive, default=DEFAULT.max_rising, metavar="N")
    options = parser.parse_args(words)
    try:
        days = _load(options.file)
    except (UnreadableError, OSError, UnicodeDecodeError) as error:
        print(f"simulate: {options.file}: {error}", file=sys.stderr)
        return 1
    print(_row(HEADING))
    for cut in options.max_papers:
        asked = {"settle": options.settle, "look_back": options.look_back, "max_rising": options.max_rising}
        for line in table(days, Schedule(options.at, IssueRules(max_papers=cut, **asked))):
            print(line)
    return 0


def _whole(word: str) -> int:
    if not word.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number, not {word}")
    return int(word)


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
