"""The list as CSV: every good row is taken, every bad one named with its line, and what is exported can be imported."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from newsletter import subscriber_csv
from newsletter.errors import AddressError
from newsletter.model import NewSubscriber, Subscriber, SubscriberStatus


def read(text: str) -> list[tuple[int, str | None]]:
    return [(row.line, row.address) for row in subscriber_csv.read(io.StringIO(text, newline=""))]


def test_a_plain_list_of_addresses_is_taken() -> None:
    assert read("a@example.org\n\n b@example.org \n") == [(1, "a@example.org"), (3, "b@example.org")]


@pytest.mark.parametrize("heading", ["email", "Email Address", "E-Mail", "\ufeffemail"])
def test_the_address_column_is_found_by_its_heading(heading: str) -> None:
    assert read(f"First Name,{heading},Tags\nAda,a@example.org,x\n") == [(2, "a@example.org")]


def test_a_bad_row_is_named_with_its_line_and_the_others_are_taken() -> None:
    rows = list(
        subscriber_csv.read(io.StringIO('email,note\na@example.org,"two\nlines"\nb@@example.org,\n,x\nc@example.org\n'))
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


@pytest.mark.parametrize("header", ["Email;Name", "Email\tName"])
def test_a_header_with_other_separators_than_commas_gets_a_hint(header: str) -> None:
    with pytest.raises(AddressError, match=r"^line 2: no column is named email .*; columns are separated by commas$"):
        read(f"\n{header}\nada@example.org;Ada\n")


def subscriber(address: str) -> Subscriber:
    when = datetime(2026, 11, 24, 7, 0, tzinfo=UTC)
    return Subscriber(1, "0" * 16, address, SubscriberStatus.ACTIVE, when, when)


def test_an_export_can_be_imported_again() -> None:
    addresses = ["a@example.org", "用户@example.org", "=cmd|calc!a1@example.org", "+x@example.org", "'=y@example.org"]
    out = io.StringIO()
    assert subscriber_csv.write(out, [subscriber(address) for address in addresses]) == 5
    out.seek(0)
    assert [row.address for row in subscriber_csv.read(out)] == addresses


def test_no_cell_of_an_export_is_a_formula() -> None:
    out = io.StringIO()
    subscriber_csv.write(out, [replace(subscriber("=cmd|calc!a1@example.org"), reason="-bad", consent="@once")])
    assert out.getvalue().splitlines() == [
        "email,status,reason,consent,days,paused_until,created_at,status_at",
        "'=cmd|calc!a1@example.org,active,'-bad,'@once,,,2026-11-24T07:00:00+00:00,2026-11-24T07:00:00+00:00",
    ]


# --- the other columns -----------------------------------------------------------------------------------------------


def test_an_export_brings_back_everything_but_the_links() -> None:
    when = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
    readers = [
        NewSubscriber(
            "a@example.org", SubscriberStatus.ACTIVE, 'web form, "double" opt-in', "", 0b0010101, None, when, when
        ),
        NewSubscriber(
            "b@example.org", SubscriberStatus.SUPPRESSED, "", "550 =?utf-8?q?no?= such user", 0, None, when, when
        ),
        NewSubscriber("c@example.org", SubscriberStatus.UNSUBSCRIBED, "-", "@", 127, date(2027, 1, 1), when, when),
    ]
    out = io.StringIO()
    subscriber_csv.write(
        out,
        [
            Subscriber(
                *(1, "0" * 16, each.address, each.status, when, when, each.days, each.paused_until),
                consent=each.consent,
                reason=each.reason,
            )
            for each in readers
        ],
    )
    out.seek(0)
    assert [row.reader for row in subscriber_csv.read(out, "a note of this import")] == [
        readers[0],
        replace(readers[1], consent="a note of this import"),
        readers[2],
    ]


def test_consent_is_noted_of_every_reader_whose_row_says_nothing_of_it() -> None:
    text = "email,Consent\na@example.org,paper form\nb@example.org,\n"
    rows = list(subscriber_csv.read(io.StringIO(text), "asked at the conference"))
    assert [row.reader and row.reader.consent for row in rows] == ["paper form", "asked at the conference"]


@pytest.mark.parametrize(
    ("column", "cell", "said"),
    [
        ("status", "subscribed", "status: 'subscribed' is none of pending, active, unsubscribed, suppressed"),
        ("status", "forgotten", "status: 'forgotten' is none of"),
        ("days", "Mon Someday", "days: someday is no weekday; expected some of Mon Tue Wed Thu Fri Sat Sun"),
        ("created_at", "01/02/2024", "created_at: '01/02/2024' is no time; expected one such as 2026-11-24T07:00:00"),
        ("paused_until", "soon", "paused_until: 'soon' is no date; expected one such as 2026-11-24"),
    ],
)
def test_a_cell_that_cannot_be_read_refuses_its_row_only(column: str, cell: str, said: str) -> None:
    rows = list(subscriber_csv.read(io.StringIO(f"email,{column}\na@example.org,{cell}\nb@example.org,\n")))
    assert rows[0].reader is None
    assert said in rows[0].problem
    assert rows[1].reader == NewSubscriber("b@example.org")


def test_times_are_kept_in_utc() -> None:
    text = "email,created_at\na@example.org,2026-01-01T00:30:00+02:00\nb@example.org,2026-01-01 00:30:00\n"
    moments = [row.reader.created_at for row in subscriber_csv.read(io.StringIO(text)) if row.reader]
    assert moments == [datetime(2025, 12, 31, 22, 30, tzinfo=UTC), datetime(2026, 1, 1, 0, 30, tzinfo=UTC)]


def test_hostile_cells_do_no_harm() -> None:
    text = (
        "email,name,consent\n"
        "=?utf-8?q?a=0D=0ABcc:_x=40y?=@example.org,x,x\n"
        'b@example.org,"=?utf-8?q?=0D=0ABcc:_x@example.com?=","one\r\ntwo\x1b[31m =?utf-8?q?=0D=0A?=\0"\n'
        f"c@example.org,x,{'y' * 2000}\n"
    )
    rows = list(subscriber_csv.read(io.StringIO(text, newline="")))
    assert rows[0].reader is None
    assert rows[1].reader == NewSubscriber("b@example.org", consent="one two[31m =?utf-8?q?=0D=0A?=")
    assert rows[2].reader == NewSubscriber("c@example.org", consent="y" * 500)


def test_what_is_no_csv_is_said_with_its_line() -> None:
    with pytest.raises(AddressError, match=r"line 2: not CSV: field larger than field limit"):
        read("email\n" + "x" * 200_000 + "\n")


@pytest.mark.parametrize(
    "rest",
    ["kurt@example.org,Kurt\nemmy@example.org,Emmy\n", 'kurt@example.org,"Kurt"\n'],
    ids=["to the end", "to the next quote"],
)
def test_a_quote_that_is_left_open_swallows_nobody(rest: str) -> None:
    with pytest.raises(AddressError, match=r'^line 3: not CSV: .*; look for a " that is not closed$'):
        read(f'email,name\na@example.org,A\nada@example.org,"Ada\n{rest}')


def test_spellings_of_one_address_are_normalised() -> None:
    assert read("ada@B\u00dcCHER.example\nada@xn--bcher-kva.example\nrene\u0301@example.org\n") == [
        (1, "ada@xn--bcher-kva.example"),
        (2, "ada@xn--bcher-kva.example"),
        (3, "ren\u00e9@example.org"),
    ]
