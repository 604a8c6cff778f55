"""`newsletter preview`: fetch, rank and render a day as `run` does, and write the mail to files.

It uses neither the store nor a mail server, and needs no secret.
"""

from __future__ import annotations

import html
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from newsletter import files, prepare
from newsletter.config import Config
from newsletter.feed import gathering
from newsletter.issue.choice import Choice
from newsletter.issue.compose import compose
from newsletter.issue.editions import Day, edition
from newsletter.issue.picking import Candidates
from newsletter.issue.rules import UNCUT
from newsletter.issue.selector import Selector
from newsletter.mail.lint import Finding, lint
from newsletter.model import NoIssue, RenderedIssue, Slot, Verdict
from newsletter.runtime import Runtime
from newsletter.text import count


@dataclass(frozen=True, slots=True)
class Preview:
    """The mail of a day for a sample subscriber, or the reason why there is none.

    `problems` has a line for each problem with a feed; `findings` are those of the lint.
    """

    rendered: RenderedIssue | NoIssue
    problems: tuple[str, ...]
    findings: tuple[Finding, ...] = ()


def make(config: Config, day: date, runtime: Runtime, selector: Selector | None = None) -> Preview:
    """Fetch, rank and render `day`, as the edition of a reader with `selector` if that is given.

    Document frequencies are those of the day's papers, since the store is not used. Raises FeedError if no feed can be
    read, TemplateError with file and line.
    """
    with gathering.parser() as children:
        gathered = gathering.gather(config, day, runtime, children)
    skipped = [
        f"entry {entry.position} was skipped: {entry.reason}" for feed in gathered.feeds for entry in feed.skipped
    ]
    problems = (*gathered.failures, *skipped)
    issue = compose(gathered.feeds, day, config.issue, config.filters)
    if not issue.papers:
        return Preview(prepare.no_papers(issue, gathered, config.calendars), problems)
    if selector is not None:
        uncut = compose(gathered.feeds, day, replace(config.issue, max_papers=UNCUT), config.filters)
        issue = edition(Day(uncut, uncut), Choice(selector, on_top=False), Candidates.of(uncut.papers))
        if not issue.papers:
            said = f"none of the {count(len(uncut.papers), 'paper')} of {day} fits these choices"
            return Preview(NoIssue(Verdict.QUIET_DAY, said), problems)
    rendered = prepare.render(config, issue)
    return Preview(personalise(rendered, config), problems, tuple(lint(rendered, config.catalogues)))


def personalise(rendered: RenderedIssue, config: Config) -> RenderedIssue:
    """`rendered` with its slots filled for a sample subscriber."""
    base = config.publication.base_url
    values = {
        Slot.UNSUBSCRIBE: f"{base}/unsubscribe/preview" if base else f"mailto:{config.publication.bounce_address}",
        Slot.PREFERENCES: f"{base}/preferences/preview",
        Slot.FEEDBACK: f"{base}/feedback/preview",
        Slot.ADDRESS: "reader@example.org",
    }
    html_part, text_part = rendered.html, rendered.text
    for slot, value in values.items():
        html_part = html_part.replace(slot, html.escape(value))
        text_part = text_part.replace(slot, value)
    return replace(rendered, html=html_part, text=text_part)


def write(rendered: RenderedIssue, folder: Path) -> tuple[Path, Path]:
    """Write digest.html and digest.txt (both 0600) into `folder`, made if missing; returns their paths.

    Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    html_path, text_path = folder / "digest.html", folder / "digest.txt"
    files.replace(html_path, rendered.html.encode(), private=True)
    files.replace(text_path, rendered.text.encode(), private=True)
    return html_path, text_path
