"""What the operator is told at most once, and what could not be delivered and is tried once more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

from sqlalchemy import select, update

from newsletter.store.database import Part
from newsletter.store.schema import notices, storable

WEBHOOK: Final = "webhook"
SUMMARY: Final = "summary"

_ATTEMPTS: Final = 2  # of a notice: by the run that made it, and by the next
_AT_ONCE: Final = 5  # notices that one run tries


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell the operator: its kind, the day and the verdict it is about, and its text."""

    kind: str
    day: date
    verdict: str
    body: str


class Notices(Part):
    """The part of the store that knows what the operator was told."""

    def add_notice(self, notice: Notice) -> bool:
        """Keep a notice to be delivered; False if there was one of this kind, day and verdict already."""
        values = {
            "kind": notice.kind,
            "day": notice.day,
            "verdict": notice.verdict,
            "made_at": self._now(),
            "body": storable(notice.body, 10_000),
            "attempts": 0,
            "done": False,
        }
        statement = self._db.insert_new(notices, notices.c.kind, notices.c.day, notices.c.verdict)
        with self._db.write() as connection:
            return bool(connection.execute(statement, values).rowcount > 0)

    def take_notices(self, kind: str) -> list[Notice]:
        """The notices of a kind that are to be tried now, oldest first. Each is given out twice at most.

        The attempt is counted before it is made: a process that dies in the middle of one cannot repeat it for ever.
        """
        columns = (notices.c.kind, notices.c.day, notices.c.verdict, notices.c.body)
        waiting = (notices.c.kind == kind, ~notices.c.done, notices.c.attempts < _ATTEMPTS)
        with self._db.write() as connection:
            query = select(*columns).where(*waiting).order_by(notices.c.made_at).limit(_AT_ONCE).with_for_update()
            taken = [Notice(*row) for row in connection.execute(query)]
            for each in taken:
                counted = update(notices).where(
                    notices.c.kind == kind, notices.c.day == each.day, notices.c.verdict == each.verdict
                )
                connection.execute(counted.values(attempts=notices.c.attempts + 1))
        return taken

    def end_notice(self, notice: Notice) -> None:
        """The notice was delivered."""
        which = (notices.c.kind == notice.kind, notices.c.day == notice.day, notices.c.verdict == notice.verdict)
        with self._db.write() as connection:
            connection.execute(update(notices).where(*which).values(done=True))
