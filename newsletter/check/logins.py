"""What to do about a login that is refused, or that has no password or access token: for SMTP and IMAP alike."""

from __future__ import annotations

from newsletter.check.values import Command, Context, Remedy, SetKey, quoted

_OTHER_KIND = "set auth: "  # as newsletter.sasl says when the server offers only logins of the other kind

# Keys that name a file with a secret, and what has to be written into it.
_IN_FILES = {
    "token_refresh.refresh_token_file": "REFRESH_TOKEN",
    "token_file": "ACCESS_TOKEN",
    "password_file": "PASSWORD",
}


def login_remedy(context: Context, key: str, said: str) -> Remedy:
    """The one thing to do about the login of the server at `key`, such as ``smtp.0``; `said` is the error's text."""
    if _OTHER_KIND in said:
        return SetKey(f"{key}.auth", said.partition(_OTHER_KIND)[2].split()[0])
    for name, what in _IN_FILES.items():
        if (named := context.written(f"{key}.{name}")) is not None:
            path = context.path.absolute().parent / named
            return Command(f"(umask 077; printf '%s\\n' {what} > {quoted(path)})")
    if context.written(f"{key}.token_command") is not None:
        return SetKey(f"{key}.token_command", "COMMAND")
    return SetKey(f"{key}.password", "PASSWORD")
