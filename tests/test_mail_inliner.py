"""premailer is loaded without what it would need for style sheets from the network."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from newsletter.mail import inliner
from newsletter.mail.inliner import inline, premailer
from newsletter.mail.render import Renderer
from tests.conftest import PUBLICATION, issue, paper

PAGE = """<html><head><style>p { color: red }</style><link rel="stylesheet" href="http://a.invalid/x.css"></head>
<body><p>owls</p></body></html>"""


def printed(code: str) -> list[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_a_style_sheet_is_inlined_without_an_http_client_which_others_can_still_import() -> None:
    code = f"""
import sys
from newsletter.mail.inliner import inline
print(inline({PAGE!r}))
print("requests" in sys.modules)
import requests
print(requests.get.__name__)
"""
    *page, loaded, name = printed(code)
    assert '<p style="color:red">owls</p>' in "\n".join(page)
    assert (loaded, name) == ("False", "get")


def test_an_http_client_that_is_loaded_already_stays() -> None:
    code = "import requests, sys, newsletter.mail.inliner; print(sys.modules['requests'] is requests)"
    assert printed(code) == ["True"]


NESTED = """<html><head><style>
.a { color: red; margin: 1px } .b { color: blue } .none { color: green } p.a { padding: 2px } .a .b { top: 3px }
#one { left: 4px } .b:hover { color: grey } .a:first-child { right: 5px } .ä { bottom: 6px } .B { clear: both }
div > .b { clear: left } @media print { .a { color: black } }
</style></head><body class="a"><div class=" b\n a\tb "><p class="a" id="one">owls</p><!-- .a -->
<p class="bb a-b">and</p><p class="b" style="color: pink">larks</p>
<p class="">in</p><p class="\u00e4 B">trees</p></div></body></html>"""


@pytest.mark.parametrize("page", ["nested", "mail"])
def test_a_class_is_found_where_its_selector_finds_it(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pages: list[str] = [NESTED]
    if page == "mail":
        pages.clear()

        def seen(html: str) -> str:
            pages.append(html)
            return inline(html)

        monkeypatch.setattr(inliner, "inline", seen)
        Renderer(PUBLICATION).issue(issue(*[paper(number) for number in range(1, 9)]))
    (html,) = pages
    found = inline(html)
    asked: list[str] = []

    def plain(selector: str) -> Any:
        asked.append(selector)
        return premailer.CSSSelector(selector)

    monkeypatch.setattr(premailer, "_create_cssselector", plain)
    assert inline(html) == found
    assert sum(selector.startswith(".") for selector in asked) >= 5
    assert found.count("style=") >= 5


def test_nothing_of_a_page_stays_for_the_next() -> None:
    one, two = (f'<style>.a {{ top: 1px }}</style><p class="{name}">owls</p>' for name in ("a", "b"))
    assert ["style=" in inline(page) for page in (one, two, one, two)] == [True, False, True, False]
    assert inliner._PAGE.root is None
