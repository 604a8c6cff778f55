"""What a reader chose, from a column for each choice: how somebody writes it who makes a list by hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from newsletter.errors import AddressError
from newsletter.issue.choice import Choice, ChoiceError
from newsletter.issue.selector import KINDS, Selector, SelectorError, contradiction
from newsletter.subscriber_csv import words
from newsletter.subscriber_csv.headings import Role

_HOUR: Final = re.compile(r"(\d{1,2})(:00)?")
_NUMBER: Final = re.compile(r"\d{1,3}")


def with_columns(choice: Choice, cells: Iterable[tuple[Role, str, str]]) -> tuple[Choice, list[tuple[str, str]]]:
    """`choice` with what `cells` say, each a role of CHOSEN, a heading and a text; and those that were left out.

    Of these it gives the heading and why. A cell that asks for what another one refuses is left out, too.
    """
    problems = []
    for role, heading, text in cells:
        try:
            choice = _with(choice, role, text)
        except (AddressError, ChoiceError, SelectorError) as error:
            problems.append((heading, str(error)))
    return choice, problems


def _with(choice: Choice, role: Role, text: str) -> Choice:
    if role in _READERS:
        name, read = _READERS[role]
        return replace(choice, **{name: read(role, text)})
    before = choice.selector or Selector()
    given: dict[str, Any] = {kind: before.own(kind) for kind in KINDS} | {"papers": before.papers}
    given[role.value] = _papers(text) if role is Role.PAPERS else (*given[role.value], *text.splitlines())
    made = Selector.of(**given)
    if (refused := contradiction(made)) is not None:
        kind, shown = refused
        raise AddressError(f"{kind}: {shown!r} is also asked for")
    return replace(choice, selector=made)


def _papers(text: str) -> int | None:
    """A number of papers; ``all`` or, as in `subscribers set`, 0 for all that fit."""
    if words.key(text) == "all" or text == "0":
        return None
    if not _NUMBER.fullmatch(text):
        raise AddressError(f"papers: {text!r} is neither a number nor `all`")
    return int(text)


def _answer(role: Role, text: str) -> bool:
    if words.is_yes(text) == words.is_no(text):
        raise AddressError(f"{role}: {text!r} is neither yes nor no")
    return words.is_yes(text)


def _hour(role: Role, text: str) -> int:
    """``7`` or ``07:00``."""
    found = _HOUR.fullmatch(text)
    if not found:
        raise AddressError(f"{role}: {text!r} is no hour from 0 to 23")
    return int(found[1])


# How a cell of these roles is read, and the field of Choice that it becomes.
_READERS: Final[Mapping[Role, tuple[str, Callable[[Role, str], Any]]]] = {
    Role.ONLY: ("on_top", lambda role, text: not _answer(role, text)),
    Role.WEEKLY: ("weekly", _answer),
    Role.HOUR: ("hour", _hour),
    Role.ZONE: ("zone", lambda _, text: Choice.of(zone=text).zone),
    Role.SAY_NOTHING: ("say_nothing", _answer),
}
