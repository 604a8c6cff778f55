"""What to do about a fault of config.yaml or of what it names: one remedy for each, by the kind of the error."""

from __future__ import annotations

import difflib
import os
import pwd
import re
from pathlib import Path
from typing import Final

from newsletter.check.values import Command, Context, Remedy, SetKey, quoted
from newsletter.config import TABLES
from newsletter.config.yaml_nodes import REQUIRED
from newsletter.errors import ConfigError, ConfigFault, Mistake, ServerUnavailable, Trouble

# What to write for a key that has no default, or null, and whose value only the operator knows.
WANTED: Final = {
    "sender": "NAME <ADDRESS@YOUR.DOMAIN>",
    "postal_address": "YOUR POSTAL ADDRESS",
    "store": "postgresql://USER:PASSWORD@HOST/DATABASE",
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

# Troubles for which `credentials` has the remedy.
AT_LOGIN: Final = frozenset({Trouble.NO_LOGIN, Trouble.LOGIN, Trouble.CREDENTIALS})

_TLS_FIRST: Final = 538  # encryption required for the requested mechanism (RFC 4954 section 6)

# What to write for a key that another one beside it needs, where that is not in WANTED.
_BESIDE: Final = {"tls": "starttls", "token_command": "[COMMAND]", "auth": "xoauth2"}

# What a file that is not UTF-8 is most likely written in.
_CHARSETS: Final = {ConfigFault.UTF16: "UTF-16", ConfigFault.NOT_UTF8: "WINDOWS-1252"}

# Other programs' words for `tls`. Nothing that somebody may have meant by another word is without TLS.
_TLS: Final = {"ssl": "implicit", "ssl/tls": "implicit", "smtps": "implicit", "imaps": "implicit"}


def remedy_for(path: Path, error: ConfigError) -> Remedy:
    """What to do about a mistake: a line to change, a key to set, a variable, or the file that is missing."""
    if error.mistake.variable:
        return exported(error.mistake.variable)
    return _in_the_file(path, error) or _at_the_key(path, error)


def _in_the_file(path: Path, error: ConfigError) -> Command | None:
    """A command for a mistake in how the file is written; None for one in what a key says."""
    file, name = quoted(path.absolute()), error.key.rpartition(".")[2]
    fault, meant = error.mistake.fault, error.mistake.meant
    if fault is ConfigFault.UNKNOWN_KEY and meant:
        return Command(f"sed -i '{error.line}s/{_for_sed(name)}/{meant}/' {file}")
    if fault in (ConfigFault.UNKNOWN_KEY, ConfigFault.GIVEN_TWICE):
        return _without_entry(path, error)
    if fault in _CHARSETS:
        return _as_utf8(path, _CHARSETS[fault])
    if path.is_dir():  # Docker makes one where a file to be mounted is missing
        return Command(f"rmdir {file} && newsletter init {quoted(path.absolute().parent)}")
    if fault is ConfigFault.NO_FILE:
        return Command(f"newsletter init {quoted(path.absolute().parent)}")
    if fault is ConfigFault.CLOSED:
        return given_to_us(path.absolute())
    if fault is ConfigFault.NOT_A_LIST and error.key in ("smtp", "feeds", "dkim"):
        return _as_list(path, error)
    return None


def _at_the_key(path: Path, error: ConfigError) -> Remedy:
    """What to do about the value of a key."""
    name = error.key.rpartition(".")[2]
    if error.key == "secret":
        return new_secret(path)
    if error.key == "templates":
        return _templates(path, Path(error.mistake.given))
    if beside := error.mistake.beside:
        return SetKey(f"{error.key}.{beside}", _BESIDE.get(beside) or WANTED[beside])
    if not error.key or name.isdigit() or error.mistake.fault is ConfigFault.SEVERAL_KEYS:
        return _edit(path, error)
    value = _better(error.key, name, error.mistake)
    return _edit(path, error) if value == "{}" else SetKey(error.key, value)  # no section is thrown away


def _edit(path: Path, error: ConfigError) -> Command:
    return Command(f"${{EDITOR:-vi}} +{error.line or 1} {quoted(path.absolute())}")


def _for_sed(text: str) -> str:
    """`text`, between quotes of the shell, as a pattern of sed that means nothing but itself."""
    return re.sub(r"[\\/.*\[\]^$&]", r"\\\g<0>", text).replace("'", r"'\''")


def _without_entry(path: Path, error: ConfigError) -> Command:
    """Take an entry out with the lines that belong to it. One behind something else on its line is for an editor."""
    lines, first = path.read_text("utf-8-sig").splitlines(), error.line or 1
    begins = re.match(rf"( *)[\"']?{re.escape(error.key.rpartition('.')[2])}[\"']?\s*:", lines[first - 1])
    if begins is None:
        return _edit(path, error)
    last = first
    for number, line in enumerate(lines[first:], first + 1):
        if line.lstrip() and not line.lstrip().startswith("#"):
            deeper = len(line) - len(line.lstrip()) - len(begins.group(1))
            if deeper < 0 or (deeper == 0 and not line.lstrip().startswith("- ")):
                break
            last = number
    return Command(f"sed -i '{first if first == last else f'{first},{last}'}d' {quoted(path.absolute())}")


def _as_list(path: Path, error: ConfigError) -> Command:
    """Begin the one entry with a hyphen where a list is expected and `key: value` lines stand."""
    lines = path.read_text("utf-8-sig").splitlines()
    at = (error.line or 1) + 1
    if len(lines) < at or not re.match(r"  +\w+:", lines[at - 1]):
        return _edit(path, error)
    return Command(f"sed -i '{at}s/  /- /' {quoted(path.absolute())}")


def _as_utf8(path: Path, charset: str) -> Command:
    """Convert a file that stays the same file, with its mode."""
    file, new = quoted(path.absolute()), quoted(f"{path.absolute()}.utf-8")
    return Command(f"(umask 077; iconv -f {charset} -t UTF-8 {file} > {new} && cat {new} > {file} && rm {new})")


def _templates(path: Path, folder: Path) -> Remedy:
    """Name a folder beside the one that is missing, if its name is similar; else make the folder."""
    beside = [each.name for each in folder.parent.iterdir() if each.is_dir()] if folder.parent.is_dir() else []
    if near := difflib.get_close_matches(folder.name, beside, 1, 0.6):
        return SetKey("templates", os.path.relpath(folder.parent / near[0], path.absolute().parent.resolve()))
    return SetKey("templates", "null") if folder.exists() else Command(f"mkdir -p {quoted(folder)}")


def _better(key: str, name: str, mistake: Mistake) -> str:
    """The value to write at `key`: the nearest that may be meant, else the default, else what the operator knows."""
    if mistake.meant:
        return mistake.meant
    if key == "timezone":
        return "AREA/CITY"
    if mistake.fault is ConfigFault.POSTGRESQL_URL:
        return WANTED["store"]
    table = TABLES.get(re.sub(r"\.?\d+\b", "", key.rpartition(".")[0]).strip("."))
    default = table[name].default if table and name in table else REQUIRED
    if words := mistake.choices:
        likely = _TLS.get(mistake.given.lower(), "starttls") if "starttls" in words else default
        return next(iter(difflib.get_close_matches(mistake.given, words, 1, 0.5)), likely)
    if default == REQUIRED:
        return WANTED.get(name, "VALUE")
    return WANTED.get(name, default) if default == "null" else default


def credentials(context: Context, key: str, error: ServerUnavailable) -> Remedy:
    """What to do when a login at the server at `key` fails: give another password or token where it was written.

    Another way to log in comes first, if the server tells of one.
    """
    if error.variable:
        return exported(error.variable)
    if (told := _another_login(key, error)) is not None:
        return told
    for name, what in _IN_FILES:
        if (named := context.written(f"{key}.{name}")) is not None:
            return _rewritten(context.path.absolute().parent / Path(named).expanduser(), what)
    if context.written(f"{key}.auth") == "xoauth2":
        return SetKey(f"{key}.token_command", "[COMMAND]")
    return SetKey(f"{key}.password", "PASSWORD")


def _another_login(key: str, error: ServerUnavailable) -> SetKey | None:
    """The way to log in that the server's words ask for; None if they ask for none."""
    said = str(error)
    if "5.7.139" in said or "basic authentication is disabled" in said.lower():  # Microsoft's
        return SetKey(f"{key}.auth", "xoauth2")
    if error.auth:
        return SetKey(f"{key}.auth", error.auth)
    if error.code == _TLS_FIRST:
        return SetKey(f"{key}.tls", "starttls")
    return SetKey(f"{key}.username", "null") if error.trouble is Trouble.NO_LOGIN else None


def _rewritten(path: Path, what: str) -> Command:
    """Write `what` into the file of a password or token; one that this account may not read is given to it instead."""
    if closed_to_us(path):
        return given_to_us(path)
    aside = f"rmdir {quoted(path)} && " if path.is_dir() else ""
    return Command(f"{aside}(umask 077; printf '%s\\n' '{what}' > {quoted(path)})")


def exported(variable: str) -> Command:
    """Set a variable that the environment does not have."""
    return Command(f"export {variable}=VALUE")


def account() -> str:
    """The account that runs this process: its name, or its number if it has none, as in a container."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def given_to_us(path: Path | str, *, whole: bool = False) -> Command:
    """Let this account own a file or folder, as a `whole` with all that is in it. Root may have made it."""
    return Command(f"sudo chown {'-R ' if whole else ''}{account()} {quoted(path)}")


def closed_to_us(path: Path) -> bool:
    """Whether there is a file that this account may not read; what is in it is not to be replaced."""
    return path.exists() and not os.access(path, os.R_OK)


def new_secret(path: Path) -> Command:
    """Write a new secret into a file beside the configuration, and name the file there."""
    file = path.absolute().parent / "newsletter.secret"
    made = f"(umask 077; openssl rand -hex 32 > {quoted(file)})"
    return Command(f"{made} && echo 'secret_file: {file.name}' >> {quoted(path.absolute())}")
