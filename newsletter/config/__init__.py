"""Reads config.yaml into a frozen Config. A mistake is an error with file, line, key and the nearest known spelling.

schema.py says what each mapping may hold (servers.py and tokens.py for the mail servers), sections.py what the program
gets, fields.py how a value is read, and yaml_nodes.py where it stands. Opens no socket and no database.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import yaml

from newsletter import languages
from newsletter.config import fields as v
from newsletter.config.fields import Secret
from newsletter.config.named import Named, default_store, named, store_url_of
from newsletter.config.schema import ROOT, TABLES
from newsletter.config.sections import (
    AlertConfig,
    BouncesConfig,
    Config,
    DkimConfig,
    FeedConfig,
    FetchConfig,
    ImapConfig,
    Pings,
    RetentionConfig,
    SendingConfig,
    SmtpConfig,
    SummaryConfig,
    WebConfig,
)
from newsletter.config.servers import secret_or_file
from newsletter.config.yaml_nodes import ENV, Place, entries, items, mapping, pairs, root
from newsletter.errors import ConfigError, Mistake
from newsletter.issue.filters import Filters
from newsletter.issue.rules import IssueRules
from newsletter.links import LONGEST_BOUNCE_LOCAL_PART
from newsletter.model import Publication

__all__ = [
    "TABLES",
    "AlertConfig",
    "BouncesConfig",
    "Config",
    "DkimConfig",
    "FeedConfig",
    "FetchConfig",
    "ImapConfig",
    "Named",
    "Pings",
    "RetentionConfig",
    "Secret",
    "SendingConfig",
    "SmtpConfig",
    "SummaryConfig",
    "WebConfig",
    "load",
    "named",
    "store_url_of",
]


def load(path: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """Read and check the file `path`, with ${NAME} taken from `environ`.

    Raises ConfigError with file, line and key. Secrets are read only when they are revealed.
    """
    return read(root(path, environ))


def read(place: Place) -> Config:
    """The configuration whose document is at `place`. Raises ConfigError with file, line and key."""
    path = place.file
    values = secret_or_file(place, mapping(place, ROOT), "secret")
    templates = values.get("templates")
    if templates is not None and not templates.is_dir():
        raise _find(place, "templates").error(f"no such folder: {templates}", Mistake(given=str(templates)))
    catalogues = (templates or path.absolute()).parent / "locale"
    _check_language(place, values.get("language", "en"), catalogues)
    publication = _publication(place, values)
    return Config(
        path=path,
        publication=publication,
        timezone=values.get("timezone", ZoneInfo("UTC")),
        feeds=values["feeds"],
        fetch=values.get("fetch", FetchConfig()),
        issue=values.get("issue", IssueRules()),
        filters=values.get("filters", Filters()),
        templates=templates,
        catalogues=catalogues,
        store=values.get("store") or default_store(place),
        secret=values.get("secret") or Secret(lambda: _missing_secret(place)),
        smtp=tuple(_with_helo(server, publication.sender.domain) for server in values.get("smtp", (SmtpConfig(),))),
        old_secrets=(*values.get("old_secrets", ()), *values.get("old_secret_files", ())),
        sending=values.get("sending", SendingConfig()),
        alerts=values.get("alerts", AlertConfig()),
        bounces=values.get("bounces", BouncesConfig()),
        dkim=values.get("dkim", ()),
        web=values.get("web", WebConfig()),
        retention=values.get("retention", RetentionConfig()),
        summary=values.get("summary", SummaryConfig()),
        witness=values.get("witness"),
        warnings=tuple(_open_secrets(place)),
    )


def _publication(place: Place, values: Mapping[str, Any]) -> Publication:
    """What the top-level keys say of the list. Raises ConfigError for a bounce address that VERP makes too long."""
    language, verp = values.get("language", "en"), values.get("bounces", BouncesConfig()).verp
    bounce_address = values.get("bounce_address") or values["sender"].address
    if verp and len(bounce_address.rpartition("@")[0]) > LONGEST_BOUNCE_LOCAL_PART:
        most = f"more than {LONGEST_BOUNCE_LOCAL_PART} characters before its @"
        raise _find(place, "bounces").error(f"verp adds a token to {bounce_address}, which has {most}")
    return Publication(
        title=values.get("title", "Daily Papers"),
        sender=values["sender"],
        bounce_address=bounce_address,
        postal_address=values["postal_address"],
        list_id=values["list_id"],
        base_url=values.get("base_url"),
        language=language,
        direction=values.get("direction") or languages.direction(language),
        verp=verp,
    )


def _check_language(place: Place, language: str, catalogues: Path) -> None:
    """Raise ConfigError for a language without a catalogue."""
    try:
        languages.find(language, catalogues)
    except languages.UnknownLanguage as error:
        at = _find(place, "language")
        mistake = Mistake(meant=error.meant)
        raise ConfigError(str(error), path=at.file, line=at.line, key=at.key, mistake=mistake) from error


def _with_helo(server: SmtpConfig, domain: str) -> SmtpConfig:
    """`server` with `domain`, that of the sender, as the name for EHLO, unless one is configured.

    A domain without an ASCII form cannot be that name, so `helo` stays None.
    """
    if server.helo is not None:
        return server
    try:
        return replace(server, helo=domain.encode("idna").decode("ascii"))
    except UnicodeError:
        return server


def _missing_secret(place: Place) -> str:
    raise place.error("secret is missing: set secret or secret_file (`newsletter init` makes one)")


def _find(place: Place, name: str) -> Place:
    return next((child for key, child in pairs(place, ROOT) if key == name), place)


_WRITTEN: Final = ("secret", "password")
_IN_FILES: Final = (
    *("secret_file", "password_file", "private_key_file", "token_file", "client_secret_file", "refresh_token_file"),
    "old_secret_files",
)


def _open_secrets(place: Place) -> Iterator[str]:
    """A warning for each secret that others may read, in config.yaml itself or in a file that it names."""
    for name, child in entries(place):
        if name in _IN_FILES and not child.is_null:
            files = items(child) if isinstance(child.node, yaml.SequenceNode) else [child]
            yield from (_warning(child, path) for path in map(v.file, files) if _is_open(path))
        elif name in _WRITTEN and isinstance(child.node, yaml.ScalarNode) and not child.is_null:
            if ENV.search(child.node.value):
                continue
            if _is_open(child.file):
                yield _warning(child, child.file)


def _warning(place: Place, path: Path) -> str:
    return f"{place.file}:{place.line}: {place.key} can be read by others; chmod 600 {path}"


def _is_open(path: Path) -> bool:
    """Whether others than the file's owner and group have any permission; False if it does not exist.

    The group may, because a DKIM key is often shared with a mail server by its group. A missing file is reported by
    whatever needs it.
    """
    try:
        return path.stat().st_mode & 0o007 != 0
    except OSError:
        return False
