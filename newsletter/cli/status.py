"""The command `status`: an issue, the last runs and the list, from the store."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click

from newsletter import files, health
from newsletter.cli import metrics
from newsletter.config import Config
from newsletter.errors import NewsletterError
from newsletter.model import OWED, FrozenIssue
from newsletter.store import Store
from newsletter.text import count, one_line

_SHOWN: Final = 50  # copies that were not accepted; the counts of their states come before them


def status(config: Config, day: date | None, *, as_json: bool, metrics_file: Path | None = None) -> None:
    """Print the state of an issue, the last 10 runs and the numbers of subscribers.

    `day` is the issue's, None for the latest. With `metrics_file` nothing is printed, and that file is replaced.
    Raises NewsletterError if there is no issue of that day, and OSError if the file cannot be written.
    """
    with Store.open(config.store, witness=config.witness_file) as store:
        issue = store.latest_issue() if day is None else store.issue(day)
        if day is not None and issue is None:
            raise NewsletterError(f"there is no issue of {day}")
        known = _known(store, issue) | {"health": _health(store, config)}
    if metrics_file is not None:
        text = metrics.metrics(known, config.publication.list_id)
        files.replace(metrics_file, text.encode(), private=False)
    else:
        click.echo(json.dumps(known, indent=2, ensure_ascii=False) if as_json else _as_text(known))


def check(config: Config, within: float | None, *, as_json: bool) -> int:
    """Print one line that says whether the list is well; returns the exit code. `within` is in hours, None for 26.

    A store that cannot be read is not well either.
    """
    now = datetime.now(UTC)
    well = ""
    try:
        with Store.open(config.store, witness=config.witness_file) as store:
            facts = health.gather(store, now, within=within or health.WITHIN, alert_after=config.alerts.after)
        found, well = health.findings(facts), health.well(facts)
    except NewsletterError as error:
        found = [health.Finding("store", str(error), error.exit_code)]
    if as_json:
        click.echo(json.dumps({"well": not found, "findings": [asdict(each) for each in found]}, ensure_ascii=False))
    elif found:
        others = f" (and {', '.join(each.rule for each in found[1:])})" if found[1:] else ""
        click.echo(f"unwell: {found[0].rule}: {one_line(found[0].words)}{others}")
    else:
        click.echo(f"well: {well}")
    return found[0].exit_code if found else 0


def _health(store: Store, config: Config) -> dict[str, Any]:
    """Whether the list is well, with what `status --check` looks at."""
    facts = health.gather(store, datetime.now(UTC), within=health.WITHIN, alert_after=config.alerts.after)
    found = health.findings(facts)
    return {
        "well": not found,
        "findings": [asdict(each) for each in found],
        "last_daily_run": facts.last and facts.last.ended_at.timestamp(),
        "days_without_issue": facts.days_without,
        "feed_faults": dict(facts.feeds),
    }


def _known(store: Store, issue: FrozenIssue | None) -> dict[str, Any]:
    """The status as plain values: the shape of `status --json`."""
    shown = None if issue is None else _issue(store, issue)
    return {
        "issue": shown,
        # Each holds one shard. A process that was killed has told of itself a moment ago and holds none.
        "sending": _sending(store, (shown and shown["shards"]["held"]) or None),
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
                "ended": run.ended_at.timestamp(),
                "day": run.day and run.day.isoformat(),
                "verdict": run.verdict,
                "explanation": run.explanation,
                "exit_code": run.exit_code,
            }
            for run in store.runs(10)
        ],
    }


def _sending(store: Store, most: int | None) -> dict[str, Any]:
    """Who sends now, `most` of them, how fast, and what the servers were given within a day."""
    senders = store.active_senders(most)
    now = datetime.now(UTC)
    return {
        "senders": [asdict(sender) | {"started_at": sender.started_at.isoformat()} for sender in senders],
        "per_minute": sum(sender.per_minute for sender in senders),
        "used": store.used(),
        "resting": {name: until.isoformat() for name, (until, _) in store.rests().items() if until > now},
    }


def _issue(store: Store, issue: FrozenIssue) -> dict[str, Any]:
    due = store.next_due(issue.id)
    return {
        "day": issue.rendered.day.isoformat(),
        "subject": issue.rendered.subject,
        "paused": issue.paused,
        "frozen_at": issue.frozen_at.isoformat(),
        "frozen": issue.frozen_at.timestamp(),
        "next_due": due.timestamp() if due is not None else None,
        "shards": asdict(store.shard_counts(issue.id, len(store.shards_held(issue.id)))),
        "expires_at": issue.expires_at.isoformat(),
        "counts": {str(state): number for state, number in store.counts(issue.id).items()},
        "unfitting": store.unfitting(issue.id),
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
        if issue["unfitting"]:
            lines += [f"  {count(issue['unfitting'], 'reader')} had nothing that fits what they chose"]
        lines += _not_accepted(issue["not_accepted"])
        lines += _now(known["sending"], issue)
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


def _not_accepted(rows: list[dict[str, Any]]) -> list[str]:
    """A line for each copy that was not accepted, as far as a person can read them."""
    said = [f"  {row['state']}: {row['address'] or '(forgotten)'} - {_reply(row)}" for row in rows[:_SHOWN]]
    return said + (
        [f"  and {len(rows) - _SHOWN} more; `newsletter status --json` has all"] if len(rows) > _SHOWN else []
    )


def _now(sending: dict[str, Any], issue: dict[str, Any]) -> list[str]:
    """Who sends now, how fast, and how long it takes; and what the servers' limits are about. Empty when nothing is."""
    lines = []
    if senders := sending["senders"]:
        lines += [f"  sending now: {count(len(senders), 'sender')} on {_hosts(senders)}"]
    if issue["shards"]["held"]:
        lines += [f"  shards: {issue['shards']['held']} being sent, {issue['shards']['open']} of {_all(issue)} left"]
    owed = sum(number for state, number in issue["counts"].items() if state in OWED)
    if senders and (rate := sending["per_minute"]):
        left = timedelta(minutes=owed / rate)
        lines += [f"  rate: {rate} a minute, {count(owed, 'copy', 'copies')} left: about {_rounded(left)}"]
    lines += [f"  {server}: {number} messages within a day" for server, number in sending["used"].items()]
    return [*lines, *(f"  {server}: left alone until {until[:16]} UTC" for server, until in sending["resting"].items())]


def _hosts(senders: list[dict[str, Any]]) -> str:
    """``mx1 (process 12), mx2 (processes 7, 9)``. A worker may send several shards at a time."""
    processes: dict[str, set[int]] = {}
    for sender in senders:
        processes.setdefault(sender["host"], set()).add(sender["pid"])
    return ", ".join(
        f"{host} ({'process' if len(found) == 1 else 'processes'} {', '.join(map(str, sorted(found)))})"
        for host, found in processes.items()
    )


def _all(issue: dict[str, Any]) -> int:
    return int(issue["shards"]["all"])


def _rounded(left: timedelta) -> str:
    """``40 seconds``, ``12 minutes``, ``3.5 hours``."""
    seconds = left.total_seconds()
    if seconds < 90:
        return count(round(seconds), "second")
    return count(round(seconds / 60), "minute") if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def _held(held: list[dict[str, Any]]) -> list[str]:
    """The suppressions that the brake holds, a line for each reason; empty if there are none."""
    if not held:
        return []
    number = count(sum(each["readers"] for each in held), "reader")
    said = f"Held: {number} would be suppressed; `newsletter bounces --confirm` does it, `--discard` keeps them"
    return [said, *(f"  {each['readers']} {each['reason']}: {each['example']}" for each in held)]


def _reply(row: dict[str, Any]) -> str:
    return " ".join(str(part) for part in (row["code"], row["text"]) if part) or "no answer"
