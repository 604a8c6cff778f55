"""Debian's chromium, driven by selenium. One browser serves all tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import needs

if TYPE_CHECKING:
    from selenium import webdriver


def open_browser(profile: Path, *, scripts: bool = True) -> webdriver.Chrome:
    """A browser that keeps its files in the folder `profile`; with `scripts` it runs those of pages."""
    from selenium import webdriver  # only a test in a browser waits for this import

    chromium = needs.program("chromium", "chromium")
    driver = needs.program("chromedriver", "chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = str(chromium)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (
        *("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"),
        *("disable-component-update", "disable-sync", f"user-data-dir={profile}", "window-size=1200,1200"),
    ):
        options.add_argument(f"--{flag}")
    if not scripts:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(str(driver)))


@pytest.fixture(scope="session", params=["chromium"])
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """The browser of all tests, running until the last one has ended."""
    opened = open_browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.quit()


@pytest.fixture(scope="module")
def browser(chromium: webdriver.Chrome) -> webdriver.Chrome:
    """The browser as it was at its start: without cookies, and with its own screen and colours."""
    chromium.get("about:blank")
    for command, values in (
        ("Network.clearBrowserCookies", {}),
        ("Emulation.clearDeviceMetricsOverride", {}),
        ("Emulation.setEmulatedMedia", {"features": list[object]()}),
    ):
        chromium.execute_cdp_cmd(command, values)
    return chromium
