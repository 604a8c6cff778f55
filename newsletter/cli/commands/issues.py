"""Make, send and watch issues: run, send, worker, withdraw, status, report."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from newsletter.cli.app import App
from newsletter.cli.options import (
    DAY,
    HOURS,
    NEWEST_RIPE,
    Clock,
    resolve_day,
    span_of,
)
from newsletter.errors import ConfigError


@click.command("run", short_help="Make and send the issue of the day.")
@click.option("--date", "day", type=DAY, help=f"YYYY-MM-DD, today or yesterday.  [default: {NEWEST_RIPE}]")
@click.option("--since", type=DAY, help="First day, to rank several days as one issue.")
@click.option(
    "--period",
    type=click.Choice(["day", "week", "month"]),
    default="day",
    help="Rank the last 1, 7 or 30 days as one issue.  [default: day]",
)
@click.option("--dry-run", is_flag=True, help="Fetch, rank and render; print what would be sent.")
@click.option("--remake", is_flag=True, help="Make the issue again if no copy of it was accepted.")
@click.pass_obj
def run_command(app: App, day: Clock | None, since: Clock | None, period: str, dry_run: bool, remake: bool) -> None:
    """Make the issue of the day and send it to every active subscriber. This is the daily job for cron.

    Without --date it takes the newest day that is ripe: `issue.settle` says how many hours after it began that is. It
    is safe to repeat: a copy that was accepted is not sent again, and an issue that somebody has does not change.
    The last line of the output is the verdict, such as `verdict: new-issue - 120 accepted`.
    """
    from newsletter.cli.run import not_begun, run

    try:
        config = app.config()
    except ConfigError as error:
        sys.exit(not_begun(error))
    if since is not None and period != "day":
        raise click.UsageError("--since and --period both say which days; give one")
    due = resolve_day(day, config)
    first = None if since is None else resolve_day(since, config)
    if first is not None and first > due:
        raise click.UsageError(f"--since {first} is after {due}, the day of the issue")
    sys.exit(run(config, due, span=span_of(period, due, first, catch_up=day is None), dry_run=dry_run, remake=remake))


@click.command("send", short_help="Send copies that are still owed.")
@click.argument(
    "issue", type=DAY, required=False, help="Day of the issue: YYYY-MM-DD, today or yesterday.  [default: all]"
)
@click.option("--retry-uncertain", is_flag=True, help="Send uncertain copies once more.")
@click.option("--resume", is_flag=True, help="Go on with issues that are paused.")
@click.option("--now", "at_once", is_flag=True, help="Try deferred copies at once.")
@click.option("--trust-store", is_flag=True, help="Send from this store although it is older than what was sent.")
@click.pass_obj
def send_command(
    app: App, issue: Clock | None, retry_uncertain: bool, resume: bool, at_once: bool, trust_store: bool
) -> None:
    """Send the copies that are still owed, of every issue or of one. It makes no new issue.

    cron calls it every 15 minutes. It prints nothing there if nothing is owed or no copy is due yet.
    """
    from newsletter.owed import nothing_is_owed

    config = app.config()
    day = None if issue is None else resolve_day(issue, config)
    decided = {"retry_uncertain": retry_uncertain, "resume": resume, "at_once": at_once, "trust_store": trust_store}
    if day is None and not any(decided.values()) and not sys.stdout.isatty():
        config.secret.reveal()  # a mistake in it is told at once, and not with the next issue
        if nothing_is_owed(config.store, config.witness_file):
            return
    from newsletter.cli.run import send  # takes most of the time of a `send` that has nothing to do

    sys.exit(send(config, day, **decided))


@click.command("worker", short_help="Send copies beside other workers.")
@click.option(
    "--concurrency",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Shards sent at a time, each over connections of its own.",
)
@click.pass_obj
def worker_command(app: App, concurrency: int) -> None:
    """Send what is owed of every issue, beside other workers on as many machines as wanted, until SIGTERM or Ctrl-C.

    Needs a PostgreSQL store and the extra "scale". Issues are made by `run`. See docs/scale.md.
    """
    from newsletter.cli.run import work

    work(app.config(), concurrency)


@click.command("withdraw", short_help="Stop an issue for good.")
@click.argument("issue", type=DAY, help="Day of the issue: YYYY-MM-DD, today or yesterday.")
@click.pass_obj
def withdraw_command(app: App, issue: Clock) -> None:
    """Withdraw all copies of an issue that were not accepted yet, also while another process is sending it.

    Copies that a server has accepted cannot be taken back. If there are none, later issues may show the papers.
    """
    from newsletter.cli.run import withdraw

    config = app.config()
    sys.exit(withdraw(config, resolve_day(issue, config)))


@click.command("status", short_help="Show recent runs and delivery counts.")
@click.argument(
    "issue", type=DAY, required=False, help="Day of the issue: YYYY-MM-DD, today or yesterday.  [default: latest]"
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--metrics",
    "metrics_file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Print nothing, and replace FILE by metrics for Prometheus.",
)
@click.option("--check", "checked", is_flag=True, help="Print one line instead: whether the list is well.")
@click.option(
    "--within",
    type=HOURS,
    metavar="HOURS",
    help="With --check: the time in which a run is expected.  [default: 26]",
)
@click.pass_obj
def status_command(
    app: App, issue: Clock | None, as_json: bool, metrics_file: Path | None, checked: bool, within: float | None
) -> None:
    """Show an issue's copies by state, failed ones with the server's words, the list, and the last ten runs.

    With --check the exit code is 0 if the list is well, 75 if what is wrong may pass by itself, and else 1; the line
    begins with `well:` or `unwell:` and says why.
    """
    from newsletter.cli.status import check, status

    if checked and (issue is not None or metrics_file is not None):
        raise click.UsageError("--check looks at the whole list: it goes with neither an issue nor --metrics")
    if within is not None and not checked:
        raise click.UsageError("--within belongs to --check")
    config = app.config()
    if checked:
        sys.exit(check(config, within, as_json=as_json))
    day = None if issue is None else resolve_day(issue, config)
    status(config, day, as_json=as_json, metrics_file=metrics_file)


@click.command("report", short_help="Write a page about the last weeks.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    help="File to write.",
)
@click.option(
    "--days", type=click.IntRange(7, 366), default=60, show_default=True, help="Days to look back, today included."
)
@click.pass_obj
def report_command(app: App, output: Path, days: int) -> None:
    """Write one HTML page: the list over time, issues and their copies, who left and why, bounces, feeds, runs.

    It names no reader, runs no script and loads nothing. The file is replaced in one step, and only its owner may read
    it (0600).
    """
    from newsletter.cli.report import report

    report(app.config(), output, days)
