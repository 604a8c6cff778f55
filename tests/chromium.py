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

PHONE: dict[str, Any] = {"width": 320, "height": 800, "deviceScaleFactor": 1, "mobile": True}
DESKTOP: dict[str, Any] = {"width": 1280, "height": 1000, "deviceScaleFactor": 1, "mobile": False}


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
        # Without history, and without bars and their pop-up pages around what is tested: that is a sixth of the time.
        *("incognito", "kiosk", "screen-info={1200x1200}", "disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup"),
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
    """The browser as it was at its start: without cookies, and with its own screen and colours.

    What `write` has shown stays, with what is in its window: it is a second's work to have axe there and compiled.
    """
    if not chromium.current_url.startswith("data:"):
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

# The rule that a colour scheme decides. What the others look at is the same in light and in dark.
COLOURS: dict[str, Any] = {"runOnly": ["color-contrast"]}

# How a document is judged. On each screen all rules are asked in the first scheme, and COLOURS in the second.
Views = tuple[tuple[dict[str, Any], tuple[str, ...]], ...]
VIEWS: Views = ((DESKTOP, ("light", "dark")), (PHONE, ("dark", "light")))
LIGHT: Views = ((DESKTOP, ("light",)), (PHONE, ("light",)))

# Has the browser draw one px of the page, which takes time and which nobody sees. The page does not notice.
UNDRAWN = {"viewport": {"x": 0, "y": 0, "width": 1, "height": 1, "scale": 1}}

# The document as it is shown now, with what scripts and the browser have made of it.
SHOWN = """
const type = document.doctype ? new XMLSerializer().serializeToString(document.doctype) : "";
return type + document.documentElement.outerHTML;
"""

# Shows the document `html`, unless the window shows the page of a server, whose rules would hold for it. What <meta>
# elements ask for stays in a window unless they are emptied and taken away one by one, and a policy stays anyhow. A
# long list of suggestions is cut: no screen shows its items, and axe takes twice as long with 500 time zones.
WRITE = """
const write = (html) => {
    if (location.protocol !== "data:") return false;
    for (const each of document.querySelectorAll("meta")) {
        each.content = "";
        each.remove();
    }
    document.open();
    document.write(html.replace(/<meta http-equiv="Content-Security-Policy"[^>]*>/g, ""));
    document.close();
    document.querySelectorAll("datalist option:nth-child(n+9)").forEach((each) => each.remove());
    return true;
};
"""

# Judges the document `html`, or else the one that is shown, if the window has tests/judge.js.
JUDGE = f"""
{WRITE}
const [options, html, done] = arguments;
if (!window.judge || html !== null && !write(html)) done(null);
else judge(options).then(done, (fault) => done(String(fault.stack)));
"""


def write(browser: webdriver.Chrome, html: str) -> None:
    """Show a document as if it was read from a file, in a tenth of the time.

    What scripts have put into the window stays there, and what the browser has compiled of it.
    """
    if not browser.execute_script(f"{WRITE} return write(arguments[0]);", html):
        browser.get("data:text/html,")
        write(browser, html)


def show_on(browser: webdriver.Chrome, screen: dict[str, Any]) -> None:
    """Have the browser show its document on this screen."""
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)


def prefer(browser: webdriver.Chrome, scheme: str) -> None:
    """Have the browser prefer the colour scheme `light` or `dark`."""
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)


def asked(browser: webdriver.Chrome, html: str | None, options: dict[str, Any], *, kept: int) -> dict[str, Any]:
    """What tests/judge.js finds in a document, or else in the one that is shown. At least `kept` rules must be kept.

    Axe tells where each element is that keeps a rule unless it is told not to.
    """
    options = {"selectors": False, "preload": False} | options
    found = browser.execute_async_script(JUDGE, options, html)
    if found is None:
        browser.get("data:text/html,")
        browser.execute_script(axe() + Path(__file__).with_name("judge.js").read_text("utf-8"))
        found = browser.execute_async_script(JUDGE, options, html)
    assert isinstance(found, dict), found
    assert found["kept"] >= kept
    return found


def faults(browser: webdriver.Chrome, html: str, scheme: str, options: dict[str, Any], *, kept: int) -> set[str]:
    """The rules of axe's that a document breaks on a desktop. At least `kept` must be kept."""
    show_on(browser, DESKTOP | UNDRAWN)
    prefer(browser, scheme)
    return {rule for rule, _ in asked(browser, html, options, kept=kept)["broken"]}


def judged(browser: webdriver.Chrome, html: str, views: Views = VIEWS, *, mail: bool) -> list[str]:
    """What is wrong with a document on a desktop and on a small phone, in light and in dark or as `views` has it.

    That is what axe finds, and what is too wide. The browser leaves the page that it shows, and gets axe unless it has
    it, which takes as long as all the rest: so show all pages first, and have their documents judged afterwards.
    """
    wrong: list[str] = []
    for screen, schemes in views:
        show_on(browser, screen | UNDRAWN)
        for scheme, rules in zip(schemes, (RULES[mail], COLOURS), strict=False):
            prefer(browser, scheme)
            is_first = (screen, scheme) == (DESKTOP, "light")
            found = asked(browser, html if is_first else None, rules, kept=0 if rules is COLOURS else 11)
            says = [f"{rule}: {json.dumps(elements)}" for rule, elements in found["broken"]]
            if found["width"] > screen["width"] or found["scrolled"] != [0, 0]:
                says.append(f"{found['width']} px wide, scrolls by {found['scrolled']}")
            wrong += [f"{screen['width']} px, {scheme}: {each}" for each in says]
    return wrong
