"""Signed links: they reveal nothing, stay valid, and cannot be forged."""

from __future__ import annotations

import string
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from newsletter.links import Links, Purpose
from tests.conftest import PUBLICATION

REF = "0123456789abcdef"
LINKS = Links("secret", PUBLICATION)


def test_a_link_made_with_an_old_secret_still_works_and_with_no_other() -> None:
    links = Links("new", PUBLICATION, ["secret", "older"])
    token = LINKS.token(Purpose.UNSUBSCRIBE, REF)
    assert links.verify(Purpose.UNSUBSCRIBE, token) == REF
    assert links.verify(Purpose.CONFIRM, token) is None
    assert Links("new", PUBLICATION, ["older"]).verify(Purpose.UNSUBSCRIBE, token) is None
    assert links.token(Purpose.UNSUBSCRIBE, REF) == Links("new", PUBLICATION).token(Purpose.UNSUBSCRIBE, REF)


def test_a_token_gives_back_the_ref_it_was_made_for() -> None:
    assert LINKS.verify(Purpose.UNSUBSCRIBE, LINKS.token(Purpose.UNSUBSCRIBE, REF)) == REF


def test_every_changed_character_is_refused() -> None:
    token = LINKS.token(Purpose.UNSUBSCRIBE, REF)
    alphabet = string.ascii_letters + string.digits + "-_"
    for at in range(len(token)):
        for char in alphabet:
            if char != token[at]:
                assert LINKS.verify(Purpose.UNSUBSCRIBE, token[:at] + char + token[at + 1 :]) is None


@pytest.mark.parametrize("token", ["", "x", "a" * 32, "=" * 32, "ä" * 32, "a" * 10_000, "../../etc/passwd", "\0" * 32])
def test_what_is_no_token_is_refused(token: str) -> None:
    assert LINKS.verify(Purpose.UNSUBSCRIBE, token) is None


def test_a_token_is_good_for_one_secret_and_one_list() -> None:
    token = LINKS.token(Purpose.UNSUBSCRIBE, REF)
    assert Links("other", PUBLICATION).verify(Purpose.UNSUBSCRIBE, token) is None
    other = replace(PUBLICATION, list_id="other.news.example.org")
    assert Links("secret", other).verify(Purpose.UNSUBSCRIBE, token) is None


def test_a_token_is_opaque_short_and_fit_for_a_url() -> None:
    token = LINKS.token(Purpose.UNSUBSCRIBE, REF)
    assert len(token) == 32
    assert set(token) <= set(string.ascii_letters + string.digits + "-_")


def test_without_a_web_server_readers_leave_by_mail() -> None:
    links = Links("secret", replace(PUBLICATION, base_url=None))
    link, mailto = links.unsubscribe(REF)
    assert link == mailto
    assert mailto.startswith("mailto:bounces@news.example.org?subject=unsubscribe%20")


def test_a_message_id_is_a_function_of_issue_and_reader() -> None:
    day = date(2026, 11, 24)
    first = LINKS.message_id(day, REF)
    assert first == LINKS.message_id(day, REF)
    assert first.startswith("<20261124.")
    assert first.endswith("@news.example.org>")
    assert first != LINKS.message_id(date(2026, 11, 25), REF)
    assert first != LINKS.message_id(day, "f" * 16)


# --- the reverse path of each copy -----------------------------------------------------------------------------------

DAY = date(2026, 11, 24)


def test_a_reverse_path_tells_which_copy_came_back_whatever_case_a_server_gives_it() -> None:
    address = LINKS.reverse_path(DAY, REF)
    assert address.startswith("bounces+")
    assert address.endswith("@news.example.org")
    assert len(address.partition("@")[0]) <= 64
    assert LINKS.returned(address) == LINKS.returned(address.upper()) == (DAY, REF)
    assert Links("new", PUBLICATION, ["secret"]).returned(address) == (DAY, REF)


def test_every_changed_letter_of_a_reverse_path_is_refused() -> None:
    local, _, domain = LINKS.reverse_path(DAY, REF).partition("@")
    for at in range(len("bounces+"), len(local)):
        for letter in string.ascii_lowercase + "234567":
            if letter != local[at]:
                assert LINKS.returned(f"{local[:at]}{letter}{local[at + 1 :]}@{domain}") is None


@pytest.mark.parametrize("address", ["", "x", "bounces@news.example.org", "bounces+@x", "a+aaaa@x", "a+ä@x", "a+=@x"])
def test_what_is_no_reverse_path_of_ours_is_none(address: str) -> None:
    assert LINKS.returned(address) is None


def test_a_message_id_is_of_one_copy_only() -> None:
    found = LINKS.message_id(DAY, REF).strip("<>").partition("@")[0]
    assert LINKS.is_message_id(found, DAY, REF)
    assert Links("new", PUBLICATION, ["secret"]).is_message_id(found, DAY, REF)
    assert not LINKS.is_message_id(found, date(2026, 11, 25), REF)
    assert not LINKS.is_message_id(found, DAY, "f" * 16)
    assert not Links("new", PUBLICATION).is_message_id(found, DAY, REF)


def test_a_forgotten_address_is_kept_as_a_hash_that_only_the_secrets_can_make() -> None:
    links = Links("new", PUBLICATION, ["old"])
    hashes = links.forgotten_hashes("ada@example.org")
    assert hashes == [
        Links("new", PUBLICATION).forgotten_hashes("ada@example.org")[0],
        *Links("old", PUBLICATION).forgotten_hashes("ada@example.org"),
    ]
    assert [len(each) for each in hashes] == [65, 65]
    assert len({*hashes, *links.forgotten_hashes("emmy@example.org")}) == 4
    other = replace(PUBLICATION, list_id="other.example.org")
    assert Links("new", other).forgotten_hashes("ada@example.org")[0] not in hashes


ASKED = datetime(2026, 11, 24, 7, 0, 0, 123_000, tzinfo=UTC)


def test_a_link_to_confirm_carries_its_request_and_fits_no_other() -> None:
    token = LINKS.confirm(REF, ASKED).rpartition("/")[2]
    assert LINKS.verify_confirm(token) == (REF, ASKED)
    assert len(token) == 40
    assert set(token) <= set(string.ascii_letters + string.digits + "-_")
    assert token != LINKS.confirm(REF, ASKED + timedelta(milliseconds=1)).rpartition("/")[2]
    for purpose in Purpose:
        assert LINKS.verify(purpose, token) is None
        assert LINKS.verify_confirm(LINKS.token(purpose, REF)) is None
    assert Links("new", PUBLICATION, ["secret"]).verify_confirm(token) == (REF, ASKED)
    assert Links("other", PUBLICATION).verify_confirm(token) is None


def test_every_changed_character_of_a_link_to_confirm_is_refused() -> None:
    token = LINKS.confirm(REF, ASKED).rpartition("/")[2]
    for at in range(len(token)):
        for char in string.ascii_letters + string.digits + "-_":
            if char != token[at]:
                assert LINKS.verify_confirm(token[:at] + char + token[at + 1 :]) is None
