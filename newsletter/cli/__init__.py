"""The `newsletter` command: its arguments, options and help texts. Each command calls one function that does the work.

Imports stand inside the commands: `newsletter --help` does not load the whole program, and a missing extra stops only
the commands that need it. docs/commands.md is generated from this file (`make docs`).
"""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Sequence
from datetime import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from newsletter import __version__
from newsletter.cli.log import CHOICES, LOG
from newsletter.cli.options import (
    DAY,
    HOST_AND_PORT,
    NEWEST_RIPE,
    TIME_OF_DAY,
    Clock,
    resolve_day,
    resolve_listed,
    span_of,
)
from newsletter.errors import ConfigError, NewsletterError
from newsletter.extras import needed

if TYPE_CHECKING:
    from newsletter.config import Config


class App:
    """What commands share: the path of the configuration, which is read when a command asks for it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def config(self) -> Config:
        """Read the configuration and print its warnings to standard error. Raises ConfigError."""
        from newsletter.config import load

        config = load(self.path)
        for warning in config.warnings:
            LOG.warning(warning)
        return config


class Commands(click.Group):
    """The commands in the order a newcomer meets them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order in which they were added."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. A ConfigError without a file gets the configuration's. Raises NewsletterError."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            raise error.in_file(ctx.obj.path) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-c",
    "--config",
    "path",
    type=click.Path(path_type=Path, readable=False),  # load() reports a file that cannot be read
    default=Path("config.yaml"),
    envvar="NEWSLETTER_CONFIG",
    show_default=True,
    show_envvar=True,
    help="Configuration file.",
)
@click.option(
    "--log",
    "form",
    type=click.Choice(CHOICES),
    default="auto",
    envvar="NEWSLETTER_LOG",
    show_envvar=True,
    help="Form of warnings and errors: plain, text with time, level and day, or json.  [default: auto]",
)
@click.version_option(__version__, "-V", "--version", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, path: Path, form: str) -> None:
    """Send the day's research papers, ranked by upvotes, to your subscribers by mail."""
    LOG.set_up(form, ctx.invoked_subcommand)
    ctx.obj = App(path)


@cli.command("init", short_help="Write a config.yaml, and try what is in it.")
@click.argument(
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Folder to write into.  [default: the current one]",
)
@click.option("--sender", metavar="'NAME <ADDRESS>'", help="Name and address that mails come from.")
@click.option("--postal-address", metavar="TEXT", help="Postal address for the footer.")
@click.option("--list-id", metavar="NAME", help="List-Id.  [default: daily-papers. and the sender's domain]")
@click.option("--smtp", metavar="HOST[:PORT]", help="Mail server.")
@click.option("--tls", type=click.Choice(["none", "starttls", "implicit"]), help="TLS there.  [default: by the port]")
@click.option("--username", metavar="NAME", help="Name for the login there, or - for none.")
@click.option(
    "--password-file", type=click.File("r", encoding="utf-8"), help="File with its password, or - for standard input."
)
@click.option("--token-command", metavar="COMMAND", help="Command that prints an access token (OAuth 2.0) instead.")
@click.option(
    "--refresh-token-file",
    type=click.File("r", encoding="utf-8"),
    help="File with a refresh token instead, or - for standard input.",
)
@click.option(
    "--token-issuer", metavar="NAME", help="Who gives tokens for it: microsoft, google, or the endpoint's URL."
)
@click.option("--client-id", metavar="ID", help="Client id of the application that is registered there.")
@click.option(
    "--client-secret-file", type=click.File("r", encoding="utf-8"), help="File with its secret, if it has one."
)
@click.option("--tenant", metavar="NAME", help="Microsoft's name of the organisation: its domain or identifier.")
@click.option("--feed", metavar="URL", help="Feed.  [default: Hugging Face's daily papers]")
@click.option("--base-url", metavar="URL", help="Where readers reach `newsletter web`, or - for by mail only.")
@click.option("--language", metavar="TAG", help="Language of the mail, such as en.")
@click.option("--resolver", type=HOST_AND_PORT, help="Name server to ask, HOST or HOST:PORT.  [default: the system's]")
@click.option("--offline", is_flag=True, help="Write the answers without trying them.")
def init_command(folder: Path, resolver: tuple[str, int] | None, offline: bool, **given: Any) -> None:
    """Write config.yaml with comments, and files with its secrets that only you may read, into FOLDER.

    On a terminal it asks for what the options do not say, and tries each answer: mail server and login, feed, DNS.
    Without a terminal the options must say it; an answer that fails ends it, and nothing is written. Without options
    and without a terminal the example is written. Existing files stay.
    """
    from newsletter.check import Options
    from newsletter.cli import init

    answers, options = init.answers_of(**given), Options(offline=offline, resolver=resolver)
    if init.on_a_terminal():
        lines = init.ask(folder, answers, options)
    elif answers == init.Answers():
        lines = init.plain(folder)
    else:
        lines = init.from_options(folder, answers, options)
    for line in lines:
        click.echo(line)


@cli.command("demo", short_help="Send a sample day to a local mail server.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo"),
    show_default=True,
    help="Folder for the mails.",
)
def demo_command(output: Path) -> None:
    """Rank and render a bundled sample day and send it by SMTP to three readers at a mail server of its own.

    It needs no configuration and no network, and leaves digest.html, digest.txt and one .eml for each reader.
    """
    from newsletter.cli.setup import demo

    sys.exit(demo(output))


@cli.command("preview", short_help="Render a day without sending it.")
@click.option("--date", "day", type=DAY, help=f"YYYY-MM-DD, today or yesterday.  [default: {NEWEST_RIPE}]")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("preview"),
    show_default=True,
    help="Folder for digest.html and digest.txt.",
)
@click.option(
    "--serve",
    is_flag=True,
    help="Serve it for the browser instead, and reload when a template or the configuration changes.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port for --serve.")
@click.option("--open", "open_browser", is_flag=True, help="Open the browser; with --serve.")
@click.option("--topic", "topics", multiple=True, help="Only papers that fit this topic, in any words. Repeatable.")
@click.option("--author", "authors", multiple=True, help="Also papers by this author. Repeatable.")
@click.option("--organisation", "organisations", multiple=True, help="Also papers from this organisation. Repeatable.")
@click.option("--category", "categories", multiple=True, help="Also papers in this category. Repeatable.")
@click.option("--exclude", "never", multiple=True, help="No papers that mention this. Repeatable.")
@click.pass_obj
def preview_command(
    app: App,
    /,
    day: Clock | None,
    output: Path,
    serve: bool,
    port: int,
    open_browser: bool,
    **choices: tuple[str, ...],
) -> None:
    """Fetch, rank and render a day, and write digest.html and digest.txt. Uses neither the store nor a mail server.

    With --topic and the options after it, it is the edition of a reader who chose these, and each paper says why it is
    there.
    """
    from newsletter.cli.preview import preview, selector_of, serve_preview

    selector = selector_of(**choices)
    if serve and selector is not None:
        raise click.UsageError("--serve shows the main edition; leave it out to preview a reader's choices")
    config = app.config()
    if serve:
        serve_preview(app.path, resolve_listed(day, config), port, open_browser=open_browser)
    else:
        sys.exit(preview(config, resolve_listed(day, config), output, selector))


@cli.command("run", short_help="Make and send the issue of the day.")
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


@cli.command("send", short_help="Send copies that are still owed.")
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
    from newsletter.cli.run import send

    config = app.config()
    day = None if issue is None else resolve_day(issue, config)
    asked = {"retry_uncertain": retry_uncertain, "resume": resume, "at_once": at_once, "trust_store": trust_store}
    sys.exit(send(config, day, **asked))


@cli.command("worker", short_help="Send copies beside other workers.")
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


@cli.command("withdraw", short_help="Stop an issue for good.")
@click.argument("issue", type=DAY, help="Day of the issue: YYYY-MM-DD, today or yesterday.")
@click.pass_obj
def withdraw_command(app: App, issue: Clock) -> None:
    """Withdraw all copies of an issue that were not accepted yet, also while another process is sending it.

    Copies that a server has accepted cannot be taken back. If there are none, later issues may show the papers.
    """
    from newsletter.cli.run import withdraw

    config = app.config()
    sys.exit(withdraw(config, resolve_day(issue, config)))


@cli.command("status", short_help="Show recent runs and delivery counts.")
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
    type=click.FloatRange(1, 24 * 31),
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


@cli.command("report", short_help="Write a page about the last weeks.")
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


@cli.group("subscribers", cls=Commands, short_help="Manage the list.")
def subscribers_group() -> None:
    """Add, remove, suppress, forget, show, list, import and export subscribers."""


@subscribers_group.command("add")
@click.argument("addresses", nargs=-1, required=True, help="Mail addresses.")
@click.pass_obj
def subscribers_add(app: App, addresses: tuple[str, ...]) -> None:
    """Subscribe addresses, also of people who had left, were suppressed or forgotten. Use it when they ask for it."""
    from newsletter.cli.subscribers import add

    sys.exit(add(app.config(), addresses))


@subscribers_group.command("remove")
@click.argument("addresses", nargs=-1, required=True, help="Mail addresses.")
@click.pass_obj
def subscribers_remove(app: App, addresses: tuple[str, ...]) -> None:
    """Unsubscribe addresses. They are remembered as unsubscribed, so that an import does not add them again."""
    from newsletter.cli.subscribers import remove

    sys.exit(remove(app.config(), addresses))


@subscribers_group.command("suppress")
@click.argument("addresses", nargs=-1, required=True, help="Mail addresses.")
@click.option(
    "--reason", default="suppressed by the operator", show_default=True, help="Reason to keep with the address."
)
@click.pass_obj
def subscribers_suppress(app: App, addresses: tuple[str, ...], reason: str) -> None:
    """Keep addresses off the list, also ones that were never on it.

    An import does not add them. They stay off until their owner confirms a new sign-up or you add them.
    """
    from newsletter.cli.subscribers import suppress

    sys.exit(suppress(app.config(), addresses, reason))


@subscribers_group.command("forget")
@click.argument("addresses", nargs=-1, required=True, help="Mail addresses.")
@click.pass_obj
def subscribers_forget(app: App, addresses: tuple[str, ...]) -> None:
    """Erase addresses on request (GDPR article 17). This cannot be undone.

    A keyed hash of the address is kept, so that an import does not add it again. Backups, the bounce mailbox and the
    logs of the mail server are not touched: erase the address there yourself.
    """
    from newsletter.cli.subscribers import forget

    sys.exit(forget(app.config(), addresses))


@subscribers_group.command("set")
@click.argument("address", help="Mail address.")
@click.option("--topic", "topics", multiple=True, help="A topic, in any words. Repeatable.")
@click.option("--author", "authors", multiple=True, help="An author. Repeatable.")
@click.option("--organisation", "organisations", multiple=True, help="An organisation. Repeatable.")
@click.option("--category", "categories", multiple=True, help="A category, such as cs.LG or cs.*. Repeatable.")
@click.option("--exclude", "never", multiple=True, help="No papers that mention this. Repeatable.")
@click.option("--more", multiple=True, help="Words of papers that come earlier. Repeatable.")
@click.option("--less", multiple=True, help="Words of papers that come later, or not at all. Repeatable.")
@click.option("--papers", type=click.IntRange(0, 100), help="How many of these papers at most; 0 is all that fit.")
@click.option("--only/--on-top", default=None, help="Only these papers, or the main edition with them on top.")
@click.option("--weekly/--every-issue", default=None, help="One issue a week, or every issue.")
@click.option("--hour", type=click.IntRange(0, 23), help="The hour at which the mail is sent.")
@click.option("--zone", help="The time zone of --hour, such as Europe/Berlin.")
@click.option("--say-nothing/--tell-nothing", default=None, help="No mail, or one line, when nothing fits.")
@click.option("--clear", is_flag=True, help="Forget what was chosen before.")
@click.pass_obj
def subscribers_set(
    app: App,
    /,
    address: str,
    topics: tuple[str, ...],
    authors: tuple[str, ...],
    organisations: tuple[str, ...],
    categories: tuple[str, ...],
    never: tuple[str, ...],
    more: tuple[str, ...],
    less: tuple[str, ...],
    **typed: Any,
) -> None:
    """Choose for a reader, as they can by the link in each mail; the next issue follows it.

    Topics, authors and so on replace those of the same kind that were chosen before; what is not given stays.
    """
    from newsletter.cli.choices import Given, set_choice

    texts = {
        "topics": topics,
        "authors": authors,
        "organisations": organisations,
        "categories": categories,
        "never": never,
        "more": more,
        "less": less,
    }
    sys.exit(set_choice(app.config(), address, Given(texts, **typed)))


@subscribers_group.command("show")
@click.argument("address", help="Mail address.")
@click.option("--choice", "with_choice", is_flag=True, help="Also print what the reader chose.")
@click.pass_obj
def subscribers_show(app: App, address: str, with_choice: bool) -> None:
    """Print what is known of an address: status and reason, consent, days, last copies, and mails that came back."""
    from newsletter.cli.subscribers import tell

    sys.exit(tell(app.config(), address, with_choice=with_choice))


@subscribers_group.command("list")
@click.option("--all", "everyone", is_flag=True, help="Include those who get no issues; print the status of each.")
@click.option("--choices", "with_choices", is_flag=True, help="Also print what each chose, as JSON.")
@click.pass_obj
def subscribers_list(app: App, everyone: bool, with_choices: bool) -> None:
    """Print the addresses of active subscribers, one per line."""
    from newsletter.cli.subscribers import show

    show(app.config(), everyone=everyone, with_choices=with_choices)


@subscribers_group.command("import")
@click.argument("file", type=click.File("rb"), help="File to read, or - for standard input.")
@click.option("--dry-run", is_flag=True, help="Print what would happen; write nothing.")
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="ROLE=HEADING",
    help="Say what a column is; repeatable. ROLE is email, status, reason, consent, days, paused_until, created_at, "
    "status_at, choice or ignore.",
)
@click.option(
    "--status-of",
    "statuses",
    multiple=True,
    metavar="WORD=STATUS",
    help="Say what a word means; repeatable. STATUS is active, pending, unsubscribed or suppressed.",
)
@click.option("--consent", help="How these people agreed, in words.  [default: the day and the file's name]")
@click.pass_obj
def subscribers_import(
    app: App, file: Any, dry_run: bool, columns: tuple[str, ...], statuses: tuple[str, ...], consent: str | None
) -> None:
    """Add subscribers from a file: one address per line, or the CSV export of any list service.

    Readers who left or are blocked in the file are recorded as such and get nothing. Nobody who left, is suppressed or
    forgotten here is added again. A row without a valid address is reported with its line number, and the others are
    added; if none can be used, the exit code is 1.

    A column that looks like a status and is not understood stops the import before anything is written; --column and
    --status-of explain it.
    """
    from newsletter.cli.subscribers import ImportOptions, take

    sys.exit(take(app.config(), file, ImportOptions(consent, columns, statuses, dry_run)))


@subscribers_group.command("export")
@click.argument(
    "file",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    default="-",
    help="File to write, or - for standard output.  [default: -]",
)
@click.pass_obj
def subscribers_export(app: App, file: Path) -> None:
    """Write all subscribers as CSV, with status, reason, consent, days, pause, dates (UTC) and choice.

    The file is replaced in one step, and only its owner may read it (0600). Forgotten addresses are not in it.
    """
    from newsletter.cli.subscribers import export

    export(app.config(), file)


@cli.group("archive", cls=Commands, short_help="Write the issues as web pages.")
def archive_group() -> None:
    """Publish the issues that were sent. `newsletter web` serves them too."""


@archive_group.command("export")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False), help="Folder to write into.")
@click.pass_obj
def archive_export(app: App, folder: Path) -> None:
    """Write the issues that were sent, an index and an Atom feed as files for any web host.

    These are the pages of `newsletter web` without the search. It is safe to repeat: only files that changed are
    written, and none is removed.
    """
    from newsletter.cli.archive import export

    export(app.config(), folder)


@cli.command("check", short_help="Test everything a run needs.")
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

    sys.exit(check(app.path, day=day, offline=offline, resolver=resolver, as_json=as_json, to=to))


@cli.command("web", short_help="Serve the web pages for readers.")
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


@cli.group("store", cls=Commands, short_help="Move the store to another database.")
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


@cli.command("bounces", short_help="Process bounces, complaints and unsubscribe mails.")
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


@cli.command("backup", short_help="Write store, configuration and secrets to one file.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), help="File to write; it must not exist.")
@click.pass_obj
def backup_command(app: App, file: Path) -> None:
    """Write a backup: a copy of the store, config.yaml, and the secrets, keys and templates that it names.

    Issues may be sent meanwhile. Only the owner may read the file (0600): it holds addresses, passwords and keys.
    """
    from newsletter.cli.backup import make

    make(app.config(), file)


@cli.command("restore", short_help="Restore a backup.")
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


@cli.command("schedule", short_help="Run it every day: cron, systemd or GitHub Actions.")
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


@cli.command("alert", short_help="Tell the operator that a job failed.")
@click.argument("job", help="What failed, such as run.")
@click.pass_obj
def alert_command(app: App, job: str) -> None:
    """Mail alerts.address that JOB failed, at most once a day for each JOB. The systemd units call it (OnFailure=).

    It also works when the store cannot be opened. The exit code is 75 if no mail server took the mail.
    """
    from newsletter.cli.alert import tell

    sys.exit(tell(app.config(), job))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with one of the documented exit codes. An error is one line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that cannot show a character shows a question mark
            stream.reconfigure(errors="replace")
    gc.set_threshold(3_000)  # imports create about 100,000 objects, of which almost none is garbage
    try:
        cli.main(arguments, prog_name="newsletter")
    except NewsletterError as error:
        LOG.error(str(error))
        sys.exit(error.exit_code)
    except BrokenPipeError:  # `newsletter status | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        LOG.error(f"{error.filename or ''}: {error.strerror or error}")
        sys.exit(1)
