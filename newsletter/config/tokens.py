"""The keys that say where the access tokens of a login come from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from newsletter.config import fields as v
from newsletter.config.fields import Secret
from newsletter.config.yaml_nodes import REQUIRED, Key, Place, Table, mapping
from newsletter.errors import ConfigFault, Mistake
from newsletter.sasl import PROVIDERS, AccessToken, Client, Tokens, endpoint_of, from_command, parse_token

REFRESH: Final[Table] = {
    "provider": Key(v.optional(v.choice(*PROVIDERS)), "null", "microsoft or google; null: the issuer of `token_url`."),
    "client_id": Key(v.text, REQUIRED, "Identifier of the application that you have registered there."),
    "client_secret_file": Key(
        v.optional(v.secret_file), "null", "File with the application's secret; null: it has none."
    ),
    "refresh_token_file": Key(
        v.file,
        REQUIRED,
        "File with the refresh token. The issuer may replace it, so this user must be able to write it.",
    ),
    "tenant": Key(v.tenant, "common", "Microsoft's name of the organisation: its domain or identifier."),
    "token_url": Key(
        v.optional(v.https_url),
        "null",
        "Token endpoint; null: the provider's. Set it for another issuer, or for a national cloud.",
    ),
    "scope": Key(
        v.optional(v.text),
        "null",
        "What the token is for; null: sending or reading mail. Another issuer says what to write.",
    ),
}

_SOURCES: Final = ("token_command", "token_file", "token_refresh")


def refresh_for(use: str) -> Callable[[Place], Client | None]:
    """A reader of `token_refresh` for ``smtp`` or ``imap``, which differ in their scopes."""

    def read(place: Place) -> Client | None:
        if place.is_null:
            return None
        values = mapping(place, REFRESH)
        provider, url = values.get("provider"), values.get("token_url")
        if provider is None and url is None:
            raise place.error("provider is missing: microsoft or google, or token_url for another issuer")
        scope = values.get("scope") or (PROVIDERS[provider].scopes.get(use, "") if provider else "")
        secret: Secret | None = values.get("client_secret_file")
        return Client(
            url or endpoint_of(str(provider), values.get("tenant", "common")),
            values["client_id"],
            values["refresh_token_file"],
            secret.reveal if secret is not None else None,
            scope,
        )

    return read


def with_tokens(place: Place, values: dict[str, Any]) -> dict[str, Any]:
    """`values` of a server with its three sources of tokens replaced by `token`. Raises ConfigError.

    `auth: xoauth2` needs exactly one source; without it, a source is an error.
    """
    wanted = values.pop("auth", "password") == "xoauth2"
    given = {name: source for name in _SOURCES if (source := values.pop(name, None)) is not None}
    if not wanted:
        if given:
            raise place.error(f"{next(iter(given))} needs auth: xoauth2", Mistake(beside="auth"))
        return values
    if len(given) != 1:
        said = f"auth: xoauth2 needs one of {', '.join(_SOURCES)}{', not two' if given else ''}"
        raise place.error(said, Mistake(beside="token_command"))
    if values.pop("password", None) is not None:
        said = "auth: xoauth2 uses no password: remove password or password_file"
        raise place.error(said, Mistake(ConfigFault.SEVERAL_KEYS))
    return values | {"token": _tokens(place, **given)}


def _tokens(
    place: Place,
    token_command: tuple[str, ...] | None = None,
    token_file: Secret | None = None,
    token_refresh: Client | None = None,
) -> Tokens:
    if token_command is not None:
        return Tokens(partial(from_command, token_command))
    if token_file is not None:
        return Tokens(partial(_from_file, token_file, f"{place.key}.token_file"), keep=False)
    assert token_refresh is not None
    return Tokens(token_refresh.fetch)


def _from_file(file: Secret, where: str) -> AccessToken:
    return parse_token(file.reveal(), where)
