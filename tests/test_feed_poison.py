"""Feeds made to stop `newsletter run`: each costs itself at most, and the feed beside it makes the issue."""

from __future__ import annotations

import pytest

from newsletter.model import Verdict
from tests.desk import MONDAY, Desk, desk, entry
from tests.poison_feeds import POISONS

__all__ = ["desk"]

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", POISONS)
def test_a_poison_feed_costs_itself_at_most(desk: Desk, name: str) -> None:
    desk.configure("", "{date}.json", "poison")
    desk.publish(MONDAY, entry(1, 400))
    (desk.folder / "poison").write_bytes(POISONS[name]())
    assert desk.run(MONDAY).verdict is Verdict.NEW_ISSUE
    assert "Paper number 1" in desk.last
    for line in desk.warnings:
        assert line.isprintable()
        assert len(line) < 1000
