"""The mail servers in config.yaml: the tables of the keys in `smtp` and `bounces.imap`, and the rules between keys."""

from __future__ import annotations

from typing import Any, Final

from newsletter.config import fields as v
from newsletter.config.sections import ImapConfig, SmtpConfig
from newsletter.config.tokens import refresh_for, with_tokens
from newsletter.config.yaml_nodes import REQUIRED, Key, Place, Table, items, mapping, pairs
from newsletter.errors import ConfigFault, Mistake

_TLS: Final = "none, starttls or implicit; never falls back to less. Certificates are verified."
CA_FILE: Final = "Certificate authority to trust; null: those of the system."
_PASSWORD_FILE: Final = "File that holds the password, instead of `password`."  # noqa: S105 - a description

_AUTH: Final = (
    "password, or xoauth2 for an OAuth 2.0 access token. OAUTHBEARER is used where a server does not offer XOAUTH2. "
    "See [servers](servers.md#oauth2)."
)
_TOKEN_COMMAND: Final = "Command that prints an access token. It runs without a shell, for at most 30 seconds."  # noqa: S105
_TOKEN_FILE: Final = "File with an access token, which a helper keeps fresh. It is read for each login."  # noqa: S105
_TOKEN_REFRESH: Final = "Where to get access tokens for a refresh token. See [servers](servers.md#oauth2)."  # noqa: S105

SMTP: Final[Table] = {
    "host": Key(v.host, "localhost", "Host name or address."),
    "port": Key(v.whole(1, 65535), "25", "Often 587 with starttls, 465 with implicit."),
    "tls": Key(v.choice("none", "starttls", "implicit"), "none", _TLS),
    "ca_file": Key(v.optional(v.file), "null", CA_FILE),
    "username": Key(
        v.optional(v.text), "null", "Name for the login; null: no login. A login needs TLS, except on localhost."
    ),
    "password": Key(v.optional(v.secret), "null", "Password for the login; read only if there is a username."),
    "password_file": Key(v.optional(v.password_file), "null", _PASSWORD_FILE),
    "auth": Key(v.choice("password", "xoauth2"), "password", _AUTH),
    "token_command": Key(v.optional(v.command), "null", _TOKEN_COMMAND),
    "token_file": Key(v.optional(v.secret_file), "null", _TOKEN_FILE),
    "token_refresh": Key(refresh_for("smtp"), "null", _TOKEN_REFRESH),
    "helo": Key(v.optional(v.helo), "null", "Name for EHLO; null: the domain of `sender`."),
    "sendmail": Key(
        v.optional(v.command),
        "null",
        "Program that takes the mail in place of a server: /usr/sbin/sendmail. It is called with `-oi -f SENDER -- "
        "RECIPIENT`, without a shell, as the programs of Postfix, Exim and msmtp expect it. It must be the only entry "
        "of `smtp`; of the other keys `connections` (programs at once), `rate` and `per_day` apply.",
    ),
    "timeout": Key(
        v.number(0, 3600),
        "60",
        "Seconds for each reply. The reply to the message itself gets 600 (RFC 5321 section 4.5.3.2.6).",
    ),
    "connections": Key(v.whole(1, 256), "4", "Connections open at once, at most, of all processes together."),
    "messages_per_connection": Key(
        v.optional(v.whole(1, 10**6)), "null", "Messages after which a connection is renewed; null: never."
    ),
    "rate": Key(
        v.optional(v.number(0, 10**6)),
        "null",
        "Messages a second, at most, of all processes together; null: no limit. No window of a second holds more.",
    ),
    "per_day": Key(
        v.optional(v.whole(1, 10**6)),
        "null",
        "Messages in any 24 hours, of all processes together; null: no limit.",
    ),
}
IMAP: Final[Table] = {
    "host": Key(v.host, REQUIRED, "Host name or address."),
    "port": Key(v.whole(1, 65535), "993", "The default is 143 if tls is not implicit."),
    "tls": Key(v.choice("none", "starttls", "implicit"), "implicit", _TLS),
    "ca_file": Key(v.optional(v.file), "null", CA_FILE),
    "username": Key(v.text, REQUIRED, "Name for the login. A login needs TLS, except on localhost."),
    "password": Key(v.optional(v.secret), "null", "Password for the login; read only when the mailbox is."),
    "password_file": Key(v.optional(v.password_file), "null", _PASSWORD_FILE),
    "auth": Key(v.choice("password", "xoauth2"), "password", _AUTH),
    "token_command": Key(v.optional(v.command), "null", _TOKEN_COMMAND),
    "token_file": Key(v.optional(v.secret_file), "null", _TOKEN_FILE),
    "token_refresh": Key(refresh_for("imap"), "null", _TOKEN_REFRESH),
    "folder": Key(v.text, "INBOX", "Folder where the mails arrive."),
    "timeout": Key(v.number(0, 3600), "60", "Seconds for each reply."),
}


def smtp(place: Place) -> tuple[SmtpConfig, ...]:
    """Read the list at `smtp`, in its order; raises ConfigError."""
    servers = tuple(_server(item) for item in items(place))
    if not servers:
        raise place.error("must name a server; leave it out for one on this machine")
    if len(servers) > 1 and any(server.sendmail for server in servers):
        raise place.error("sendmail must be the only entry", Mistake(ConfigFault.SEVERAL_KEYS))
    return servers


# Keys of `smtp` that apply to a program too.
_OF_A_PROGRAM: Final = frozenset({"sendmail", "connections", "rate", "per_day"})


def _server(place: Place) -> SmtpConfig:
    values = secret_or_file(place, mapping(place, SMTP), "password")
    if values.get("sendmail") is None:
        values.pop("sendmail", None)
    elif others := [name for name, child in pairs(place, SMTP) if name not in _OF_A_PROGRAM and not child.is_null]:
        said = f"sendmail and {others[0]} are both given; with sendmail no server is connected to"
        raise place.error(said, Mistake(ConfigFault.SEVERAL_KEYS))
    server = SmtpConfig(**with_tokens(place, values))
    if server.username is not None:
        _credentials(place, server)
    elif server.token is not None:
        raise place.error("auth: xoauth2 needs a username", Mistake(beside="username"))
    return server


def _credentials(place: Place, server: SmtpConfig | ImapConfig) -> None:
    """Check that there is a password or a source of tokens, and that it is not sent in clear."""
    if server.token is None and server.password is None:
        said = "username needs password or password_file, or auth: xoauth2"
        raise place.error(said, Mistake(beside="password"))
    _no_clear_login(place, server.tls, server.host)


def _no_clear_login(place: Place, tls: str, host: str) -> None:
    if tls == "none" and host not in ("localhost", "127.0.0.1", "::1"):
        said = f"a login at {host} would send the password in clear: set tls to starttls or implicit"
        raise place.error(said, Mistake(beside="tls"))


def imap(place: Place) -> ImapConfig | None:
    """Read the mapping at `bounces.imap`, None for null; raises ConfigError."""
    if place.is_null:
        return None
    values = secret_or_file(place, mapping(place, IMAP), "password")
    if "port" not in values and values.get("tls", "implicit") != "implicit":
        values["port"] = 143
    server = ImapConfig(**with_tokens(place, values))
    _credentials(place, server)
    return server


def secret_or_file(place: Place, values: dict[str, Any], name: str) -> dict[str, Any]:
    """`values` with the key `name`_file, a Secret like `name`, moved to `name`. Raises ConfigError if both exist."""
    from_file = values.pop(f"{name}_file", None)
    if from_file is not None:
        if values.get(name) is not None:
            raise place.error(f"{name} and {name}_file are both given; keep one", Mistake(ConfigFault.SEVERAL_KEYS))
        values[name] = from_file
    return values
