"""Set up and look: init, demo, preview."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from newsletter.cli.app import App
from newsletter.cli.options import (
    DAY,
    HOST_AND_PORT,
    NEWEST_RIPE,
    Clock,
    resolve_listed,
)


@click.command("init", short_help="Write a config.yaml, and try what is in it.")
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
    from newsletter.cli import init

    answers, terminal = init.answers_of(**given), init.on_a_terminal()
    if answers == init.Answers() and not terminal:
        lines = init.plain(folder)
    else:
        from newsletter.check import Options

        act = init.ask if terminal else init.from_options
        lines = act(folder, answers, Options(offline=offline, resolver=resolver))
    for line in lines:
        click.echo(line)


@click.command("demo", short_help="Send a sample day to a local mail server.")
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


@click.command("preview", short_help="Render a day without sending it.")
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
