"""config.yaml itself: mistakes, the example's values, secrets, modes of files, and domains that do not match."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from newsletter import resources
from newsletter.check import freemail
from newsletter.check.remedies import WANTED, closed_to_us, exported, given_to_us, new_secret, remedy_for
from newsletter.check.values import Command, Context, Finding, Remedy, SetKey, bad, ok, quoted, warn
from newsletter.config import load
from newsletter.errors import ConfigError
from newsletter.links import Links
from newsletter.model import FrozenIssue, Publication
from newsletter.store import Store

_CHMOD: Final = re.compile(r"(?P<said>.*) can be read by others; (?P<command>chmod 600 (?P<path>.*))")

_MOST_OLD: Final = 100  # old secrets that are looked for
_ISSUES: Final = 20  # whose links are looked at


# --- mistakes --------------------------------------------------------------------------------------------------------


def mistakes(path: Path, errors: Sequence[ConfigError]) -> Iterator[Finding]:
    """Each mistake in the file, with what to write instead."""
    for error in errors:
        yield bad("config", str(error), remedy_for(path, error))


# --- what is written ------------------------------------------------------------------------------------------------


def modes(context: Context) -> Iterator[Finding]:
    """Secrets that other users of the machine can read."""
    for warning in context.config.warnings:
        if match := _CHMOD.fullmatch(warning):
            if Path(match["path"]).is_dir():
                continue  # where a file is wanted: a finding of its own
            command = Command(f"chmod 600 {quoted(match['path'])}")
            yield bad("config", f"{match['said']} can be read by others", command)
        else:
            yield warn("config", warning, Command(f"${{EDITOR:-vi}} {quoted(context.path)}"))


def examples(context: Context) -> Iterator[Finding]:
    """The keys that every operator has to set and that still have the value of the config that `init` writes."""
    example = _example()
    for key, value in _to_edit(context.config.publication).items():
        if value == example[key] and key not in context.faulty:
            yield bad("config", f"{key} is still the example's", SetKey(key, WANTED[key]))


@cache
def _example() -> dict[str, str | None]:
    return _to_edit(load(resources.find("config.yaml"), {}).publication)


def _to_edit(publication: Publication) -> dict[str, str | None]:
    return {
        "sender": publication.sender.address,
        "postal_address": publication.postal_address,
        "base_url": publication.base_url,
        "list_id": publication.list_id,
    }


def domains(context: Context) -> Iterator[Finding]:
    """Whether sender, list_id and base_url belong to one organisation; the finding names the one that does not."""
    publication = context.config.publication
    sent = context.store is not None and context.store.latest_issue() is not None
    yield from judge_domains(publication, sent=sent)


def judge_domains(publication: Publication, *, sent: bool) -> Iterator[Finding]:
    """The same of a publication. After the first issue (`sent`) list_id stays, because readers filter by it."""
    if freemail.is_free(publication.sender.domain):
        return  # nobody's list_id or page can be there
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
    alerts = context.config.alerts
    told = (alerts.address, alerts.pings.failure, alerts.webhook)
    if not any(told) and "alerts" not in context.faulty:
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
    if error.mistake.variable:
        return exported(error.mistake.variable)
    if (given := context.written(error.key)) and closed_to_us(
        file := context.path.absolute().parent / Path(given).expanduser()
    ):
        return given_to_us(file)
    if error.key.startswith("old_secret"):  # the secret of today stays
        return _without_old(context, error.key)
    named = context.written("secret_file")
    if named is not None:
        file = context.path.absolute().parent / Path(named).expanduser()
        place = f"{quoted(file)}"
        aside = f"rmdir {place} && " if file.is_dir() else ""
        if context.store is not None and context.store.latest_issue() is not None:  # links in it need the old one
            return Command(f"{aside}(umask 077; cp BACKUP {place})")
        return Command(f"{aside}(umask 077; openssl rand -hex 32 > {place})")
    if context.written("secret") is not None:
        return Command(f'sed -i "s/^secret:.*/secret: $(openssl rand -hex 32)/" {quoted(context.path.absolute())}')
    return new_secret(context.path.absolute())


def _without_old(context: Context, key: str) -> SetKey:
    """The old secrets, or files of such, without the one at `key`."""
    name, _, number = key.partition(".")
    given = (context.written(f"{name}.{at}") for at in range(_MOST_OLD))
    kept = [quoted(each) for at, each in enumerate(each for each in given if each is not None) if str(at) != number]
    return SetKey(name, f"[{', '.join(kept)}]")


# --- DKIM keys ------------------------------------------------------------------------------------------------------


def keys(context: Context) -> Iterator[Finding]:
    """Whether each DKIM key can be read and is long enough. The record to publish is a note if DNS is not asked."""
    if not context.config.dkim:
        yield ok("dkim", "no key is configured, so your mail server has to sign")
        return
    from newsletter.mail import dkim  # imports cryptography, which is large

    for number, key in enumerate(context.config.dkim):
        path = key.private_key_file
        aside = f"mv {quoted(path)} {quoted(f'{path}.old')}; " if path.exists() else ""
        make = Command(f"{aside}(umask 077; openssl genrsa -out {quoted(path)} 2048)")
        try:
            signer = dkim.load(path, key.selector, context.config.publication.sender.domain)
        except ConfigError as error:
            yield bad("dkim", str(error), given_to_us(path) if closed_to_us(path) else make)
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
