"""What a command has loaded is looked at by Python's garbage collector neither while it loads nor later."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest

from newsletter import garbage


@pytest.fixture
def collector() -> Iterator[None]:
    """Python's collector, which has just looked, as it has when a command begins; afterwards as it was before."""
    thresholds, callbacks = gc.get_threshold(), list(gc.callbacks)
    gc.callbacks.clear()
    gc.collect()
    yield
    gc.freeze()  # with the tests themselves, which tests/kinds.py has left out: to look at all of them takes 0.4 s
    gc.callbacks[:] = callbacks
    gc.set_threshold(*thresholds)


@pytest.mark.usefixtures("collector")
def test_nothing_is_collected_while_a_command_is_loaded() -> None:
    garbage.put_off()
    before = [each["collections"] for each in gc.get_stats()]
    kept = [[number] for number in range(100_000)]
    assert [each["collections"] for each in gc.get_stats()] == before
    del kept


@pytest.mark.usefixtures("collector")
def test_a_command_that_loads_no_end_is_collected_all_the_same() -> None:
    garbage.put_off()
    before = gc.get_stats()[0]["collections"]
    kept = [[number] for number in range(300_000)]
    assert gc.get_stats()[0]["collections"] > before
    assert gc.get_threshold()[0] < 10_000
    assert gc.get_freeze_count() > len(kept) // 2


@pytest.mark.usefixtures("collector")
def test_what_is_loaded_is_left_out_and_the_rest_collected() -> None:
    garbage.put_off()
    garbage.loaded()
    frozen = gc.get_freeze_count()
    assert gc.get_threshold()[0] < 10_000
    gc.collect()
    assert gc.get_freeze_count() <= frozen  # what nobody needs any longer goes without being looked for
    assert not gc.callbacks


def test_nothing_is_collected_while_the_program_is_loaded() -> None:
    code = """
import gc, runpy, sys

def collections():
    return [each["collections"] for each in gc.get_stats()]

class Watch:
    def find_spec(self, name, path, target=None):
        if name == "newsletter.cli":
            self.before = collections()

watch = Watch()
sys.meta_path.insert(0, watch)
sys.argv = ["newsletter", "--help"]
try:
    runpy.run_module("newsletter", run_name="__main__")
finally:
    print(collections() == watch.before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "True"


def test_at_its_end_a_process_does_not_look_at_what_it_has_loaded() -> None:
    code = """
import gc, os
from newsletter import garbage

def look(phase, info):
    if phase == "start":
        os.write(1, b"%d\\n" % len(gc.get_objects()))

garbage.put_off()
gc.callbacks[:] = [look]
"""
    command = [sys.executable, "-c", code]
    looks = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert looks
    assert all(int(objects) < 1000 for objects in looks), looks
