"""DKIM: verifiers accept the signature of any copy, with both kinds of key."""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dkim as dkimpy
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from newsletter.errors import ConfigError
from newsletter.links import Links
from newsletter.mail import dkim
from newsletter.mail.dkim import Signer
from newsletter.mail.message import compile_copies
from newsletter.model import Delivery, FrozenIssue, RenderedIssue, Slot
from tests import needs
from tests.conftest import PUBLICATION

RSA = Signer("news.example.org", "s2026", rsa.generate_private_key(public_exponent=65537, key_size=2048))
ED25519 = Signer("news.example.org", "e2026", ed25519.Ed25519PrivateKey.generate())


def message(
    *signers: Signer, text: str = "A  paper \n.with a dot\n\n   and blanks\n\n", subject: str = "Papers"
) -> bytes:
    text += f"{Slot.UNSUBSCRIBE}\n"
    html = f'<p>{text}</p><a href="{Slot.UNSUBSCRIBE}">leave</a> {Slot.ADDRESS}'
    rendered = RenderedIssue(day=date(2026, 11, 24), subject=subject, html=html, text=text)
    at = datetime(2026, 11, 24, 7, tzinfo=UTC)
    frozen = FrozenIssue(1, 1, rendered, PUBLICATION, at, at + timedelta(days=1))
    delivery = Delivery(1, 1, 1, "0123456789abcdef", "ada@example.org", 0)
    copy = compile_copies(frozen, Links("secret", PUBLICATION), signers).envelope(delivery)
    return copy.message.replace(b"\r\n..", b"\r\n.")  # what the receiver sees


def verified(raw: bytes, *signers: Signer) -> list[bool]:
    records = {f"{name}.".encode(): text.encode() for name, text in (signer.record for signer in signers)}
    verifier = dkimpy.DKIM(raw)
    return [verifier.verify(idx=n, dnsfunc=lambda name, timeout=5: records[name]) for n in range(len(signers))]


@pytest.mark.parametrize(
    "subject", ["Papers", "Résumé: 论文 of the day, which is longer than a line of a header may be, ok"]
)
@pytest.mark.parametrize(
    "text", ["A  paper \n.with a dot\n\n  blanks\n", "论文每天都有新的\n" * 50], ids=["latin", "chinese"]
)
def test_a_copy_verifies_with_both_keys(text: str, subject: str) -> None:
    raw = message(RSA, ED25519, text=text, subject=subject)
    assert verified(raw, RSA, ED25519) == [True, True]


@pytest.mark.parametrize(
    ("what", "instead"),
    [
        (b"List-Unsubscribe-Post: List-Unsubscribe=One-Click", b"List-Unsubscribe-Post: List-Unsubscribe=Two-Click"),
        (b"List-Id: ", b"List-Id: x"),
        (b"Subject: Papers", b"Subject: Pills"),
        (b"paper", b"piper"),
        (b"From: ", b"From: evil@example.com\r\nFrom: "),
        (b"Subject: ", b"Subject: Pills\r\nSubject: "),
        (b"Subject: ", b"Reply-To: evil@example.com\r\nSubject: "),
        (b"Subject: ", b"Sender: evil@example.com\r\nSubject: "),
        (b"Subject: ", b"Content-Transfer-Encoding: base64\r\nSubject: "),
        (b"List-Unsubscribe: ", b"List-Unsubscribe: <https://evil.example>\r\nList-Unsubscribe: "),
    ],
)
def test_what_is_changed_on_the_way_does_not_verify(what: bytes, instead: bytes) -> None:
    raw = message(RSA)
    assert what in raw
    assert not verified(raw.replace(what, instead, 1), RSA)[0]


@pytest.mark.parametrize(("added", "word"), [(b"", "succeeded"), (b"Reply-To: evil@example.com\r\n", "failed")])
def test_opendkim_judges_the_same(tmp_path: Path, added: bytes, word: str) -> None:
    opendkim = needs.program("opendkim", "opendkim")
    (tmp_path / "mail.eml").write_bytes(message(RSA).replace(b"Subject: ", added + b"Subject: ", 1))
    (tmp_path / "keys").write_text(" ".join(RSA.record) + "\n")
    (tmp_path / "conf").write_text(f"Mode v\nTestPublicKeys {tmp_path}/keys\nSocket local:{tmp_path}/socket\n")
    command = [str(opendkim), "-t", str(tmp_path / "mail.eml"), "-x", str(tmp_path / "conf"), "-v"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert re.search(rf"verification .*{word}", done.stdout)


def test_the_same_copy_has_the_same_signature() -> None:
    assert message(RSA, ED25519) == message(RSA, ED25519)


def test_no_line_of_the_signature_is_longer_than_a_header_s() -> None:
    signature = message(RSA).partition(b"\r\nTo: ")[0]
    assert max(map(len, signature.split(b"\r\n"))) <= 78


def _pem(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def test_a_key_is_read_from_its_file(tmp_path: Path) -> None:
    for signer in (RSA, ED25519):
        (tmp_path / "key.pem").write_bytes(_pem(signer.key))
        assert dkim.load(tmp_path / "key.pem", "s", "example.org").record[1] == signer.record[1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"nonsense", "not an unencrypted private key"),
        (_pem(ec.generate_private_key(ec.SECP256R1())), "neither an RSA nor an Ed25519 key"),
    ],
)
def test_a_key_that_is_none_is_named(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "key.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=words) as caught:
        dkim.load(path, "s", "example.org")
    assert "key.pem" in str(caught.value)
    assert caught.value.exit_code == 78
