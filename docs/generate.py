"""Generates the reference: docs/configuration.md, docs/commands.md, the comments in config.yaml, and share/.

    newsletter/config/        --> docs/configuration.md, config.yaml
    newsletter/cli/commands/  --> docs/commands.md; the man page and completions in share/ (terminal.py)

`make docs` calls it as `python -m docs.generate`. tests/test_docs.py fails if a file is not what it generates. Keys,
values and order in config.yaml are written by hand; its comments are the first sentences of the schema's descriptions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from docs import terminal
from newsletter.cli import cli
from newsletter.config import TABLES
from newsletter.config.yaml_nodes import REQUIRED, Key

ROOT: Final = Path(__file__).resolve().parents[1]
_WIDTH: Final = 120  # characters in a line of config.yaml
_COLUMN: Final = 48  # where its comments begin, if the value is not longer

# --- config.yaml -----------------------------------------------------------------------------------------------------

_ENTRY: Final = re.compile(r"(?P<indent>\s*(?:- )?)(?P<key>\w+):(?P<value>.*?)(?:\s+#.*)?$")


def paths(text: str) -> Iterator[tuple[str, str | None]]:
    """The lines of config.yaml, each with the dotted key that it sets, also if it is commented out; else None."""
    parents: list[tuple[int, str]] = []
    for line in text.splitlines():
        found = _ENTRY.match(_uncommented(line))
        if found is None:
            yield line, None
            continue
        column = len(found["indent"])
        parents = [(at, name) for at, name in parents if at < column]
        path = ".".join([name for _, name in parents] + [found["key"]])
        parents.append((column, found["key"]))
        yield line, path


def _uncommented(line: str) -> str:
    """The line without the ``# `` that comments an entry out; prose stays as it is."""
    return re.sub(r"^(\s*)# (?=\s*(?:- )?\w+:(?: |$))", r"\1", line)


def commented(text: str) -> str:
    """config.yaml with the comment of each key from the schema. Raises ValueError if a line becomes too long."""
    return "".join(f"{_with_comment(line, path)}\n" for line, path in paths(text) if not _continued(line))


def _continued(line: str) -> bool:
    """Whether the line continues the comment of the line before, as nothing that is generated here does."""
    return line.startswith(" " * _COLUMN) and line.lstrip().startswith("#")


def _with_comment(line: str, path: str | None) -> str:
    key = None if path is None else described().get(path)
    if key is None:
        return line
    bare = re.sub(r"(?<=\S)\s+# .*$", "", line).rstrip()
    new = f"{bare:<{_COLUMN - 2}}  # {first_sentence(key.doc)}"
    if len(new) > _WIDTH:
        raise ValueError(f"config.yaml: the comment of {path} is {len(new) - _WIDTH} characters too long")
    return new


def described() -> dict[str, Key]:
    """Every key of the schema by its dotted name, such as ``smtp.port``."""
    return {f"{section}.{name}".lstrip("."): key for section, table in TABLES.items() for name, key in table.items()}


def first_sentence(doc: str) -> str:
    """The first sentence, without its full stop."""
    return doc.partition(". ")[0].removesuffix(".")


# --- docs/configuration.md -------------------------------------------------------------------------------------------

_CONFIGURATION: Final = """\
# Configuration

`newsletter init` writes a `config.yaml` with every key and a short comment. Four keys are required: `sender`,
`postal_address`, `list_id` and `feeds`; sending also needs `secret` or `secret_file`. `newsletter check` tests it.

- A relative path starts at the folder of `config.yaml`.
- `${NAME}` in a value is replaced from the environment. A key that ends in `_file` reads its value from a file: use it
  with cron, whose environment is nearly empty.
- Secrets are never printed or logged. A command warns of a file with a secret that others can read.
- A mistake ends the command with exit code 78 and one line that names file, line and key, and for an unknown key the
  nearest known one: `config.yaml:12: issue.max_paper: unknown key; did you mean max_papers?`
"""
_GENERATED: Final = "<!-- `make docs` generates this page from {source}. Edit it there. -->\n"


def configuration() -> str:
    """docs/configuration.md."""
    parts = [
        _GENERATED.format(source="the tables in newsletter/config/ (schema.py, servers.py, tokens.py)"),
        _CONFIGURATION,
    ]
    for section, table in TABLES.items():
        heading = section or "Top level"
        doc = "" if not section else f"{_cell(described()[section].doc)}\n\n"
        rows = [(f"{section}.{name}".lstrip("."), key) for name, key in table.items()]
        parts.append(f"## {heading}\n\n{doc}| Key | Default | Description |\n|---|---|---|\n{_rows(rows)}")
    return "\n".join(parts)


def _rows(rows: list[tuple[str, Key]]) -> str:
    return "".join(f"| `{path}` | {_default(path, key)} | {_cell(key.doc)} |\n" for path, key in rows)


def _default(path: str, key: Key) -> str:
    required = key.default == REQUIRED
    if path in TABLES:
        return f"{'required, ' if required else ''}see [{path}](#{path.replace('.', '')})"
    return "required" if required else f"`{key.default}`"


def _cell(text: str) -> str:
    """Text for Markdown: no bar ends a cell and no asterisk begins emphasis, except in code."""
    plain = text.replace("|", r"\|")
    return "".join(
        part if number % 2 else part.replace("*", r"\*") for number, part in enumerate(re.split(r"(`[^`]*`)", plain))
    )


# --- docs/commands.md ------------------------------------------------------------------------------------------------

_COMMANDS: Final = """\
# Commands

`newsletter COMMAND --help` prints the same. A day is `YYYY-MM-DD`, `today` or `yesterday`, in the calendar of the
feeds and of [`timezone`](configuration.md#top-level). The page [verdicts](verdicts.md) explains the exit codes.
"""


def commands() -> str:
    """docs/commands.md."""
    every = list(leaves(cli))
    index = [(f"[`{name}`](#{name.replace(' ', '-')})", command.get_short_help_str(200)) for name, command in every]
    own = [param for param in cli.params if "--config" in param.opts or "--version" in param.opts]
    parts = [
        _GENERATED.format(source="newsletter/cli/commands/"),
        _COMMANDS,
        _table("Command", index),
        f"Options before the command:\n\n{_table('Option', _records(cli, 'newsletter', own))}",
        *(_command(name, command) for name, command in every),
    ]
    return "\n".join(parts)


def leaves(group: click.Group, before: str = "newsletter") -> Iterator[tuple[str, click.Command]]:
    """Every command that is not a group, with its full name such as ``newsletter archive export``."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, f"{before} {name}")
        else:
            yield f"{before} {name}", command


def _command(name: str, command: click.Command) -> str:
    usage = command.get_usage(click.Context(command, info_name=name, max_content_width=200)).removeprefix("Usage: ")
    parts = [f"## {name}\n", f"```\n{usage}\n```\n", f"{_cell(_paragraphs(command.help or ''))}\n"]
    for kind, heading in ((click.Argument, "Argument"), (click.Option, "Option")):
        if records := _records(command, name, [param for param in command.params if isinstance(param, kind)]):
            parts.append(_table(heading, records))
    return "\n".join(parts)


def _records(command: click.Command, name: str, params: list[click.Parameter]) -> list[tuple[str, str]]:
    """Name and help text of each parameter."""
    context = click.Context(command, info_name=name)
    found = [param.get_help_record(context) for param in params]
    return [(f"`{_cell(record[0])}`", _cell(" ".join(record[1].split()))) for record in found if record is not None]


def _table(heading: str, rows: list[tuple[str, str]]) -> str:
    return f"| {heading} | |\n|---|---|\n" + "".join(f"| {name} | {text} |\n" for name, text in rows)


def _paragraphs(text: str) -> str:
    """The paragraphs of a docstring, each on one line."""
    return "\n\n".join(" ".join(part.split()) for part in re.split(r"\n\s*\n", text.strip()))


# --- all of them -----------------------------------------------------------------------------------------------------


def generated() -> dict[Path, str]:
    """What each generated file should hold."""
    config = ROOT / "config.yaml"
    return {
        ROOT / "docs" / "configuration.md": configuration(),
        ROOT / "docs" / "commands.md": commands(),
        config: commented(config.read_text("utf-8")),
        **{ROOT / "share" / path: text for path, text in terminal.files(list(leaves(cli))).items()},
    }


if __name__ == "__main__":
    for path, text in generated().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        print(path.relative_to(ROOT))
