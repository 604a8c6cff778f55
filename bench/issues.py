"""The made-up issues for the measurements."""

from __future__ import annotations

import json

from bench.publication import DAY, PUBLICATION
from newsletter import feed, resources
from newsletter.config import FeedConfig
from newsletter.issue.compose import compose
from newsletter.issue.rules import IssueRules
from newsletter.mail.render import Renderer
from newsletter.model import RenderedIssue


def made_up_day(number: int) -> list[dict[str, object]]:
    """A response of Hugging Face with `number` papers, made from the sample day's, with abstracts of real length."""
    sample = json.loads(resources.find("sample_day.json").read_text("utf-8"))
    papers = []
    for n in range(number):
        entry = json.loads(json.dumps(sample[n % len(sample)]))
        entry["paper"] |= {
            "id": f"2611.{n:05d}",
            "upvotes": 3 * (number - n),
            "title": f"{n}: {entry['paper']['title']}",
        }
        entry["paper"]["summary"] = (entry["paper"]["summary"] + " ") * (1 + 1300 // len(entry["paper"]["summary"]))
        papers.append(entry)
    return papers


def render(body: bytes) -> RenderedIssue:
    """Parse the bytes of a feed, compose an issue of all its papers, and render it."""
    parsed = feed.parse(body, FeedConfig("day.json"))
    return Renderer(PUBLICATION).issue(compose([parsed], DAY, IssueRules(max_papers=1000)))
