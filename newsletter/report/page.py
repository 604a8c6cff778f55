"""The report as one HTML page: charts as inline SVG, and each of them as a table too. No script, nothing loaded."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from newsletter.model import VERDICT_EXIT, Publication, Verdict
from newsletter.report import charts
from newsletter.report.facts import FATES, Facts, Fate, Size

_ROWS: Final = 40  # of what servers said
_RUNS: Final = 10  # that are shown at once
_ALL_RUNS: Final = 200
_TROUBLE: Final = tuple(name for name, _ in FATES if name != "accepted")

# Verdicts whose exit code is 0 although nothing went out.
_NOTHING: Final = frozenset(
    {Verdict.QUIET_DAY, Verdict.WEEKEND, Verdict.FILTERED_OUT, Verdict.NO_SUBSCRIBERS, Verdict.ALREADY_RUNNING}
)


def render(facts: Facts, publication: Publication, now: datetime) -> str:
    """The page about `facts`, made at `now` (UTC)."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"number": _number, "day": _day, "percent": _percent}
    days = charts.Days(facts.until - timedelta(days=facts.days - 1), facts.days)
    template = environment.get_template("page.html")
    return template.render(
        title=publication.title,
        made=now.astimezone(UTC),
        facts=facts,
        days=days,
        fates=[name for name, _ in FATES],
        trouble=_TROUBLE,
        tiles=tiles(facts),
        sizes=_sizes(facts.sizes, days),
        copies=_copies(facts, days),
        lost=_lost(facts, days),
        rates=_rates(facts, days),
        told=facts.refusals[:_ROWS],
        untold=len(facts.refusals) - _ROWS,
        latest=facts.runs[:_RUNS],
        earlier=facts.runs[_RUNS:_ALL_RUNS],
        level=level,
    )


def tiles(facts: Facts) -> list[tuple[str, str, str]]:
    """The figures at the top: what, how much, and a few words."""
    found = []
    if facts.sizes:
        first, last = facts.sizes[0], facts.sizes[-1]
        grown = last.active - first.active
        change = f"{abs(grown):,} {'more' if grown > 0 else 'fewer'}" if grown else "as many"
        found.append(("Subscribers", f"{last.active:,}", f"{change} {'than' if grown else 'as'} on {_day(first.day)}"))
    copies: Counter[str] = Counter()
    for fate in facts.fates:
        copies.update(fate.copies)
    found.append(("Issues", f"{len(facts.fates):,}", f"{count_of(copies.total(), 'copy', 'copies')} in all"))
    if copies.total():
        lost = copies.total() - copies["accepted"]
        words = f"{count_of(lost, 'copy was', 'copies were')} not" if lost else "all copies were"
        found.append(("Accepted", _percent(copies["accepted"], copies.total()), words))
    gone = sum(number for _, number in facts.left)
    found.append(
        ("Left", f"{gone:,}", facts.left[0][0] + (" mostly" if len(facts.left) > 1 else "") if gone else "nobody")
    )
    failed = sum(1 for run in facts.runs if level(run.verdict) == "bad")
    found.append(("Runs", f"{len(facts.runs):,}", f"{failed:,} failed" if failed else "none failed"))
    return found


def count_of(number: int, one: str, many: str) -> str:
    """A number of any size with its noun."""
    return f"{number:,} {one if number == 1 else many}"


def level(verdict: Verdict) -> str:
    """How a verdict is coloured: good, none when nothing was meant to go out, wait, or bad."""
    if verdict in (Verdict.STILL_OWED, Verdict.PAUSED):
        return "wait"
    if VERDICT_EXIT[verdict]:
        return "bad"
    return "none" if verdict in _NOTHING else "good"


def _sizes(sizes: tuple[Size, ...], days: charts.Days) -> dict[str, Any]:
    """The line of the list: the part that was worked out later, and the part that was counted."""
    scale = charts.axis([size.active for size in sizes], from_zero=False)
    points = [(days.middle(size.day), scale.top(size.active)) for size in sizes]
    known = next((at for at, size in enumerate(sizes) if size.counted), len(sizes))
    area = charts.path([(points[0][0], 100), *points, (points[-1][0], 100)]) + "Z" if len(points) > 1 else ""
    return {
        "scale": scale,
        "guessed": charts.path(points[: known + 1]),
        "counted": charts.path(points[known:]),
        "area": area,
        "has_guessed": known > 0,
        "last": points[-1] if points else None,
        "weekly": sizes[::-1][::7],
    }


def _words(fate: Fate, names: tuple[str, ...]) -> str:
    told = ", ".join(f"{fate.copies[name]:,} {name}" for name in names if fate.copies[name])
    return f"{_day(fate.day)}: {told or 'no copies'}"


def _copies(facts: Facts, days: charts.Days) -> dict[str, Any]:
    names = tuple(name for name, _ in FATES)
    scale = charts.axis([fate.all for fate in facts.fates], from_zero=True)
    stacks = [(fate.day, fate.copies, _words(fate, names)) for fate in facts.fates]
    return {"scale": scale, "bars": charts.bars(days, stacks, names, scale)}


def _lost(facts: Facts, days: charts.Days) -> dict[str, Any]:
    """What was not accepted, on a scale of its own: beside a thousand copies, three would not be seen."""
    lost = [fate for fate in facts.fates if fate.all > fate.copies["accepted"]]
    scale = charts.axis([fate.all - fate.copies["accepted"] for fate in lost], from_zero=True)
    stacks = [(fate.day, fate.copies, _words(fate, _TROUBLE)) for fate in lost]
    return {"scale": scale, "bars": charts.bars(days, stacks, _TROUBLE, scale)}


def _rates(facts: Facts, days: charts.Days) -> dict[str, Any]:
    known = [(fate, fate.per_minute) for fate in facts.fates if fate.per_minute]
    scale = charts.axis([rate for _, rate in known], from_zero=True)
    stacks = [(fate.day, {"rate": rate}, f"{_day(fate.day)}: {rate:,} a minute") for fate, rate in known]
    return {
        "scale": scale,
        "bars": charts.bars(days, stacks, ("rate",), scale),
        "best": max((rate for _, rate in known), default=0),
    }


def _number(value: int) -> str:
    return f"{value:,}"


def _day(value: Any) -> str:
    return f"{value.day} {value:%b}"


def _percent(part: int, whole: int) -> str:
    """A share; never 100 % while something is missing, and never 0 % while something is there."""
    if part in (0, whole):
        return "100 %" if part else "0 %"
    share = min(max(100 * part / whole, 0.1), 99.9)
    return f"{share:.1f} %"
