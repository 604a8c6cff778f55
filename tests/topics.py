"""Rank papers by topic with the product's own selection: `python -m tests.topics PAPERS.jsonl.gz TASKS.jsonl`.

PAPERS has a line for each paper: id, day, title, abstract, summary, upvotes, organisation, authors. Its keywords are
the judge's, and are not read. TASKS has a line for each reader and week: task, topic, and candidates, which are ids of
papers. It prints the line {"task": ..., "ranked": [ids, best first]} for each: the papers that `picking.pick` gives
a reader with this topic, out of the candidates. Document frequencies are those of the papers listed until the last day
of the candidates.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from newsletter.issue.matching import Frequencies
from newsletter.issue.picking import Candidates, pick
from newsletter.issue.selector import Selector
from newsletter.model import Paper


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines, which may be compressed."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        yield from (json.loads(line) for line in file if line.strip())


def paper_of(row: Mapping[str, Any]) -> Paper:
    """The paper of a line, without the judge's keywords."""
    return Paper(
        key=row["id"],
        title=row["title"],
        abstract=row["abstract"],
        summary=row["summary"] or None,
        upvotes=row["upvotes"],
        organisation=row["organisation"] or None,
        authors=tuple(row["authors"]),
    )


def answers(papers: Path, tasks: Path) -> Iterator[dict[str, Any]]:
    """The answer to each task."""
    rows = sorted(lines(papers), key=lambda row: row["day"])
    days = {row["id"]: row["day"] for row in rows}
    known = {row["id"]: paper_of(row) for row in rows}
    made: dict[tuple[str, ...], Candidates] = {}
    for task in lines(tasks):
        asked = tuple(task["candidates"])
        if asked not in made:
            last = max(days[each] for each in asked)
            lately = Frequencies.of(paper for key, paper in known.items() if days[key] <= last)
            ranked = sorted((known[each] for each in asked), key=lambda paper: -(paper.upvotes or 0))
            made[asked] = Candidates.of(ranked, lately)
        picks = pick(Selector.of(topics=[task["topic"]], papers=None), made[asked])
        yield {"task": task["task"], "ranked": [each.paper.key for each in picks]}


def main(words: Sequence[str] | None = None) -> int:
    """Print the answers. Returns 0, or 1 with one line on standard error if a file cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m tests.topics", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("papers", type=Path)
    parser.add_argument("tasks", type=Path)
    options = parser.parse_args(words)
    try:
        for answer in answers(options.papers, options.tasks):
            print(json.dumps(answer, ensure_ascii=False))
    except (OSError, ValueError, KeyError) as error:
        print(f"topics: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
