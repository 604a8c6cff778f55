"""Read the dates of feeds. No I/O.

The day is the publisher's own: the one that is written, in the time zone it is written in. 00:30 on 27 November in
Berlin is the 27th, although it is the 26th in UTC. A date that could be two days, such as 03/04/2026, is unknown.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Final

_LONGEST: Final = 100  # characters
_EARLIEST: Final = 1900  # years; anything else is a placeholder, such as 0001-01-01
_LATEST: Final = 2999

# The names of months, by their first letters without accents and in lower case: English, German, French, Spanish,
# Portuguese, Italian, Dutch, as date libraries of these languages write them. "mai" and the like are longer than the
# shortest, so the longest beginning counts.
_MONTHS: Final[dict[str, int]] = {
    name: number
    for number, names in enumerate(
        (
            "jan jän ene gen",
            "feb fév fev",
            "mar mär mrz maa mrt",
            "apr avr abr",
            "may mai mei mag",
            "jun juin giu",
            "jul juil lug",
            "aug aoû aou ago",
            "sep set",
            "oct okt out ott",
            "nov",
            "dec dez déc dic",
        ),
        1,
    )
    for name in names.split()
}
_ISO: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?!\d)")  # RFC 3339, also with a time or an offset after it
_ISO_WEEK: Final = re.compile(r"\d{4}-?W\d\d-?\d")
_COMPACT: Final = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T.*)?")
_YEAR_FIRST: Final = re.compile(r"(\d{4}) ?[/.年년] ?(\d{1,2}) ?[/.月월] ?(\d{1,2})(?!\d)")
# RFC 5322 section 3.3, with or without the day's name, and with the punctuation of other languages.
_DAY_FIRST: Final = re.compile(
    r"(?:[^\W\d_]{1,20}+\.?,? )?(\d{1,2})(?:st|nd|rd|th|er)?\.?[ -](?:de )?([^\W\d_]{1,20}+)\.?,?[ -]"
    r"(?:de )?(\d{4}|\d\d)(?!\d)"
)
_MONTH_FIRST: Final = re.compile(
    r"(?:[^\W\d_]{1,20}+\.?,? )?([^\W\d_]{1,20}+)\.? (\d{1,2})(?:st|nd|rd|th)?(?:, ?| )"
    r"(?:\d\d?:\d\d(?::\d\d)? (?:[A-Z]{1,5} )?)?(\d{4})(?!\d)"
)
_NUMBERS: Final = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4})(?!\d)")
_HALF: Final = re.compile(r"\d ?[AaPp]\.?[Mm]\b")
_UNIX: Final = re.compile(r"(\d{9,10})(?:\d{3}|\.\d{1,6})?")  # seconds, or milliseconds, since 1970


def day_of(value: object) -> date | None:
    """The day that a timestamp of a feed says, as it is written; None if `value` is no date, or no certain one.

    Read are RFC 3339 and ISO 8601, RFC 5322 (with months also in other languages), asctime, dates that begin with the
    year, ``11/27/2026``, and seconds or milliseconds since 1970, whose day is that of UTC.
    """
    if not isinstance(value, str) or len(value) > _LONGEST:
        return None
    text = " ".join(value.split())
    for pattern, read in _FORMS:
        if match := pattern.match(text):
            try:
                found = read(match)
            except (ValueError, OverflowError, OSError):
                found = None
            if found is not None:
                return found if _EARLIEST <= found.year <= _LATEST else None
    return None


def _year_month_day(match: re.Match[str]) -> date:
    return date(int(match[1]), int(match[2]), int(match[3]))


def _week(match: re.Match[str]) -> date:
    return date.fromisoformat(match[0])


def _day_month_year(match: re.Match[str]) -> date | None:
    return _named(match[1], match[2], match[3])


def _month_day_year(match: re.Match[str]) -> date | None:
    return _named(match[2], match[1], match[3])


def _named(day: str, month: str, year: str) -> date | None:
    folded = month.casefold()
    number = next((_MONTHS[folded[:length]] for length in (4, 3) if folded[:length] in _MONTHS), None)
    return date(_full(year), number, int(day)) if number else None


def _full(year: str) -> int:
    """A year of two digits is one of 1950 to 2049 (RFC 5322 section 4.3)."""
    return int(year) if len(year) == 4 else int(year) + (2000 if int(year) < 50 else 1900)


def _numbers(match: re.Match[str]) -> date | None:
    """Day and month in the order that is possible: with dots the day is first, with AM or PM the month."""
    first, second, year = int(match[1]), int(match[3]), int(match[4])
    if match[2] == "." or first > 12:
        return date(year, second, first)
    if second > 12 or first == second or _HALF.search(match.string[match.end() :]):
        return date(year, first, second)
    return None


def _moment(match: re.Match[str]) -> date | None:
    if match.end() != len(match.string):
        return None
    return datetime.fromtimestamp(int(match[1]), UTC).date()


_FORMS: Final = (
    (_ISO, _year_month_day),
    (_ISO_WEEK, _week),
    (re.compile(rf"{_COMPACT.pattern}$"), _year_month_day),
    (_YEAR_FIRST, _year_month_day),
    (_UNIX, _moment),
    (_DAY_FIRST, _day_month_year),
    (_MONTH_FIRST, _month_day_year),
    (_NUMBERS, _numbers),
)
