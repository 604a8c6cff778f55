"""Keep it going: check, web, store, bounces, backup, restore, schedule, alert."""

from __future__ import annotations

import sys
from datetime import time
from pathlib import Path

import click

from newsletter.cli.app import App, Commands
from newsletter.cli.options import (
    DAY,
    HOST_AND_PORT,
    TIME_OF_DAY,
    Clock,
)
from newsletter.extras import needed


@click.command("check", short_help="Test everything a run needs.")
@click.option("--date", "day", type=DAY, help="Judge the issue of this day.  [default: the newest listing day]")
@click.option("--offline", is_flag=True, help="Ask no server: look at files, the store and the templates only.")
@click.option("--resolver", type=HOST_AND_PORT, help="Name server to ask, HOST or HOST:PORT.  [default: the system's]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--to", metavar="ADDRESS", help="Send one real copy of the newest issue there instead, as a test.")
@click.pass_obj
def check_command(
    app: App, day: Clock | None, offline: bool, resolver: tuple[str, int] | None, as_json: bool, to: str | None
) -> None:
    """Test all that a run needs, and say for each fault one thing to do: a command, a config key or a DNS record.

    Findings are `ok`, `warn` (it works, and could be better) or `BAD`. Nothing is sent and nothing changed, except that
    --to sends one copy to one address. The exit code is 0 if nothing is BAD, 78 if you have to change something, 1 if a
    file is broken, and 75 if it may pass by itself.
    """
    from newsletter.cli.check import check

    if offline and to is not None:
        raise click.UsageError("--to sends a copy, so it does not go with --offline")
    sys.exit(check(app.path, day=day, offline=offline, resolver=resolver, as_json=as_json, to=to))


@click.command("web", short_help="Serve the web pages for readers.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True, help="Port to listen on.")
@click.pass_obj
def web_command(app: App, host: str, port: int) -> None:
    """Serve the pages where readers subscribe, confirm, choose and unsubscribe; send confirmations and first copies.

    A web server with https, such as nginx or Caddy, must pass requests for base_url on to it; see docs/web.md.
    """
    with needed("web", "newsletter web"):
        from newsletter.cli.web import serve

    serve(app.config(), host, port)


@click.group("store", cls=Commands, short_help="Move the store to another database.")
def store_group() -> None:
    """Work with the database itself."""


@store_group.command("move")
@click.option(
    "--to", required=True, metavar="URL", help="Empty database: sqlite:///FILE or postgresql://USER@HOST/NAME."
)
@click.pass_obj
def store_move(app: App, to: str) -> None:
    """Copy everything into another database, SQLite or PostgreSQL, and compare both row for row.

    Stop the schedule, `newsletter web` and all workers first; the exit code is 75 while one of them is at work. Nothing
    changes in the database that you have. Give the command again after a move that was cut off: it goes on where it
    stopped, and until it has ended nothing opens the new database. At the end it says which line of the configuration
    to change.
    """
    from newsletter.cli.store import move

    move(app.config(), to)


@click.command("bounces", short_help="Process bounces, complaints and unsubscribe mails.")
@click.option("--show", is_flag=True, help="Only print how FILES are understood; change nothing.")
@click.option("--confirm", is_flag=True, help="Suppress the readers that were held back.")
@click.option("--discard", is_flag=True, help="Keep the readers that were held back on the list.")
@click.argument(
    "files",
    nargs=-1,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Mails to explain, with --show.",
)
@click.pass_obj
def bounces_command(app: App, show: bool, confirm: bool, discard: bool, files: tuple[Path, ...]) -> None:
    """Read the bounce mailbox; suppress dead addresses and readers who complained; unsubscribe those who left by mail.

    When unusually many readers would be suppressed at once, they are held back and the exit code is 75. --confirm then
    suppresses them; --discard keeps them.

    With --show, print one line for each address that a mail in FILES names, separated by tabs: file, kind, address,
    final address, status code, weight, and the server's words.
    """
    from newsletter.cli import bounces

    if show != bool(files):
        raise click.UsageError("--show and FILES go together")
    if show + confirm + discard > 1:
        raise click.UsageError("--show, --confirm and --discard exclude one another")
    if show:
        bounces.show_files(files)
        return
    work = bounces.confirm if confirm else bounces.discard if discard else bounces.collect
    sys.exit(work(app.config()))


@click.command("backup", short_help="Write store, configuration and secrets to one file.")
@click.argument(
    "file",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="File to write, which must not exist; - is standard output.",
)
@click.pass_obj
def backup_command(app: App, file: Path) -> None:
    """Write a backup: a copy of the store, config.yaml, and the secrets, keys and templates that it names.

    Issues may be sent meanwhile. Only the owner may read the file (0600): it holds addresses, passwords and keys.
    """
    from newsletter.cli.backup import make

    make(app.config(), file)


@click.command("restore", short_help="Restore a backup.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="File of `backup`.")
@click.option("--force", is_flag=True, help="Replace other files and a store with readers; the old ones are kept.")
@click.pass_obj
def restore_command(app: App, file: Path, force: bool) -> None:
    """Restore the configuration to the file that -c names, its files beside it, and the store to where it says.

    A backup that is damaged, or made by another version, is refused before anything is touched. A store older than what
    was sent sends nothing until `newsletter send --trust-store`.
    """
    from newsletter.cli.backup import restore

    restore(file, app.path, force=force)


@click.command("schedule", short_help="Run it every day: cron, systemd or GitHub Actions.")
@click.argument(
    "kind",
    type=click.Choice(["cron", "systemd", "github", "remove"]),
    help="Crontab lines, systemd units, a workflow of GitHub Actions; or remove what was installed.",
)
@click.option(
    "--at",
    type=TIME_OF_DAY,
    default="07:00",
    show_default=True,
    help="Time of the daily run, in the configured time zone.",
)
@click.option("--install", is_flag=True, help="Install the jobs instead of printing them.")
@click.pass_obj
def schedule_command(app: App, kind: str, at: time, install: bool) -> None:
    """Print crontab lines or systemd units for the daily run, for what is still owed, and for the bounce mailbox.

    With --install they are put into the crontab, or into the folder of systemd's units, and started. `github` writes
    .github/workflows/newsletter.yml into the repository that holds the configuration. `remove` takes crontab lines and
    units of this configuration away again.
    """
    from newsletter.cli import schedule

    if kind == "remove":
        lines = schedule.remove(app.path)
    elif kind == "github":
        lines = schedule.github(app.path, app.config(), at)
    elif kind == "cron":
        lines = schedule.cron(app.path, app.config(), at, install=install)
    else:
        lines = schedule.systemd(app.path, app.config(), at, install=install)
    for line in lines:
        click.echo(line)


@click.command("alert", short_help="Tell the operator that a job failed.")
@click.argument("job", help="What failed, such as run.")
@click.pass_obj
def alert_command(app: App, job: str) -> None:
    """Mail alerts.address that JOB failed, at most once a day for each JOB. The systemd units call it (OnFailure=).

    It also works when the store cannot be opened. The exit code is 75 if no mail server took the mail.
    """
    from newsletter.cli.alert import tell

    sys.exit(tell(app.config(), job))
