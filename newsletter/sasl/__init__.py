"""Logging in at mail servers (SASL, RFC 4422): the mechanisms for SMTP and IMAP, and OAuth 2.0 access tokens."""

from newsletter.sasl.mechanisms import PASSWORD, TOKEN, Dialogue, chosen, dialogue, lacking, other_auth
from newsletter.sasl.refresh import PROVIDERS, Client, endpoint_of
from newsletter.sasl.tokens import AccessToken, Tokens, from_command, parse_token

__all__ = [
    "PASSWORD",
    "PROVIDERS",
    "TOKEN",
    "AccessToken",
    "Client",
    "Dialogue",
    "Tokens",
    "chosen",
    "dialogue",
    "endpoint_of",
    "from_command",
    "lacking",
    "other_auth",
    "parse_token",
]
