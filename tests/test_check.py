"""`newsletter check`: it tries what a run needs, reports what is wrong, and sends nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from newsletter.check import Finding, examine
from newsletter.cli import setup
from newsletter.config import Config, DkimConfig, SmtpConfig, load
from newsletter.mail import dkim
from tests.smtpd import Script, Smtpd, smtpd


def config(folder: Path, server: Smtpd) -> Config:
    (folder / "papers.json").write_text('[{"paper": {"id": "2611.00001", "title": "A paper", "upvotes": 3}}]', "utf-8")
    (folder / "config.yaml").write_text(
        "sender: digest@papers.example.net\npostal_address: 2 Some Street\nlist_id: papers.example.net\n"
        "base_url: https://papers.example.net\nsecret: a secret of this test\nfeeds:\n  - url: papers.json\n"
        f"smtp:\n  - {{host: 127.0.0.1, port: {server.port}}}\n",
        "utf-8",
    )
    (folder / "config.yaml").chmod(0o600)
    return load(folder / "config.yaml", {})


def found(config: Config) -> dict[str, Finding]:
    return {finding.what.split()[0]: finding for finding in examine(config)}


def test_all_is_well_and_nothing_was_sent(tmp_path: Path) -> None:
    with smtpd() as server:
        findings = found(config(tmp_path, server))
    assert {finding.exit_code for finding in findings.values()} == {0}, findings
    assert "1 papers" in findings["feeds"].words
    assert "offers 8BITMIME" in findings["smtp"].words
    assert not any(command.startswith("MAIL") for command in server.commands)


def test_what_still_stands_as_in_the_example_is_named(tmp_path: Path) -> None:
    init = list(setup.init(tmp_path / "new"))
    assert init
    path = tmp_path / "new" / "config.yaml"
    first = next(examine(load(path, {})))
    said = f"sender, postal_address, base_url, list_id are still the example's; edit {path}"
    assert first == Finding("config", said, 78)
    text = path.read_text("utf-8")
    path.write_text(text.replace("@news.example.org", "@a.example").replace("1 Example Street", "2 A Street"), "utf-8")
    assert next(examine(load(path, {}))).words.startswith("base_url, list_id are still the example's; ")


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        (Script(replies={"greeting": ["554 go away"]}), 75, "refused the session: 554 go away"),
        (Script(extensions=("AUTH PLAIN LOGIN",), replies={"AUTH": ["535 wrong password"] * 2}), 78, "the login of me"),
    ],
)
def test_a_server_that_cannot_be_used_is_named(tmp_path: Path, script: Script, code: int, words: str) -> None:
    with smtpd(script) as server:
        asked = config(tmp_path, server)
        login = SmtpConfig("127.0.0.1", server.port, username="me", password=asked.secret) if code == 78 else None
        finding = found(replace(asked, smtp=(login,)) if login else asked)["smtp"]
    assert (finding.exit_code, words in finding.words) == (code, True), finding


@pytest.mark.parametrize(
    ("votes", "code", "words"),
    [("paper.upvotes", 0, "1 papers"), ("foo:bar", 78, "feeds.votes: foo:bar is in none of 1 entry of ")],
)
def test_votes_that_are_nowhere_are_wrong(tmp_path: Path, votes: str, code: int, words: str) -> None:
    with smtpd() as server:
        asked = config(tmp_path, server)
        finding = found(replace(asked, feeds=(replace(asked.feeds[0], votes=votes),)))["feeds"]
    assert (finding.exit_code, words in finding.words) == (code, True), finding


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_the_dns_record_of_each_key_is_printed(tmp_path: Path, kind: str) -> None:
    key = ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else rsa.generate_private_key(65537, 2048)
    path = tmp_path / "key.pem"
    form, secrecy = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, secrecy))
    with smtpd() as server:
        words = found(replace(config(tmp_path, server), dkim=(DkimConfig("s2026", path),)))["dkim"].words
    record = dkim.load(path, "s2026", "papers.example.net").record[1]
    assert record.startswith(f"v=DKIM1; k={kind}; p=")
    name, strings = words.splitlines()[1].split(" IN TXT ")
    assert name.strip() == "s2026._domainkey.papers.example.net."
    assert "".join(strings.strip('"').split('" "')) == record
    assert max(map(len, strings.split('"'))) <= 255


def test_a_key_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with smtpd() as server:
        finding = found(replace(config(tmp_path, server), dkim=(DkimConfig("s", tmp_path / "none.pem"),)))["dkim"]
    assert (finding.exit_code, "none.pem" in finding.words) == (78, True)
