"""The kinds of argument the commands share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from newsletter.config import Config
    from newsletter.model import Span

# Days beside its own that an issue of a period takes in.
_PERIODS: Final = {"week": 6, "month": 29}

# A day as it was asked for: fixed, or counted from today, which is known only once the config is read.
Clock = Callable[[date], date]


class Day(click.ParamType[Clock]):
    """YYYY-MM-DD, `today` or `yesterday`."""

    name = "day"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Clock:
        """Take a day as the user wrote it."""
        if callable(value):
            return value
        if value in ("today", "yesterday"):
            back = timedelta(days=int(value == "yesterday"))
            return lambda today: today - back
        try:
            day = date.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a day; write YYYY-MM-DD, today or yesterday", param, ctx)
        return lambda today: day


DAY = Day()


class TimeOfDay(click.ParamType[time]):
    """HH:MM, of a clock of 24 hours."""

    name = "HH:MM"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> time:
        """Take a time as the user wrote it."""
        if isinstance(value, time):
            return value
        hour, _, minute = str(value).partition(":")
        try:
            return time(int(hour), int(minute))
        except ValueError:
            self.fail(f"{value!r} is not a time of day; write HH:MM, such as 07:00", param, ctx)


TIME_OF_DAY = TimeOfDay()


def resolve_day(asked: Clock | None, config: Config) -> date:
    """The day that was asked for; the one whose issue is due when none was."""
    today = config.today(datetime.now(UTC))
    return today if asked is None else asked(today)


def span_of(period: str, day: date, since: date | None, *, catch_up: bool) -> Span:
    """The days that an issue of `day` takes in, as the command line says."""
    from newsletter.model import Span  # 15 ms, which `--help` need not wait for

    if period in _PERIODS:
        return Span(since=day - timedelta(days=_PERIODS[period]), again=True)
    return Span(since=since, catch_up=catch_up)
