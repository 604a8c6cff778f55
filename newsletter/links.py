"""Signed links. A token is opaque, valid for one purpose, and made from the subscriber's ref, not from the address.

A token is 24 bytes in 32 characters of base64url: 8 bytes of ref and 16 of an HMAC-SHA256 over purpose, list and ref
(RFC 8058 section 6 asks for tokens that are hard to forge). A link with it fits on one header line, so List-Unsubscribe
needs no folding inside a URI. The token of a confirmation link also holds the time of the request, so that it confirms
this request and no other.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Final

from newsletter.model import Publication

_REF_BYTES: Final = 8
_MAC_BYTES: Final = 16
TOKEN_LENGTH: Final = (_REF_BYTES + _MAC_BYTES) * 4 // 3  # characters of base64url
_TIME_BYTES: Final = 6  # milliseconds of Unix time
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

# The token of a VERP address holds day, ref and MAC, in base32 because servers may change the case of a local part. RFC
# 2104 section 5 asks for a MAC of at least 80 bits. The token has 34 characters and follows a "+"; a local part has at
# most 64 octets (RFC 5321 section 4.5.3.1.1).
_DAY_BYTES: Final = 3
_SHORT_MAC_BYTES: Final = 10
LONGEST_BOUNCE_LOCAL_PART: Final = 64 - 1 - 34


class Purpose(StrEnum):
    """What a token permits. A token made for one purpose is invalid for another."""

    UNSUBSCRIBE = "unsubscribe"
    CONFIRM = "confirm"
    PREFERENCES = "preferences"
    UNDO = "undo"  # a move to another address; the ref is the move's
    FEEDBACK = "feedback"  # more or less like a paper


class Links:
    """Makes and verifies the links of one publication.

    Tokens are made with `secret`; those made with one of the `old` secrets are still accepted.
    """

    def __init__(
        self, secret: str, publication: Publication, old: Sequence[str] = (), key_id: str | None = None
    ) -> None:
        """Make links with the secret whose `key_id` is given if it is `secret` or one of `old`, else with `secret`."""
        self._publication = publication
        self._list_id = publication.list_id.encode()
        self._begun: dict[tuple[bytes, str], hmac.HMAC] = {}  # by secret and purpose: each copy needs several
        self._secrets = (secret.encode(), *(each.encode() for each in old))
        known = {self._id_of(each): each for each in reversed(self._secrets)}
        self._secret = known.get(key_id or "", self._secrets[0])
        self._domain = publication.sender.domain

    @property
    def key_id(self) -> str:
        """The id of the secret that makes these links: 16 hex digits that do not reveal it.

        It is frozen with an issue. A copy that is sent again after the secret was replaced then has the same links and
        Message-ID, as long as `old_secrets` has the old secret.
        """
        return self._id_of(self._secret)

    def _id_of(self, secret: bytes) -> str:
        return self._mac("key id", b"", secret).hex()[:16]

    def token(self, purpose: Purpose, ref: str) -> str:
        """The token that lets subscriber `ref` (16 hex digits) do `purpose`; 32 characters of base64url."""
        return self._token(purpose, bytes.fromhex(ref))

    def verify(self, purpose: Purpose, token: str) -> str | None:
        """The ref for which `token` was made, or None if it is invalid. MACs are compared in constant time."""
        raw = self._verified(purpose, token, _REF_BYTES)
        return None if raw is None else raw.hex()

    def _token(self, purpose: Purpose, raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw + self._mac(purpose, raw)).decode()

    def _verified(self, purpose: Purpose, token: str, size: int) -> bytes | None:
        """The first `size` bytes of `token` if the rest is their MAC under any of the secrets, else None."""
        try:
            raw = base64.b64decode(token, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        signed, mac = raw[:size], raw[size:]
        good = [hmac.compare_digest(mac, self._mac(purpose, signed, secret)) for secret in self._secrets]
        return signed if any(good) else None

    def preferences(self, ref: str) -> str:
        """URL of a subscriber's preferences page; without a web server, the way to unsubscribe."""
        base = self._publication.base_url
        return f"{base}/preferences/{self.token(Purpose.PREFERENCES, ref)}" if base else self.unsubscribe(ref)[1]

    def feedback(self, ref: str) -> str:
        """URL at which a subscriber asks for more or less like a paper. Needs `base_url`.

        Which paper, and which of the two, is in the query (see `mail.cards`): it is the same for all readers.
        """
        return f"{self._publication.base_url}/feedback/{self.token(Purpose.FEEDBACK, ref)}"

    def confirm(self, ref: str, asked_at: datetime) -> str:
        """URL that confirms the request made at `asked_at` (aware, precise to the millisecond). Needs `base_url`."""
        moment = (asked_at - _EPOCH) // timedelta(milliseconds=1)
        raw = bytes.fromhex(ref) + moment.to_bytes(_TIME_BYTES, "big")
        return f"{self._publication.base_url}/confirm/{self._token(Purpose.CONFIRM, raw)}"

    def undo(self, ref: str) -> str:
        """URL that undoes the move `ref` to another address. Needs `base_url`."""
        return f"{self._publication.base_url}/undo/{self.token(Purpose.UNDO, ref)}"

    def verify_confirm(self, token: str) -> tuple[str, datetime] | None:
        """Ref and time (UTC) of the request that `token` confirms, or None if it is invalid."""
        raw = self._verified(Purpose.CONFIRM, token, _REF_BYTES + _TIME_BYTES)
        if raw is None:
            return None
        moment = timedelta(milliseconds=int.from_bytes(raw[_REF_BYTES:], "big"))
        return raw[:_REF_BYTES].hex(), _EPOCH + moment

    def unsubscribe(self, ref: str) -> tuple[str, str]:
        """The two URIs for List-Unsubscribe (RFC 2369 section 3.2): of the web page and of a mail (RFC 6068).

        The page also takes the one-click POST (RFC 8058). Without `base_url` both are the mailto URI.
        """
        base, token = self._publication.base_url, self.token(Purpose.UNSUBSCRIBE, ref)
        mailto = f"mailto:{self._publication.bounce_address}?subject=unsubscribe%20{token}"
        return (f"{base}/unsubscribe/{token}" if base else mailto), mailto

    def message_id(self, day: date, ref: str) -> str:
        """The Message-ID, with brackets, of a subscriber's copy: the same whenever that copy is sent again."""
        written = day.isoformat()
        mac = self._mac("message-id", f"{written}\0{ref}".encode())
        return f"<{written.replace('-', '')}.{mac.hex()}@{self._domain}>"  # isoformat is faster than strftime

    def is_message_id(self, found: str, day: date, ref: str) -> bool:
        """Whether `found`, the part before the @, is that of this copy's Message-ID under any of the secrets."""
        data = f"{day.isoformat()}\0{ref}".encode()
        made = [f"{day:%Y%m%d}.{self._mac('message-id', data, secret).hex()}" for secret in self._secrets]
        return any(hmac.compare_digest(found.encode(), one.encode()) for one in made)

    def reverse_path(self, day: date, ref: str) -> str:
        """The MAIL FROM of a subscriber's copy (VERP). The address of a bounce then identifies the copy."""
        raw = day.toordinal().to_bytes(_DAY_BYTES) + bytes.fromhex(ref)
        token = base64.b32encode(raw + self._mac("bounce", raw)[:_SHORT_MAC_BYTES]).decode().rstrip("=").lower()
        local, _, domain = self._publication.bounce_address.rpartition("@")
        return f"{local}+{token}@{domain}"

    def returned(self, address: str) -> tuple[date, str] | None:
        """Day and ref of the copy that had the reverse path `address`, or None. Compared in constant time."""
        token = address.rpartition("@")[0].rpartition("+")[2].upper()
        try:
            raw = base64.b32decode(token + "=" * (-len(token) % 8))
        except (binascii.Error, ValueError):
            return None
        if base64.b32encode(raw).decode().rstrip("=") != token:
            return None  # not the canonical form: the last character has two unused bits
        signed, mac = raw[: _DAY_BYTES + _REF_BYTES], raw[_DAY_BYTES + _REF_BYTES :]
        made = [self._mac("bounce", signed, secret)[:_SHORT_MAC_BYTES] for secret in self._secrets]
        if not any(hmac.compare_digest(mac, one) for one in made):
            return None
        return date.fromordinal(int.from_bytes(signed[:_DAY_BYTES])), signed[_DAY_BYTES:].hex()

    def forgotten_hashes(self, identity: str) -> list[str]:
        """Keyed hashes of an address that is to be forgotten, one for each secret, the current one first.

        Nobody without the secret can tell whether a hash belongs to a given address.
        """
        signed = b"\0".join((b"forgotten", self._publication.list_id.encode(), identity.encode()))
        return [f"#{hmac.digest(secret, signed, hashlib.sha256).hex()}" for secret in self._secrets]

    def _mac(self, purpose: str, data: bytes, secret: bytes | None = None) -> bytes:
        key = (secret or self._secret, purpose)
        begun = self._begun.get(key)
        if begun is None:
            begun = self._begun[key] = hmac.new(key[0], b"%b\0%b\0" % (purpose.encode(), self._list_id), hashlib.sha256)
        mac = begun.copy()
        mac.update(data)
        return mac.digest()[:_MAC_BYTES]
