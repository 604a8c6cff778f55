"""Debian's chromium, driven by selenium. One browser serves all tests of a process."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests import needs

if TYPE_CHECKING:
    from selenium import webdriver

PHONE = {"width": 320, "height": 800, "deviceScaleFactor": 1, "mobile": True}
DESKTOP = {"width": 1280, "height": 1000, "deviceScaleFactor": 1, "mobile": False}


def open_browser(profile: Path) -> webdriver.Chrome:
    """A browser that keeps its files in the folder `profile`."""
    from selenium import webdriver  # only a test in a browser waits for this import

    chromium = needs.program("chromium", "chromium")
    driver = needs.program("chromedriver", "chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = str(chromium)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (
        *("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"),
        *("disable-component-update", "disable-sync", f"user-data-dir={profile}", "window-size=1200,1200"),
        "host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # nothing that a page names elsewhere is waited for
    ):
        options.add_argument(f"--{flag}")
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(str(driver)))


@pytest.fixture(scope="session", params=["chromium"])
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """The browser of all tests of this process, running until the last one has ended."""
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


@contextmanager
def without_scripts(browser: webdriver.Chrome) -> Iterator[None]:
    """Have the browser run no script of a page during the block, as if its user had switched them off."""
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get("data:text/html,<title>off</title><script>document.title='on'</script>")
        assert browser.title == "off"
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


@cache
def axe() -> str:
    """The source of axe-core, from the package that brings it, whose own code drives another browser."""
    spec = importlib.util.find_spec("axe_playwright_python")
    if spec is None or spec.origin is None:
        needs.unmet("axe-playwright-python is not installed")
    return (Path(spec.origin).parent / "axe.min.js").read_text("utf-8")


# Rules of style, such as landmarks, are for pages: a mail is shown inside somebody's page.
RULES: dict[bool, dict[str, Any]] = {
    False: {},
    True: {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]},
}

# Axe tells where each element is that keeps a rule unless it is told not to.
ONLY_FAULTS = {"resultTypes": ["violations"], "selectors": False}

RUN = """
const [options, done] = arguments;
axe.run(document, options).then((found) => done({
    passes: found.passes.length,
    violations: found.violations.map((rule) => [rule.id, rule.nodes.map((node) => node.html)]),
}));
"""


def faults(browser: webdriver.Chrome, options: dict[str, Any], *, kept: int = 10) -> dict[str, list[str]]:
    """What axe finds on the page that is shown: by rule the HTML of elements. More than `kept` rules must be kept.

    The page gets axe unless it has it.
    """
    if not browser.execute_script("return 'axe' in window"):
        browser.execute_script(axe())
    result: dict[str, Any] = browser.execute_async_script(RUN, options | ONLY_FAULTS)
    assert result["passes"] > kept
    return dict(result["violations"])


def write(browser: webdriver.Chrome, html: str) -> None:
    """Show a document in place of the one that is shown, as if it was read from a file, in a tenth of the time.

    Axe stays in the page, and what the browser has compiled of it. The page must not be one that a server sent.
    """
    if not browser.current_url.startswith("data:"):
        browser.get("data:text/html,")
    browser.execute_script("document.open(); document.write(arguments[0]); document.close()", html)


def judged(browser: webdriver.Chrome, scheme: str, *, mail: bool) -> list[str]:
    """What axe finds on the page that is shown, in this colour scheme, and whether it is too wide for a small phone.

    Afterwards the page is shown on the phone. A long list of suggestions is cut: no screen shows its items, and axe
    takes twice as long with 500 time zones.
    """
    prefer(browser, scheme)
    browser.execute_script(
        "document.querySelectorAll('datalist option:nth-child(n+9)').forEach((each) => each.remove())"
    )
    found: list[str] = []
    for screen in (DESKTOP, PHONE):
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        found += [f"{rule}: {json.dumps(elements)}" for rule, elements in faults(browser, RULES[mail]).items()]
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    return [*found, *([f"{wide} px wide"] if wide > PHONE["width"] else [])]


def prefer(browser: webdriver.Chrome, scheme: str) -> None:
    """Have the browser prefer the colour scheme `light` or `dark`."""
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
