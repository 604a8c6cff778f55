"""New access tokens for a refresh token (RFC 6749 section 6), from Microsoft, Google or another issuer."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from newsletter.errors import TokenRefused, TokenUnavailable, Trouble
from newsletter.sasl.tokens import AccessToken, parse_token, seconds
from newsletter.text import one_line


@dataclass(frozen=True, slots=True)
class Provider:
    """An issuer: its token endpoint, with ``{tenant}`` where it has tenants, and the scopes that mail needs.

    `scopes` are those for SMTP and IMAP; empty: those that the refresh token was given for.
    """

    endpoint: str
    scopes: Mapping[str, str]


# learn.microsoft.com/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-
# using-oauth; developers.google.com/identity/protocols/oauth2/native-app
PROVIDERS: Final[Mapping[str, Provider]] = {
    "microsoft": Provider(
        "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token",
        {
            "smtp": "https://outlook.office.com/SMTP.Send offline_access",
            "imap": "https://outlook.office.com/IMAP.AccessAsUser.All offline_access",
        },
    ),
    "google": Provider("https://oauth2.googleapis.com/token", {}),
}

# Error codes that come again until a person changes something: RFC 6749 section 5.2, and learn.microsoft.com/entra/
# identity-platform/reference-error-codes. All others may pass.
_FOR_A_PERSON: Final = frozenset(
    {
        *("invalid_grant", "invalid_client", "unauthorized_client", "invalid_scope", "unsupported_grant_type"),
        *("invalid_request", "invalid_resource", "interaction_required", "consent_required", "login_required"),
        *("access_denied", "deleted_client", "disabled_client", "admin_policy_enforced", "org_internal"),
    }
)


@dataclass(frozen=True)
class Client:
    """What is needed to ask an issuer for access tokens. Secrets are read when they are needed, and never shown.

    `endpoint` is an https URL. `refresh_token_file` holds the refresh token; an issuer may replace it with each answer.
    """

    endpoint: str
    client_id: str
    refresh_token_file: Path
    client_secret: Callable[[], str] | None = field(default=None, repr=False)
    scope: str = ""

    def fetch(self) -> AccessToken:
        """Ask for an access token, and keep the new refresh token if there is one.

        Raises TokenRefused when a person must act: they have to sign in again, or a file or key is wrong. Raises
        TokenUnavailable when the issuer cannot be reached or is in trouble.
        """
        refresh_token = self._read()
        asked = {"grant_type": "refresh_token", "client_id": self.client_id, "refresh_token": refresh_token}
        if self.client_secret is not None:
            asked["client_secret"] = self.client_secret()
        if self.scope:
            asked["scope"] = self.scope
        hidden = [refresh_token, *([asked["client_secret"]] if self.client_secret else [])]
        from newsletter.sasl.post import post  # urllib3 takes 100 ms to import

        status, answer = post(self.endpoint, asked)
        if status != 200:
            raise _refusal(self._where, status, answer, hidden)
        token = parse_token(json.dumps({"access_token": answer.get("access_token")}), f"the answer of {self._where}")
        rotated = answer.get("refresh_token")
        if isinstance(rotated, str) and rotated.strip() and rotated != refresh_token:
            self._write(rotated)
        return AccessToken(token.value, seconds(answer.get("expires_in")))

    @property
    def _where(self) -> str:
        return urlsplit(self.endpoint).netloc

    def _read(self) -> str:
        try:
            token = self.refresh_token_file.read_text("utf-8").strip()
        except (OSError, UnicodeError) as error:
            words = error.strerror if isinstance(error, OSError) else "is not text"
            raise TokenRefused(f"token_refresh.refresh_token_file {self.refresh_token_file}: {words}") from None
        if not token:
            raise TokenRefused(f"token_refresh.refresh_token_file {self.refresh_token_file}: is empty")
        return token

    def _write(self, token: str) -> None:
        """Replace the file in one step; only its owner may read it. A link stays, and its target is replaced."""
        from newsletter import files

        try:
            files.replace(self.refresh_token_file.resolve(), f"{token}\n".encode(), private=True)
        except OSError as error:
            kind = TokenRefused if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) else TokenUnavailable
            raise kind(
                f"token_refresh.refresh_token_file {self.refresh_token_file}: the new refresh token cannot be written:"
                f" {error.strerror}; let this user write the file and its folder",
                Trouble.CREDENTIALS,
            ) from None


def _refusal(where: str, status: int, answer: Mapping[str, Any], hidden: list[str]) -> TokenUnavailable:
    """What an answer other than 200 means. An issuer may repeat what it was sent, so secrets are taken out of it."""
    code = one_line(str(answer.get("error") or ""))
    words = one_line(str(answer.get("error_description") or ""))
    for secret in hidden:
        code, words = code.replace(secret, "***"), words.replace(secret, "***")
    said = ": ".join(filter(None, (code, words))) or f"status {status}"
    if status < 500 and code in _FOR_A_PERSON:
        return TokenRefused(f"{where} gives no access token: {said}")
    return TokenUnavailable(f"{where} gives no access token now: {said}", Trouble.ISSUER)


def endpoint_of(provider: str, tenant: str) -> str:
    """The token endpoint of one of PROVIDERS."""
    return PROVIDERS[provider].endpoint.format(tenant=tenant)
