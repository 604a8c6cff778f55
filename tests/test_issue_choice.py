"""What a reader chose, as a value: its canonical form, its hash, and what is refused."""

from __future__ import annotations

import json

import pytest

from newsletter.issue.choice import Choice, ChoiceError
from newsletter.issue.selector import Selector, SelectorError

PROTEINS = Selector.of(topics=["protein design"], never=["survey"], papers=5)


@pytest.mark.parametrize(
    "choice",
    [
        Choice(),
        Choice.of(PROTEINS),
        Choice.of(PROTEINS, on_top=False, weekly=True, hour=0, zone="Asia/Kathmandu", say_nothing=False),
        Choice.of(Selector.of(papers=None), on_top=False),
    ],
)
def test_a_choice_is_read_as_it_was_written(choice: Choice) -> None:
    assert Choice.loaded(choice.written) == choice
    assert len(choice.written) < 200


def test_it_is_written_in_the_spelling_of_its_reader() -> None:
    """A row in lower case, as earlier versions wrote it, is the same choice."""
    choice = Choice.of(Selector.of(topics=["LLM agents"]))
    assert choice.written == '{"selector":{"topics":["LLM agents"]}}'
    assert choice.hash == Choice.loaded(choice.written.lower()).hash
    again = Choice.loaded(choice.written)
    assert again.selector is not None
    assert again.selector.own("topics") == ("LLM agents",)


def test_the_default_is_empty_and_the_main_edition() -> None:
    assert Choice().written == "{}"
    assert Choice().is_main
    assert Choice.of(hour=7, zone="Europe/Berlin").is_main
    assert not Choice.of(PROTEINS).is_main


def test_readers_who_want_the_same_papers_share_a_hash_whatever_their_hour() -> None:
    early, late = Choice.of(PROTEINS, hour=6), Choice.of(PROTEINS, hour=22, zone="Europe/Berlin", say_nothing=False)
    assert early.hash == late.hash != Choice().hash
    assert early.written != late.written
    assert Choice.of(PROTEINS, on_top=False).hash != early.hash
    assert Choice(on_top=False).hash == Choice().hash  # without a selector there is nothing to put on top


def test_a_blank_zone_is_none() -> None:
    assert Choice.of(zone="  ").zone is None


@pytest.mark.parametrize("hour", [-1, 24, 10**9])
def test_an_hour_that_is_none_is_refused(hour: int) -> None:
    with pytest.raises(ChoiceError) as refused:
        Choice(hour=hour)
    assert refused.value.field == "hour"


@pytest.mark.parametrize(
    "zone",
    [
        *("Europe", "Mars/Olympus", "../../etc/passwd", "/etc/passwd", "a" * 999, "Europe/B\0"),
        *("posix/Europe/Berlin", "right/Europe/Berlin", "Posix/Asia/Tokyo", "UTC+1"),
    ],
)
def test_a_zone_that_is_none_is_refused(zone: str) -> None:
    with pytest.raises(ChoiceError, match="no time zone") as refused:
        Choice.of(hour=7, zone=zone)
    assert refused.value.field == "zone"
    assert "\0" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "7",
        "{",
        '"x"',
        '{"hour":"7"}',
        '{"hour":true}',
        '{"zone":7}',
        '{"weekly":"no"}',
        '{"on_top":0}',
        '{"say_nothing":null}',
        '{"selector":[]}',
        '{"selector":{"papers":"9"}}',
        '{"selector":{"papers":0}}',
        '{"selector":{"topics":["the"]}}',
        '{"selector":{"topics":"proteins"}}',
        "[" * 100_000,
    ],
)
def test_what_is_no_choice_is_refused(text: str) -> None:
    with pytest.raises((ChoiceError, SelectorError)):
        Choice.loaded(text)


def test_names_of_a_later_version_are_ignored() -> None:
    assert Choice.loaded(json.dumps({"hour": 7, "moon": "full"})) == Choice(hour=7)
