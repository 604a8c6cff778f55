"""What to do about a fault of config.yaml or of what it names: one remedy for each, by the words of the error."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Final
from zoneinfo import available_timezones

from newsletter.check.values import Command, Context, Remedy, SetKey, quoted
from newsletter.config import TABLES
from newsletter.config.yaml_nodes import REQUIRED
from newsletter.errors import ConfigError

_UNKNOWN: Final = re.compile(r"unknown key; did you mean (\S+)\?")
UNSET: Final = re.compile(r"the environment variable (\w+) is not set")

# What to write for a key that has no default, or null, and whose value only the operator knows.
WANTED: Final = {
    "sender": "NAME <ADDRESS@YOUR.DOMAIN>",
    "postal_address": "YOUR POSTAL ADDRESS",
    "list_id": "daily-papers.YOUR.DOMAIN",
    "base_url": "https://YOUR.DOMAIN",
    "feeds": "[{url: 'https://huggingface.co/api/daily_papers?date={date}&limit=100'}]",
    "url": "URL",
    "host": "HOST",
    "username": "NAME",
    "password": "PASSWORD",
    "selector": "SELECTOR",
    "private_key_file": "FILE",
    "address": "YOUR@ADDRESS",
    "ping": "URL",
    "ping_start": "URL",
    "ping_fail": "URL",
    "webhook": "URL",
}

# Keys that name a file, and what is in it.
_IN_FILES: Final = (
    ("password_file", "PASSWORD"),
    ("token_file", "TOKEN"),
    ("token_refresh.refresh_token_file", "REFRESH-TOKEN"),
)

# Mistakes that a key beside others mends: words of the error, the key below the error's own, and its value.
_BESIDE: Final = (
    ("username needs password", "password", "PASSWORD"),
    ("in clear", "tls", "starttls"),
    ("needs a username", "username", "NAME"),
    ("needs one of token_command", "token_command", "[COMMAND]"),
    ("needs auth: xoauth2", "auth", "xoauth2"),
)


def remedy_for(path: Path, error: ConfigError) -> Remedy:
    """What to do about a mistake: a line to change, a key to set, a variable, or the file that is missing."""
    file, name = quoted(path.absolute()), error.key.rpartition(".")[2]
    if meant := _UNKNOWN.search(error.message):
        return Command(f"sed -i '{error.line}s/{name}/{meant.group(1)}/' {file}")
    if "unknown key" in error.message or "given twice" in error.message:
        return Command(f"sed -i '{error.line}d' {file}")
    if unset := UNSET.search(error.message):
        return Command(f"export {unset.group(1)}=VALUE")
    if "no such file; `newsletter init`" in error.message:
        return Command(f"newsletter init {quoted(path.absolute().parent)}")
    if error.key == "secret":
        return new_secret(path)
    if error.key == "templates":
        return Command(f"mkdir -p {quoted(error.message.partition(': ')[2])}")
    for said, key, value in _BESIDE:
        if said in error.message:
            return SetKey(f"{error.key}.{key}", value)
    if not error.key or name.isdigit() or any(word in error.message for word in ("both", "only entry", "remove ")):
        return Command(f"${{EDITOR:-vi}} +{error.line or 1} {file}")
    return SetKey(error.key, _better(error.key, name, error.message))


def _better(key: str, name: str, message: str) -> str:
    """The value to write at `key`: the nearest that may be meant, else the default, else what the operator knows."""
    given = next(iter(re.findall(r"'([^']*)'", message)), "")
    if key == "timezone":
        return next(iter(difflib.get_close_matches(given, sorted(available_timezones()), 1, 0.6)), "UTC")
    if choices := re.search(r"expected (\w+(?: \| [\w-]+)+)", message):
        words = choices.group(1).split(" | ")
        return next(iter(difflib.get_close_matches(given, words, 1, 0.5)), words[0])
    table = TABLES.get(re.sub(r"\.?\d+\b", "", key.rpartition(".")[0]).strip("."))
    default = table[name].default if table and name in table else REQUIRED
    if default == REQUIRED:
        return WANTED.get(name, "VALUE")
    return WANTED.get(name, default) if default == "null" else default


def credentials(context: Context, key: str, said: str) -> Remedy:
    """What to do when a login at the server at `key` fails: give another password or token where it was written.

    `said` are the words of the error; those about a variable or another way to log in decide.
    """
    if unset := UNSET.search(said):
        return Command(f"export {unset.group(1)}=VALUE")
    if way := re.search(r"set auth: (\w+)", said):
        return SetKey(f"{key}.auth", way.group(1))
    if "offers no login" in said:
        return SetKey(f"{key}.username", "null")
    for name, what in _IN_FILES:
        if (named := context.written(f"{key}.{name}")) is not None:
            path = context.path.absolute().parent / Path(named).expanduser()
            return Command(f"(umask 077; printf '%s\\n' {what} > {quoted(path)})")
    if context.written(f"{key}.auth") == "xoauth2":
        return SetKey(f"{key}.token_command", "[COMMAND]")
    return SetKey(f"{key}.password", "PASSWORD")


def new_secret(path: Path) -> Command:
    """Write a new secret into a file beside the configuration, and name the file there."""
    file = path.absolute().parent / "newsletter.secret"
    made = f"(umask 077; openssl rand -hex 32 > {quoted(file)})"
    return Command(f"{made} && echo 'secret_file: {file.name}' >> {quoted(path.absolute())}")
