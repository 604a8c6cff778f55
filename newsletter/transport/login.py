"""The login at an SMTP server (RFC 4954), by password or access token, over smtplib's connection."""

from __future__ import annotations

import base64
import binascii
import smtplib
from typing import Final

from newsletter.config import SmtpConfig
from newsletter.errors import SenderRefused, TransportMisconfigured, TransportUnavailable, Trouble
from newsletter.replies import Stage, judge
from newsletter.sasl import PASSWORD, TOKEN, Dialogue, chosen, dialogue, lacking, other_auth
from newsletter.text import one_line

# RFC 5321 section 4.5.3.1.4: a longer line may be refused, so its initial response waits for the server's 334.
_LONGEST_COMMAND: Final = 512  # bytes, with CRLF

_CHALLENGES: Final = 5  # more make no sense in any of our mechanisms

# Replies after which another mechanism may work: not known, or too weak (RFC 4954 sections 4 and 6).
_OTHER_MECHANISM: Final = frozenset({500, 501, 502, 504, 534})

# Replies that refuse the credentials themselves.
_CREDENTIALS: Final = frozenset({530, 534, 535, 538})


class LoginRefused(Exception):
    """The server refuses the login. `error` is for the operator; with `stale`, a newer access token may help."""

    def __init__(self, error: TransportUnavailable, *, stale: bool) -> None:
        super().__init__(str(error))
        self.error, self.stale = error, stale


def log_in(smtp: smtplib.SMTP, server: SmtpConfig, name: str, secret: str) -> None:
    """Log in as `server` says; `secret` is the password or access token, `name` what messages call the server.

    Raises LoginRefused, TransportMisconfigured when the server offers no login that fits, and smtplib's errors.
    """
    assert server.username is not None
    ours = PASSWORD if server.token is None else TOKEN
    offered = smtp.esmtp_features.get("auth", "").split()
    usable = chosen(offered, ours)
    if not usable:
        said = f"{name} {lacking(offered, ours)} (smtp.username asks for one)"
        raise TransportMisconfigured(said, Trouble.NO_LOGIN, auth=other_auth(offered, ours))
    for mechanism in usable:
        code, words = _authenticate(
            smtp, mechanism, dialogue(mechanism, server.username, secret, server.host, server.port)
        )
        if code == 235:
            return
        if code not in _OTHER_MECHANISM:
            break
    said = one_line(words.replace(secret, "***"))
    message = f"{name} refused the login of {server.username}: {code} {said}"
    error = _kind(code, said)(message, Trouble.LOGIN, code=code)
    raise LoginRefused(error, stale=server.token is not None and code in _CREDENTIALS)


def _authenticate(smtp: smtplib.SMTP, mechanism: str, respond: Dialogue) -> tuple[int, str]:
    """Run the dialogue of one mechanism; returns the server's last reply."""
    initial = respond(None)
    whole = f"AUTH {mechanism} {_encoded(initial or b'')}"
    at_once = initial is not None and len(whole) + 2 <= _LONGEST_COMMAND
    waiting = None if at_once else initial
    code, said = smtp.docmd(whole if at_once else f"AUTH {mechanism}")
    for _ in range(_CHALLENGES):
        if code != 334:
            break
        answer = waiting if waiting is not None else respond(_decoded(said))
        waiting = None
        code, said = smtp.docmd(_encoded(answer or b""))
    return code, said.decode("utf-8", "replace")


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decoded(said: bytes) -> bytes:
    """A challenge; one that is not base64 is taken as empty, and the server will say what it thinks of the answer."""
    try:
        return base64.b64decode(said)
    except binascii.Error:
        return b""


def _kind(code: int, said: str) -> type[TransportUnavailable]:
    """What a refused login is: a limit of the sender, something to correct, or trouble that may pass."""
    judgement = judge(Stage.LOGIN, code, said)
    if judgement.for_good:
        return TransportMisconfigured
    return SenderRefused if judgement.limit else TransportUnavailable
