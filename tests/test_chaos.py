"""The installed command against a server that misbehaves: no recipient lost, no avoidable duplicates.

A part of `make chaos`, which runs every fault on longer lists.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests import chaos, needs, program

RECIPIENTS = 200
KILLS = 10  # at most, of those by which a fault ends the program at random times
NAMES = (
    "drop-before-250:p=0.02,keep=1",
    "rst-mid-data:p=0.03",
    "reply:stage=dot,code=452,p=0.1,times=1",
    "reply:stage=rcpt,code=550,match=r1[0-9]@",
    "421:stage=dot,p=0.02",
    "sigkill-after-250:every=60 --allow-kill newsletter",
    "greylist",
    "closes after 10, silently",
    "delay:stage=dot,secs=0.05",
)


def fewer(fault: chaos.Fault) -> chaos.Fault:
    """The fault with fewer kills than in `make chaos`."""
    return replace(fault, kills=min(fault.kills, KILLS))


FAULTS = [fewer(fault) for fault in chaos.FAULTS if fault.name in NAMES]


@pytest.fixture(autouse=True)
def instruments() -> None:
    """The tools are not part of this repository."""
    if not chaos.TOOLS.is_dir():
        pytest.skip(f"no fault server at {chaos.TOOLS}")
    if program.FAKETIME is None or sys.platform != "linux":
        needs.unmet("faketime is not installed (Debian's faketime)")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_nobody_is_lost_and_nobody_gets_a_second_copy_that_could_be_known(fault: chaos.Fault, tmp_path: Path) -> None:
    found = chaos.provoke(fault, tmp_path, "sqlite:///newsletter.db", RECIPIENTS, seed=7)
    assert not fault.broken(found), found
    assert found["exit"] == 0


@pytest.mark.parametrize("name", ["sigkill-after-250:every=60 --allow-kill newsletter", "delay:stage=dot,secs=0.05"])
def test_the_same_on_postgresql(name: str, tmp_path: Path, postgres_url: str) -> None:
    (fault,) = (fault for fault in FAULTS if fault.name == name)
    found = chaos.provoke(fault, tmp_path, postgres_url, RECIPIENTS, seed=7)
    assert not fault.broken(found), found


@pytest.mark.parametrize("fault", [fewer(fault) for fault in chaos.FAULTS if fault.hold], ids=lambda fault: fault.name)
def test_held_copies_are_never_doubled(fault: chaos.Fault, tmp_path: Path) -> None:
    found = chaos.provoke(fault, tmp_path, "sqlite:///newsletter.db", RECIPIENTS, seed=7)
    assert not fault.broken(found), found
