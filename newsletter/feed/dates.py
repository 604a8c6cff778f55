"""Read the dates of feeds. No I/O."""

from __future__ import annotations

from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime


def iso_date(value: object) -> date | None:
    """The UTC date of a timestamp as in RFC 3339, or as in RFC 5322, which some JSON feeds use; None for other values.

    A timestamp without a zone is taken as UTC.
    """
    if not isinstance(value, str) or len(value) > 100:
        return None
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(value.strip())
            return (moment.astimezone(UTC) if moment.tzinfo else moment).date()
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return None
