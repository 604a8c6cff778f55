"""The pictures of a terminal in docs/gallery are what the program prints now."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from docs import screens


@pytest.fixture(scope="module")
def drawn() -> dict[str, str]:
    return screens.pictures()


@pytest.mark.system
@pytest.mark.parametrize("name", ["check.svg", "status.svg"])
def test_a_picture_is_what_the_program_prints(drawn: dict[str, str], name: str) -> None:
    assert (screens.GALLERY / name).read_text("utf-8") == drawn[name], "run `make pictures`"


@pytest.mark.parametrize("name", ["check.svg", "status.svg"])
def test_a_picture_loads_nothing_and_names_no_place_of_this_machine(name: str) -> None:
    text = (screens.GALLERY / name).read_text("utf-8")
    assert re.findall(r"url\((?!#)|href=|<script|@font-face|@import", text) == []
    shown = "".join(ET.fromstring(text).itertext())
    assert re.findall(r"localhost|127\.0\.0\.1|/tmp|/dev/shm|python", shown) == []


def test_colours_and_names_are_kept() -> None:
    text = screens.svg("x", "newsletter check", "\x1b[31mBAD\x1b[0m  a & b")
    root = ET.fromstring(text)
    assert "BAD" in "".join(root.itertext())
    assert "#f2777a" in text
