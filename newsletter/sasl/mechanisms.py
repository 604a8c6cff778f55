"""The SASL mechanisms that this program can use, and which of them to use with a server. Pure.

Names and passwords are sent as UTF-8 (RFC 4616 section 2; RFC 4954 section 4). They are not prepared by SASLprep: that
is for the server to do before it compares them, and one that does not do it compares the bytes.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection, Sequence
from typing import Final

# Answers a challenge of the server. It is first called with None, for the initial response, and gives None then if the
# server speaks first. Values are bytes, without base64.
Dialogue = Callable[[bytes | None], bytes | None]

# In the order of preference. A login needs TLS, or the same machine; so PLAIN comes before CRAM-MD5, which servers that
# keep hashed passwords often offer and cannot do.
PASSWORD: Final = ("PLAIN", "LOGIN", "CRAM-MD5")
TOKEN: Final = ("XOAUTH2", "OAUTHBEARER")


def chosen(offered: Collection[str], ours: Sequence[str]) -> list[str]:
    """Those of `ours` that the server offers, in our order. Case does not matter (RFC 4422 section 3.1: upper case)."""
    names = {name.upper() for name in offered}
    return [name for name in ours if name in names]


def lacking(offered: Collection[str], ours: Sequence[str]) -> str:
    """What to tell the operator when the server offers none of `ours`, such as "offers no login but GSSAPI; ..."."""
    others = ", ".join(sorted({name.upper() for name in offered}))
    what = f"offers no login but {others}" if others else "offers no login"
    auth = other_auth(offered, ours)
    return f"{what}; set auth: {auth}" if auth else f"{what}; this program can {', '.join(ours)}"


def other_auth(offered: Collection[str], ours: Sequence[str]) -> str:
    """The value of the key `auth` with which the server offers a login when it offers none of `ours`; empty if none."""
    auth, others = ("password", PASSWORD) if ours is TOKEN else ("xoauth2", TOKEN)
    return auth if chosen(offered, others) else ""


def dialogue(mechanism: str, username: str, secret: str, host: str, port: int) -> Dialogue:
    """How to log in as `username` by `mechanism`, one of PASSWORD or TOKEN; `secret` is the password or access token.

    `host` and `port` are the server's (RFC 7628 section 3.1).
    """
    user, key = username.encode(), secret.encode()
    if mechanism == "PLAIN":  # RFC 4616
        return _client_first(b"\0" + user + b"\0" + key, b"")
    if mechanism == "LOGIN":  # draft-murchison-sasl-login
        answers = iter((None, user, key))
        return lambda challenge: next(answers, b"")
    if mechanism == "CRAM-MD5":  # RFC 2195
        return lambda challenge: None if challenge is None else user + b" " + _cram(key, challenge)
    if mechanism == "XOAUTH2":  # developers.google.com/workspace/gmail/imap/xoauth2-protocol
        return _client_first(b"user=" + user + b"\1auth=Bearer " + key + b"\1\1", b"")
    name = user.replace(b"=", b"=3D").replace(b",", b"=2C")  # RFC 5801 section 4
    where = f"host={host}\1port={port}\1".encode()
    return _client_first(b"n,a=" + name + b",\1" + where + b"auth=Bearer " + key + b"\1\1", b"\1")


def _client_first(initial: bytes, later: bytes) -> Dialogue:
    """`later` answers a challenge that comes although all is said: the reason why the login will be refused."""
    return lambda challenge: initial if challenge is None else later


def _cram(key: bytes, challenge: bytes) -> bytes:
    return hmac.new(key, challenge, "md5").hexdigest().encode()
