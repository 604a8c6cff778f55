"""What the probes of `newsletter check` work with and what they return: a context, findings, and remedies."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from newsletter.config import Config
from newsletter.errors import ConfigError
from newsletter.runtime import Runtime

if TYPE_CHECKING:
    from newsletter.check.names import Names
    from newsletter.model import RenderedIssue
    from newsletter.store import Store

_STRING: Final = 255  # octets of a string in a TXT record (RFC 1035 section 3.3.14)
_B_QUOTED: Final = re.compile(r"b(['\"])(.*)\1")


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WARN = "warn"  # issues go out, but something about them is worse than it could be, or will be
    BAD = "BAD"  # the next run fails, or readers do not get what they should


@dataclass(frozen=True, slots=True)
class Command:
    """A command line for a shell. Words in capitals stand for what only the operator knows."""

    line: str
    kind = "command"

    def __str__(self) -> str:
        return f"run: {self.line}"


@dataclass(frozen=True, slots=True)
class SetKey:
    """A key of config.yaml, dotted (``smtp.0.port``; 0 is the first of a list), and the YAML text of its new value."""

    key: str
    value: str
    kind = "key"

    def __str__(self) -> str:
        return f"set: {self.key}: {self.value}"


@dataclass(frozen=True, slots=True)
class Publish:
    """A DNS record that should exist, in place of others of the same name and type that say otherwise.

    `name` is without a final dot; `text` is the data of the record as a zone file has it, except that the strings of a
    TXT record are joined and not quoted.
    """

    name: str
    type: str
    text: str
    kind = "record"

    def __str__(self) -> str:
        strings = [self.text[at : at + _STRING] for at in range(0, len(self.text), _STRING)]
        shown = " ".join(f'"{each}"' for each in strings) if self.type == "TXT" else self.text
        return f"publish: {self.name}. IN {self.type} {shown}"


Remedy = Command | SetKey | Publish


@dataclass(frozen=True, slots=True)
class Finding:
    """What a probe found: its subject, level and words, and one remedy unless the level is ok.

    `exit_code` is 0 unless the level is BAD: 78 if the operator has to change something, 75 if it may pass, else 1.
    `note` holds more lines for those who ask for nothing but the facts, such as a DNS record to publish.
    """

    subject: str
    level: Level
    words: str
    remedy: Remedy | None = None
    exit_code: int = 0
    note: str = ""

    def __post_init__(self) -> None:
        assert (self.level is Level.OK) == (self.remedy is None), self
        assert (self.level is Level.BAD) == (self.exit_code != 0), self

    def as_json(self) -> dict[str, Any]:
        """The finding as docs/operating.md describes it."""
        remedy = self.remedy
        shown = None if remedy is None else {"kind": remedy.kind, "text": str(remedy).partition(": ")[2]}
        return {
            "subject": self.subject,
            "level": str(self.level).lower(),
            "words": self.words,
            "remedy": shown,
            "exit_code": self.exit_code,
        }


def ok(subject: str, words: str, note: str = "") -> Finding:
    """A finding that nothing needs to be done about."""
    return Finding(subject, Level.OK, _plain(words), note=note)


def warn(subject: str, words: str, remedy: Remedy) -> Finding:
    """A finding that does not stop a run."""
    return Finding(subject, Level.WARN, _plain(words), remedy)


def bad(subject: str, words: str, remedy: Remedy, exit_code: int = os.EX_CONFIG) -> Finding:
    """A finding that stops a run, or that readers suffer from."""
    return Finding(subject, Level.BAD, _plain(words), remedy, exit_code)


def _plain(words: str) -> str:
    """One line without characters that a terminal would obey, and without Python's marks of bytes."""
    line = " ".join(_B_QUOTED.sub(r"\2", words).split())[:1_000]
    return "".join(each if each.isprintable() else "?" for each in line)


def quoted(text: object) -> str:
    """`text` as one word of a shell's command line."""
    import shlex

    return shlex.quote(str(text))


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator asked `check` for.

    `offline`: ask nobody. `day`: the day whose issue is judged, as a function of today; None: the newest listing day.
    `resolver`: host and port of the name server to ask, None for the system's. `program`: the words that call this
    program. `deadline`: seconds for what is asked over the network about one subject.
    """

    offline: bool = False
    day: Callable[[date], date] | None = None
    resolver: tuple[str, int] | None = None
    program: tuple[str, ...] = ("newsletter",)
    deadline: float = 180.0


@dataclass(frozen=True)
class Mail:
    """The issue that a copy would be made of: rendered, and where its papers come from."""

    rendered: RenderedIssue
    papers: int


@dataclass
class Context:
    """What the probes share. `config` may hold stand-ins for the keys in `faulty`; `errors` say what is wrong there.

    A probe that has opened the store or rendered an issue leaves it here for those that follow.
    """

    path: Path
    config: Config
    options: Options
    names: Names
    runtime: Runtime = field(default_factory=Runtime)
    errors: Sequence[ConfigError] = ()
    faulty: frozenset[str] = frozenset()
    written: Callable[[str], str | None] = lambda key: None
    store: Store | None = None
    mail: Mail | None = None
    templates_broken: bool = False
    clocks: dict[str, float] = field(default_factory=dict)  # seconds by which a server's clock is ahead of ours

    def command(self, rest: str) -> Command:
        """A command of this program on this configuration."""
        words = " ".join(quoted(word) for word in (*self.options.program, "-c", self.path.absolute()))
        return Command(f"{words} {rest}")
