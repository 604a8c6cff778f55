"""The list as CSV: every good row is taken, every bad one named with its line, and what is exported can be imported."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest

from newsletter import roster
from newsletter.errors import AddressError
from newsletter.model import Subscriber, SubscriberStatus


def read(text: str) -> list[tuple[int, str | None]]:
    return [(row.line, row.address) for row in roster.read(io.StringIO(text, newline=""))]


def test_a_plain_list_of_addresses_is_taken() -> None:
    assert read("a@example.org\n\n b@example.org \n") == [(1, "a@example.org"), (3, "b@example.org")]


@pytest.mark.parametrize("heading", ["email", "Email Address", "E-Mail", "\ufeffemail"])
def test_the_address_column_is_found_by_its_heading(heading: str) -> None:
    assert read(f"First Name,{heading},Tags\nAda,a@example.org,x\n") == [(2, "a@example.org")]


def test_a_bad_row_is_named_with_its_line_and_the_others_are_taken() -> None:
    rows = list(
        roster.read(io.StringIO('email,note\na@example.org,"two\nlines"\nb@@example.org,\n,x\nc@example.org\n'))
    )
    assert [(row.line, row.address) for row in rows] == [
        (3, "a@example.org"),
        (4, None),
        (5, None),
        (6, "c@example.org"),
    ]
    assert "b@@example.org" in rows[1].problem


def test_a_header_without_an_address_column_is_refused() -> None:
    with pytest.raises(AddressError, match=r"line 1: no column is named email \(found: name, phone\)"):
        read("name,phone\nAda,1\n")


def subscriber(address: str) -> Subscriber:
    when = datetime(2026, 11, 24, 7, 0, tzinfo=UTC)
    return Subscriber(1, "0" * 16, address, SubscriberStatus.ACTIVE, when, when)


def test_an_export_can_be_imported_again() -> None:
    addresses = ["a@example.org", "用户@example.org", "=cmd|calc!a1@example.org", "+x@example.org"]
    out = io.StringIO()
    assert roster.write(out, [subscriber(address) for address in addresses]) == 4
    out.seek(0)
    assert [row.address for row in roster.read(out)] == addresses


def test_no_cell_of_an_export_is_a_formula() -> None:
    out = io.StringIO()
    roster.write(out, [subscriber("=cmd|calc!a1@example.org")])
    assert out.getvalue().splitlines() == [
        "email,status,created_at,status_at",
        "'=cmd|calc!a1@example.org,active,2026-11-24T07:00:00+00:00,2026-11-24T07:00:00+00:00",
    ]
