"""Shortening: at the end of a sentence if one is near, never inside a word, formula or character."""

from __future__ import annotations

import unicodedata

import pytest

from newsletter.mail.excerpt import shorten


@pytest.mark.parametrize(
    ("text", "limit", "short"),
    [
        ("Short enough.", 13, "Short enough."),
        ("First sentence. Second sentence. Third one goes on.", 36, "First sentence. Second sentence.\u00a0…"),
        ("Only one sentence which goes on and on without an end", 30, "Only one sentence which goes…"),
        ("We use tools, e.g. hammers, and more things that follow", 30, "We use tools, e.g. hammers…"),
        ("It reaches 3.5 points. Then GPT-4.5 arrives and wins all", 40, "It reaches 3.5 points.\u00a0…"),
        ("A cost of $a + b + c + d + e$ is high and grows all day", 26, "A cost of…"),
        ("Is it? Yes! It is. And then it goes on for very long", 28, "Is it? Yes! It is.\u00a0…"),
        ("研究論文。第二句很長很長很長很長很長很長很長很長。", 12, "研究論文。第二句很長…"),
        ("", 10, ""),
        ("anything", 0, ""),
    ],
)
def test_a_text_is_cut_where_a_reader_would(text: str, limit: int, short: str) -> None:
    assert shorten(text, limit) == short


@pytest.mark.parametrize(
    "text", ["a" * 300, "e\u0301" * 200, "👩\u200d🔬" * 100, "word " * 90, "$x$ " * 90, "日本" * 90]
)
def test_the_limit_holds_and_no_character_is_split(text: str) -> None:
    for limit in range(2, 120):
        short = shorten(text, limit)
        assert len(short) <= limit
        body = short.removesuffix("…").rstrip()
        assert text.startswith(body)
        rest = text[len(body) :].lstrip()
        assert not rest or (not unicodedata.combining(rest[0]) and rest[0] not in "\u200d")
        assert not body.endswith("\u200d")
        assert body.count("$") % 2 == 0
