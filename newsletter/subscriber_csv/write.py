"""The subscriber list as CSV, as an export writes it; `read` gets back the same readers."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from typing import Final, TextIO

from newsletter.model import EVERY_DAY, Subscriber
from newsletter.subscriber_csv.headings import EXPORTED
from newsletter.text import weekdays

# Spreadsheets run a cell that begins so as a formula (CSV injection); an apostrophe in front makes it text. One that
# begins with apostrophes before such a character gets one more, so that reading can take one away.
_FORMULA: Final = re.compile(r"'*[=+@-]")


def write(stream: TextIO, subscribers: Iterable[Subscriber], choices: Mapping[int, str] | None = None) -> int:
    """Write all as CSV with a header, times as ISO 8601 in UTC; returns how many.

    `choices` has what readers chose (issue.choice.Choice.written) by the id of the subscriber.
    """
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(EXPORTED)
    number = 0
    for subscriber in subscribers:
        cells = (
            subscriber.address,
            subscriber.status,
            subscriber.reason,
            subscriber.consent,
            weekdays(subscriber.days) if subscriber.days != EVERY_DAY else "",
            subscriber.paused_until.isoformat() if subscriber.paused_until else "",
            subscriber.created_at.isoformat(),
            subscriber.status_at.isoformat(),
            (choices or {}).get(subscriber.id, ""),
        )
        writer.writerow(f"'{cell}" if _FORMULA.match(cell) else cell for cell in cells)
        number += 1
    return number
