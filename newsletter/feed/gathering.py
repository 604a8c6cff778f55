"""Ask every feed for a day, and parse what they answer in a child process, one document while the next is fetched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import Final, NoReturn

from newsletter.children import Bounds, Nursery, Overrun
from newsletter.config import Config, FeedConfig
from newsletter.errors import FeedError
from newsletter.feed.fetch import Cache, fetch
from newsletter.feed.parse import parse
from newsletter.feed.urls import shown, site, without_secrets
from newsletter.model import ParsedFeed
from newsletter.runtime import Runtime

# Seconds of CPU that a feed may take to parse: so many, and one more for each megabyte, of which feedparser needs 0.23.
_SECONDS: Final = 3
_BYTES_A_SECOND: Final = 1_000_000


@dataclass(frozen=True)
class Gathered:
    """What each feed gave for a day, and which of them failed with what words."""

    answers: tuple[tuple[FeedConfig, ParsedFeed], ...]
    failures: tuple[str, ...] = ()

    @property
    def feeds(self) -> tuple[ParsedFeed, ...]:
        """The answers alone."""
        return tuple(feed for _, feed in self.answers)


def parser() -> Nursery:
    """What parses feeds, each in a process of its own with bounds; a context manager."""
    return Nursery()


def _bounds(body: bytes) -> Bounds:
    """What parsing `body` may cost: its size decides, so that a small feed made to be slow is soon done with."""
    seconds = _SECONDS + len(body) // _BYTES_A_SECOND
    return Bounds(cpu=seconds, wall=seconds + 1.0)


@dataclass(frozen=True)
class Asked:
    """The feeds that were asked for a day: each with its URL and what waits for its papers, or raises the error."""

    answers: tuple[tuple[FeedConfig, str, Callable[[], ParsedFeed]], ...]

    def gathered(self, failed: Callable[[str, str], None] = lambda feed, words: None) -> Gathered:
        """Wait until all is parsed. See `gather`."""
        answers: list[tuple[FeedConfig, ParsedFeed]] = []
        failures: list[FeedError] = []
        for source, url, parsed in self.answers:
            try:
                answers.append((source, parsed()))
            except FeedError as error:
                failures.append(error)
                failed(called(source), str(error))
            except Overrun as overrun:
                said = without_secrets(f"{shown(url)}: {overrun}; it was left out", source.hidden)
                failures.append(FeedError(said))
                failed(called(source), said)
        if not answers:
            raise failures[0] if len(failures) == 1 else FeedError("; ".join(map(str, failures)))
        return Gathered(tuple(answers), tuple(map(str, failures)))


def ask(config: Config, day: date, runtime: Runtime, children: Nursery, cache: Cache | None = None) -> Asked:
    """Ask every feed for `day`; `children` parse what they answer meanwhile and afterwards, see `parser`."""
    answers: list[tuple[FeedConfig, str, Callable[[], ParsedFeed]]] = []
    for source in config.feeds:
        url = source.url.replace("{date}", day.isoformat())
        try:
            answer = fetch(url, config.fetch, source=source, cache=cache, now=runtime.now, sleep=runtime.sleep)
        except FeedError as error:
            answers.append((source, url, partial(_raise, error)))
        else:
            parsing = replace(source, headers=())  # secrets stay here, and cannot be pickled
            body, kind = answer.body, answer.content_type
            parsed = children.begin(_bounds(body), parse, body, parsing, content_type=kind)
            answers.append((source, url, parsed))
    return Asked(tuple(answers))


def _raise(error: FeedError) -> NoReturn:
    raise error


def gather(
    config: Config,
    day: date,
    runtime: Runtime,
    children: Nursery,
    cache: Cache | None = None,
    *,
    failed: Callable[[str, str], None] = lambda feed, words: None,
) -> Gathered:
    """Ask every feed for `day`; `children` parse what they answer, see `parser`.

    A feed that fails is reported and the others serve; `failed` is called with its name and what happened. Raises
    FeedError when none serves.
    """
    return ask(config, day, runtime, children, cache).gathered(failed)


def called(source: FeedConfig) -> str:
    """How the operator is told of a feed: by its name in the config, else by its host, or the path of a file."""
    return source.name or without_secrets(site(source.url) or source.url, source.hidden)
