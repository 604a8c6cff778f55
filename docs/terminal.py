"""The man page and the shell completions, from click. `docs.generate` writes them; the wheel installs them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import click
from click.shell_completion import ShellComplete, get_completion_class

from newsletter.cli import cli

_EXIT_CODES: Final = (
    ("0", "Done, or nothing to do."),
    ("1", "Failed."),
    ("2", "Wrong usage."),
    ("75", "Try again later: a server or a feed did not answer."),
    ("78", "The configuration has to be changed."),
)

_SHELLS: Final = {
    "bash": "bash-completion/completions/newsletter",
    "zsh": "zsh/site-functions/_newsletter",
    "fish": "fish/vendor_completions.d/newsletter.fish",
}


def files(leaves: list[tuple[str, click.Command]]) -> dict[Path, str]:
    """The files below share/, by path. `leaves` are the full names and commands."""
    found = {Path(place): _completion(shell) for shell, place in _SHELLS.items()}
    return {Path("man/man1/newsletter.1"): man_page(leaves), **found}


def _completion(shell: str) -> str:
    kind = get_completion_class(shell)
    assert kind is not None
    made = kind(cli, {}, "newsletter", "_NEWSLETTER_COMPLETE")
    return f"{ShellComplete.source(made).strip()}\n"  # that of bash also looks for a bash on this machine


def man_page(leaves: list[tuple[str, click.Command]]) -> str:
    """newsletter(1), in the macros of man(7)."""
    own = [param for param in cli.params if isinstance(param, click.Option)]
    parts = [
        '.TH NEWSLETTER 1 "" "daily\\-papers\\-newsletter" "User Commands"',
        ".SH NAME",
        "newsletter \\- send the day's research papers, ranked by upvotes, by mail",
        ".SH SYNOPSIS",
        ".B newsletter",
        "[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGS\\fR]...",
        ".SH DESCRIPTION",
        *_prose(cli.help or ""),
        ".SH OPTIONS",
        *_records(cli, own),
        ".SH COMMANDS",
    ]
    for name, command in leaves:
        context = click.Context(command, info_name=name, max_content_width=200)
        usage = command.get_usage(context).removeprefix(f"Usage: {name}")
        parts += [f".SS {_roff(name)}", f".B {_roff(name)}", _roff(usage.strip()), ".PP", *_prose(command.help or "")]
        parts += _records(command, command.params)
    parts += [".SH EXIT STATUS"]
    for code, words in _EXIT_CODES:
        parts += [".TP", f".B {code}", _roff(words)]
    return "\n".join(parts) + "\n"


def _records(command: click.Command, params: Sequence[click.Parameter]) -> Iterator[str]:
    context = click.Context(command)
    for param in params:
        if record := param.get_help_record(context):
            yield from (".TP", f".B {_roff(record[0])}", _roff(" ".join(record[1].split())))


def _prose(text: str) -> Iterator[str]:
    """Paragraphs of a docstring."""
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text.strip())):
        if number:
            yield ".PP"
        yield _roff(" ".join(paragraph.split()))


def _roff(text: str) -> str:
    """Text for troff: nothing is a request or an escape, a hyphen is the one to type, and code is bold."""
    plain = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    plain = re.sub(r"`([^`]*)`", r"\\fB\1\\fR", plain)
    return f"\\&{plain}" if plain.startswith((".", "'")) else plain
