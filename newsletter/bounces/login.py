"""The login at an IMAP server, by password or access token."""

from __future__ import annotations

from typing import Any

from newsletter.config import ImapConfig
from newsletter.errors import MailboxMisconfigured, Trouble
from newsletter.sasl import PASSWORD, TOKEN, Dialogue, chosen, dialogue, lacking, other_auth


def log_in(client: Any, config: ImapConfig, by_token: tuple[str, ...] = TOKEN) -> None:
    """Log in; an access token that the server refuses is replaced once.

    `client` is an IMAPClient; `by_token` are the mechanisms for access tokens, best first. Raises MailboxMisconfigured
    when the server offers no login that fits, imapclient's errors, TokenUnavailable, and ConfigError when a password
    cannot be read.
    """
    assert config.username is not None
    if config.token is None:
        _by_password(client, config, config.password.reveal() if config.password else "")
        return
    from imapclient.exceptions import IMAPClientAbortError, LoginError

    token = config.token.current()
    try:
        _by_mechanism(client, config, by_token, token)
    except LoginError as error:
        newer = None if isinstance(error.__context__, IMAPClientAbortError) else config.token.other_than(token)
        if newer is None:
            raise
        _by_mechanism(client, config, by_token, newer)


def _by_password(client: Any, config: ImapConfig, password: str) -> None:
    """By LOGIN (RFC 9051 section 6.2.3); by SASL if that is disabled, or cannot carry what is not ASCII."""
    if (config.username or "").isascii() and password.isascii() and not client.has_capability("LOGINDISABLED"):
        client.login(config.username, password)
        return
    _by_mechanism(client, config, PASSWORD, password)


def _by_mechanism(client: Any, config: ImapConfig, ours: tuple[str, ...], secret: str) -> None:
    capabilities = [each.decode("ascii", "replace").upper() for each in client.capabilities()]
    offered = [each.removeprefix("AUTH=") for each in capabilities if each.startswith("AUTH=")]
    usable = chosen(offered, ours)
    if not usable:
        said = f"{config.host}:{config.port} {lacking(offered, ours)}"
        raise MailboxMisconfigured(said, Trouble.NO_LOGIN, auth=other_auth(offered, ours))
    assert config.username is not None
    steps = dialogue(usable[0], config.username, secret, config.host, config.port)
    client.sasl_login(usable[0], _Steps(steps))


class _Steps:
    """A dialogue as imaplib asks for it: a mechanism whose client speaks first gets an empty challenge for that."""

    def __init__(self, respond: Dialogue) -> None:
        self._respond = respond
        self._initial = respond(None)

    def __call__(self, challenge: bytes) -> bytes:
        """The response to a challenge, both without base64."""
        if self._initial is not None:
            initial, self._initial = self._initial, None
            return initial
        return self._respond(challenge) or b""
