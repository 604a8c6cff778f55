"""The command `subscribers set`: choose for a reader, as the reader could by the link in each mail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import click

from newsletter import addresses
from newsletter.config import Config
from newsletter.issue.choice import Choice, ChoiceError
from newsletter.issue.selector import KINDS, PAPERS, Selector, SelectorError, contradiction
from newsletter.model import EVERY_DAY
from newsletter.store import Store
from newsletter.text import days_of, weekdays


@dataclass(frozen=True, slots=True)
class Given:
    """What was typed on the command line; None, or no texts of a kind, leaves that as it is.

    `papers` is 0 for all that fit, `days` some weekdays such as ``Mon Tue``. `clear` begins with nothing chosen.
    """

    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)  # by KINDS
    papers: int | None = None
    only: bool | None = None
    weekly: bool | None = None
    hour: int | None = None
    zone: str | None = None
    say_nothing: bool | None = None
    days: str | None = None
    clear: bool = False


def changed(choice: Choice, given: Given) -> Choice:
    """`choice` with what was typed. Raises click.UsageError for what is refused."""
    before = Choice() if given.clear else choice
    try:
        selector = _selector(before.selector, given)
        on_top = before.on_top if given.only is None else not given.only
        made = Choice.of(
            selector,
            on_top=on_top,
            weekly=before.weekly if given.weekly is None else given.weekly,
            hour=before.hour if given.hour is None else given.hour,
            zone=before.zone if given.zone is None else given.zone,
            say_nothing=before.say_nothing if given.say_nothing is None else given.say_nothing,
        )
    except (ChoiceError, SelectorError) as error:
        raise click.UsageError(str(error)) from error
    if given.only and made.selector is None:
        raise click.UsageError("--only: choose a topic, author, organisation or category, or what to exclude")
    return made


def _selector(before: Selector | None, given: Given) -> Selector | None:
    typed = {kind: texts for kind, texts in given.texts.items() if texts}
    if not typed and given.papers is None:
        return before
    known = before or Selector()
    texts = {kind: typed.get(kind, known.own(kind)) for kind in KINDS}
    papers = known.papers if given.papers is None else given.papers or None
    made = Selector.of(**texts, papers=papers)
    if (refused := contradiction(made)) is not None:
        kind, choice = refused
        raise click.UsageError(f"{kind}: {choice!r} is also asked for; leave one out")
    return made


def set_choice(config: Config, address: str, given: Given) -> int:
    """Change what a reader chose, and print it; returns 1 if they are not subscribed."""
    normal = addresses.normalise(address)
    with Store.open(config.store, hasher=config.address_hasher()) as store:
        reader = store.find(normal)
        choice, days = changed(store.choice_of(reader.ref) if reader else Choice(), given), _days(given)
        if reader is None or not store.choose(reader.ref, choice):
            click.echo(f"{normal}: not subscribed", err=True)
            return 1
        if days is not None:
            store.prefer(reader.ref, days=days, paused_until=reader.paused_until)
    click.echo("\n".join((normal, *([f"  days: {weekdays(days)}"] if days else []), *described(choice))))
    return 0


def _days(given: Given) -> int | None:
    """The weekdays that were typed, None if none were. Raises click.UsageError."""
    if given.days is None:
        return None
    with suppress(ValueError):
        if days := days_of(given.days):
            return days
    raise click.UsageError(f"--days: expected some of {weekdays(EVERY_DAY)}, and not {given.days!r}")


def described(choice: Choice) -> Iterator[str]:
    """What a reader chose, a line each."""
    if choice == Choice():
        yield "  chose nothing: gets the main edition"
    elif choice.is_main:
        yield "  gets the main edition"
    if choice.selector is not None:
        yield from _selected(choice.selector)
        yield "  on top of the main edition" if choice.on_top else "  only these papers"
    if choice.weekly:
        yield "  one issue a week"
    if choice.hour is not None:
        yield f"  at {choice.hour:02}:00, {choice.zone or 'in the zone of the list'}"
    elif choice.zone is not None:
        yield f"  zone: {choice.zone}"
    if not choice.say_nothing:
        yield "  a mail also when nothing fits"


def _selected(selector: Selector) -> Iterator[str]:
    for kind in KINDS:
        for text in selector.own(kind):
            yield f"  {kind}: {text}"
    if selector.papers != PAPERS:
        yield f"  papers: {selector.papers or 'all that fit'}"
