"""The commands of every day: preview, run, send and status."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click

from newsletter import pipeline
from newsletter.cli.show import watching
from newsletter.config import Config
from newsletter.errors import ConfigError, NewsletterError
from newsletter.lint import Level
from newsletter.model import FrozenIssue, Report, Span, Verdict
from newsletter.store import Store
from newsletter.world import World


def preview(config: Config, day: date, output: Path) -> int:
    """Write the files of a day and say where they are; returns the exit code."""
    from newsletter import preview as previews

    made = previews.make(config, day, World())
    for problem in made.problems:
        click.echo(f"warning: {problem}", err=True)
    if isinstance(made.rendered, Report):
        _print(made.rendered)
        return made.rendered.exit
    for finding in made.findings:
        click.echo(f"{finding.level}: {finding.message}", err=True)
    html, text = previews.write(made.rendered, output)
    size = len(made.rendered.html.encode()) / 1024
    click.echo(f"{made.rendered.subject}\n  {html}  ({size:.1f} KiB of the 102 at which Gmail clips)\n  {text}")
    return int(any(finding.level is Level.ERROR for finding in made.findings))


def serve_preview(path: Path, day: date, port: int, *, open_browser: bool) -> None:
    """Serve the preview until Ctrl-C."""
    from newsletter.preview import server

    try:
        running = server.start(path, port, World())
    except OSError as error:
        reason = os.strerror(error.errno or 0)  # without the address, which Python adds to it
        raise NewsletterError(f"port {port} of 127.0.0.1 cannot be used: {reason}; try --port 0") from error
    address = f"{running.url}?date={day}"
    click.echo(f"The preview is at {address}  (Ctrl-C ends it)")
    if open_browser:
        click.launch(address)
    try:
        running.serve()
    except KeyboardInterrupt:
        click.echo("")


def run(config: Config, day: date, *, span: Span, dry_run: bool) -> int:
    """Make and send the issue of `day`; prints the verdict as the last line and returns the exit code."""

    def act(store: Store, world: World) -> Report:
        return pipeline.run(config, day, store, world, dry_run=dry_run, span=span)

    return _reported(config, act, day)


def not_begun(error: ConfigError) -> int:
    """The verdict of a run that could not read its configuration; prints it and returns the exit code."""
    report = Report(Verdict.FAILED, str(error), exit_code=error.exit_code)
    _print(report, quiet=False)
    return report.exit


def send(config: Config, day: date | None, *, retry_uncertain: bool, resume: bool) -> int:
    """Go on with what is owed. Silent when nothing is, or is due yet, unless a person watches.

    cron calls it every 15 minutes: what it says goes into a mail, and what it notes displaces the day's verdict.
    """
    return _reported(
        config,
        lambda store, world: pipeline.send(config, day, store, world, retry_uncertain=retry_uncertain, resume=resume),
        day,
        quiet=not sys.stdout.isatty(),
    )


def _reported(
    config: Config,
    act: Callable[[Store, World], Report],
    day: date | None,
    *,
    quiet: bool = False,
) -> int:
    """Do it, keep its report in the store for `status`, and print the verdict. Errors are verdicts too."""
    started = datetime.now(UTC)
    try:
        with Store.open(config.store) as store:
            report = _attempt(lambda: _watched(act, store), config, day)
            if not (quiet and _nothing_done(report)):
                store.record_run(report, started)
                _alert(config, store, report)
    except NewsletterError as error:
        report = _failed(error, config.path, day)
    _print(report, quiet=quiet)
    return report.exit


def _alert(config: Config, store: Store, report: Report) -> None:
    """Write to the operator when there has been no issue for too long. A mail that fails is said, and no verdict."""
    if config.alerts.address is None:
        return
    from newsletter import alert

    try:
        if (letter := alert.due(config, store, report)) is not None:
            alert.send(config, letter)
            click.echo(f"newsletter: wrote to {config.alerts.address}: {letter['Subject']}", err=True)
    except NewsletterError as error:
        click.echo(f"newsletter: the alert could not be sent: {error}", err=True)


def _watched(act: Callable[[Store, World], Report], store: Store) -> Report:
    with watching() as world:
        return act(store, world)


def _attempt(act: Callable[[], Report], config: Config, day: date | None) -> Report:
    try:
        return act()
    except NewsletterError as error:
        return _failed(error, config.path, day)


def _failed(error: NewsletterError, path: Path, day: date | None) -> Report:
    """The verdict on an error; `path` is the config file."""
    if isinstance(error, ConfigError):
        error = error.in_file(path)
    return Report(Verdict.FAILED, str(error), day, exit_code=error.exit_code)


def _nothing_done(report: Report) -> bool:
    return report.verdict is Verdict.ALREADY_SENT or report.idle


def _print(report: Report, *, quiet: bool = False) -> None:
    """The verdict on the last line of standard output; a failure also on standard error, which cron mails."""
    if quiet and (_nothing_done(report) or report.verdict is Verdict.ALREADY_RUNNING):
        return
    if report.exit:
        click.echo(f"newsletter: {report.explanation}", err=True)
    click.echo(f"verdict: {report.verdict} - {report.explanation}")


def check(config: Config) -> int:
    """Print what the doctor found; returns the exit code of the first finding that is wrong, else 0."""
    from newsletter import check as doctor

    code = 0
    for finding in doctor.examine(config):
        click.echo(f"{'ok ' if finding.exit_code == 0 else 'BAD'}  {finding.what}: {finding.words}")
        code = code or finding.exit_code
    return code


# --- status ----------------------------------------------------------------------------------------------------------


def status(config: Config, day: date | None, *, as_json: bool) -> None:
    """Print what the store knows of an issue, of the last runs and of the list."""
    with Store.open(config.store) as store:
        issue = store.latest_issue() if day is None else store.issue(day)
        if day is not None and issue is None:
            raise NewsletterError(f"there is no issue of {day}")
        known = _known(store, issue)
    click.echo(json.dumps(known, indent=2, ensure_ascii=False) if as_json else _told(known))


def _known(store: Store, issue: FrozenIssue | None) -> dict[str, Any]:
    """The status as plain values: the shape of `status --json`."""
    return {
        "issue": None if issue is None else _issue(store, issue),
        "subscribers": {str(status): number for status, number in store.count_subscribers().items()},
        "returned": store.count_reports(),
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


def _told(known: dict[str, Any]) -> str:
    """The same for a person."""
    lines = []
    if issue := known["issue"]:
        lines += [f"Issue of {issue['day']}: {issue['subject']}"]
        lines += [f"  paused: {issue['paused']}"] if issue["paused"] else []
        lines += [f"  {state:<10} {number}" for state, number in issue["counts"].items() if number]
        lines += [
            f"  {row['state']}: {row['address'] or '(forgotten)'} - {_words(row)}" for row in issue["not_accepted"]
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
    lines += ["", "Last runs:" if known["runs"] else "No run yet."]
    lines += [
        f"  {run['started_at'][:16].replace('T', ' ')} UTC  {run['verdict']:<15} {run['explanation']}"
        for run in known["runs"]
    ]
    return "\n".join(lines)


def _words(row: dict[str, Any]) -> str:
    return " ".join(str(part) for part in (row["code"], row["text"]) if part) or "no answer"
