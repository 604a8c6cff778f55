"""From a feed to a mailbox through Postfix and Dovecot, read by IMAP."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from newsletter.mail.dkim import load
from tests import program
from tests.conftest import ROOT, SHARED
from tests.mailhost import MailHost

DAY = "2026-08-21"
AUDIT = SHARED / "tools" / "chaos" / "audit_eml.py"


@pytest.fixture(scope="module")
def sent(host: MailHost, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site whose issue of DAY was sent to every mailbox, and then once more by mistake."""
    folder = tmp_path_factory.mktemp("site")
    real = SHARED / "data" / "hf" / f"{DAY}.json"
    feed = real if real.exists() else ROOT / "newsletter" / "sample_day.json"
    (folder / "config.yaml").write_text(
        "title: Daily Papers\nsender: Daily Papers <digest@news.example.org>\n"
        "bounce_address: bounces@news.example.org\npostal_address: 1 Example Street, Example City\n"
        "base_url: https://news.example.org\nlist_id: daily-papers.news.example.org\n"
        f"feeds:\n  - url: {feed}\nsecret: a secret of this test\n"
        "dkim:\n  - selector: rsa\n    private_key_file: rsa.pem\n  - selector: ed\n    private_key_file: ed.pem\n"
        f"smtp:\n  - host: 127.0.0.1\n    port: {host.smtp_port}\n",
        "utf-8",
    )
    (folder / "config.yaml").chmod(0o600)
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "rsa.pem").write_bytes(rsa.generate_private_key(65537, 2048).private_bytes(*form))
    (folder / "ed.pem").write_bytes(ed25519.Ed25519PrivateKey.generate().private_bytes(*form))
    newsletter(folder, "subscribers", "add", *host.addresses)
    assert newsletter(folder, "run", "--date", DAY).splitlines()[-1] == "verdict: new-issue - 3 accepted"
    assert newsletter(folder, "run", "--date", DAY).splitlines()[-1] == "verdict: already-sent - 3 accepted"
    return folder


def newsletter(folder: Path, *words: str) -> str:
    done = program.run(
        [*program.COMMAND, "-c", str(folder / "config.yaml"), *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


def test_every_mailbox_holds_the_digest_once(host: MailHost, sent: Path) -> None:
    for address in host.addresses:
        (message,) = host.inbox(address, 1)
        assert message["To"] == address
        html, text = message.get_body(("html",)), message.get_body(("plain",))
        assert html is not None
        assert text is not None
        for part in (html.get_content(), text.get_content()):
            titles = re.findall(r"#1\b", part)
            assert titles
            assert "slot.invalid" not in part


def test_the_papers_arrive_in_the_order_of_their_upvotes(host: MailHost, sent: Path) -> None:
    feed = Path(re.findall(r"- url: (.+)", (sent / "config.yaml").read_text("utf-8"))[0])
    entries = sorted(json.loads(feed.read_text("utf-8")), key=lambda entry: -entry["paper"].get("upvotes", 0))
    ids = [entry["paper"]["id"] for entry in entries[:20]]
    (message,) = host.inbox(host.addresses[0], 1)
    body = message.get_body(("plain",))
    assert body is not None
    found = re.findall(r"^https://huggingface\.co/papers/(\d+\.\d+)\s*$", body.get_content(), re.MULTILINE)
    assert found == ids


def test_each_copy_has_an_identity_and_a_way_out_of_its_own(host: MailHost, sent: Path) -> None:
    messages = [host.inbox(address, 1)[0] for address in host.addresses]
    assert len({message["Message-ID"] for message in messages}) == 3
    links = [re.findall(r"<(https://[^>]+)>", message["List-Unsubscribe"])[0] for message in messages]
    assert len(set(links)) == 3
    for message, link in zip(messages, links, strict=True):
        for kind in ("html", "plain"):
            part = message.get_body((kind,))
            assert part is not None
            assert link in part.get_content()


def test_the_mail_keeps_every_rule_for_bulk_mail(host: MailHost, sent: Path, tmp_path: Path) -> None:
    if not AUDIT.exists():
        pytest.skip("no audit: ../shared/tools is not beside this checkout")
    for address in host.addresses:
        (raw,) = host.raw_inbox(address, 1)
        (tmp_path / f"{address}.eml").write_bytes(raw)
    (sent / "expected.txt").write_text("\n".join(host.addresses), "utf-8")
    words = ("--from-domain", "news.example.org", "--allow-header", "delivered-to", "--secret", "a secret of this test")
    published = [load(sent / f"{name}.pem", name, "news.example.org").record for name in ("rsa", "ed")]
    keys = [word for name, text in published for word in ("--dkim-key", f"{name}={text}")]
    done = subprocess.run(
        [sys.executable, AUDIT, tmp_path, *words, *keys, "--expected", sent / "expected.txt", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    failed = {rule: said["msg"] for rule, said in json.loads(done.stdout).items() if said.get("FAIL")}
    assert not failed
