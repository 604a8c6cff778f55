"""config.yaml itself: mistakes, the example's values, secrets, modes of files, and names that do not go together."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from newsletter import resources
from newsletter.check.values import Command, Context, Finding, Remedy, SetKey, bad, ok, quoted, warn
from newsletter.config import TABLES, load
from newsletter.config.yaml_nodes import REQUIRED
from newsletter.errors import ConfigError
from newsletter.links import Links
from newsletter.model import FrozenIssue, Publication
from newsletter.store import Store

_UNKNOWN: Final = re.compile(r"unknown key; did you mean (\S+)\?")
_ENVIRONMENT: Final = re.compile(r"the environment variable (\w+) is not set")
_CHMOD: Final = re.compile(r"(?P<said>.*) can be read by others; (?P<command>chmod 600 (?P<path>.*))")

_ISSUES: Final = 20  # whose links are looked at

# What to write for a key that has no default and whose value only the operator knows.
_WANTED: Final = {
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
}


# --- mistakes --------------------------------------------------------------------------------------------------------


def mistakes(path: Path, errors: Sequence[ConfigError]) -> Iterator[Finding]:
    """Each mistake in the file, with what to write instead."""
    for error in errors:
        yield bad("config", str(error), remedy_for(path, error))


def remedy_for(path: Path, error: ConfigError) -> Remedy:
    """What to do about a mistake: a line to change, a key to set, a variable, or the file that is missing."""
    file, name = quoted(path.absolute()), error.key.rpartition(".")[2]
    if meant := _UNKNOWN.search(error.message):
        return Command(f"sed -i '{error.line}s/{name}/{meant.group(1)}/' {file}")
    if "unknown key" in error.message or "given twice" in error.message:
        return Command(f"sed -i '{error.line}d' {file}")
    if unset := _ENVIRONMENT.search(error.message):
        return Command(f"export {unset.group(1)}=VALUE")
    if "no such file; `newsletter init`" in error.message:
        return Command(f"newsletter init {quoted(path.absolute().parent)}")
    if error.key == "secret":
        return _new_secret(path)
    if not error.key:
        return Command(f"${{EDITOR:-vi}} +{error.line or 1} {file}")
    if "username needs password" in error.message:
        return SetKey(f"{error.key}.password", "PASSWORD")
    if "in clear" in error.message:
        return SetKey(f"{error.key}.tls", "starttls")
    if error.key == "templates":
        return Command(f"mkdir -p {quoted(error.message.partition(': ')[2])}")
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
    return _WANTED.get(name, "VALUE") if default == REQUIRED else default


# --- what is written ------------------------------------------------------------------------------------------------


def modes(context: Context) -> Iterator[Finding]:
    """Secrets that other users of the machine can read."""
    for warning in context.config.warnings:
        if match := _CHMOD.fullmatch(warning):
            command = Command(f"chmod 600 {quoted(match['path'])}")
            yield bad("config", f"{match['said']} can be read by others", command)
        else:
            yield warn("config", warning, Command(f"${{EDITOR:-vi}} {quoted(context.path)}"))


def examples(context: Context) -> Iterator[Finding]:
    """The keys that every operator has to set and that still have the value of the config that `init` writes."""
    example = _to_edit(load(resources.find("config.yaml"), {}).publication)
    for key, value in _to_edit(context.config.publication).items():
        if value == example[key] and key not in context.faulty:
            yield bad("config", f"{key} is still the example's", SetKey(key, _WANTED[key]))


def _to_edit(publication: Publication) -> dict[str, str | None]:
    return {
        "sender": publication.sender.address,
        "postal_address": publication.postal_address,
        "base_url": publication.base_url,
        "list_id": publication.list_id,
    }


def domains(context: Context) -> Iterator[Finding]:
    """Whether sender, list_id and base_url are of one organisation; the one that is alone is named."""
    publication = context.config.publication
    sent = context.store is not None and context.store.latest_issue() is not None
    yield from judge_domains(publication, sent=sent)


def judge_domains(publication: Publication, *, sent: bool) -> Iterator[Finding]:
    """The same of a publication. After the first issue (`sent`) list_id stays, because readers filter by it."""
    host = urlsplit(publication.base_url or "").hostname or ""
    mine, listed, web = (organisation(name) for name in (publication.sender.domain, publication.list_id, host))
    if not web or re.fullmatch(r"[\d.:]+|localhost", host):
        web = listed if sent else mine
    if mine == listed == web:
        return
    if listed == web:
        local = publication.sender.address.partition("@")[0]
        value = SetKey("sender", f"{publication.sender.name} <{local}@{host or publication.list_id}>".strip())
        said = f"sender is at {publication.sender.domain}, and list_id and base_url are not"
    elif mine == web:
        value = SetKey("list_id", f"{publication.list_id.partition('.')[0]}.{publication.sender.domain}")
        said = f"list_id {publication.list_id} is not below the domain of sender, {publication.sender.domain}"
    else:
        value = SetKey("base_url", f"https://{publication.sender.domain}")
        said = f"base_url is at {host}, and sender at {publication.sender.domain}: filters distrust such links"
    yield warn("config", said, value)


def organisation(domain: str) -> str:
    """The last two labels of a domain; three if the last two look like a suffix under which names are sold (co.uk)."""
    labels = domain.lower().rstrip(".").split(".")
    short = len(labels) > 2 and len(labels[-1]) == 2 and (len(labels[-2]) <= 3 or labels[-2] in ("gov", "info"))
    return ".".join(labels[-3 if short else -2 :])


def told(context: Context) -> Iterator[Finding]:
    """Whether anybody is told when there is no issue."""
    if context.config.alerts.address is None and "alerts" not in context.faulty:
        said = "alerts.address is not set: nobody gets a mail when there are no issues"
        yield warn("config", said, SetKey("alerts.address", "YOUR@ADDRESS"))


# --- the secret -----------------------------------------------------------------------------------------------------


def secret(context: Context) -> Iterator[Finding]:
    """Whether there is a secret, and whether links in the mails of the last weeks still work with it."""
    config = context.config
    try:
        secrets = [config.secret.reveal(), *(each.reveal() for each in config.old_secrets)]
    except ConfigError as error:
        yield bad("secret", str(error), _secret_remedy(context, error))
        return
    if context.store is not None:
        known = {Links(each, config.publication).key_id for each in secrets}
        lost = next((each for each in _latest(context.store) if each.key_id not in (None, *known)), None)
        if lost is not None:
            said = (
                f"the issue of {lost.rendered.day} was sent with another secret, which old_secrets does not have:"
                " the links to unsubscribe in it do not work (leave it so if that secret has leaked)"
            )
            yield warn("secret", said, SetKey("old_secrets", "[OLD-SECRET]"))
            return
    yield ok("secret", "is set")


def _latest(store: Store) -> Iterator[FrozenIssue]:
    """The latest issues, newest first."""
    issue = store.latest_issue()
    for _ in range(_ISSUES):
        if issue is None:
            return
        yield issue
        issue = store.latest_issue(before=issue.rendered.day)


def _secret_remedy(context: Context, error: ConfigError) -> Remedy:
    if unset := _ENVIRONMENT.search(error.message):
        return Command(f"export {unset.group(1)}=VALUE")
    named = context.written("secret_file")
    if named is not None:
        return Command(f"(umask 077; openssl rand -hex 32 > {quoted(context.path.absolute().parent / named)})")
    if context.written("secret") is not None:
        return Command(f'sed -i "s/^secret:.*/secret: $(openssl rand -hex 32)/" {quoted(context.path.absolute())}')
    return _new_secret(context.path.absolute())


def _new_secret(path: Path) -> Command:
    file = path.absolute().parent / "newsletter.secret"
    made = f"(umask 077; openssl rand -hex 32 > {quoted(file)})"
    return Command(f"{made} && echo 'secret_file: {file.name}' >> {quoted(path.absolute())}")


# --- DKIM keys ------------------------------------------------------------------------------------------------------


def keys(context: Context) -> Iterator[Finding]:
    """Whether each DKIM key can be read and is long enough. The record to publish is a note if DNS is not asked."""
    from newsletter.mail import dkim

    if not context.config.dkim:
        yield ok("dkim", "no key is configured, so your mail server has to sign")
    for number, key in enumerate(context.config.dkim):
        path = key.private_key_file
        make = Command(f"(umask 077; openssl genrsa -out {quoted(path)} 2048)")
        try:
            signer = dkim.load(path, key.selector, context.config.publication.sender.domain)
        except ConfigError as error:
            unreadable = path.exists() and not os.access(path, os.R_OK)
            yield bad("dkim", str(error), Command(f"sudo chown {os.geteuid()} {quoted(path)}") if unreadable else make)
            continue
        bits = getattr(signer.key, "key_size", 2048)
        if bits < 2048:
            said = f"dkim.{number}.private_key_file {path} has {bits} bits; some receivers ask for 2048"
            yield warn("dkim", said, make)
            continue
        where, text = signer.record
        # A string in a TXT record has at most 255 octets; verifiers join them (RFC 6376 section 3.6.2.2).
        strings = " ".join(f'"{text[start : start + 255]}"' for start in range(0, len(text), 255))
        note = f"{where}. IN TXT {strings}"
        if context.options.offline:
            yield ok("dkim", f"selector {key.selector} signs; publish this TXT record", note)
        else:
            yield ok("dkim", f"selector {key.selector} signs")
