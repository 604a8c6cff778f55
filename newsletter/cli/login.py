"""How `newsletter init` has the program log in at the mail server: by password, or with access tokens (OAuth 2.0)."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

import click

from newsletter.sasl import PASSWORD, PROVIDERS, TOKEN, chosen

COLUMN: Final = 46  # of config.yaml, where comments begin

PASSWORD_FILE: Final = "smtp.password"  # noqa: S105 - names of files
REFRESH_FILE: Final = "smtp.refresh-token"
CLIENT_FILE: Final = "client.secret"

# Whose tokens the servers of a domain take: both have ended or restricted passwords (docs/servers.md).
_ISSUERS: Final = {
    "office365.com": "microsoft",
    "outlook.com": "microsoft",
    "gmail.com": "google",
    "googlemail.com": "google",
    "google.com": "google",
}


@dataclass(frozen=True, slots=True)
class Login:
    """What is needed beside the name: a password, or a command that prints tokens, or what an issuer wants for one.

    `issuer` is a provider (microsoft, google) or the URL of a token endpoint. None is what was not answered.
    """

    password: str | None = None
    token_command: str | None = None
    issuer: str | None = None
    client_id: str | None = None
    client_secret: str | None = None
    refresh_token: str | None = None
    tenant: str | None = None

    @property
    def by_token(self) -> bool:
        """Whether the login is with an access token."""
        return self.token_command is not None or self.refresh_token is not None

    def files(self) -> Iterator[tuple[str, str]]:
        """The files with secrets: name and content."""
        if self.token_command is not None:
            return
        if self.refresh_token is None:
            yield PASSWORD_FILE, self.password or ""
            return
        yield REFRESH_FILE, self.refresh_token
        if self.client_secret:
            yield CLIENT_FILE, self.client_secret


def issuer_for(host: str) -> str | None:
    """The provider whose tokens a host takes, as far as its name tells."""
    return next((issuer for name, issuer in _ISSUERS.items() if f".{host.lower()}".endswith(f".{name}")), None)


def wants_token(host: str, offered: Collection[str]) -> bool:
    """Whether to ask for tokens: by the name of the server, or because it `offered` no login by password."""
    return issuer_for(host) is not None or bool(chosen(offered, TOKEN) and not chosen(offered, PASSWORD))


def mistaken(login: Login) -> str | None:
    """Why the options contradict one another, or None."""
    if sum(each is not None for each in (login.password, login.token_command, login.refresh_token)) > 1:
        return "--password-file, --token-command and --refresh-token-file exclude one another"
    if login.refresh_token is not None and not (login.client_id and login.issuer):
        return "--refresh-token-file needs --token-issuer and --client-id"
    if login.refresh_token is None and (login.client_id or login.client_secret or login.issuer or login.tenant):
        return "an issuer's client needs --refresh-token-file"
    return None


def ask(host: str, domain: str, offered: Collection[str]) -> Login:
    """Ask on the terminal. `domain` is the sender's; `offered` are the mechanisms that the server offers."""
    way = "password"
    if wants_token(host, offered):
        issuer = issuer_for(host)
        if issuer == "google":
            click.echo("  Google takes a password only if it is an app password; else a token.")
        elif issuer == "microsoft":
            click.echo("  Microsoft takes no passwords from the end of 2026 on; so a token is better.")
        else:
            click.echo(f"  This server offers {', '.join(offered)}: it wants a token instead of a password.")
        ways = click.Choice(["refresh", "command", "password"])
        said = "Log in with a refresh token, a command that prints access tokens, or a password"
        way = click.prompt(said, type=ways, default="refresh" if issuer else "command")
    if way == "command":
        return Login(token_command=click.prompt("Command").strip())
    if way == "password":
        return Login(password=click.prompt("Password", hide_input=True))
    return _ask_for_client(issuer_for(host), domain)


def _ask_for_client(issuer: str | None, domain: str) -> Login:
    if issuer is None:
        issuer = click.prompt("Issuer of the tokens: microsoft, google, or the URL of its token endpoint").strip()
    client_id = click.prompt("Client id of the application that you have registered there").strip()
    secret = click.prompt("Its client secret, or - for none", default="-", hide_input=True, show_default=False).strip()
    tenant = click.prompt("Tenant: your organisation's domain", default=domain) if issuer == "microsoft" else None
    token = click.prompt("Refresh token", hide_input=True).strip()
    return Login(
        issuer=issuer,
        client_id=client_id,
        client_secret=None if secret == "-" else secret,  # noqa: S105 - the word for none
        refresh_token=token,
        tenant=tenant,
    )


def rendered(reference: str, login: Login | None) -> str:
    """`reference`, the text of a config.yaml, with the keys of the first server that a login needs; None: no login."""
    if login is None:
        return reference
    if not login.by_token:
        return _in_force(reference, "password_file")
    text = _in_force(reference, "auth")
    if login.token_command is not None:
        return _in_force(text, "token_command", login.token_command)
    known = login.issuer in PROVIDERS
    values = {
        "provider": login.issuer if known else None,
        "client_id": login.client_id,
        "client_secret_file": CLIENT_FILE if login.client_secret else None,
        "refresh_token_file": REFRESH_FILE,
        "tenant": login.tenant,
        "token_url": None if known else login.issuer,
    }
    text = _in_force(text, "token_refresh")
    for key, value in values.items():
        if value is not None:
            text = _in_force(text, f"  {key}", value)
    return text


def _in_force(text: str, key: str, value: str | None = None) -> str:
    """`text` with a key of the first server that stands in a comment there in force, and set to `value` if given."""

    def line(found: re.Match[str]) -> str:
        if value is None:
            return f"    {found[1]}{found[2]}"
        return f"{f'    {found[1]}: {json.dumps(value, ensure_ascii=False)}':<{COLUMN}}  # {found[3]}"

    return re.sub(rf"(?m)^    # ({key})(:.*?  # (.*))$", line, text, count=1)
