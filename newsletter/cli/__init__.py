"""The `newsletter` command: arguments in, one call to the module that does the work, lines out.

What a command needs is imported inside it: `newsletter --help` does not load the whole program, and a missing extra
stops only the commands that need it.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from datetime import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from newsletter import __version__
from newsletter.cli.options import DAY, TIME_OF_DAY, Clock, resolve_day, span_of
from newsletter.errors import ConfigError, NewsletterError
from newsletter.extras import needed

if TYPE_CHECKING:
    from newsletter.config import Config


class App:
    """What every command may need: the config's path, read only when a command asks for it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def config(self) -> Config:
        """The configuration; its warnings go to standard error. Raises ConfigError."""
        from newsletter.config import load

        config = load(self.path)
        for warning in config.warnings:
            click.echo(f"warning: {warning}", err=True)
        return config


class Commands(click.Group):
    """The commands in the order a newcomer meets them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """As they were added, not by the alphabet."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what it says of the configuration names the file. Raises NewsletterError."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            raise error.in_file(ctx.obj.path) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-c",
    "--config",
    "path",
    type=click.Path(path_type=Path, readable=False),  # whoever reads it says so if it cannot be read
    default=Path("config.yaml"),
    envvar="NEWSLETTER_CONFIG",
    show_default=True,
    show_envvar=True,
    help="The configuration file.",
)
@click.version_option(__version__, "-V", "--version", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, path: Path) -> None:
    """Send the day's research papers, ranked by upvotes, to everyone who subscribed."""
    ctx.obj = App(path)


@cli.command("init", short_help="Write a commented config.yaml.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path())
def init_command(folder: Path) -> None:
    """Write a commented config.yaml, and a secret of its own, into FOLDER. Never overwrites."""
    from newsletter.cli.setup import init

    for line in init(folder):
        click.echo(line)


@cli.command("demo", short_help="The whole job on a sample day.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), default=Path("demo"), show_default=True)
def demo_command(output: Path) -> None:
    """Do the whole job on a sample day: rank, render, and send it over SMTP to a mail server of its own."""
    from newsletter.cli.setup import demo

    sys.exit(demo(output))


@cli.command("preview", short_help="See a day without sending it.")
@click.option("--date", "day", type=DAY, help="YYYY-MM-DD, today or yesterday.  [default: today]")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), default=Path("preview"), show_default=True)
@click.option("--serve", is_flag=True, help="Show it in the browser instead, and anew when a template changes.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="With --serve.")
@click.option("--open", "open_browser", is_flag=True, help="With --serve: open the browser.")
@click.pass_obj
def preview_command(app: App, day: Clock | None, output: Path, serve: bool, port: int, open_browser: bool) -> None:
    """Fetch, rank and render a day; write digest.html and digest.txt. Sends and keeps nothing."""
    from newsletter.cli.preview import preview, serve_preview

    config = app.config()
    if serve:
        serve_preview(app.path, resolve_day(day, config), port, open_browser=open_browser)
    else:
        sys.exit(preview(config, resolve_day(day, config), output))


@cli.command("run", short_help="Make and send the issue of the day.")
@click.option("--date", "day", type=DAY, help="YYYY-MM-DD, today or yesterday.  [default: today]")
@click.option("--since", type=DAY, help="Take in the days from this one on, as one issue.")
@click.option("--period", type=click.Choice(["day", "week", "month"]), default="day", help="Rank over so many days.")
@click.option("--dry-run", is_flag=True, help="Fetch, rank and render, say what would be sent, and stop.")
@click.option("--remake", is_flag=True, help="Make an issue anew of which no copy was accepted.")
@click.pass_obj
def run_command(app: App, day: Clock | None, since: Clock | None, period: str, dry_run: bool, remake: bool) -> None:
    """Make the issue of the day and send it. Safe to repeat: nobody gets it twice. This is what cron calls."""
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


@cli.command("send", short_help="Go on with what is still owed.")
@click.argument("issue", type=DAY, required=False)
@click.option("--retry-uncertain", is_flag=True, help="Also send copies again of which nobody knows if they arrived.")
@click.option("--resume", is_flag=True, help="Also of issues that were paused because readers were refused alike.")
@click.option("--now", "at_once", is_flag=True, help="Try copies that were put off without waiting for their time.")
@click.option("--trust-store", is_flag=True, help="Send from this store although it is older than what was sent.")
@click.pass_obj
def send_command(
    app: App, issue: Clock | None, retry_uncertain: bool, resume: bool, at_once: bool, trust_store: bool
) -> None:
    """Go on with what is still owed, of all issues or of ISSUE (a date). Makes no new issue."""
    from newsletter.cli.run import send

    config = app.config()
    day = None if issue is None else resolve_day(issue, config)
    asked = {"retry_uncertain": retry_uncertain, "resume": resume, "at_once": at_once, "trust_store": trust_store}
    sys.exit(send(config, day, **asked))


@cli.command("withdraw", short_help="Send nothing more of an issue.")
@click.argument("issue", type=DAY)
@click.pass_obj
def withdraw_command(app: App, issue: Clock) -> None:
    """Send nothing more of ISSUE (a date), also when it is being sent at this moment.

    Copies that a server has accepted cannot be taken back. When none was, later issues may show its papers.
    """
    from newsletter.cli.run import withdraw

    config = app.config()
    sys.exit(withdraw(config, resolve_day(issue, config)))


@cli.command("status", short_help="How runs ended, what became of copies.")
@click.argument("issue", type=DAY, required=False)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def status_command(app: App, issue: Clock | None, as_json: bool) -> None:
    """Show how the last runs ended, what became of ISSUE (a date; the latest if none), and who was refused."""
    from newsletter.cli.status import status

    config = app.config()
    day = None if issue is None else resolve_day(issue, config)
    status(config, day, as_json=as_json)


@cli.group("subscribers", cls=Commands, short_help="Add, remove, show, list, import, export readers.")
def subscribers_group() -> None:
    """Add, remove, suppress, forget, show, list, import and export the readers."""


@subscribers_group.command("add")
@click.argument("addresses", nargs=-1, required=True)
@click.pass_obj
def subscribers_add(app: App, addresses: tuple[str, ...]) -> None:
    """Subscribe ADDRESSES, also those who had left, were suppressed or forgotten: use it when they ask for it."""
    from newsletter.cli.subscribers import add

    sys.exit(add(app.config(), addresses))


@subscribers_group.command("remove")
@click.argument("addresses", nargs=-1, required=True)
@click.pass_obj
def subscribers_remove(app: App, addresses: tuple[str, ...]) -> None:
    """Unsubscribe ADDRESSES. They are remembered as having left, so that no import brings them back."""
    from newsletter.cli.subscribers import remove

    sys.exit(remove(app.config(), addresses))


@subscribers_group.command("suppress")
@click.argument("addresses", nargs=-1, required=True)
@click.option("--reason", default="suppressed by the operator", show_default=True, help="Kept, and shown by `show`.")
@click.pass_obj
def subscribers_suppress(app: App, addresses: tuple[str, ...], reason: str) -> None:
    """Keep ADDRESSES off the list, whatever is imported, until they confirm anew or you add them.

    Also an address that was never on it.
    """
    from newsletter.cli.subscribers import suppress

    sys.exit(suppress(app.config(), addresses, reason))


@subscribers_group.command("forget")
@click.argument("addresses", nargs=-1, required=True)
@click.pass_obj
def subscribers_forget(app: App, addresses: tuple[str, ...]) -> None:
    """Erase ADDRESSES, as a reader may ask (GDPR article 17). There is no way back.

    What stays is a keyed hash, by which no import takes the address in again. Backups, the bounce mailbox and the mail
    server's logs are yours to look after.
    """
    from newsletter.cli.subscribers import forget

    sys.exit(forget(app.config(), addresses))


@subscribers_group.command("show")
@click.argument("address")
@click.pass_obj
def subscribers_show(app: App, address: str) -> None:
    """Print what is known of ADDRESS: its status and why, how it agreed, its last copies, and what came back."""
    from newsletter.cli.subscribers import tell

    sys.exit(tell(app.config(), address))


@subscribers_group.command("list")
@click.option("--all", "everyone", is_flag=True, help="Also those who get nothing, each with its status.")
@click.pass_obj
def subscribers_list(app: App, everyone: bool) -> None:
    """Print one address per line."""
    from newsletter.cli.subscribers import show

    show(app.config(), everyone=everyone)


@subscribers_group.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--dry-run", is_flag=True, help="Say what would happen, and write nothing.")
@click.option("--column", "columns", multiple=True, metavar="ROLE=HEADING", help="What a column is; repeatable.")
@click.option("--status-of", "statuses", multiple=True, metavar="WORD=STATUS", help="What a word means; repeatable.")
@click.option("--consent", help="How these readers agreed.  [default: imported on the day, from the file]")
@click.pass_obj
def subscribers_import(
    app: App, file: Any, dry_run: bool, columns: tuple[str, ...], statuses: tuple[str, ...], consent: str | None
) -> None:
    """Take subscribers from FILE (- for standard input): one address per line, or the CSV export of any list service.

    Readers who left or are blocked there are noted as such and get nothing; nobody comes back who left, is suppressed
    or forgotten here. A row without a valid address is refused with its line number and the others are taken.

    A column that looks like a state and is not understood stops the import before anything is written. Say what it is:
    --column status=HEADING (ROLE is email, status, reason, consent, days, paused_until, created_at, status_at or
    ignore), and --status-of WORD=STATUS (active, pending, unsubscribed or suppressed).
    """
    from newsletter.cli.subscribers import ImportOptions, take

    sys.exit(take(app.config(), file, ImportOptions(consent, columns, statuses, dry_run)))


@subscribers_group.command("export")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path), default="-")
@click.pass_obj
def subscribers_export(app: App, file: Path) -> None:
    """Write everyone, with status, consent, choices and dates, to FILE as CSV (- for standard output).

    FILE is replaced in one step and only its owner may read it (0600).
    """
    from newsletter.cli.subscribers import export

    export(app.config(), file)


@cli.group("archive", cls=Commands, short_help="What was sent, for the web.")
def archive_group() -> None:
    """Show what was sent to everybody; `newsletter web` does so by itself."""


@archive_group.command("export")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.pass_obj
def archive_export(app: App, folder: Path) -> None:
    """Write every issue that was sent, the index and the Atom feed into DIR, as files for any web host.

    Safe to repeat: only what changed is written, and nothing is removed.
    """
    from newsletter.cli.archive import export

    export(app.config(), folder)


@cli.command("check", short_help="Try everything a run needs, send nothing.")
@click.pass_obj
def check_command(app: App) -> None:
    """Try the configuration, the store, the feeds, the templates, each mail server and the DKIM keys; send nothing.

    Prints the DNS records to publish. Ends with the exit code of the first thing that is wrong.
    """
    from newsletter.cli.check import check

    sys.exit(check(app.config()))


@cli.command("web", short_help="Serve the pages for readers.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True)
@click.pass_obj
def web_command(app: App, host: str, port: int) -> None:
    """Serve the pages where readers subscribe, confirm, choose and leave, and send the mails that ask to confirm.

    A web server with https (nginx, Caddy) passes on what comes to base_url; docs/web.md shows how.
    """
    with needed("web", "newsletter web"):
        from newsletter.cli.web import serve

    serve(app.config(), host, port)


@cli.command("bounces", short_help="Read what came back: bounces, complaints, unsubscribes.")
@click.option("--show", is_flag=True, help="Say what FILES are, and do nothing.")
@click.option("--confirm", is_flag=True, help="Suppress the readers that were held back because they were many.")
@click.option("--discard", is_flag=True, help="Keep those readers on the list.")
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def bounces_command(app: App, show: bool, confirm: bool, discard: bool, files: tuple[Path, ...]) -> None:
    """Read the bounce mailbox; suppress readers whose address is dead or who complained; unsubscribe who left by mail.

    When unusually many readers would be suppressed at once, nothing is done about them and the command ends with 75.
    --confirm then suppresses them; --discard keeps them.

    With --show, only describe each of FILES (mails): file, kind, address, final address, status, what it counts as, and
    the server's words, separated by tabs.
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


@cli.command("schedule", short_help="Crontab lines or systemd units.")
@click.argument("kind", type=click.Choice(["cron", "systemd"]))
@click.option("--at", type=TIME_OF_DAY, default="07:00", show_default=True, help="When, in the config's time zone.")
@click.option("--install", is_flag=True, help="Install it for this user instead of printing it.")
@click.pass_obj
def schedule_command(app: App, kind: str, at: time, install: bool) -> None:
    """Print crontab lines, or systemd units, that run the newsletter daily."""
    from newsletter.cli.setup import schedule

    for line in schedule(app.path, app.config(), kind, at, install=install):
        click.echo(line)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and end the process with an exit code of the contract; a user's mistake is one line."""
    gc.set_threshold(3_000)  # a start makes a hundred thousand objects, and hardly one for the collector
    try:
        cli.main(arguments, prog_name="newsletter")
    except NewsletterError as error:
        click.echo(f"newsletter: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # `newsletter status | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        click.echo(f"newsletter: {error.filename or ''}: {error.strerror or error}", err=True)
        sys.exit(1)
