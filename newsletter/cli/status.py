"""The command `status`: an issue, the last runs and the list, from the store."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import click

from newsletter.config import Config
from newsletter.errors import NewsletterError
from newsletter.model import FrozenIssue
from newsletter.store import Store
from newsletter.text import count


def status(config: Config, day: date | None, *, as_json: bool) -> None:
    """Print the state of an issue, the last 10 runs and the numbers of subscribers.

    `day` is the issue's, None for the latest. Raises NewsletterError if there is no issue of that day.
    """
    with Store.open(config.store) as store:
        issue = store.latest_issue() if day is None else store.issue(day)
        if day is not None and issue is None:
            raise NewsletterError(f"there is no issue of {day}")
        known = _known(store, issue)
    click.echo(json.dumps(known, indent=2, ensure_ascii=False) if as_json else _as_text(known))


def _known(store: Store, issue: FrozenIssue | None) -> dict[str, Any]:
    """The status as plain values: the shape of `status --json`."""
    return {
        "issue": None if issue is None else _issue(store, issue),
        "subscribers": {str(status): number for status, number in store.count_subscribers().items()},
        "returned": store.count_reports(),
        "held": [
            {"reason": held.rule, "readers": held.readers, "example": held.example}
            for held in store.held_suppressions()
        ],
        "runs": [
            {
                "started_at": run.started_at.isoformat(),
                "ended_at": run.ended_at.isoformat(),
                "day": run.day and run.day.isoformat(),
                "verdict": run.verdict,
                "explanation": run.explanation,
                "exit_code": run.exit_code,
            }
            for run in store.runs(10)
        ],
    }


def _issue(store: Store, issue: FrozenIssue) -> dict[str, Any]:
    return {
        "day": issue.rendered.day.isoformat(),
        "subject": issue.rendered.subject,
        "paused": issue.paused,
        "frozen_at": issue.frozen_at.isoformat(),
        "expires_at": issue.expires_at.isoformat(),
        "counts": {str(state): number for state, number in store.counts(issue.id).items()},
        "not_accepted": [
            {"address": row.address, "state": row.state, "code": row.code, "text": row.text}
            for row in store.refusals(issue.id)
        ],
    }


def _as_text(known: dict[str, Any]) -> str:
    """The status as text."""
    lines = []
    if issue := known["issue"]:
        lines += [f"Issue of {issue['day']}: {issue['subject']}"]
        lines += [f"  paused: {issue['paused']}"] if issue["paused"] else []
        lines += [f"  {state:<10} {number}" for state, number in issue["counts"].items() if number]
        lines += [
            f"  {row['state']}: {row['address'] or '(forgotten)'} - {_reply(row)}" for row in issue["not_accepted"]
        ]
    else:
        lines += ["No issue yet."]
    people = known["subscribers"]
    lines += [
        "",
        "Subscribers: "
        + ", ".join(f"{number} {status}" for status, number in people.items() if number or status == "active"),
    ]
    if returned := [f"{number} {kind}" for kind, number in known["returned"].items() if number]:
        lines += ["Returned mail: " + ", ".join(returned)]
    lines += _held(known["held"])
    lines += ["", "Last runs:" if known["runs"] else "No run yet."]
    lines += [
        f"  {run['started_at'][:16].replace('T', ' ')} UTC  {run['verdict']:<15} {run['explanation']}"
        for run in known["runs"]
    ]
    return "\n".join(lines)


def _held(held: list[dict[str, Any]]) -> list[str]:
    """The suppressions that the brake holds, a line for each reason; empty if there are none."""
    if not held:
        return []
    number = count(sum(each["readers"] for each in held), "reader")
    said = f"Held: {number} would be suppressed; `newsletter bounces --confirm` does it, `--discard` keeps them"
    return [said, *(f"  {each['readers']} {each['reason']}: {each['example']}" for each in held)]


def _reply(row: dict[str, Any]) -> str:
    return " ".join(str(part) for part in (row["code"], row["text"]) if part) or "no answer"
