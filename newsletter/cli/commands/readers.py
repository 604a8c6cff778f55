"""The list and the archive: subscribers, archive."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from newsletter.cli.app import App, Commands


@click.group("subscribers", cls=Commands, short_help="Manage the list.")
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
@click.option(
    "--weekly/--every-issue", default=None, help="One issue a week with the papers since the last, or every issue."
)
@click.option("--days", help="Weekdays of the lists, such as 'Mon Thu'; one a week comes on the first of them.")
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
    "status_at, choice, ignore, or one choice: topics, authors, organisations, categories, never, more, less, papers, "
    "only, weekly, hour, zone or say_nothing.",
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


@click.group("archive", cls=Commands, short_help="Write the issues as web pages.")
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
