"""Draws what `check` and `status` print in a terminal: docs/gallery/check.svg and docs/gallery/status.svg.

`make pictures` calls it as `python -m docs.screens`. Both commands look at a list that tests/clinic.py sets up with
servers on loopback; nothing is written by hand. Ports, folders and days differ at each run, so names take their place.
tests/test_screens.py finds a picture that is not what the program prints now.
"""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

import pytest
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from newsletter import pipeline, resources
from newsletter.cli.check import shown, summary
from newsletter.cli.status import status
from newsletter.config import load
from newsletter.runtime import Runtime
from newsletter.store import Store
from tests.clinic import DOMAIN, PROGRAM, Clinic, clinic, private_key

GALLERY: Final = Path(__file__).parent / "gallery"
DAY: Final = date(2026, 11, 24)
_READERS: Final = 120
_FOLDER: Final = "/srv/papers"

# Like Rich's own, but for its fonts: they would be loaded from another host.
_SVG: Final = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; \
font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font: bold 18px sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
_COLOURS: Final = [
    *((0x1B, 0x1D, 0x21), (0xF2, 0x77, 0x7A), (0x8F, 0xC9, 0x8F), (0xE8, 0xB9, 0x5C)),  # black, red, green, yellow
    *((0x7F, 0xB2, 0xF0), (0xC7, 0x9B, 0xE8), (0x6F, 0xC7, 0xC7), (0xD9, 0xDC, 0xE1)),  # blue, magenta, cyan, white
]
_THEME: Final = TerminalTheme((0x1B, 0x1D, 0x21), (0xD9, 0xDC, 0xE1), _COLOURS, _COLOURS)


def pictures() -> dict[str, str]:
    """The SVG of each picture by its file's name. Starts servers on loopback; takes some seconds."""
    said = {"check": ("newsletter check", checked()), "status": ("newsletter status", sent())}
    return {f"{name}.svg": svg(name, command, text) for name, (command, text) in said.items()}


def checked() -> str:
    """What `check` prints of a list with faults, with its colours."""
    with _list() as made:
        made.server.script.implicit = True
        made.store.chmod(0o444)
        del made.names.records[f"_dmarc.{DOMAIN}", "TXT"]
        found = made.findings()
        text = "\n".join([*map(shown, found), "", summary(found)])
        return _named(text, made)


def sent() -> str:
    """What `status` prints of a list whose issue was sent, in part refused and deferred."""
    at = datetime(DAY.year, DAY.month, DAY.day, 6, 0, tzinfo=UTC)
    with _list() as made:
        made.configure("feeds.0.url", str(resources.find("sample_day.json")))
        made.server.script.recipients |= {
            "gone@example.com": "550 5.1.1 no such user",
            "grey@example.net": "451 4.7.1 greylisted, try later",
        }
        config = load(made.path)
        with Store.open(config.store, now=lambda: at) as store:
            store.add_all([f"reader{number}@example.org" for number in range(_READERS)], revive=True)
            store.add_all(["gone@example.com", "grey@example.net", "left@example.org"], revive=True)
            store.unsubscribe("left@example.org")
            report = pipeline.run(config, DAY, store, Runtime(now=lambda: at, sleep=lambda _: None))
            store.record_run(report, at)
        out = io.StringIO()
        with redirect_stdout(out):
            status(config, DAY, as_json=False)
        return _named(out.getvalue(), made)


@contextmanager
def _list() -> Iterator[Clinic]:
    """A sound list in a folder of its own, with its servers."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as environ:
        key = Path(folder, "key.pem")
        private_key(key)
        (place := Path(folder, "list")).mkdir()
        with clinic(place, environ, key) as made:
            yield made


def _named(text: str, made: Clinic) -> str:
    """The text with names for what differs at each run."""
    names = {
        f"127.0.0.1:{made.monitor.port}": "hc-ping.com",
        f"localhost:{made.server.port}": f"mail.{DOMAIN}:587",
        str(made.folder): _FOLDER,
        " ".join(PROGRAM): "newsletter",
    }
    for each, name in names.items():
        text = text.replace(each, name)
    return re.sub(r"\b\d{4}-\d\d-\d\d\b", DAY.isoformat(), text)


def svg(name: str, command: str, text: str) -> str:
    """A terminal that shows a command and what it printed, with the colours of its ANSI codes."""
    lines = Text.assemble(("$ ", "bold green"), (command, "bold"), "\n", Text.from_ansi(text.rstrip("\n")))
    width = max(line.cell_len for line in lines.split())
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(lines, overflow="ignore", no_wrap=True)
    drawn = console.export_svg(title=command, theme=_THEME, code_format=_SVG, unique_id=name)
    return "".join(f"{line.rstrip()}\n" for line in drawn.splitlines())


if __name__ == "__main__":
    for file, drawing in pictures().items():
        (GALLERY / file).write_text(drawing, "utf-8")
        print(f"docs/gallery/{file}")
