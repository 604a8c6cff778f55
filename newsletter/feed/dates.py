"""The day of a moment as feeds write it. Opens nothing."""

from __future__ import annotations

from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime


def iso_date(value: object) -> date | None:
    """The UTC day of an RFC 3339 moment, or of an RFC 5322 one, which some JSON feeds use; None if it is neither."""
    if not isinstance(value, str) or len(value) > 100:
        return None
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(value.strip())
            return (moment.astimezone(UTC) if moment.tzinfo else moment).date()
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return None
