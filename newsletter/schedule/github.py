"""A workflow of GitHub Actions that runs the newsletter without a server. workflow.yml beside this file is its text.

The store is kept between runs on a branch of one commit, encrypted. A run first pushes a mark to that branch, which
only one of two runs can do, then sends, and replaces the mark by the new store. A mark that is found says that a run
was cut off, and that the store may be older than what was sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Final

from newsletter import __version__
from newsletter.errors import NewsletterError

PLACE: Final = Path(".github/workflows/newsletter.yml")

_LATER: Final = (timedelta(0), timedelta(hours=1), timedelta(hours=3), timedelta(hours=6))

# Most jobs of GitHub are due at full and half hours, when starts are late or dropped.
_BUSY: Final = (0, 30)
_AFTER: Final = timedelta(minutes=7)


@dataclass(frozen=True, slots=True)
class Workflow:
    """What the workflow depends on.

    `config` is seen from the top of the repository, `store` and `witness` from the folder of `config`. `variables` are
    those that the configuration takes from the environment, `extras` what to install with the program. `starts` are the
    starts of a day in UTC, the first one for `when`, in words.
    """

    config: Path
    store: Path
    witness: Path
    variables: Sequence[str]
    extras: Sequence[str]
    starts: Sequence[datetime]
    when: str
    bounces: bool

    def text(self) -> str:
        """The file."""
        crons = [f"{each.minute} {each.hour} * * *" for each in self.starts]
        values = {
            "WHEN": self.when,
            "CRONS": "\n".join(f'    - cron: "{cron}"' for cron in crons),
            "LAST": crons[-1],
            "CONFIG": _scalar(self.config),
            "STORE": _scalar(self.store),
            "WITNESS": _scalar(self.witness),
            "EXTRAS": f"[{','.join(self.extras)}]" if self.extras else "",
            "VERSION": __version__,
            "ENVIRONMENT": "\n".join(f"          {name}: ${{{{ secrets.{name} }}}}" for name in self.variables),
            "BOUNCES": '          newsletter -c "$CONFIG" bounces >> "$work/log" 2>&1 || code=$?'
            if self.bounces
            else "",
        }
        text = files(__package__).joinpath("workflow.yml").read_text("utf-8")
        for name, value in values.items():
            text = text.replace(f"@{name}@\n", f"{value}\n" if value else "").replace(f"@{name}@", value)
        return text


def starts(first: datetime, due: Callable[[datetime], date]) -> list[datetime]:
    """When to start on a day, in UTC: at `first` (aware) or a little later, and again while the same issue is due."""
    begin = first.astimezone(UTC)
    if begin.minute in _BUSY:
        begin += _AFTER
    return [begin + later for later in _LATER if due(begin + later) == due(begin)]


def write(top: Path, text: str) -> Path:
    """Write the workflow into the repository at `top`; returns its path. Raises NewsletterError, OSError."""
    file = top / PLACE
    mark = text.partition("\n")[0]
    if file.exists() and not file.read_text("utf-8", "replace").startswith(mark):
        raise NewsletterError(f"{file} exists and was not written by this command; move it away first")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    return file


def _scalar(path: Path) -> str:
    """A path as a scalar of YAML, in which GitHub finds no expression."""
    if "${{" in str(path):
        raise NewsletterError(f"{path} has the letters ${{{{, which GitHub would replace; rename it")
    return json.dumps(str(path))
