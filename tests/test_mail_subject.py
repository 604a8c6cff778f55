"""Subject and preheader: whole names of papers, in the order of the issue."""

from __future__ import annotations

from dataclasses import replace

import pytest

from newsletter.languages import ENGLISH
from newsletter.mail.subject import phrase, preheader, short_name, subject
from tests.conftest import issue, paper


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Zetta ζ: An Efficient Harness", "Zetta ζ"),
        ("Lamp-Flow: Building Lights", "Lamp-Flow"),
        ("LAMP²: Lights", "LAMP²"),
        ("vLamp: Lights", "vLamp"),
        ("lamp: an old word", "lamp"),
        ("The Coast of Lamps: A Map", "The Coast of Lamps"),
        ("Lamp 2 – All About It", "Lamp 2"),
        ("灯塔：一种新方法", "灯塔"),
        ("Lamp-Flow", ""),
        ("What Is a Lamp? Lights: a View", ""),
        ("Less is better: a view", ""),
        ("From Tens of Lamps to Tens of Thousands: Lights", ""),
        ("Survey: Lamps", ""),
        ("Show HN: My lamp", ""),
        ("Comment on: Lamps", ""),
        ("Lamps at 3:45", ""),
    ],
)
def test_the_short_name_of_a_title(title: str, name: str) -> None:
    assert short_name(title) == name


LONG = "A Lens of Concentric Rings That Bends Light at a Tenth of the Weight for Small Harbours"


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("Lamp: Lights for the Coast", "Lamp: Lights for the Coast"),
        (f"Lamp: {LONG}", "Lamp"),
        (LONG, "A Lens of Concentric Rings That Bends Light at a Tenth"),
        ("Owls " * 30, "Owls Owls Owls Owls Owls Owls Owls Owls Owls Owls Owls Owls Owls Owls…"),
    ],
)
def test_the_subject_shows_the_title_or_the_name_whole(title: str, shown: str) -> None:
    made = subject(issue(paper(1, title=title, upvotes=163), paper(2)), ENGLISH)
    assert made.startswith(f"24 Nov: {shown}")
    assert made.endswith(" (▲ 163) and 1 more")
    assert len(made) <= 100


@pytest.mark.parametrize("upvotes", [None, 0, -3])
def test_only_votes_above_zero_are_in_the_subject(upvotes: int | None) -> None:
    assert subject(issue(paper(1, title="Lamp", upvotes=upvotes)), ENGLISH) == "24 Nov: Lamp"


def test_the_preheader_names_the_next_papers_whole() -> None:
    titles = ["First", f"Lamp: {LONG}", "Kites", f"Owl: {LONG}", LONG, "Never reached"]
    made = preheader(issue(*(paper(n, title=title) for n, title in enumerate(titles))).papers)
    assert made == f"Lamp: {LONG}; Kites; Owl"


def test_the_preheader_of_one_paper_says_what_it_did() -> None:
    one = paper(1, abstract="Lamps are old. We propose a lens.", summary=None)
    assert preheader([one]) == "We propose a lens."
    assert preheader([replace(one, summary="A lens.")]) == "A lens."
    assert preheader([replace(one, abstract="")]) == one.title


def test_a_phrase_ends_before_what_adds_to_it() -> None:
    assert phrase("Bending the Beams of Small Lamps with Rings of Glass", 40) == "Bending the Beams of Small Lamps"
    assert phrase("Short", 40) == "Short"
