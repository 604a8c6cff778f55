"""Public reports that once removed the wrong reader, tied to copies of ours: what each counts as, in the store too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from newsletter.bounces import parse, weigh
from newsletter.model import ReportKind, Weight
from newsletter.store import Store
from tests.bouncing import ACTIVE, SUPPRESSED, Scene, configured, headers_of_copy
from tests.fakes import FakeClock
from tests.migrated import store_file

HARD, SOFT, NONE = Weight.HARD, Weight.SOFT, Weight.NONE
PERMANENT, TEMPORARY = ReportKind.PERMANENT, ReportKind.TEMPORARY

# What each file of ../shared/data/cases/bounces is, whom it names, and what it counts as.
CASES = {
    "control-userunknown": (PERMANENT, "r0@far0.example.net", HARD),
    "control-delay": (TEMPORARY, "r1@far1.example.net", NONE),
    "control-policy": (PERMANENT, "r2@far2.example.net", NONE),
    "cox-5.1.0-sender-rejected": (PERMANENT, "r5@far5.example.net", NONE),
    "exim-no-ptr": (PERMANENT, "r8@far8.example.net", NONE),
    "ses-sandbox": (PERMANENT, "r14@far14.example.net", NONE),
    "gmail-rate-5.2.1": (PERMANENT, "r4@far4.example.net", SOFT),
    "mailfoundry-overquota-5.1.1": (PERMANENT, "r19@far19.example.net", SOFT),
    "opensmtpd-envelope-expired": (PERMANENT, "r16@far16.example.net", SOFT),
    "icloud-mailbox-of-operator-delay": (TEMPORARY, "r20@far20.example.net", NONE),
    "missed-dragonfly": (PERMANENT, "filtered@libsisimai.net", HARD),
}


def case(shared_data: Path, name: str) -> str:
    return (shared_data / "cases" / "bounces" / f"{name}.eml").read_text("utf-8")


def test_every_case_has_its_row(shared_data: Path) -> None:
    assert {path.stem for path in (shared_data / "cases" / "bounces").glob("*.eml")} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_what_a_case_is_whom_it_names_and_what_it_counts_as(shared_data: Path, name: str) -> None:
    kind, address, weight = CASES[name]
    returned = parse(case(shared_data, name).encode())
    assert (returned.kind, [found.address for found in returned.failures]) == (kind, [address])
    assert [weigh(returned.kind, found).weight for found in returned.failures] == [weight]


@pytest.mark.parametrize("name", CASES)
def test_a_case_about_a_copy_of_ours_suppresses_only_whose_address_is_gone(
    shared_data: Path, tmp_path: Path, name: str
) -> None:
    """The report is tied to a copy by what it returns, and comes once for each of three issues."""
    address, weight = CASES[name][1:]
    clock = FakeClock()
    for part in ("new", "cur", "tmp"):
        (tmp_path / "Maildir" / part).mkdir(parents=True)
    with Store.open(store_file(tmp_path / "store.db"), now=clock.now) as store:
        store.add_all([address, "bystander@example.net"], revive=False)
        scene = Scene(tmp_path, store, clock, configured(tmp_path))
        for day in range(3):
            text = case(shared_data, name)
            returned = headers_of_copy(scene.copy(scene.issue(), address)[1])
            scene.arrives(re.sub(r"(?im)^message-id: <(?:2026|66).*$", f"Message-ID: {returned['Message-ID']}", text))
            assert scene.collect().unverified == 0
            gone = weight is HARD or (weight is SOFT and day == 2)
            assert scene.status(address) is (SUPPRESSED if gone else ACTIVE)
            if gone:
                break
            clock.move(days=1)
        assert scene.status("bystander@example.net") is ACTIVE
