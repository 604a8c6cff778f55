"""The lint beside axe-core, which judges the mail in a browser: where axe finds a fault, the lint has found one too."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from selenium import webdriver

from newsletter.mail.lint import lint
from newsletter.mail.render import Renderer
from tests.chromium import faults
from tests.conftest import PUBLICATION, issue, paper

GOOD = Renderer(PUBLICATION).issue(
    issue(*(paper(n, summary=f"The lamp of number {n} is seen from thirty miles away.") for n in (1, 2)))
)
PICTURE = '<img src="https://x.example/a.png" width="40" height="40"'


@dataclass(frozen=True)
class Swap:
    """A change of the built-in mail: `old` is a pattern, replaced `count` times, or everywhere if that is 0."""

    old: str
    new: str
    count: int = 1

    def __call__(self) -> str:
        spoilt, number = re.subn(self.old, self.new, GOOD.html, count=self.count)
        assert number
        return spoilt


def after(text: str) -> Callable[[], str]:
    """The built-in mail with `text` at its end."""
    return Swap("</body>", text.replace("\\", r"\\") + "</body>")


FAULTS: dict[str, Callable[[], str]] = {
    "no lang": Swap(' lang="en"', "", 0),
    "no lang on html": Swap('<html lang="en"', "<html"),
    "unknown lang": Swap('<html lang="en"', '<html lang="xq"'),
    "unknown lang inside": Swap('<p class="kicker"', '<p lang="zzxx" class="kicker"'),
    "no title": Swap("<title>.*?</title>", ""),
    "empty title": Swap("<title>.*?</title>", "<title> </title>"),
    "h1 is a div": Swap("<h1(.*?)</h1>", r"<div\1</div>"),
    "h2 is h4": Swap("<h2(.*?)</h2>", r"<h4\1</h4>"),
    "deeper first": Swap("<h1(.*?)</h1>", r"<h3\1</h3>"),
    "empty heading": after("<h2></h2>"),
    "heading of an empty link": after('<h2><a href="https://x.example/"></a></h2>'),
    "no headings at all": Swap("<(/?)h[1-3]", r"<\1p", 0),
    "no alt": after(f"{PICTURE}>"),
    "alt of a space": after(f'{PICTURE} alt=" ">'),
    "alt repeats the words": after(f'<a href="https://x.example/">Owls {PICTURE} alt="Owls"></a>'),
    "a picture without a name": after('<div role="img" style="height:40px"></div>'),
    "a map without names": after(
        f'{PICTURE} alt="Map" usemap="#m"><map name="m"><area href="https://x.example/" coords="0,0,9,9"></map>'
    ),
    "an empty link": after('<a href="https://x.example/"></a>'),
    "a link of a nameless picture": after(f'<a href="https://x.example/">{PICTURE} alt=""></a>'),
    "low contrast": Swap("color:#57606a", "color:#9aa0a6", 0),
    "low contrast by name": Swap("color:#57606a", "color:silver", 0),
    "low contrast by numbers": Swap("color:#57606a", "color:rgb(170, 170, 170)", 0),
    "low contrast by opacity": Swap('<p class="kicker" style="', '<p class="kicker" style="opacity:0.5;', 0),
    "low contrast by bgcolor": after('<table role="presentation"><tr><td bgcolor="#666666">Owls</td></tr></table>'),
    "low contrast of a link": after('<p style="background-color:#3a3aff"><a href="https://x.example/">Owls</a></p>'),
    "low contrast by a kept rule": Swap(":root", ".abstract { color: #999 !important; } :root"),
    "low contrast in the dark": Swap(r"\.abstract, \.line(.*?)#d5dae0", r".abstract, .line\1#444444"),
    "no dark colour for a link": Swap(r"\.link \{ color: #8ab8ff", ".nothing { color: #8ab8ff"),
    "a role that is none": Swap('role="article"', 'role="articel"'),
    "an attribute that is none": Swap("aria-label=", "aria-lable="),
    "a level without a heading": after('<p aria-level="2">Owls</p>'),
    "hidden but reached": after('<p aria-hidden="true"><a href="https://x.example/">Owls</a></p>'),
    "all hidden": Swap("<body", '<body aria-hidden="true"'),
    "presentation with a name": Swap('role="presentation"', 'role="presentation" aria-label="x"'),
    "two mains": after('<div role="main">Owls</div><div role="main">Owls</div>'),
    "a banner within": after('<div role="main">Owls<div role="banner">Owls</div></div>'),
    "two nameless regions": after('<nav><a href="https://x.example/1">A lamp</a></nav><nav>Owls</nav>'),
    "an item without a list": after("<li>Owls</li>"),
    "a list with other things": after("<ul><p>Owls</p></ul>"),
    "a role of an item without a list": after('<div role="listitem">Owls</div>'),
    "a term without a list": after("<dt>Owls</dt>"),
    "no zoom": Swap("initial-scale=1", "initial-scale=1, user-scalable=no"),
    "little zoom": Swap("initial-scale=1", "initial-scale=1, maximum-scale=1.5"),
    "a refresh": Swap("<title>", '<meta http-equiv="refresh" content="30"><title>'),
    "a jump of the keys": Swap('class="titlelink"', 'tabindex="3" class="titlelink"'),
    "the same key twice": Swap('class="titlelink"', 'accesskey="o" class="titlelink"', 2),
    "a window that scrolls": after(f'<div style="height:20px;overflow:auto">{"<p>Owls</p>" * 9}</div>'),
    "targets below each other": after(
        "".join(
            f'<p style="margin:0;line-height:16px"><a href="https://x.example/{n}">Owl {n}</a></p>' for n in (1, 2, 3)
        )
    ),
    "a marquee": after("<marquee>Owls</marquee>"),
    "a blink": after("<blink>Owls</blink>"),
    "an input": after('<input type="text">'),
    "a button": after("<button></button>"),
    "a frame": after('<iframe src="https://x.example/"></iframe>'),
    "a picture of vectors": after('<svg role="img" width="20" height="20"></svg>'),
    "a table of data": after('<table><tr><th id="a"></th><td headers="b">Owls</td></tr></table>'),
}

IN_THE_DARK = ("low contrast in the dark", "no dark colour for a link")

# Axe does not see these in a mail, or leaves them to people, but mail clients and readers need them.
MORE: dict[str, tuple[Callable[[], str], str]] = {
    "two h1": (after("<h1>Once more</h1>"), "the mail has 2 <h1>"),
    "a server's map": (after(f'<a href="https://x.example/">{PICTURE} alt="Map" ismap></a>'), "only be used with"),
    "links without underline": (
        after(
            '<p style="color:#57606a">Owls read <a href="https://x.example/" style="text-decoration:none">'
            "at night</a>, and they read a lot of it in the dark.</p>"
        ),
        "the link 'at night' is told from the text around it by its colour alone",
    ),
    "links without underline by a kept rule": (
        Swap(":root", "a { text-decoration: none !important } :root"),
        "the link 'Read in the browser' is told from the text around it by its colour alone",
    ),
    "no role at tables": (Swap('<table role="presentation"', "<table", 0), "tables are without role"),
    "a role at the wrong place": (
        after('<table role="presentation"><tr><td role="main">Owls</td></tr></table>'),
        "put it on a <div>",
    ),
    "a name without a role": (after('<span aria-label="Owls">O</span>'), "<span aria-label> needs a role"),
    "small targets": (
        Swap(r'<p class="links" style="[^"]*"', '<p class="links" style="margin:0;line-height:13px"', 0),
        "is 13 px high and has others beside it",
    ),
    "fixed spacing": (after('<p style="line-height:1.5 !important">Owls</p>'), "which no reader can change"),
    "lang on html only": (Swap('(role="article".*?) lang="en"', r"\1"), "webmail drops that of <html>"),
    "dir on html only": (Swap('(role="article".*?) dir="ltr"', r"\1"), "has a dir attribute"),
    "no name of the whole": (Swap('role="article" ', ""), "the mail is not marked as one"),
    "a table for Outlook": (Swap('(mso.*?)role="presentation" ', r"\1"), "a table is without role"),
    "a vague link": (after('<a href="https://x.example/">Click here</a>'), "'Click here' does not say where it leads"),
    "links of one name": (
        after("".join(f'<p><a href="https://x.example/{n}">PDF</a></p>' for n in range(3))),
        "3 links to different places are called 'PDF'",
    ),
    "tiny text": (after('<p style="font-size:9px">Owls</p>'), "text of 9 px"),
    "tiny text in points": (after('<p style="font-size:8pt">Owls</p>'), "smaller than 12: 'Owls'"),
    "tiny text on phones": (Swap("@media .max", "@media (max-width: 9px) { .line { font-size: 10px; } } @media (max"),
                            ".line has text of 10px on some screens"),
    "much small text": (Swap("font-size:1[4-6]px", "font-size:13px", 0), "of the text is smaller than 14 px"),
    "tight lines": (after(f'<p style="line-height:1.1">{"owls " * 40}</p>'), "less than 1.3 times their size apart"),
    "much style": (Swap(":root", ".y { color: red; }" * 1000 + " :root"), "Gmail drops those beyond"),
    "style not closed": (Swap(r"(?s)(:root .*?\})", r"\1 .x {"), "the braces in <style> are not balanced"),
    "an @ rule within another": (
        Swap(":root", "@media screen { @media (max-width: 9px) { .x { color: red; } } } :root"),
        "makes Gmail drop the whole block",
    ),
    "a font from elsewhere": (Swap(":root", "@import url(https://x.example/a.css); :root"), "@import in <style>"),
    "no charset": (Swap('<meta charset="utf-8">', ""), "lacks <meta charset"),
    "no viewport": (Swap('<meta name="viewport".*?>', ""), "lacks <meta name=\"viewport\""),
    "no dark colours": (Swap("prefers-color-scheme: dark", "min-width: 9px"), "has no colours for dark mode"),
    "no preheader": (Swap('<div class="hidden".*?</div>', ""), "no hidden preheader"),
    "a picture without width": (after('<img src="https://x.example/a.png" alt="Owls">'), "has no width attribute"),
    "a control character": (after("Ow\x92ls"), "U+0092"),
    "a comment that is not closed": (Swap(r"<!\[endif\]-->", "-->"), "is not closed"),
}  # fmt: skip


def said(html: str) -> list[str]:
    """What the lint says about the HTML."""
    return [finding.message for finding in lint(replace(GOOD, html=html))]


def broken(browser: webdriver.Chrome, html: str, scheme: str) -> set[str]:
    """The rules of axe's, all of them, that the HTML breaks."""
    asked_for = {"target-size": {"enabled": True}}  # which axe does not ask for by itself
    return faults(browser, html, scheme, {"iframes": False, "rules": asked_for}, kept=6)


@pytest.fixture(scope="module")
def unspoilt(browser: webdriver.Chrome) -> set[str]:
    """The rules that the built-in mail breaks: those about the landmarks of a page, which a mail is only a part of."""
    return broken(browser, GOOD.html, "light")


def test_the_built_in_mail_breaks_no_rule_but_those_of_whole_pages(unspoilt: set[str]) -> None:
    assert said(GOOD.html) == []
    assert unspoilt <= {"landmark-one-main", "region"}


@pytest.mark.parametrize("name", FAULTS)
def test_what_axe_finds_the_lint_finds(browser: webdriver.Chrome, unspoilt: set[str], name: str) -> None:
    spoilt = FAULTS[name]()
    scheme = "dark" if name in IN_THE_DARK else "light"
    rules = broken(browser, spoilt, scheme) - unspoilt
    assert rules, "no rule of axe's is broken, so nothing is compared"
    assert said(spoilt) != [], rules


@pytest.mark.parametrize("name", MORE)
def test_what_mail_clients_need_is_asked_for(name: str) -> None:
    spoil, words = MORE[name]
    assert words in "\n".join(said(spoil()))
