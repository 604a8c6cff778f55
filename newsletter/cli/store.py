"""The command `store move`."""

from __future__ import annotations

import re
from pathlib import Path

import click

from newsletter.config import Config
from newsletter.errors import ConfigError
from newsletter.store.transfer import Moved, transfer
from newsletter.text import count


def move(config: Config, to: str) -> None:
    """Copy the list into the empty database at the URL `to`, and say what is to be done then. Raises NewsletterError.

    A wrong `to` is a click.BadParameter.
    """
    try:
        moved = transfer(config.store, to, lambda file: _witness(config, file), _tell)
    except ConfigError as error:
        if error.key == "--to":
            raise click.BadParameter(error.message, param_hint="--to") from error
        raise
    for line in _conclusion(config, to, moved):
        click.echo(line)


def _witness(config: Config, file: Path | None) -> Path:
    """The target's witness, as the configuration will have it once `store` names the target."""
    if config.witness is not None:
        return config.witness
    if file is not None:
        return file.with_name(f"{file.name}.witness")
    return config.path.absolute().with_name(f"{config.path.name}.witness")


def _tell(table: str, rows: int) -> None:
    click.echo(f"  {table:<18} {rows:>10,}")


def _conclusion(config: Config, to: str, moved: Moved) -> list[str]:
    rows = count(sum(moved.rows.values()), "row")
    done = "was moved before" if moved.again else "moved"
    lines = [f"{done}: {rows} of {count(len(moved.rows), 'table')}, each compared with its original"]
    if moved.found:
        lines.append(f"{count(moved.found, 'row')} of them came with an earlier move that was cut off")
    if moved.replaced:
        lines.append(f"{count(moved.replaced, 'NUL character')} of texts became spaces, since PostgreSQL has none")
    return [*lines, f"Now let {_place(config.path)} say:", f"store: {_shown(to)}"]


def _place(path: Path) -> str:
    """Where the key `store` is in the configuration file: ``config.yaml:49``, or its name if the key is missing."""
    for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
        if re.match(r"""["']?store["']?\s*:""", line):
            return f"{path}:{number}"
    return str(path)


def _shown(url: str) -> str:
    """`url` without its password."""
    return re.sub(r"(://[^/@:]*:)[^/@]*@", r"\1***@", url)
