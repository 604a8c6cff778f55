"""Faults of a mail that shut readers out, as far as its HTML tells them without a browser.

Each rule is a function of the page that yields sentences for the author of the template. A fault that is repeated for
every paper is said once, with the number of further places. The sources are WCAG 2.2 and the rules of axe-core, the
program that most people test pages with.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final

from newsletter.languages import is_language
from newsletter.mail.colours import contrast, mixed, written
from newsletter.mail.markup import HEADINGS, Element, Page, Run, declarations

_CONTRAST: Final = 4.5  # least contrast ratio of text (WCAG 2.2, success criterion 1.4.3)
_CONTRAST_LARGE: Final = 3.0  # the same for text of at least 24 px, or 18.66 px in bold
_TARGET: Final = 24  # px, least height of a link that stands alone (WCAG 2.2, success criterion 2.5.8)
_SMALLEST: Final = 12  # px of any text
_SMALL, _SMALL_SHARE = 14, 0.15  # at most this share of the text is smaller than so many px
_USUAL: Final = 14  # px; half of the text is at least as large
_LONG, _TIGHT = 120, 1.3  # text of so many characters has lines at least so many times their size apart
_LEAST_ZOOM: Final = 5  # times that a reader may enlarge (axe-core, meta-viewport-large)

_LANDMARK_TAGS: Final = {"main": "main", "nav": "navigation", "aside": "complementary"}
_LANDMARKS: Final = frozenset("banner complementary contentinfo main navigation region search".split())
_ONCE: Final = frozenset("banner contentinfo main".split())
_PARTS: Final = frozenset("article aside main nav section".split())

# Roles that mail clients keep and that mean something in a mail, with the elements that may have them.
_BOX: Final = frozenset("div section".split())
_ROLES: Final = {
    "presentation": None,
    "none": None,
    "article": _BOX | {"article"},
    "main": _BOX | {"main"},
    "region": _BOX,
    "banner": _BOX | {"header"},
    "contentinfo": _BOX | {"footer"},
    "navigation": _BOX | {"nav"},
    "complementary": _BOX | {"aside"},
    "heading": frozenset((*HEADINGS, "p", "div", "span")),
    "img": frozenset("img span div".split()),
    "link": frozenset("a"),
    "list": frozenset("ul ol div".split()),
    "listitem": frozenset("li div".split()),
}
_ARIA: Final = frozenset("aria-label aria-labelledby aria-hidden aria-level aria-roledescription".split())
_NAMELESS: Final = frozenset("b bdi br code div em font i p small span strong sub sup u".split())  # without a role
_OF_SCRIPTS: Final = ("accesskey", "autofocus", "contenteditable", "tabindex")

_VAGUE: Final = frozenset("click here|here|link|more|read more|this".split("|"))
_AMBIGUOUS: Final = 3  # links of one name to different places
_WORD: Final = re.compile(r"[^\W\d_]{2}")


def several(faults: Iterable[str], most: int = 1) -> Iterator[str]:
    """The first faults of a kind; the last of these says how many more there are."""
    found = list(dict.fromkeys(faults))
    yield from found[: most - 1]
    if more := found[most:]:
        yield f"{found[most - 1]} (and {len(more)} more)"
    else:
        yield from found[most - 1 :]


def _shown(text: str) -> str:
    return repr(" ".join(text.split())[:40])


# --- language and structure ------------------------------------------------------------------------------------------


def language(page: Page) -> Iterator[str]:
    """The language and direction of the whole, for the screen reader's voice."""
    html = next(page.all("html"), None)
    for name in ("lang", "dir"):
        if html is None or not html.get(name):
            yield f"<html> has no {name} attribute, which screen readers and right-to-left languages need"


def language_inside(page: Page) -> Iterator[str]:
    """Webmail puts the mail into its own page and drops <html>, so an element within must say the same."""
    html = next(page.all("html"), None)
    wrappers = [each for each in page.elements if each.tag == "body" or _wraps(each)]
    for name in ("lang", "dir"):
        if html is not None and html.get(name) and not any(each.get(name) for each in wrappers):
            yield f"neither <body> nor the element around the text has a {name} attribute; webmail drops that of <html>"


def _wraps(element: Element) -> bool:
    """Whether the element is the only one in <body> but for hidden ones."""
    parent = element.parent
    if parent is None or parent.tag != "body":
        return False
    seen = [each for each in parent.parts if isinstance(each, Element) and not each.style.hidden]
    return seen == [element]


def known_languages(page: Page) -> Iterator[str]:
    """Language tags must be known, since a screen reader has no voice for an unknown one."""
    said = dict.fromkeys(value for each in page.elements for value in (each.get("lang"), each.get("xml:lang")) if value)
    yield from several(f"lang={tag!r} is not a language" for tag in said if not is_language(tag))
    html = next(page.all("html"), None)
    if html is not None and html.get("xml:lang") and html.get("xml:lang").lower() != html.get("lang").lower():
        yield f"<html> says both lang={html.get('lang')!r} and xml:lang={html.get('xml:lang')!r}"


def headings(page: Page) -> Iterator[str]:
    """One <h1>, no level left out, none empty: readers move from heading to heading."""
    found = [each for each in page.elements if _level(each) and each.get("aria-hidden") != "true"]
    found = [each for each in found if not each.style.hidden]
    first = sum(_level(each) == 1 for each in found)
    if first != 1:
        yield f"the mail has {first or 'no'} <h1>; it needs one, with its name"
    yield from several(f"an empty <{each.tag}>" for each in found if not each.name())
    yield from several(
        f"<h{_level(one)}> {_shown(one.name())} comes after <h{_level(before)}>, so a level is left out"
        for before, one in pairwise(found)
        if _level(one) > _level(before) + 1
    )
    if found and _level(found[0]) > 1 and first:
        yield f"<h{_level(found[0])}> {_shown(found[0].name())} comes before <h1>"


def _level(element: Element) -> int:
    """The level of a heading, 0 if the element is none."""
    if element.role == "heading":
        level = element.get("aria-level")
        return int(level) if level.isdecimal() else 2
    return HEADINGS.index(element.tag) + 1 if element.tag in HEADINGS and not element.role else 0


def landmarks(page: Page) -> Iterator[str]:
    """The mail as one named part of the page around it, and its own parts told apart."""
    whole = [each for each in page.elements if each.role in ("article", "main") or each.tag in ("article", "main")]
    if not any(each.get("aria-label") or each.get("aria-labelledby") for each in whole):
        yield 'the mail is not marked as one: put it into <div role="article" aria-label="{{ title }}">'
    found = [(_landmark(each), each) for each in page.elements if _landmark(each)]
    kinds = Counter(kind for kind, _ in found)
    yield from (f"the mail has {number} parts of the role {kind}" for kind, number in kinds.items()
                if number > 1 and kind in _ONCE)  # fmt: skip
    names = Counter((kind, each.name() if each.get("aria-label") else "") for kind, each in found if kind not in _ONCE)
    yield from (f"{number} parts of the role {kind} need a name each" for (kind, _), number in names.items()
                if number > 1)  # fmt: skip
    yield from (
        f"the part of the role {kind} is inside another one"
        for kind, each in found
        if kind in _ONCE | {"complementary"} and any(map(_landmark, each.ancestors()))
    )


def _landmark(element: Element) -> str:
    """The role of a landmark; empty if the element is none."""
    if element.role:
        return element.role if element.role in _LANDMARKS else ""
    if element.tag in ("header", "footer") and not any(each.tag in _PARTS for each in element.ancestors()):
        return "banner" if element.tag == "header" else "contentinfo"
    if element.tag == "section" and element.get("aria-label"):
        return "region"
    return _LANDMARK_TAGS.get(element.tag, "")


def tables(page: Page) -> Iterator[str]:
    """Tables are for layout, also those that only Outlook reads; without the role they are read out as data."""
    bare = [each for each in page.all("table") if each.role not in ("presentation", "none")]
    hidden = [tag for comment in page.comments for tag in re.findall(r"<table\b[^<>]*+>", comment)]
    bare_hidden = [tag for tag in hidden if not re.search(r"role=[\"']?(?:presentation|none)", tag)]
    if number := len(bare) + len(bare_hidden):
        many = "a table is" if number == 1 else f"{number} tables are"
        yield f'{many} without role="presentation": screen readers read them out as data'


def lists(page: Page) -> Iterator[str]:
    """Items belong in lists, and nothing else does."""
    needed = {"li": ("ul", "ol", "menu"), "dt": ("dl", "div"), "dd": ("dl", "div")}
    allowed = {"ul": {"li"}, "ol": {"li"}, "dl": {"dt", "dd", "div"}}
    yield from several(
        f"<{each.tag}> is outside of <{needed[each.tag][0]}>"
        for each in page.all(*needed)
        if each.parent is None or each.parent.tag not in needed[each.tag]
        or each.parent.role not in ("", "list", "none", "presentation")
    )  # fmt: skip
    yield from several(
        f"<{each.tag}> has {_shown(part if isinstance(part, str) else f'<{part.tag}>')} between its items"
        for each in page.all(*allowed)
        for part in each.parts
        if (part.strip() if isinstance(part, str) else part.tag not in allowed[each.tag])
    )
    yield from several(
        f'<{each.tag} role="listitem"> is in no list'
        for each in page.elements
        if each.role == "listitem" and not any("list" in (one.role, one.tag + "list") or one.tag in ("ul", "ol")
                                               for one in each.ancestors())
    )  # fmt: skip


def roles(page: Page) -> Iterator[str]:
    """Roles and ARIA attributes that mail clients keep and that have an effect in a mail."""
    yield from several(
        (f"<{each.tag} role={each.role!r}>: {said}" for each in page.elements if (said := _misused(each))), 3
    )
    yield from several((said for each in page.elements for said in _aria_faults(each)), 3)


def _misused(element: Element) -> str:
    if not element.role:
        return ""
    if element.role not in _ROLES:
        return "mail clients know no such role"
    tags = _ROLES[element.role]
    if tags is not None and element.tag not in tags:
        return "put it on a <div>"
    if element.role in ("presentation", "none") and (element.tag == "a" or _has_name(element)):
        return "an element of no meaning cannot have a name or be a link"
    return (
        "" if element.role != "img" or element.tag == "img" or _has_name(element) else "the picture has no aria-label"
    )


def _has_name(element: Element) -> bool:
    return bool(element.get("aria-label") or element.get("aria-labelledby"))


def _aria_faults(element: Element) -> Iterator[str]:
    tag, attributes = element.tag, element.attributes
    if any(name.startswith("aria-") for name in attributes):
        yield from _attribute_faults(element)
    yield from (f"<{tag} {name}> has no use in a mail" for name in _OF_SCRIPTS if name in attributes)
    if tag == "a" and any(each.get("aria-hidden") == "true" for each in (element, *element.ancestors())):
        yield f"the link {_shown(element.name())} is within aria-hidden, but can be reached by its key"


def _attribute_faults(element: Element) -> Iterator[str]:
    """Those of the ARIA attributes, which few elements have."""
    tag, attributes = element.tag, element.attributes
    yield from (f"<{tag} {name}>: mail clients know no such attribute" for name in attributes
                if name.startswith("aria-") and name not in _ARIA)  # fmt: skip
    if tag in _NAMELESS and not element.role and _has_name(element):
        yield f"<{tag} aria-label> needs a role: screen readers ignore the name of a <{tag}>"
    if "aria-level" in attributes and not _level(element):
        yield f"<{tag} aria-level> is for headings only"
    if "aria-roledescription" in attributes and not element.role:
        yield f"<{tag} aria-roledescription> needs a role"
    hidden = element.get("aria-hidden")
    if hidden not in ("", "true", "false"):
        yield f"<{tag} aria-hidden={hidden!r}> must be true or false"
    if tag == "body" and hidden == "true":
        yield "<body aria-hidden> hides the whole mail from screen readers"


# --- names -----------------------------------------------------------------------------------------------------------


def alternatives(page: Page) -> Iterator[str]:
    """Images are blocked in many clients, so each needs its text, or an empty one if it is decoration."""
    for each in page.all("img", "area"):
        alt = each.attributes.get("alt")
        if alt is None and (each.tag == "img" or "href" in each.attributes):
            yield f"<{each.tag} src={each.get('src')[:80]!r}> has no alt attribute"
        elif alt and not alt.strip():
            yield f'<{each.tag} src={each.get("src")[:80]!r}> has an alt attribute of spaces; write alt=""'
        if "ismap" in each.attributes:
            yield f"<{each.tag} ismap> can only be used with a mouse"


def repeated_alternatives(page: Page) -> Iterator[str]:
    """An image beside the same words is read out twice."""
    for link in page.all("a"):
        words = " ".join("".join(part for part in link.parts if isinstance(part, str)).split())
        alts = [each.get("alt") for each in link.parts if isinstance(each, Element) and each.tag == "img"]
        if words and words.lower() in (alt.lower() for alt in alts):
            yield f'the image in the link {_shown(words)} repeats its words; write alt=""'


def link_names(page: Page) -> Iterator[str]:
    """Screen readers list links without the text around them."""
    links = [each for each in page.all("a") if each.get("href") and not each.style.hidden]
    yield from several(f"the link to {each.get('href')[:60]!r} has no text" for each in links if not each.name())
    yield from several(
        f"the link {_shown(each.name())} does not say where it leads" for each in links if each.name().lower() in _VAGUE
    )
    places: dict[str, set[str]] = {}
    for each in links:
        places.setdefault(each.name(), set()).add(each.get("href"))
    yield from several(
        f"{len(targets)} links to different places are called {_shown(name)}; give each an aria-label"
        for name, targets in places.items()
        if name and len(targets) >= _AMBIGUOUS
    )


# --- colour and size -------------------------------------------------------------------------------------------------


def readable(page: Page) -> Iterator[str]:
    """Contrast of text, in light and in dark mode."""
    found: dict[str, str] = {}
    for run in page.runs:
        style = run.element.style
        least = _CONTRAST_LARGE if style.size >= 24 or (style.bold and style.size >= 18.66) else _CONTRAST
        for scheme, front, back in zip(("light", "dark"), style.colours, style.backgrounds, strict=True):
            seen = mixed(front, back, style.opacity)
            ratio = contrast(seen, back)
            if ratio < least and not style.painted:
                said = f"{written(seen)} on {written(back)} in {scheme} mode has a contrast of {ratio:.1f}"
                found.setdefault(f"{said}, needs {least:g}", run.text)
    yield from (f"{said}: {_shown(text)}" for said, text in found.items())


def links_told_by_colour(page: Page) -> Iterator[str]:
    """A link in running text needs an underline or another mark: many people do not see its colour (WCAG 1.4.1)."""
    yield from several(
        f"the link {_shown(link.name())} is told from the text around it by its colour alone; underline it"
        for block, runs in _blocks(page)
        if (around := [run for run in runs if run.link() is None and _WORD.search(run.text)])
        for link in dict.fromkeys(filter(None, (run.link() for run in runs)))
        if not _stands_out([run for run in runs if run.link() is link], around[0]) and not link.style.block
    )


def _stands_out(link: list[Run], around: Run) -> bool:
    """Whether a link's text looks unlike the text around it in more than its colour."""
    words = [run for run in link if run.text.strip()]
    other = around.element.style
    return all(
        style.marked
        or (style.bold, style.italic, style.size) != (other.bold, other.italic, other.size)
        or style.backgrounds != other.backgrounds
        for style in (run.element.style for run in words)
    )


def _blocks(page: Page) -> Iterator[tuple[Element, list[Run]]]:
    """The paragraphs, headings and cells that have text, with their text."""
    found: dict[Element, list[Run]] = {}
    for run in page.runs:
        found.setdefault(run.block(), []).append(run)
    yield from found.items()


def targets(page: Page) -> Iterator[str]:
    """Links beside or below one another without text between them need room for a finger."""
    alone: list[tuple[Element, list[Element], bool]] = []
    for block, runs in _blocks(page):
        links = list(dict.fromkeys(filter(None, (run.link() for run in runs))))
        alone.append((block, links, any(run.link() is None and _WORD.search(run.text) for run in runs)))
    # A cell without links stands beside the cell with the link, not between two links.
    beside = [(block, links, text) for block, links, text in alone if links or block.tag != "td"]
    crowded = [
        (block, links[0])
        for at, (block, links, text) in enumerate(beside)
        if links and not text and (len(links) > 1 or any(_neighbour(beside, near, block) for near in (at - 1, at + 1)))
    ]
    yield from several(
        f"the link {_shown(link.name())} is {height:.0f} px high and has others beside it; a finger needs {_TARGET} px"
        for block, link in crowded
        if (height := _height(block, link)) < _TARGET
    )


def _neighbour(blocks: list[tuple[Element, list[Element], bool]], at: int, block: Element) -> bool:
    """Whether the block number `at` has nothing but links, and stands in the same list or table as `block`."""
    if not 0 <= at < len(blocks):
        return False
    other, links, text = blocks[at]
    return bool(links) and not text and _around(other) is _around(block)


def _around(block: Element) -> Element | None:
    """The element in which blocks stand below one another; for a cell that is the table."""
    return block.closest(("table",)) if block.tag in ("td", "th") else block.parent


def _height(block: Element, link: Element) -> float:
    """The height of a line of links with what is around it, as far as the styles tell."""
    line = block.style.line or 1.2 * block.style.size
    padded = link.style.around if link.style.block else 0
    return line + block.style.around + padded


def sizes(page: Page) -> Iterator[str]:
    """Text that can be read on a phone without spectacles."""
    runs = [(run.element.style.size, len(" ".join(run.text.split())), run) for run in page.runs]
    yield from several(
        f"text of {size:g} px, smaller than {_SMALLEST}: {_shown(run.text)}"
        for size, _, run in runs
        if size < _SMALLEST
    )
    total = sum(length for _, length, _ in runs)
    small = sum(length for size, length, _ in runs if size < _SMALL)
    if small > _SMALL_SHARE * total:
        yield f"{small / total:.0%} of the text is smaller than {_SMALL} px"
    if 2 * sum(length for size, length, _ in runs if size < _USUAL) > total:
        yield f"more than half of the text is smaller than {_USUAL} px"
    yield from several(
        f"{rule.written} has text of {value} on some screens, smaller than {_SMALLEST} px"
        for rule in page.rules
        if rule.medium
        for name, value, _ in rule.declarations
        if name == "font-size" and re.fullmatch(r"(?:[1-9]|1[01])(?:\.\d++)?px", value)
    )


def lines(page: Page) -> Iterator[str]:
    """Room between the lines of long text, and styles that a reader's own settings can change."""
    yield from several(
        f"the lines of {_shown(run.text)} are less than {_TIGHT} times their size apart"
        for run in page.runs
        if len(run.text) > _LONG
        and _level(run.block()) == 0
        and (run.element.style.line or 1.2 * run.element.style.size) < _TIGHT * run.element.style.size
    )
    yield from several(
        f"<{each.tag} style> has {name}: {value} !important, which no reader can change"
        for each in page.elements
        for name, value, important in declarations(each.attributes.get("style", ""))
        if important and name in ("letter-spacing", "line-height", "word-spacing")
    )
    yield from several(
        f"<{each.tag} style> scrolls by itself, which most mail clients and keyboards cannot do"
        for each in page.elements
        for name, value, _ in declarations(each.attributes.get("style", ""))
        if name in ("overflow", "overflow-x", "overflow-y") and {"auto", "scroll"} & set(value.split())
    )


def zoom(page: Page) -> Iterator[str]:
    """A reader may enlarge the mail, and it may not change by itself."""
    for meta in page.all("meta"):
        said = dict(part.strip().lower().partition("=")[::2] for part in re.split("[,;]", meta.get("content")))
        if meta.get("name").lower() == "viewport":
            most = said.get("maximum-scale", "")
            limited = re.fullmatch(r"-?\d+(?:\.\d+)?", most) is not None and 0 <= float(most) < _LEAST_ZOOM
            if limited or said.get("user-scalable", "") in ("no", "0"):
                yield "<meta name=viewport> keeps readers from enlarging the mail"
        if meta.get("http-equiv").lower() == "refresh":
            yield "<meta http-equiv=refresh> changes the mail while it is read"


# All rules but those that stop a run.
WARNINGS: Final = (
    language_inside,
    known_languages,
    headings,
    landmarks,
    tables,
    lists,
    roles,
    repeated_alternatives,
    link_names,
    links_told_by_colour,
    targets,
    sizes,
    lines,
    zoom,
)
