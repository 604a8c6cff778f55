"""The geometry of the report's charts: pure functions from numbers to places, in percent of a chart's width and height.

A chart is stretched to the width of its page, on a phone too, so there is no text in it: labels are HTML beside it. All
charts of a page have the same days from left to right, so that one can be read below the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

_STEPS: Final = 4  # lines across a chart, about
_GAP: Final = 0.25  # of a day's width, between two bars
_LEAST: Final = 1.2  # percent; a smaller value could not be seen


@dataclass(frozen=True, slots=True)
class Axis:
    """The numbers from the bottom of a chart to its top, and the lines across it."""

    low: int
    high: int
    ticks: tuple[int, ...]

    def top(self, value: float) -> float:
        """How far `value` is below the top, in percent."""
        return round(100 * (self.high - value) / (self.high - self.low), 2)


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a bar: what it shows, where its top is, and how high it is."""

    name: str
    top: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """A day's bar: where it begins and how wide it is, its parts from the bottom up, and what it says in words."""

    left: float
    width: float
    segments: tuple[Segment, ...]
    words: str


@dataclass(frozen=True, slots=True)
class Days:
    """The days from left to right."""

    first: date
    number: int

    def middle(self, day: date) -> float:
        """Where the middle of a day is, in percent from the left."""
        return round(100 * ((day - self.first).days + 0.5) / self.number, 2)

    def bar(self, day: date) -> tuple[float, float]:
        """Where the bar of a day begins, and its width."""
        wide = 100 / self.number
        return round((day - self.first).days * wide + wide * _GAP / 2, 2), round(wide * (1 - _GAP), 2)

    def labels(self, most: int = 5) -> list[tuple[float, date]]:
        """A few days, spread evenly, with their places; the last one is today."""
        step = max(1, math.ceil(self.number / most))
        numbers = range((self.number - 1) % step, self.number, step)
        return [
            (self.middle(self.first + timedelta(days=number)), self.first + timedelta(days=number))
            for number in numbers
        ]


def axis(values: Iterable[int], *, from_zero: bool) -> Axis:
    """An axis for `values` with round numbers. Without `from_zero` it begins near the least value."""
    found = list(values) or [0]
    high = max(found)
    low = 0 if from_zero else min(found)
    step = _step(max(high - low, 1))
    bottom = math.floor(low / step) * step
    top = max(math.ceil(high / step) * step, bottom + step)
    return Axis(bottom, top, tuple(range(bottom, top + 1, step)))


def _step(span: int) -> int:
    """The distance of the lines: 1, 2 or 5 times a power of ten, and a whole number."""
    rough = span / _STEPS
    power = 10 ** math.floor(math.log10(rough)) if rough > 0 else 1
    return max(1, round(next(power * times for times in (1, 2, 5, 10) if power * times >= rough)))


def bars(
    days: Days, stacks: Sequence[tuple[date, Mapping[str, int], str]], names: Sequence[str], scale: Axis
) -> tuple[Bar, ...]:
    """A bar for each stack: its day, the numbers by name, and its words. Parts come in the order of `names`."""
    found = []
    for day, numbers, words in stacks:
        left, width = days.bar(day)
        parts: list[Segment] = []
        bottom = 100.0
        for name in names:
            if number := numbers.get(name, 0):
                height = max(100 * number / (scale.high - scale.low), _LEAST)
                bottom -= height
                parts.append(Segment(name, round(max(bottom, 0), 2), round(height, 2)))
        found.append(Bar(left, width, tuple(parts), words))
    return tuple(found)


def path(points: Sequence[tuple[float, float]]) -> str:
    """A line through points as an SVG path."""
    return "M" + "L".join(f"{left:g} {top:g}" for left, top in points) if points else ""
