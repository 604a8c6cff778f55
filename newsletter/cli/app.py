"""The `newsletter` command itself, and what its commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from newsletter import __version__
from newsletter.cli.log import CHOICES, LOG
from newsletter.errors import ConfigError

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
