"""What a reader's choices would have picked in the last days, for the preferences page.

Preparing the papers of a day takes about 5 ms of CPU for each, so a thread does it once, for all readers, while the
first of them still types. Picking from them takes a few milliseconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain, islice
from typing import Final

from newsletter.issue.choice import Choice
from newsletter.issue.editions import picks_of
from newsletter.issue.matching import Frequencies
from newsletter.issue.picking import Candidates, Pick, rank
from newsletter.model import Issue, Paper

DAYS: Final = 7
_MOST: Final = 2000  # papers of all days together, for the memory's sake; then the earlier days are left out
_COUNTED: Final = 500  # of these papers, the newest, tell how frequent words are, as for the mail
_KEPT: Final = 300.0  # seconds until the store is asked again
_WAIT: Final = 0.5  # seconds that a reader waits for papers which are being prepared

Days = Sequence[tuple[date, Issue]]


@dataclass(frozen=True, slots=True)
class PickedDay:
    """What was picked from a day, or for a weekly reader from all days since `since`, the best first."""

    day: date
    picks: tuple[Pick, ...]
    since: date | None = None


@dataclass(frozen=True, slots=True)
class Picked:
    """The days, newest first. `complete` is false while other days are still being prepared."""

    days: tuple[PickedDay, ...]
    complete: bool


class Recent:
    """The papers of the last days, prepared. Any thread may use it."""

    def __init__(self, load: Callable[[], Days], clock: Callable[[], float] = time.monotonic) -> None:
        """`load` gives the days with all papers that editions are picked from, newest first; `clock` gives seconds."""
        self._load, self._clock = load, clock
        self._state = threading.Condition()
        self._wanted: Days = ()
        self._ready: dict[date, tuple[Issue, Candidates]] = {}
        self._thread: threading.Thread | None = None
        self._next = float("-inf")

    def refresh(self) -> None:
        """Ask the store for the days if it is time, and let a thread prepare what is new. Raises StoreError."""
        if self._clock() < self._next:
            return
        days = _bounded(self._load())
        with self._state:
            self._next = self._clock() + _KEPT
            self._wanted = days
            if self._thread is None and self._missing() is not None:
                self._thread = threading.Thread(target=self._prepare, name="recent", daemon=True)
                self._thread.start()

    def picked(self, choice: Choice, wait: float = _WAIT) -> Picked:
        """What `choice` picks from each day that is ready, waiting up to `wait` seconds for the others.

        A paper of several days is picked from the first of them. A weekly reader gets the best of all days at once.
        Raises StoreError.
        """
        self.refresh()
        with self._state:
            self._state.wait_for(lambda: self._missing() is None, wait)
            days = [(day, self._ready[day][1]) for day, _ in self._wanted if day in self._ready]
            picked = _pick(choice, days[::-1])[::-1]
            for _, candidates in days:
                candidates.forget()
            return Picked(tuple(picked), complete=self._missing() is None)

    def _missing(self) -> tuple[date, Issue] | None:
        """The newest day that is not ready."""
        for day, issue in self._wanted:
            if day not in self._ready or self._ready[day][0] != issue:
                return day, issue
        return None

    def _prepare(self) -> None:
        lately: Frequencies | None = None
        try:
            while missing := self._next_missing():
                lately = lately or Frequencies.of(islice(chain.from_iterable(map(_papers, self._wanted)), _COUNTED))
                day, issue = missing
                candidates = Candidates.of([*_papers(missing)], lately).packed()
                with self._state:
                    self._ready[day] = issue, candidates
                    self._state.notify_all()
        finally:
            with self._state:
                self._thread = None  # also after an error, so that the next refresh tries again

    def _next_missing(self) -> tuple[date, Issue] | None:
        """The newest day that is not ready. If there is none, days that are over are dropped, and the thread ends."""
        with self._state:
            missing = self._missing()
            if missing is None:
                wanted = {day for day, _ in self._wanted}
                self._ready = {day: made for day, made in self._ready.items() if day in wanted}
                self._thread = None
            return missing


def _papers(day: tuple[date, Issue]) -> Iterable[Paper]:
    return (*day[1].papers, *(rising.paper for rising in day[1].rising))


def _bounded(days: Days) -> Days:
    """The newest of `days`, at least one, as long as they do not have too many papers."""
    kept, papers = list[tuple[date, Issue]](), 0
    for day, issue in days:
        papers += len(issue.papers) + len(issue.rising)
        if kept and papers > _MOST:
            break
        kept.append((day, issue))
    return kept


def _pick(choice: Choice, days: Sequence[tuple[date, Candidates]]) -> list[PickedDay]:
    """What `choice` picks from `days`, the earliest first."""
    most = choice.selector.papers if choice.selector else 0
    seen, found = set[str](), list[PickedDay]()
    for day, candidates in days:
        new = [each for each in picks_of(choice, candidates) if seen.isdisjoint(each.paper.lookup_keys)]
        new = new if choice.weekly else new[:most]
        seen.update(name for each in new for name in each.paper.names)
        found.append(PickedDay(day, tuple(new)))
    if not choice.weekly or not found:
        return found
    best = sorted((pick for each in found for pick in each.picks), key=lambda pick: rank(0, pick))[:most]
    return [PickedDay(found[-1].day, tuple(best), since=found[0].day)]
