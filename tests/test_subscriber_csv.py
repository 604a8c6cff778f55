"""The list as CSV: every good row is taken, every bad one named with its line, and what is exported can be imported."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from newsletter import subscriber_csv
from newsletter.errors import AddressError
from newsletter.model import NewSubscriber, Subscriber, SubscriberStatus
from newsletter.subscriber_csv import Explained, Listing, Role

ACTIVE, UNSUBSCRIBED = SubscriberStatus.ACTIVE, SubscriberStatus.UNSUBSCRIBED
SUPPRESSED, PENDING = SubscriberStatus.SUPPRESSED, SubscriberStatus.PENDING


def listing(text: str, consent: str = "", explained: Explained | None = None) -> Listing:
    return subscriber_csv.read(text.encode(), consent, explained=explained)


def read(text: str) -> list[tuple[int, str | None]]:
    return [(row.line, row.address) for row in listing(text)]


def states(text: str | bytes, explained: Explained | None = None) -> dict[str, SubscriberStatus]:
    """Addresses without their domain."""
    content = text.encode() if isinstance(text, str) else text
    readers = [row.reader for row in subscriber_csv.read(content, explained=explained) if row.reader]
    return {reader.address.partition("@")[0]: reader.status for reader in readers}


def only_column(**columns: str) -> Explained:
    return Explained([(Role(role), heading) for role, heading in columns.items()])


# --- rows ------------------------------------------------------------------------------------------------------------


def test_a_plain_list_of_addresses_is_taken() -> None:
    assert read("a@example.org\n\n b@example.org \n") == [(1, "a@example.org"), (3, "b@example.org")]


def test_a_list_of_mailboxes_is_taken() -> None:
    text = 'Ann Example <a@example.org>\n"Doe, Bob" <b@example.org>\nDoe, Cy <mailto:c@example.org>\nd@example.org\nx\n'
    rows = list(listing(text))
    assert [row.address for row in rows] == [*(f"{letter}@example.org" for letter in "abcd"), None]
    assert rows[4].line == 5
    assert "'x' is not an address" in rows[4].problem


def test_a_mailbox_in_a_cell_is_an_address() -> None:
    assert read('name,email\nA,Ann Example <a@example.org>\nB,"""Doe, Bob"" <b@example.org>"\n') == [
        (2, "a@example.org"),
        (3, "b@example.org"),
    ]


@pytest.mark.parametrize("heading", ["email", "Email Address", "E-Mail", "\ufeffemail", '"E-mail"', "EMAIL_ADDRESS"])
def test_the_address_column_is_found_by_its_heading(heading: str) -> None:
    assert read(f"First Name,{heading},Tags\nAda,a@example.org,x\n") == [(2, "a@example.org")]


@pytest.mark.parametrize(
    "heading",
    "E-Mail-Adresse,Courriel,Adresse électronique,Correo electrónico,Dirección de correo electrónico,Indirizzo e-mail,"
    "Endereço de e-mail,E-mailadres,E-post,Sähköposti,E-posta,"
    "Электронная почта,电子邮件,電子郵件,メールアドレス,이메일".split(","),
)
def test_headings_of_other_languages_are_read(heading: str) -> None:
    assert read(f"x,{heading}\nAda,a@example.org\n") == [(2, "a@example.org")]


def test_a_column_with_addresses_is_found_without_a_heading_that_says_so() -> None:
    assert read("name,where\nAda,a@example.org\nBob,b@example.org\n") == [(2, "a@example.org"), (3, "b@example.org")]
    assert read("Email,Address\na@example.org,1 Main Street\n") == [(2, "a@example.org")]


def test_of_two_columns_with_addresses_the_one_with_the_surer_heading_is_taken() -> None:
    assert read("Referrer email,Email\nr@example.org,a@example.org\n") == [(2, "a@example.org")]


@pytest.mark.parametrize(
    "text", ["Work email,Private email\na@example.org,b@example.org\n", "a@example.org; b@example.org; c@example.org\n"]
)
def test_two_columns_with_addresses_and_no_surer_one_stop_the_import(text: str) -> None:
    with pytest.raises(
        AddressError, match=r"^line 1: .* hold addresses; say which with --column email=HEADING \(or its number\)$"
    ):
        read(text)


def test_the_operator_says_which_column_holds_the_addresses() -> None:
    text = "Work email,Private email\na@example.org,b@example.org\n"
    (row,) = listing(text, explained=only_column(email="private EMAIL"))
    assert row.address == "b@example.org"
    (row,) = listing("a@example.org,b@example.org\n", explained=only_column(email="2"))
    assert row.address == "b@example.org"
    with pytest.raises(
        AddressError, match=r"--column email=Home: no such heading \(found: Work email, Private email\)"
    ):
        listing(text, explained=only_column(email="Home"))


def test_of_columns_with_one_heading_the_operator_names_the_number() -> None:
    text = "Email,Email\na@example.org,b@example.org\n"
    (row,) = listing(text, explained=only_column(email="2"))
    assert row.address == "b@example.org"
    with pytest.raises(AddressError, match=r"--column email names columns 1 and 2; name one"):
        listing(text, explained=only_column(email="Email"))


def test_a_word_that_may_be_a_heading_makes_no_header() -> None:
    assert states("a@example.org,subscriber\nb@example.org,member\n") == {"a": ACTIVE, "b": ACTIVE}
    assert read("where,role\na@example.org,subscriber\nb@example.org,user\n") == [
        (2, "a@example.org"),
        (3, "b@example.org"),
    ]


def test_a_bad_row_is_named_with_its_line_and_the_others_are_taken() -> None:
    rows = list(listing('email,note\na@example.org,"two\nlines"\nb@@example.org,\n,x\nc@example.org\n'))
    assert [(row.line, row.address) for row in rows] == [
        (3, "a@example.org"),
        (4, None),
        (5, None),
        (6, "c@example.org"),
    ]
    assert "b@@example.org" in rows[1].problem


def test_a_row_with_more_cells_than_headings_is_refused() -> None:
    """A name with a comma that is not quoted moves what comes after it under another heading."""
    rows = list(listing("email,first,last\na@example.org,Doe, Jane,x\nb@example.org,B,B,,\n"))
    assert [row.address for row in rows] == [None, "b@example.org"]
    assert rows[0].problem == "4 cells under 3 headings; a cell with a separator in it needs quotes"


def test_a_header_without_an_address_column_is_refused() -> None:
    with pytest.raises(AddressError, match=r"line 1: no column is named email \(found: name, phone\), and none holds"):
        read("name,phone\nAda,1\n")


def test_a_title_may_stand_above_the_header() -> None:
    assert read("Members of x\n\nname;E-Mail\nA;a@example.org\n") == [(4, "a@example.org")]


def test_files_that_were_joined_repeat_their_header() -> None:
    text = "email,status\na@example.org,active\n"
    assert states(text + text.replace("a@", "b@")) == {"a": ACTIVE, "b": ACTIVE}


def test_spellings_of_one_address_are_normalised() -> None:
    assert read("ada@B\u00dcCHER.example\nada@xn--bcher-kva.example\nrene\u0301@example.org\n") == [
        (1, "ada@xn--bcher-kva.example"),
        (2, "ada@xn--bcher-kva.example"),
        (3, "ren\u00e9@example.org"),
    ]


# --- the file --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("declared", [False, True])
def test_every_usual_separator_is_recognised(separator: str, declared: bool) -> None:
    text = f'Name{separator}"E-Mail"{separator}Note\n"Doe, A; B"{separator}a@example.org{separator}"x, y; z"\n'
    rows = read(f"sep={separator}\n{text}" if declared else text)
    assert rows == [(2 + declared, "a@example.org")]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1"]
)
def test_every_usual_encoding_is_recognised(encoding: str) -> None:
    text = "Vorname;E-Mail;Status\r\nJürgen;a@example.org;gelöscht\r\nZoë;b@bücher.example;bestätigt\r\n"
    assert states(text.encode(encoding)) == {"a": UNSUBSCRIBED, "b": ACTIVE}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "почта;статус\na@example.org;отписан\n".encode("cp1251"),
            "not UTF-8, UTF-16 or Windows-1252; save it as UTF-8",
        ),
        ("邮箱,状态\na@example.org,已退订\n".encode("gb18030"), "not UTF-8, UTF-16 or Windows-1252; save it as UTF-8"),
        (b"PK\x03\x04\x14\x00", "a spreadsheet or a zip archive; save or unpack it as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "an Excel file; save it as CSV"),
        (b"\x1f\x8b\x08\x00", "compressed"),
    ],
)
def test_what_cannot_be_read_as_text_is_refused(content: bytes, said: str) -> None:
    """In a wrong encoding the words for those who left would not be understood either."""
    with pytest.raises(AddressError, match=said):
        subscriber_csv.read(content)


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


@pytest.mark.parametrize("text", ["", "\n \n", "email\n", "email,status,created_at\n"])
def test_an_empty_list_is_no_mistake(text: str) -> None:
    assert list(listing(text)) == []


# --- an export comes back --------------------------------------------------------------------------------------------


def subscriber(address: str) -> Subscriber:
    when = datetime(2026, 11, 24, 7, 0, tzinfo=UTC)
    return Subscriber(1, "0" * 16, address, ACTIVE, when, when)


def test_an_export_can_be_imported_again() -> None:
    addresses = ["a@example.org", "用户@example.org", "=cmd|calc!a1@example.org", "+x@example.org", "'=y@example.org"]
    out = io.StringIO()
    assert subscriber_csv.write(out, [subscriber(address) for address in addresses]) == 5
    assert [row.address for row in listing(out.getvalue())] == addresses


def test_no_cell_of_an_export_is_a_formula() -> None:
    out = io.StringIO()
    subscriber_csv.write(out, [replace(subscriber("=cmd|calc!a1@example.org"), reason="-bad", consent="@once")])
    assert out.getvalue().splitlines() == [
        "email,status,reason,consent,days,paused_until,created_at,status_at,choice",
        "'=cmd|calc!a1@example.org,active,'-bad,'@once,,,2026-11-24T07:00:00+00:00,2026-11-24T07:00:00+00:00,",
    ]


def test_an_export_brings_back_everything_but_the_links() -> None:
    when = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
    readers = [
        NewSubscriber("a@example.org", ACTIVE, 'web form, "double" opt-in', "", 0b0010101, None, when, when),
        NewSubscriber("b@example.org", SUPPRESSED, "", "550 =?utf-8?q?no?= such user", 0, None, when, when),
        NewSubscriber("c@example.org", UNSUBSCRIBED, "-", "@", 127, date(2027, 1, 1), when, when),
        NewSubscriber("d@example.org", ACTIVE, "yes", "", 127, None, when, when),
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
    assert [row.reader for row in listing(out.getvalue(), "a note of this import")] == [
        readers[0],
        replace(readers[1], consent="a note of this import"),
        *readers[2:],
    ]


# --- the cells beside the address ------------------------------------------------------------------------------------


def test_consent_is_noted_of_every_reader_whose_row_says_nothing_of_it() -> None:
    text = "email,Consent\na@example.org,paper form\nb@example.org,\n"
    assert [row.reader and row.reader.consent for row in listing(text, "asked at the conference")] == [
        "paper form",
        "asked at the conference",
    ]


@pytest.mark.parametrize(
    "heading",
    "OPTIN_TIME,CONFIRM_TIME,Subscription date,Subscribed at,Date added,Opt-in date,creation_date,Sign up date,Joined,"
    "Anmeldedatum,Eingetragen am,Date d'inscription,Fecha de alta,Data di iscrizione,Optin IP,Signup source".split(","),
)
def test_how_and_when_a_reader_agreed_elsewhere_becomes_the_note(heading: str) -> None:
    (row,) = listing(f"email,{heading}\na@example.org,2023-01-02 03:04:05\n", "imported from x.csv")
    assert row.reader == NewSubscriber("a@example.org", consent=f"{heading} 2023-01-02 03:04:05; imported from x.csv")


def test_a_column_of_yes_and_no_says_whether_somebody_agreed_not_how() -> None:
    assert states("email,consent\na@example.org,yes\nb@example.org,no\n") == {"a": ACTIVE, "b": UNSUBSCRIBED}


@pytest.mark.parametrize(
    ("column", "cell", "said"),
    [
        ("days", "Mon Someday", "someday is no weekday; expected some of Mon Tue Wed Thu Fri Sat Sun"),
        ("created_at", "01/02/2024", "'01/02/2024' is no time; expected one such as 2026-11-24T07:00:00"),
        ("paused_until", "soon", "'soon' is no date; expected one such as 2026-11-24"),
        ("status_at", "yesterday", "'yesterday' is no time"),
    ],
)
def test_a_cell_that_cannot_be_read_costs_the_cell_and_not_the_reader(column: str, cell: str, said: str) -> None:
    rows = list(listing(f"email,consent,{column}\na@example.org,a form,{cell}\nb@example.org,a form,\n"))
    assert [row.reader for row in rows] == [NewSubscriber(f"{each}@example.org", consent="a form") for each in "ab"]
    ((heading, problem),) = rows[0].unread
    assert heading == column
    assert said in problem
    assert rows[1].unread == ()


@pytest.mark.parametrize(
    ("cell", "hours"),
    [
        ("2026-01-01T00:30:00+02:00", 2),
        ("2026-01-01 00:30:00", 0),
        ("2026-01-01T00:30:00Z", 0),
        ("2026-01-01 00:30:00 UTC", 0),
        ("2026-01-01 00:30:00.000 +0000 UTC", 0),
        ("2026-01-01 00:30:00 +0200 CEST", 2),
    ],
)
def test_times_are_kept_in_utc(cell: str, hours: int) -> None:
    (row,) = listing(f"email,created_at\na@example.org,{cell}\n")
    assert row.reader
    assert row.reader.created_at == datetime(2026, 1, 1, 0, 30, tzinfo=UTC) - timedelta(hours=hours)


def test_hostile_cells_do_no_harm() -> None:
    text = (
        "email,name,consent\n"
        "=?utf-8?q?a=0D=0ABcc:_x=40y?=@example.org,x,x\n"
        'b@example.org,"=?utf-8?q?=0D=0ABcc:_x@example.com?=","one\r\ntwo\x1b[31m =?utf-8?q?=0D=0A?=\0"\n'
        f"c@example.org,x,{'y' * 2000}\n"
    )
    rows = list(listing(text))
    assert rows[0].reader is None
    assert rows[1].reader == NewSubscriber("b@example.org", consent="one two[31m =?utf-8?q?=0D=0A?=")
    assert rows[2].reader == NewSubscriber("c@example.org", consent="y" * 500)


# --- what is not understood ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heading", "cells"),
    [
        ("status", "active,zombie"),
        ("status", "active,forgotten"),
        ("status", "not bounced,active"),
        ("Subscription state", "A,B"),
        ("Type", "1,2"),
        ("Zustand", "aktiv,weiß nicht"),
        ("subscribed", "perhaps,yes"),
        ("Unsubscribed", "no,perhaps"),
        ("vip", "yes,no"),
        ("flag", "0,1"),
        ("x", "true,false"),
        ("Liste", "unsubscribed,weekly"),
        ("DOUBLE_OPT-IN", "1,2"),
        ("reason", "550 unknown,"),
        ("OptOut", "F,U"),
        ("Delivery", "No email,Digest"),
    ],
)
def test_a_column_that_looks_like_a_state_and_is_not_understood_stops_the_import(heading: str, cells: str) -> None:
    first, second = cells.split(",")
    with pytest.raises(AddressError) as raised:
        listing(f"email,{heading}\na@example.org,{first}\nb@example.org,{second}\n")
    said = str(raised.value)
    assert said.startswith(f"column {heading!r} looks like a state, and these words of it are not understood: ")
    assert "--status-of WORD=STATUS" in said
    assert f"--column 'ignore={heading}'" in said
    assert "\n" not in said


def test_a_column_without_a_heading_is_looked_at_more_closely() -> None:
    """A list of the shape address, time, state, in which nobody is active any more."""
    with pytest.raises(AddressError, match="column 'column 3' looks like a state"):
        listing("a@example.org\t2024-01-02\t0\nb@example.org\t2024-01-02\t0\n")
    assert states("a@example.org\t2024-01-02\t1\nb@example.org\t2024-01-02\t1\n") == {"a": ACTIVE, "b": ACTIVE}


def test_only_a_few_of_many_words_are_shown() -> None:
    text = "email,status\n" + "".join(f"a{n}@example.org,word{n}\n" for n in range(9))
    with pytest.raises(AddressError, match=r": 'word0', 'word1', 'word2', 'word3' \.\.\.; say"):
        listing(text)


@pytest.mark.parametrize(
    ("heading", "cells"),
    [
        ("First Name", "Active,Bounce"),
        ("Tags", "unsubscribed,vip"),
        ("Notes", "cancelled,"),
        ("Company", "Blocked Ltd,Yes"),
        ("MEMBER_RATING", "0,1"),
        ("complimentary_plan", "true,false"),
        ("unsubscribe_url", "https://example.org/u,https://example.org/v"),
        ("Unsubscribe link", "https://example.org/u,"),
        ("SMS opt out", "yes,no"),
        ("Last active", "2024-01-01,2023-01-01"),
        ("Number of bounces", "0,1"),
        ("E-mail 1 - Type", "* Home,Work"),
        ("opens", "3,4"),
        ("tier", "gold,silver"),
        ("Data", "{},{}"),
        ("flag", "1,1"),
    ],
)
def test_an_ordinary_column_is_ignored(heading: str, cells: str) -> None:
    first, second = cells.split(",")
    found = listing(f"email,{heading}\na@example.org,{first}\nb@example.org,{second}\n")
    assert [column.role for column in found.columns] == [Role.EMAIL, Role.IGNORE]
    assert [row.reader for row in found] == [NewSubscriber("a@example.org"), NewSubscriber("b@example.org")]


def test_a_state_may_be_a_part_of_a_country() -> None:
    text = "email,city,state\na@example.org,Reno,{}\nb@example.org,Boston,MA\n"
    assert states(text.format("NV")) == {"a": ACTIVE, "b": ACTIVE}
    with pytest.raises(AddressError, match="column 'state' looks like a state"):
        states(text.format("bounced"))


def test_the_operator_says_what_a_word_means() -> None:
    text = "email,status\na@example.org,Gold\nb@example.org,zombie\nc@example.org,inactive\nd@example.org,\n"
    said = {"gold": ACTIVE, "zombie": SUPPRESSED, "inactive": ACTIVE, "": UNSUBSCRIBED}
    assert states(text, explained=Explained(statuses=said)) == {
        "a": ACTIVE,
        "b": SUPPRESSED,
        "c": ACTIVE,
        "d": UNSUBSCRIBED,
    }
    with pytest.raises(AddressError, match="--status-of typo: no column of states has this word"):
        states(text, explained=Explained(statuses=said | {"typo": ACTIVE}))


def test_what_the_operator_says_of_yes_does_not_turn_another_column_round() -> None:
    text = "email,vip,unsubscribed\na@example.org,yes,yes\nb@example.org,yes,no\n"
    assert states(text, explained=Explained(statuses={"yes": ACTIVE})) == {"a": UNSUBSCRIBED, "b": ACTIVE}


def test_the_operator_says_what_a_column_is() -> None:
    text = "email,vip,since,mood\na@example.org,yes,2024-01-01,happy\nb@example.org,no,2024-01-02,bounced\n"
    explained = only_column(ignore="vip", consent="since", reason="mood")
    assert [row.reader for row in listing(text, explained=explained)] == [
        NewSubscriber("a@example.org", consent="since 2024-01-01", reason="happy"),
        NewSubscriber("b@example.org", consent="since 2024-01-02", reason="bounced"),
    ]
    explained = replace(only_column(status="vip", ignore="mood"), statuses={"yes": ACTIVE, "no": UNSUBSCRIBED})
    assert states(text, explained=explained) == {"a": ACTIVE, "b": UNSUBSCRIBED}


def test_words_of_rows_that_are_refused_stop_nothing() -> None:
    assert states("email,status\na@example.org,active\nTotal:,1 reader\n") == {"a": ACTIVE}


# --- several states of one reader ------------------------------------------------------------------------------------


def test_who_is_off_in_any_column_is_not_active() -> None:
    text = (
        "email,status,confirmed,bounced,unsubscribed_at\n"
        "a@example.org,active,1,0,\n"
        "b@example.org,active,0,0,\n"
        "c@example.org,active,1,1,\n"
        "d@example.org,active,1,0,2024-05-06 07:08:09\n"
        "e@example.org,unsubscribed,0,1,\n"
    )
    assert states(text) == {"a": ACTIVE, "b": PENDING, "c": SUPPRESSED, "d": UNSUBSCRIBED, "e": SUPPRESSED}
    left = next(row.reader for row in listing(text) if row.address == "d@example.org")
    assert left
    assert (left.status_at, left.reason) == (
        datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC),
        "unsubscribed_at 2024-05-06 07:08:09",
    )


def test_who_is_off_in_any_row_is_not_active() -> None:
    text = (
        "email,status\na@example.org,active\nA@example.org,unsubscribed\nb@example.org,bounced\nb@example.org,active\n"
    )
    assert [row.reader and row.reader.status for row in listing(text)] == [*[UNSUBSCRIBED] * 2, *[SUPPRESSED] * 2]


def test_a_column_that_only_marks_readers_who_left_says_nothing_of_the_others() -> None:
    text = "email,status,stop status\na@example.org,active,\nb@example.org,active,unsubscribed by subscriber\n"
    assert states(text) == {"a": ACTIVE, "b": UNSUBSCRIBED}
    assert states("email,status\na@example.org,\nb@example.org,bounced\n") == {"a": ACTIVE, "b": SUPPRESSED}
    assert states("email,status\na@example.org,\nb@example.org,pending\n") == {"a": PENDING, "b": PENDING}


def test_an_empty_cell_is_no_agreement_where_others_have_one() -> None:
    assert states("email,status\na@example.org,active\nb@example.org,\n") == {"a": ACTIVE, "b": PENDING}
    assert states("email,confirmed_at\na@example.org,2024-01-01\nb@example.org,\n") == {"a": ACTIVE, "b": PENDING}
    assert states("email,confirmed_at\na@example.org,\nb@example.org,\n") == {"a": ACTIVE, "b": ACTIVE}
    assert states("email,bounced\na@example.org,yes\nb@example.org,\n") == {"a": SUPPRESSED, "b": ACTIVE}


@pytest.mark.parametrize("never", ["", "0", "no", "false", "NULL", "-", "N/A", "0000-00-00 00:00:00", "\\N"])
def test_a_time_that_is_none_takes_nobody_off(never: str) -> None:
    text = f"email,unsubscribed_at\na@example.org,{never}\nb@example.org,1700000000\n"
    assert states(text) == {"a": ACTIVE, "b": UNSUBSCRIBED}


# --- the file's name -------------------------------------------------------------------------------------------------


def of_file(name: str, *said: tuple[str, SubscriberStatus]) -> SubscriberStatus:
    content = b"Email Address,First Name\na@example.org,Ada\n"
    (row,) = subscriber_csv.read(content, source=f"/home/op/{name}", explained=Explained(statuses=dict(said)))
    assert row.reader
    return row.reader.status


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("subscribed_members_export_1a2b.csv", ACTIVE),
        ("unsubscribed_members_export_1a2b.csv", UNSUBSCRIBED),
        ("cleaned_members_export_1a2b.csv", SUPPRESSED),
        ("nonsubscribed_email_audience_export_1a2b.csv", PENDING),
        ("newsletter.csv", ACTIVE),
    ],
)
def test_the_name_of_a_mailchimp_export_is_its_state(name: str, status: SubscriberStatus) -> None:
    assert of_file(name) is status


@pytest.mark.parametrize("name", ["bounces.csv", "newsletter_cleaned.csv", "abgemeldet-2024.csv", "optouts.txt"])
def test_another_name_that_tells_of_readers_who_left_must_be_explained(name: str) -> None:
    with pytest.raises(AddressError, match=r"the file's name says '(\w+)', .* with --status-of \1=STATUS"):
        of_file(name)


def test_the_operator_says_what_the_name_means() -> None:
    assert of_file("newsletter_cleaned.csv", ("cleaned", ACTIVE)) is ACTIVE
    assert of_file("bounces.csv", ("bounces", SUPPRESSED)) is SUPPRESSED


def test_a_column_goes_before_the_name() -> None:
    content = b"email,status\na@example.org,active\n"
    (row,) = subscriber_csv.read(content, source="unsubscribed.csv")
    assert row.reader == NewSubscriber("a@example.org")


def test_a_file_with_thousands_of_columns_is_no_list() -> None:
    with pytest.raises(AddressError, match=r"^line 1: 1001 columns, and a list has at most 1000$"):
        subscriber_csv.read(b"email" + b",name" * 1_000 + b"\nada@reader.example\n")
    assert len(subscriber_csv.read(b"email" + b",name" * 999 + b"\nada@reader.example\n").rows) == 1
