"""DKIM signatures (RFC 6376) of headers and body, with RSA (RFC 8301) or Ed25519 (RFC 8463).

The caller computes the hash of the body, because it knows which parts all copies share and hashes them once. Both
algorithms are deterministic and the time is that of the issue, so a copy that is sent again has the same signature.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from newsletter.errors import ConfigError

# RFC 8058 section 4 requires the two List-Unsubscribe fields; RFC 6376 section 5.4.1 recommends the others.
_SIGNED: Final = (
    "from", "reply-to", "sender", "to", "cc", "subject", "date", "message-id", "in-reply-to", "references",
    "mime-version", "content-type", "content-transfer-encoding", "list-id", "list-unsubscribe",
    "list-unsubscribe-post", "feedback-id",
)  # fmt: skip

_NAMES_A_LINE: Final = 4  # names of the h= tag on a line, so that no line has more than 78 characters

_PADDING: Final = padding.PKCS1v15()
_SHA256: Final = hashes.SHA256()

_SMALLEST_RSA: Final = 1024  # bits (RFC 8301 section 3.2)


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key. Its public key is published in the TXT record of ``<selector>._domainkey.<domain>``."""

    domain: str
    selector: str
    key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

    @property
    def algorithm(self) -> str:
        """The algorithm's name in DKIM (tag ``a=``)."""
        return "rsa-sha256" if isinstance(self.key, rsa.RSAPrivateKey) else "ed25519-sha256"

    def seal(self, shared: Sequence[bytes], at: datetime) -> Seal:
        """A seal for copies that share the header fields `shared`, signed at the time `at` (aware; tag ``t=``)."""
        return Seal(self, dict(map(_relaxed, shared)), int(at.timestamp()))

    def signature(self, data: bytes) -> bytes:
        """The raw signature of `data`."""
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(data, _PADDING, _SHA256)
        return self.key.sign(hashlib.sha256(data).digest())

    @property
    def record(self) -> tuple[str, str]:
        """Name and text of the DNS TXT record to publish (RFC 6376 section 3.6.1)."""
        public = self.key.public_key()
        if isinstance(public, rsa.RSAPublicKey):
            kind, form = "rsa", serialization.PublicFormat.SubjectPublicKeyInfo
            raw = public.public_bytes(serialization.Encoding.DER, form)
        else:
            kind = "ed25519"
            raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return (
            f"{self.selector}._domainkey.{self.domain}",
            f"v=DKIM1; k={kind}; p={base64.b64encode(raw).decode()}",
        )


class Seal:
    """A signer for the copies of one issue, which share the header fields `shared`; `time` is Unix time in seconds.

    What the copies have alike is canonicalised once, and is kept as a text with gaps for each set of names that their
    own header fields have: an issue has one or two.
    """

    def __init__(self, signer: Signer, shared: Mapping[str, bytes], time: int) -> None:
        self._signer, self._shared, self._time = signer, shared, time
        self._forms: dict[tuple[str, ...], _Form] = {}

    def sign(self, own: Sequence[bytes], body_hash: bytes) -> bytes:
        """The folded DKIM-Signature header of a copy.

        `own` are the copy's header fields besides the shared ones, each as ``Name: value``. `body_hash` is the SHA-256
        of the body in relaxed canonicalisation (RFC 6376 section 3.4.4).
        """
        fields = dict(map(_relaxed, own))
        names = tuple(fields)
        form = self._forms.get(names) or self._form(names)
        hashed = binascii.b2a_base64(body_hash, newline=False)
        signed = form.signed % (*[fields[name] for name in form.own], hashed)
        signature = binascii.b2a_base64(self._signer.signature(signed), newline=False)
        return form.head % (hashed, _folded(signature))

    def _form(self, own: tuple[str, ...]) -> _Form:
        """What all copies have alike whose own fields have these names."""
        names = tuple(name for name in _SIGNED if name in own or name in self._shared)
        signer = self._signer
        head = (
            f"DKIM-Signature: v=1; a={signer.algorithm}; c=relaxed/relaxed; d={signer.domain};\r\n"
            f" s={signer.selector}; t={self._time}; h={_listed(names)};"
        ).encode()
        parts = [b"%b" if name in own else self._shared[name].replace(b"%", b"%%") for name in names]
        signed = b"\r\n".join([*parts, _relaxed(head)[1].replace(b"%", b"%%") + b" bh=%b; b="])
        form = _Form(
            tuple(name for name in names if name in own),
            signed,
            head.replace(b"%", b"%%") + b"\r\n bh=%b;\r\n b=%b",
        )
        self._forms[own] = form
        return form


@dataclass(frozen=True, slots=True)
class _Form:
    """What is signed, and the header of the signature, with gaps: for the fields `own`, body hash and signature."""

    own: tuple[str, ...]
    signed: bytes
    head: bytes


def _listed(present: tuple[str, ...]) -> str:
    """The folded value of the ``h=`` tag for a copy with the fields `present`.

    Each name is listed once more than its field occurs, so absent fields are listed once. The signature then breaks if
    somebody adds a field, such as a second Subject or a Reply-To (RFC 6376 sections 5.4.2 and 8.15).
    """
    names = [*present, *_SIGNED]
    lines = [":".join(names[start : start + _NAMES_A_LINE]) for start in range(0, len(names), _NAMES_A_LINE)]
    return ":\r\n  ".join(lines)


def load(path: Path, selector: str, domain: str) -> Signer:
    """A signer with the unencrypted private key in the PEM file `path`. Raises ConfigError if it is not usable."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise ConfigError(f"dkim.private_key_file {path}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise ConfigError(f"dkim.private_key_file {path}: not an unencrypted private key in PEM form") from error
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < _SMALLEST_RSA:
            raise ConfigError(f"dkim.private_key_file {path}: {key.key_size} bits are too few; make a key of 2048 bits")
        return Signer(domain, selector, key)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return Signer(domain, selector, key)
    raise ConfigError(f"dkim.private_key_file {path}: neither an RSA nor an Ed25519 key")


def _relaxed(header: bytes) -> tuple[str, bytes]:
    """A header field's name in lower case, and its relaxed form without CRLF (RFC 6376 section 3.4.2)."""
    name, _, value = header.partition(b":")
    lower = name.strip().lower()
    return lower.decode(), lower + b":" + b" ".join(value.split())  # a header has no control characters but CRLF


def _folded(signature: bytes) -> bytes:
    """Base64 folded into lines of 72 characters; verifiers ignore white space in ``b=`` (RFC 6376 section 3.5)."""
    return b"\r\n  ".join(signature[start : start + 72] for start in range(0, len(signature), 72))
