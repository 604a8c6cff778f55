"""Types of arguments that the commands share."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from newsletter.config import Config
    from newsletter.model import Span

NEWEST_RIPE: Final = "the newest ripe day, see issue.settle"

# Number of earlier days that the issue of a period covers besides its own.
_PERIODS: Final = {"week": 6, "month": 29}

_DNS: Final = 53  # port (RFC 1035 section 4.2)

# A day on the command line, as a function of today's date, which depends on the time zone in the configuration.
Clock = Callable[[date], date]


class Day(click.ParamType[Clock]):
    """A day: YYYY-MM-DD, `today` or `yesterday`."""

    name = "day"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Clock:
        """Parse a day as the user wrote it. Raises click.BadParameter."""
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
    """A time of day: HH:MM, 24 hours."""

    name = "HH:MM"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> time:
        """Parse a time as the user wrote it. Raises click.BadParameter."""
        if isinstance(value, time):
            return value
        hour, _, minute = str(value).partition(":")
        try:
            return time(int(hour), int(minute))
        except ValueError:
            self.fail(f"{value!r} is not a time of day; write HH:MM, such as 07:00", param, ctx)


TIME_OF_DAY = TimeOfDay()


class Hours(click.FloatRange):
    """A number of hours, up to a month."""

    def __init__(self) -> None:
        super().__init__(1, 24 * 31)

    def convert(self, value: float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse a number within the range. Raises click.BadParameter, for nan too, which no range leaves out."""
        hours = float(super().convert(value, param, ctx))
        if math.isnan(hours):
            self.fail(f"{value!r} is not a number of hours", param, ctx)
        return hours


HOURS = Hours()


class HostAndPort(click.ParamType[tuple[str, int]]):
    """A name server: HOST or HOST:PORT; an IPv6 address with a port stands in brackets."""

    name = "HOST[:PORT]"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Split host and port; the port of DNS is 53. Raises click.BadParameter."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\s\[\]]+))(?::(\d{1,5}))?", str(value))
        literal = re.fullmatch(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*", str(value))
        if literal:
            return str(value), _DNS
        if match is None or not 0 < int(match[3] or _DNS) < 65536:
            self.fail(f"{value!r} is not a name server; write HOST or HOST:PORT, such as 9.9.9.9", param, ctx)
        return match[1] or match[2], int(match[3] or _DNS)


HOST_AND_PORT = HostAndPort()


def resolve_day(asked: Clock | None, config: Config) -> date:
    """The day that `asked` means; if it is None, the day whose issue is due now."""
    now = datetime.now(UTC)
    return config.due(now) if asked is None else asked(config.today(now))


def resolve_listed(asked: Clock | None, config: Config) -> date:
    """The same for a command that only looks: if `asked` is None, the newest ripe day on which papers are listed."""
    return config.listed(datetime.now(UTC)) if asked is None else resolve_day(asked, config)


def span_of(period: str, day: date, since: date | None, *, catch_up: bool) -> Span:
    """The days that the issue of `day` covers: a `period`, or those from `since` on, or with `catch_up` missed days."""
    from newsletter.model import Span  # takes 15 ms to import, which `--help` does not need

    if period in _PERIODS:
        return Span(since=day - timedelta(days=_PERIODS[period]), again=True)
    return Span(since=since, catch_up=catch_up)
