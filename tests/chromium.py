"""Debian's chromium, driven by selenium. Use it with ``pytest_plugins = ["tests.chromium"]``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium import webdriver

from tests import needs


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    chromium = needs.program("chromium", "chromium")
    driver = needs.program("chromedriver", "chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = str(chromium)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    profile = tmp_path_factory.mktemp("profile")
    for flag in (
        *("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"),
        *("disable-component-update", "disable-sync", f"user-data-dir={profile}", "window-size=1200,1200"),
    ):
        options.add_argument(f"--{flag}")
    running = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(driver)))
    yield running
    running.quit()
