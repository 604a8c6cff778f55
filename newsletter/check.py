"""`newsletter check`: try each thing that a run needs, and report on each. Nothing is sent."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from newsletter import prepare, resources
from newsletter.bounces.mailbox import open_mailbox
from newsletter.config import Config, SmtpConfig, load
from newsletter.errors import ConfigError, NewsletterError
from newsletter.issue.compose import compose
from newsletter.mail.lint import Level, lint
from newsletter.mail.signers import signers
from newsletter.model import Publication, SubscriberStatus
from newsletter.runtime import Runtime
from newsletter.store import Store
from newsletter.transport import connect, server_name


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: its subject, a sentence about it, and an exit code, which is 0 if it works."""

    what: str
    words: str
    exit_code: int = 0


def examine(config: Config) -> Iterator[Finding]:
    """Run the checks one after the other. An error becomes a finding and does not stop the others."""
    yield from (Finding("config", warning, 1) for warning in config.warnings)
    yield from _examples(config)
    yield _tried("secret", lambda: _secret(config))
    yield _tried("store", lambda: _store(config))
    yield _tried("feeds and templates", lambda: _issue(config))
    for server in config.smtp:
        yield _tried("smtp", partial(_server, server))
    yield from _keys(config)
    if config.bounces.maildir is None and config.bounces.imap is None:
        yield Finding("bounces", "no bounce mailbox is configured, so nobody reads bounces")
    else:
        yield _tried("bounces", lambda: _mailbox(config))


def _tried(what: str, act: Callable[[], str]) -> Finding:
    try:
        return Finding(what, act())
    except NewsletterError as error:
        return Finding(what, str(error), error.exit_code)


def _examples(config: Config) -> Iterator[Finding]:
    """Report the keys that every operator has to set and that still have the value of the config `init` writes."""
    ours, example = (_to_edit(each.publication) for each in (config, load(resources.find("config.yaml"), {})))
    if unchanged := [key for key, value in ours.items() if value == example[key]]:
        verb = "is" if len(unchanged) == 1 else "are"
        yield Finding("config", f"{', '.join(unchanged)} {verb} still the example's; edit {config.path}", os.EX_CONFIG)


def _to_edit(publication: Publication) -> dict[str, str | None]:
    return {
        "sender": publication.sender.address,
        "postal_address": publication.postal_address,
        "base_url": publication.base_url,
        "list_id": publication.list_id,
    }


def _secret(config: Config) -> str:
    config.secret.reveal()
    return "is set"


def _store(config: Config) -> str:
    with Store.open(config.store, witness=config.witness_file) as store:
        store.check()
        store.check_provenance()
        return f"{store.count_subscribers()[SubscriberStatus.ACTIVE]} active subscribers"


def _issue(config: Config) -> str:
    """Make the issue of the newest ripe day, render it and lint it."""
    runtime = Runtime()
    day = config.listed(runtime.now())
    with prepare.parser() as children:
        gathered = prepare.gather(config, day, runtime, children)
    if gathered.failures:
        raise NewsletterError("; ".join(gathered.failures))
    if unvoted := list(prepare.voteless(gathered)):
        raise ConfigError("; ".join(unvoted))
    issue = compose(gathered.feeds, day, config.issue, config.filters)
    if not issue.papers:
        return f"no papers for {day}"
    errors = [finding.message for finding in lint(prepare.render(config, issue)) if finding.level is Level.ERROR]
    if errors:
        raise NewsletterError("; ".join(errors))
    return f"{len(issue.papers)} papers for {day}, and the mail passes its lint"


def _server(server: SmtpConfig) -> str:
    """Connect, start TLS, log in, and quit. The errors raised name the server."""
    connection = connect(server)
    connection.socket.sendall(b"QUIT\r\n")
    connection.socket.close()
    offered = ", ".join(sorted(word.upper() for word in connection.extensions))
    login = "logged in" if server.username else "no login"
    return f"{server_name(server)} answers ({server.tls}, {login}) and offers {offered}"


def _mailbox(config: Config) -> str:
    """Open the bounce mailbox as `newsletter bounces` does, without reading a mail."""
    with open_mailbox(config.bounces):
        return "the mailbox can be read"


def _keys(config: Config) -> Iterator[Finding]:
    if not config.dkim:
        yield Finding("dkim", "no key is configured, so your mail server has to sign")
    try:
        keys = signers(config)
    except NewsletterError as error:
        yield Finding("dkim", str(error), error.exit_code)
        return
    for signer in keys:
        where, text = signer.record
        # A string in a TXT record has at most 255 octets; verifiers join them (RFC 6376 section 3.6.2.2).
        strings = " ".join(f'"{text[start : start + 255]}"' for start in range(0, len(text), 255))
        yield Finding("dkim", f"publish this TXT record\n     {where}. IN TXT {strings}")
