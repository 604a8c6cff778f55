"""Read the preferences form: weekdays, pause, what a reader wants to read, and when. Pure; it knows nothing of HTTP."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cache
from typing import Any, Final
from zoneinfo import available_timezones

from newsletter.issue.choice import Choice, zone_of
from newsletter.issue.selector import KINDS, MOST_PAPERS, Selector, SelectorError, contradiction

LONGEST_PAUSE: Final = timedelta(days=366)
PAPERS: Final = ("5", "10", "20", "all")  # the numbers of papers that the form offers
HOURS: Final = range(24)
LONGEST_ZONE: Final = 64  # characters; the longest name of the IANA database has 32

_WEEKDAYS: Final = {str(number): 1 << number for number in range(7)}
_WEEKS: Final = {"0": 0, "1": 1, "2": 2, "4": 4}
_LINE_BREAK: Final = re.compile(r"\r\n|\r|\n")
_NUMBER: Final = re.compile(r"[0-9]{1,3}")


class Unclear(ValueError):
    """The form's values are not valid. `str(error)` is the value of `problem` in templates/web/preferences.html."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with one field.

    `fault` is a `selector.Fault`, or ``nothing`` (chosen), ``contradiction``, ``no-zone`` or ``no-hour``.
    `limit` is the bound that was broken, `shown` the beginning of what was typed; 0 and empty if there is none.
    """

    fault: str
    limit: int = 0
    shown: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """A form that is refused: what is wrong with days or pause, as Unclear says, and with other fields, by name."""

    problem: str
    mistakes: Mapping[str, Mistake]


@dataclass(frozen=True, slots=True)
class When:
    """A bit mask of weekdays (bit 0 is Monday), and the first day with an issue after a pause; None for no pause."""

    days: int
    paused_until: date | None


@dataclass(frozen=True, slots=True)
class Accepted(When):
    """A form that is accepted, with what the reader wants to read and when."""

    choice: Choice


def read(days: Collection[str], pause: str, until: str, today: date) -> When:
    """Read the values of the form. Raises Unclear if no valid day is chosen or the date is not valid.

    `days` are numbers from 0 for Monday as text; `pause` is a number of weeks or ``until``, and then `until` is a date
    as YYYY-MM-DD, at most 366 days after `today`.
    """
    chosen = sum(_WEEKDAYS.get(day, 0) for day in set(days))
    if not chosen:
        raise Unclear("no-days")
    if pause in _WEEKS:
        weeks = _WEEKS[pause]
        return When(chosen, today + timedelta(weeks=weeks) if weeks else None)
    try:
        day = date.fromisoformat(until)
    except ValueError as error:
        raise Unclear("no-date") from error
    if not today < day <= today + LONGEST_PAUSE:
        raise Unclear("out-of-range")
    return When(chosen, day)


@dataclass(frozen=True, slots=True)
class Filled:
    """The form as it is filled in: what the store has, or what somebody typed, valid or not.

    `days`, `pause` and `until` are as `read` takes them. `often` is ``each`` (an issue on each of the days) or
    ``weekly`` (one a week, on the first of them).
    `texts` has the lines of each kind of choice. `edition` is ``top`` (the main edition with "for you" on top) or
    ``mine``; `papers` a number or ``all``; `hour` a number or empty for the list's own; `line` whether the reader wants
    one line on a day without a fitting paper.
    """

    days: Collection[str] = tuple(_WEEKDAYS)
    pause: str = "0"
    until: str = ""
    edition: str = "top"
    often: str = "each"
    texts: Mapping[str, str] = field(default_factory=lambda: dict.fromkeys(KINDS, ""))
    papers: str = "10"
    hour: str = ""
    zone: str = ""
    line: bool = False

    @classmethod
    def stored(cls, days: int, paused_until: date | None, choice: Choice) -> Filled:
        """The form of a reader with these weekdays, this pause (None for none) and this choice."""
        selector = choice.selector or Selector()
        return cls(
            days=[day for day, bit in _WEEKDAYS.items() if days & bit],
            pause="until" if paused_until else "0",
            until=paused_until.isoformat() if paused_until else "",
            edition="top" if choice.on_top else "mine",
            often="weekly" if choice.weekly else "each",
            texts={kind: "\n".join(selector.own(kind)) for kind in KINDS},
            papers="all" if selector.papers is None else str(selector.papers),
            hour="" if choice.hour is None else str(choice.hour),
            zone=choice.zone or "",
            line=not choice.say_nothing,
        )

    @property
    def fields(self) -> dict[str, str]:
        """Each field as text; the page has them a second time, as ``had-`` and the name, to say what it began with."""
        return {
            **self.texts,
            "day": " ".join(sorted(self.days)),
            "pause": self.pause,
            "until": self.until,
            "edition": self.edition,
            "often": self.often,
            "papers": self.papers,
            "hour": self.hour,
            "zone": self.zone,
            "line": "1" if self.line else "",
        }

    @classmethod
    def typed(cls, values: Mapping[str, str], days: Collection[str], before: Filled) -> Filled:
        """The form as it was sent, with `before` for fields that it does not have: those of an older page or template.

        What has changed in the store since the page was opened, by a link in a mail or in another window, is not
        undone: a field that is as the page had it keeps what is stored, and of several lines each one is taken alone.
        A form without the field ``edition`` is of a template that has weekdays alone.
        """
        sent = {**values, "day": " ".join(sorted(_WEEKDAYS.keys() & set(days)))}
        if "edition" in values:
            sent["line"] = "1" if "line" in values else ""  # a box that is not marked is not sent
        else:
            sent = {name: text for name, text in sent.items() if name.removeprefix("had-") in ("day", "pause", "until")}
        now = {name: (_lines if name in KINDS else _text)(name, sent, kept) for name, kept in before.fields.items()}
        return cls(
            days=now["day"].split(),
            pause=now["pause"],
            until=now["until"][:10],
            edition=now["edition"],
            often=now["often"],
            texts={kind: now[kind] for kind in KINDS},
            papers=now["papers"],
            hour=now["hour"],
            zone=now["zone"][: 2 * LONGEST_ZONE],
            line=bool(now["line"]),
        )


def without_had(values: Mapping[str, str]) -> dict[str, str]:
    """The form as one that does not say what its page began with: all that it has is meant."""
    return {name: text for name, text in values.items() if not name.startswith("had-")}


def _text(name: str, sent: Mapping[str, str], stored: str) -> str:
    """A field as it was typed; as it is stored now if nothing was."""
    typed = sent.get(name, stored)
    return stored if typed == sent.get(f"had-{name}") else typed


def _lines(kind: str, sent: Mapping[str, str], stored: str) -> str:
    """The lines of a kind as they were typed, with what has changed in the store since the page was opened."""
    typed, had = sent.get(kind, stored), sent.get(f"had-{kind}")
    if had is None:
        return typed
    opened, now = _LINE_BREAK.split(had), _LINE_BREAK.split(stored)
    if (gone := set(opened) - set(now)) or set(now) - set(opened):
        kept = [line for line in _LINE_BREAK.split(typed) if line not in gone]
        return "\n".join((*kept, *(line for line in now if line not in opened and line not in kept)))
    return typed


def judge(filled: Filled, today: date) -> Accepted | Refused:
    """What the form asks for, or all that is wrong with it."""
    mistakes: dict[str, Mistake] = {}
    selector = _selector(filled, mistakes)
    hour, zone = _hour(filled.hour, mistakes), _zone(filled.zone, mistakes)
    try:
        when = read(filled.days, filled.pause, filled.until, today)
    except Unclear as unclear:
        return Refused(str(unclear), mistakes)
    if mistakes:
        return Refused("", mistakes)
    on_top = filled.edition != "mine"
    choice = Choice(
        selector,
        on_top=on_top,
        weekly=filled.often == "weekly",
        hour=hour,
        zone=zone,
        say_nothing=not filled.line,
    )
    return Accepted(when.days, when.paused_until, choice)


def _selector(filled: Filled, mistakes: dict[str, Mistake]) -> Selector | None:
    """The selector of the form, None for the main edition. Adds what is wrong to `mistakes`."""
    lines = {kind: _LINE_BREAK.split(filled.texts[kind]) for kind in KINDS}
    for kind in KINDS:
        _made(mistakes, **{kind: lines[kind]})
    papers = _papers(filled.papers, mistakes)
    if mistakes:
        return None
    selector = _made(mistakes, **lines)
    if selector is None:
        return None
    if filled.edition == "mine" and not selector.asks and not selector.never:
        mistakes["topics"] = Mistake("nothing")
    if (refused := contradiction(selector)) is not None:
        kind, choice = refused
        mistakes[kind] = Mistake("contradiction", shown=choice)
    if mistakes or selector == Selector():
        return None
    return replace(selector, papers=papers)


def _made(mistakes: dict[str, Mistake], **chosen: Any) -> Selector | None:
    """The selector of `chosen`, or None and what is wrong in `mistakes`."""
    try:
        return Selector.of(**chosen)
    except SelectorError as error:
        mistakes[error.kind] = Mistake(error.fault, error.limit, error.shown)
        return None


def _papers(typed: str, mistakes: dict[str, Mistake]) -> int | None:
    """The number of papers, None for all. Adds what is wrong to `mistakes`."""
    if typed == "all":
        return None
    number = int(typed) if _NUMBER.fullmatch(typed) else 0
    selector = _made(mistakes, papers=number)
    return selector.papers if selector else None


def _hour(typed: str, mistakes: dict[str, Mistake]) -> int | None:
    if not typed:
        return None
    if not _NUMBER.fullmatch(typed) or int(typed) not in HOURS:
        mistakes["hour"] = Mistake("no-hour")
        return None
    return int(typed)


def _zone(typed: str, mistakes: dict[str, Mistake]) -> str | None:
    if not typed.strip():
        return None
    known = zone_of(typed)
    if known is None:
        shown = "".join(char if char.isprintable() else " " for char in typed[:40])
        mistakes["zone"] = Mistake("no-zone", shown=shown)
    return known


def papers_offered(chosen: str) -> tuple[str, ...]:
    """The numbers of papers that the form offers, and the one chosen before if it is another."""
    other = {chosen} if _NUMBER.fullmatch(chosen) and 1 <= int(chosen) <= MOST_PAPERS else set[str]()
    return (*sorted({*PAPERS[:-1], *other}, key=int), PAPERS[-1])


@cache
def zones() -> tuple[str, ...]:
    """The names of time zones that the form offers, such as Europe/Berlin, in the order of the alphabet."""
    elsewhere = ("Etc/", "SystemV/", "US/")  # other names for the same zones
    return ("UTC", *sorted(name for name in available_timezones() if "/" in name and not name.startswith(elsewhere)))
