"""Addresses: which are accepted and in which form, and the reason for refusing the others."""

from __future__ import annotations

import subprocess
import sys
from itertools import product

import pytest
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

from newsletter.addresses import identity, normalise, split_name
from newsletter.errors import AddressError


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("ada@example.org", "ada@example.org"),
        (" Ada.Lovelace@EXAMPLE.org ", "Ada.Lovelace@example.org"),
        ("a+papers@sub.example.co.uk", "a+papers@sub.example.co.uk"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("用户@example.org", "用户@example.org"),
        ("reader@dest.test", "reader@dest.test"),
    ],
)
def test_an_address_is_taken_in_the_form_of_the_envelope(written: str, normal: str) -> None:
    assert normalise(written) == normal


@pytest.mark.parametrize(
    "written",
    [
        "",
        "ada",
        "a@@b.org",
        "@example.org",
        "ada@",
        "ada@example",
        "a b@example.org",
        "ada@example..org",
        "ada@-x.org",
        "x" * 65 + "@example.org",
        "a@b.org\r\nBcc: x@example.com",
        "a@b.org, c@d.org",
        "<a@b.org>",
    ],
)
def test_what_is_no_address_is_refused_in_one_line(written: str) -> None:
    with pytest.raises(AddressError) as caught:
        normalise(written)
    assert "is not an address" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


PARTS = (
    "a",
    "ada",
    "9",
    "a.b",
    "a+b",
    "a_b-c",
    "a..b",
    ".a",
    "a.",
    "a--b",
    "-a",
    "A",
    "POSTMASTER",
    "x" * 64,
    "x" * 65,
    "",
)
LABELS = ("org", "co", "x1", "1", "x", "EXAMPLE", "a-b", "a--b", "ab--c", "xn--bcher-kva", "-a", "a-", "a_b", "ü", "")
LAST = ("org", "COM", "x", "7", "t1", "test", "xn--p1ai", "y" * 63, "y" * 64, "org.", *SPECIAL_USE_DOMAIN_NAMES)


@pytest.mark.parametrize("last", LAST)
def test_what_is_taken_at_a_glance_is_what_email_validator_would_take(last: str) -> None:
    """Its next version may refuse more, or write something else: then this test fails."""
    for local, label, more in product(PARTS, (*LABELS, "z" * 63, "z" * 64, ".".join(["w" * 60] * 4)), ("", "sub.")):
        address = f"{local}@{more}{label}.{last}"
        try:
            found = validate_email(
                address, check_deliverability=False, globally_deliverable=False, test_environment=True, strict=True
            )
        except EmailNotValidError:
            with pytest.raises(AddressError):
                normalise(address)
        else:
            assert normalise(address) == f"{found.local_part}@{found.ascii_domain.lower()}"


def test_a_plain_address_needs_no_email_validator() -> None:
    code = "import sys; from newsletter.addresses import normalise; normalise('a.b@X.example.org'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "newsletter.addresses" in done.stdout.split()
    assert "email_validator" not in done.stdout.split()


def test_two_spellings_of_one_mailbox_are_one_reader() -> None:
    assert identity(normalise("Ada@Example.org")) == identity(normalise("ada@example.ORG"))
    assert identity(normalise("ada@bücher.example")) == identity(normalise("ada@xn--bcher-kva.example"))
    assert identity(normalise("ada@example.org")) != identity(normalise("ada@example.net"))


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("digest@example.org", ""),
        ("<digest@example.org>", ""),
        ("Daily Papers <digest@example.org>", "Daily Papers"),
        ("Smith, Jane; and others <digest@example.org>", "Smith, Jane; and others"),
        ("Papers: the best <digest@example.org>", "Papers: the best"),
        ("jane@home.example <digest@example.org>", "jane@home.example"),
        ("[AI] Papers (daily) <digest@example.org>", "[AI] Papers (daily)"),
        ("a < b <digest@example.org>", "a < b"),
        ('"Papers, daily" <digest@example.org>', "Papers, daily"),
        (r'"The \"Papers\"" <digest@example.org>', 'The "Papers"'),
        ("日刊論文 <digest@example.org>", "日刊論文"),
    ],
)
def test_a_name_may_hold_any_character_and_never_becomes_the_address(written: str, name: str) -> None:
    assert split_name(written) == (name, "digest@example.org")
