"""How documents are judged in a browser: what is wrong on one screen, or in one colour scheme, is found."""

from __future__ import annotations

import pytest
from selenium import webdriver

from tests.chromium import COLOURS, DESKTOP, asked, judged, prefer, show_on

PHONE_ONLY = "(max-width: 400px)"
DESKTOP_ONLY = "(min-width: 401px)"
LIGHT_ONLY = "(prefers-color-scheme: light)"
DARK_ONLY = "(prefers-color-scheme: dark)"


def document(body: str, style: str = "", *, direction: str = "ltr") -> str:
    """A document that is in order, except for what is given."""
    return (
        f'<!DOCTYPE html><html lang="en" dir="{direction}"><head><meta charset="utf-8"><title>Owls</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>body {{ color: #222; background: #fff }} .hidden {{ display: none }} {style}</style></head>"
        f'<body><main><h1>Owls</h1><p><a href="https://x.example/">All owls</a></p>{body}</main></body></html>'
    )


TEXT = "<p class='text'>Owls read at night.</p>"
UNREADABLE = ".text { color: #eee; background: #fff }"

# A document with one fault, and what is said of it, view by view.
FAULTS: dict[str, tuple[str, list[str]]] = {
    "nothing": (document(TEXT), []),
    "text everywhere": (
        document(TEXT, UNREADABLE),
        [f"{where}: color-contrast" for where in ("1280 px, light", "1280 px, dark", "320 px, dark", "320 px, light")],
    ),
    "text on a phone in the dark": (
        document(TEXT, f"@media {PHONE_ONLY} and {DARK_ONLY} {{ {UNREADABLE} }}"),
        ["320 px, dark: color-contrast"],
    ),
    "text on a phone in light": (
        document(TEXT, f"@media {PHONE_ONLY} and {LIGHT_ONLY} {{ {UNREADABLE} }}"),
        ["320 px, light: color-contrast"],
    ),
    "text on a desktop in the dark": (
        document(TEXT, f"@media {DESKTOP_ONLY} and {DARK_ONLY} {{ {UNREADABLE} }}"),
        ["1280 px, dark: color-contrast"],
    ),
    "small text on a phone": (
        document(
            TEXT, f".text {{ color: #888; font-size: 30px }} @media {PHONE_ONLY} {{ .text {{ font-size: 16px }} }}"
        ),
        ["320 px, dark: color-contrast", "320 px, light: color-contrast"],
    ),
    "a button on a phone": (
        document("<button class='hidden'></button>", f"@media {PHONE_ONLY} {{ .hidden {{ display: block }} }}"),
        ["320 px, dark: button-name"],
    ),
    "a button in the dark": (
        document("<button class='hidden'></button>", f"@media {DARK_ONLY} {{ .hidden {{ display: block }} }}"),
        ["320 px, dark: button-name"],
    ),
    "a button on a desktop": (
        document("<button class='hidden'></button>", f"@media {DESKTOP_ONLY} {{ .hidden {{ display: block }} }}"),
        ["1280 px, light: button-name"],
    ),
    "too wide for a phone": (
        document("<p style='width: 500px'>Owls</p>"),
        ["320 px, dark: 508 px wide", "320 px, light: 508 px wide"],
    ),
    "too wide to the left": (
        document("<p style='width: 500px'>Owls</p>", direction="rtl"),
        ["320 px, dark: 508 px wide, scrolls by [-188", "320 px, light: 508 px wide, scrolls by [-188"],
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_wrong_in_one_view_is_found(browser: webdriver.Chrome, name: str) -> None:
    html, faults = FAULTS[name]
    found = judged(browser, html, mail=False)
    assert len(found) == len(faults)
    assert all(each.startswith(fault) for each, fault in zip(found, faults, strict=True)), found


def test_nothing_of_a_document_stays_for_the_next(browser: webdriver.Chrome) -> None:
    html = document(TEXT)
    assert judged(
        browser, html.replace("<title>", '<meta name="color-scheme" content="light dark"><title>'), mail=False
    )
    assert judged(browser, html, mail=False) == []  # the link has the colour of links in light
    found = judged(browser, html.replace("width=device-width, initial-scale=1", ""), mail=False)
    assert [each.partition(",")[0] for each in found] == ["320 px", "320 px"]
    assert all("980 px wide" in each for each in found)


GREY = "<p style='color: #767676'>Owls</p>"  # 4.54 : 1 on white, and too little on anything darker

# The same text where it cannot be read.
DARKER = (
    f"<div style='background: #ddd'>{GREY}</div>",
    f"<div style='background: #ddd'><div>{GREY}</div></div>",
    f"<div style='opacity: 0.9'>{GREY}</div>",
    f"<div style='height: 90px; background: #ddd'></div><div style='position: relative; top: -60px'>{GREY}</div>",
    f"<div style='height: 90px; background: #ddd'></div><div style='margin-top: -60px; height: 1px'>{GREY}</div>",
)


def test_a_text_of_known_colour_is_judged_again_on_other_boxes(browser: webdriver.Chrome) -> None:
    views = ((DESKTOP, ("light",)),)
    assert judged(browser, document(GREY), views, mail=False) == []
    for _ in range(2):  # what is wrong is found again
        (found,) = judged(browser, document(GREY + "".join(DARKER)), views, mail=False)
        assert found.startswith("1280 px, light: color-contrast")
        assert found.count("Owls</p>") == len(DARKER)


def test_a_text_is_judged_once_for_each_of_its_looks(browser: webdriver.Chrome) -> None:
    show_on(browser, DESKTOP)
    prefer(browser, "light")
    purple, more = "<p style='color: #639'>Owls</p>", "<p style='color: #936'>Owls</p>"
    assert asked(browser, document(purple), COLOURS, kept=0)["kept"] == 1
    assert asked(browser, document(purple), COLOURS, kept=0)["kept"] == 0
    assert asked(browser, document(purple + more), COLOURS, kept=0)["kept"] == 1
