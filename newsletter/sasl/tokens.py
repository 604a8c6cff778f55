"""OAuth 2.0 access tokens: kept while they are valid, and got anew from wherever the operator has them.

Threads share a Tokens object: of several connections that are opened at once, one gets the token.
"""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from newsletter.errors import TokenRefused, TokenUnavailable, Trouble

# A token is renewed so long before it expires: a login with one that expires on its way would be refused.
MARGIN: Final = 300.0  # seconds, but never more than a tenth of its lifetime
_SHARE: Final = 0.1

# How long a token of unknown lifetime is kept. Issuers give 3,600 seconds, and the helper that printed it may have kept
# it for most of that.
UNTOLD: Final = 60.0  # seconds

COMMAND_WITHIN: Final = 30.0  # seconds; a helper may have to ask the issuer
_LONGEST: Final = 16_384  # characters of a token, or bytes of what a command prints

_TOKEN: Final = re.compile(r"[\x21-\x7e]+")  # RFC 6749 appendix A.12


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token, which is never shown, and for how many seconds from now it is valid; None if nobody tells."""

    value: str = field(repr=False)
    lifetime: float | None = None


class Tokens:
    """The access tokens for one login. `fetch` gets a new one; it raises TokenUnavailable, TokenRefused, ConfigError.

    With `keep` False a token is fetched for each login, as from a file that a helper replaces.
    """

    def __init__(
        self,
        fetch: Callable[[], AccessToken],
        *,
        keep: bool = True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch, self._keep, self._monotonic = fetch, keep, monotonic
        self._lock = threading.Lock()
        self._value: str | None = None
        self._until = 0.0

    def __repr__(self) -> str:
        return "***"

    def current(self) -> str:
        """A token that is valid as far as is known; blocks while it is fetched. Raises what `fetch` raises."""
        with self._lock:
            if self._value is None or self._monotonic() >= self._until:
                self._renew()
            assert self._value is not None
            return self._value

    def other_than(self, refused: str) -> str | None:
        """A token in place of one that a server has refused; None if there is no other. Raises what `fetch` raises."""
        with self._lock:
            if self._value == refused or self._value is None:
                self._renew()
            return self._value if self._value != refused else None

    def _renew(self) -> None:
        self._value = None
        asked = self._monotonic()
        token = self._fetch()
        lifetime = UNTOLD if token.lifetime is None else token.lifetime - min(MARGIN, token.lifetime * _SHARE)
        self._value, self._until = token.value, asked + (lifetime if self._keep else 0.0)


def parse_token(text: str, where: str) -> AccessToken:
    """The token in `text`: alone on a line, or as ``access_token`` of a JSON object, perhaps with ``expires_in``.

    Raises TokenRefused, which names `where`, and shows nothing of `text`.
    """
    text = text.strip()
    lifetime: float | None = None
    if text.startswith("{"):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            raise TokenRefused(f"{where}: begins as JSON does, and is not JSON") from None
        text = str(found.get("access_token") or "")
        lifetime = seconds(found.get("expires_in"))
    if not text:
        raise TokenRefused(f"{where}: holds no access token")
    if not _TOKEN.fullmatch(text) or len(text) > _LONGEST:
        raise TokenRefused(f"{where}: is not one access token on one line, nor JSON with access_token")
    return AccessToken(text, lifetime)


def seconds(value: object) -> float | None:
    """A lifetime as issuers write it: a number, or a number as text. None if it is neither, or not above 0."""
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if 0 < number < 1e9 else None


# --- a command -------------------------------------------------------------------------------------------------------


def from_command(command: Sequence[str], *, within: float = COMMAND_WITHIN) -> AccessToken:
    """The token that `command` prints, which runs without a shell and for at most `within` seconds.

    Its exit code is read as in sysexits.h: 75 and what is not known may pass, 78 may not. Nothing of what it prints is
    shown, because that may be the token. Raises TokenUnavailable, and TokenRefused when a person must act.
    """
    import subprocess  # every command reads the configuration, and few run this one
    import tempfile

    where = f"token_command {command[0]}"
    with tempfile.TemporaryFile() as out:  # a pipe would have to be read while waiting
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.DEVNULL, start_new_session=True
            )
        except OSError as error:
            raise TokenRefused(f"{where}: {error.strerror}") from None
        try:
            code = process.wait(within)
        except subprocess.TimeoutExpired:
            late = f"{where}: printed no token within {within:g} seconds"
            raise TokenUnavailable(late, Trouble.CREDENTIALS) from None
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)  # also what it has started and left
            process.wait()
        out.seek(0)
        said = out.read(_LONGEST + 1)
    if code:
        kind = TokenRefused if code in (os.EX_CONFIG, os.EX_USAGE, os.EX_NOPERM, 126, 127) else TokenUnavailable
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        raise kind(f"{where}: {how}; run it by hand to see why", Trouble.CREDENTIALS)
    return parse_token(said.decode("utf-8", "replace"), where)
