"""The command `check`: what the doctor found, for people or for a program."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable
from pathlib import Path

import click

from newsletter import addresses
from newsletter import check as checks
from newsletter.check import Finding, Level, Options
from newsletter.cli.options import Clock
from newsletter.cli.setup import program
from newsletter.errors import AddressError

_COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.BAD: "red"}
_SUBJECT = 10  # columns
_WIDTH = 100  # columns of a line of words


def check(
    path: Path, *, day: Clock | None, offline: bool, resolver: tuple[str, int] | None, as_json: bool, to: str | None
) -> int:
    """Print the findings, or send one copy to the address `to`; returns the exit code."""
    options = Options(offline, day, resolver, program())
    if to is not None:
        try:
            found: Iterable[Finding] = [checks.send_copy(path, addresses.normalise(to), options)]
        except AddressError as error:
            raise click.BadParameter(str(error), param_hint="--to") from error
    else:
        found = checks.examine(path, options)
    seen = []
    for finding in found:
        seen.append(finding)
        if not as_json:
            click.echo(shown(finding))
    code = checks.exit_code(seen)
    if as_json:
        click.echo(json.dumps({"findings": [each.as_json() for each in seen], "exit_code": code}, indent=2))
    elif to is None:
        click.echo(f"\n{summary(seen)}")
    return code


def shown(finding: Finding) -> str:
    """A finding in lines: level, subject and words; below them what to do."""
    level = click.style(f"{finding.level:<4}", fg=_COLOURS[finding.level])
    margin = " " * (6 + _SUBJECT)
    words = textwrap.wrap(finding.words, _WIDTH, break_long_words=False, break_on_hyphens=False) or [""]
    lines = [f"{level}  {finding.subject:<{_SUBJECT}}{words[0]}", *(f"{margin}{line}" for line in words[1:])]
    if finding.remedy is not None:
        lines.append(f"{margin}{click.style('-> ', bold=True)}{finding.remedy}")
    if finding.note:
        lines.append(f"{margin}{finding.note}")
    return "\n".join(lines)


def summary(found: list[Finding]) -> str:
    """The last line: how many findings of each level."""
    counts = {level: sum(finding.level is level for finding in found) for level in Level}
    if counts[Level.BAD] + counts[Level.WARN] == 0:
        return f"All is well: {counts[Level.OK]} ok."
    return f"{counts[Level.BAD]} BAD, {counts[Level.WARN]} warn, {counts[Level.OK]} ok."
