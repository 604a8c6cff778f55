"""The table of replies against what servers really say."""

from __future__ import annotations

import csv

import pytest

from newsletter.replies import Concern, Stage, judge
from tests.conftest import ROOT


def real_replies() -> list[tuple[str, int | None, str, str, bool]]:
    """The rows of tests/data/replies.tsv: words from public sources, each of which stands in its last column."""
    with (ROOT / "tests/data/replies.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert all(row["source"] for row in rows)
    return [
        (row["stage"], int(row["code"]) if row["code"] else None, row["text"], row["concern"], row["for_good"] == "yes")
        for row in rows
    ]


@pytest.mark.parametrize(("stage", "code", "text", "concern", "for_good"), real_replies())
def test_of_whom_a_reply_speaks(stage: str, code: int | None, text: str, concern: str, for_good: bool) -> None:
    judgement = judge(Stage[stage], code, text)
    assert (judgement.concern, judgement.for_good) == (Concern(concern), for_good), judgement.rule
