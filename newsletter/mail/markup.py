"""Read the HTML of a mail for the lint: its elements, their text, and the style that mail clients give them.

Style is what the style attributes say, the <style> blocks that are not inlined, and the defaults of browsers. Selectors
of types and classes are understood, after one another or alone; others, such as Outlook's ``[data-ogsc] .x``, count for
nobody.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from html.parser import HTMLParser
from typing import Final

from newsletter.mail.colours import Rgb, colour
from newsletter.text import without

VOID: Final = frozenset("area base br col embed hr img input link meta source track wbr".split())
HEADINGS: Final = ("h1", "h2", "h3", "h4", "h5", "h6")
BLOCKS: Final = frozenset(
    (*HEADINGS, *"address article aside blockquote body center dd div dl dt footer header html li main nav".split())
) | frozenset("ol p section table tbody td tfoot th thead tr ul".split())

_SCHEMES: Final = ("light", "dark")
_UNSEEN: Final = frozenset("head title style script template".split())

# The default styles of browsers.
_SIZES: Final = {"h1": 2, "h2": 1.5, "h3": 1.17, "h5": 0.83, "h6": 0.67, "small": 0.83, "sub": 0.83, "sup": 0.83}
_BOLD: Final = frozenset((*HEADINGS, "b", "strong", "th"))
_ITALIC: Final = frozenset("address cite dfn em i var".split())
_LINK: Final[dict[str, Rgb]] = {"light": (0, 0, 238), "dark": (158, 158, 255)}
_CANVAS: Final[dict[str, tuple[Rgb, Rgb]]] = {
    "light": ((0, 0, 0), (255, 255, 255)),
    "dark": ((255, 255, 255), (18, 18, 18)),
}

_COMPOUND: Final = re.compile(r"([a-z][a-z0-9]*)?((?:\.[\w-]+)*)", re.IGNORECASE)
_LENGTH: Final = re.compile(r"(-?[\d.]+)(px|pt|em|rem|%|)")
_KEYWORDS: Final = {"xx-small": 9, "x-small": 10, "small": 13, "medium": 16, "large": 18, "x-large": 24}
_EVERYWHERE: Final = re.compile(r"@media\s+(?:all|(?:only\s+)?screen)\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Style:
    """Style of an element's text. Colours are for the light and for the dark scheme; lengths are in px.

    `line` is the distance of lines, None if nothing says it; `around` is padding and margin above and below;
    `marked` says that the text is underlined or has a border below; `painted` that an image lies behind it.
    """

    colours: tuple[Rgb, Rgb]
    backgrounds: tuple[Rgb, Rgb]
    size: float = 16
    line: float | None = None
    around: float = 0
    bold: bool = False
    italic: bool = False
    marked: bool = False
    painted: bool = False
    hidden: bool = False
    block: bool = False
    opacity: float = 1


@dataclass(eq=False, slots=True)
class Element:
    """An element with its attributes; `style` is set once the whole mail has been read.

    `role` is its attribute in small letters. `block` is the nearest block and `link` the nearest <a> with an address,
    each this element or one around it, and None if there is none.
    """

    tag: str
    attributes: dict[str, str]
    parent: Element | None
    style: Style = Style((_CANVAS["light"][0], _CANVAS["dark"][0]), (_CANVAS["light"][1], _CANVAS["dark"][1]))
    parts: list[Element | str] = field(default_factory=list)
    classes: frozenset[str] = frozenset()
    role: str = field(init=False)
    block: Element | None = field(init=False)
    link: Element | None = field(init=False)

    def __post_init__(self) -> None:
        above = self.parent
        self.role = self.get("role").lower()
        self.block = self if self.tag in BLOCKS else above.block if above is not None else None
        if self.tag == "a":
            self.link = self if "href" in self.attributes else None
        else:
            self.link = above.link if above is not None else None

    def get(self, name: str) -> str:
        """The attribute without space around it; empty if there is none."""
        return self.attributes.get(name, "").strip()

    def ancestors(self) -> Iterator[Element]:
        """The elements that this one is in, the nearest first."""
        above = self.parent
        while above is not None:
            yield above
            above = above.parent

    def closest(self, tags: Iterable[str]) -> Element | None:
        """This element or the nearest around it that is one of `tags`."""
        return next((each for each in (self, *self.ancestors()) if each.tag in tags), None)

    def language(self) -> str:
        """The nearest lang attribute."""
        return next((each.get("lang") for each in (self, *self.ancestors()) if each.get("lang")), "")

    def name(self) -> str:
        """What a screen reader calls the element: its label, else its text with that of its images."""
        if label := self.get("aria-label") or self.get("alt"):
            return label
        names = (part if isinstance(part, str) else "" if part.get("aria-hidden") == "true" else part.name()
                 for part in self.parts)  # fmt: skip
        return " ".join("".join(names).split()) or self.get("title")


@dataclass(frozen=True, slots=True)
class Run:
    """A piece of visible text and the element that it is in."""

    element: Element
    text: str

    def block(self) -> Element:
        """The paragraph, heading, cell or other block that the text is in."""
        return self.element.block or self.element

    def link(self) -> Element | None:
        """The link that the text is part of."""
        return self.element.link


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of a style sheet. `medium` is empty if the rule holds everywhere, else the @ rules around it.

    `selector` has the tag, empty for any, and the classes of the element and of those around it, the element first; it
    is empty if the selector is not understood. `depth` is the number of @ rules around the rule.
    """

    medium: str
    selector: tuple[tuple[str, frozenset[str]], ...]
    written: str
    declarations: tuple[tuple[str, str, bool], ...]
    depth: int

    @property
    def dark(self) -> bool:
        """Whether the rule is for dark colours."""
        return "prefers-color-scheme" in self.medium and "dark" in self.medium

    def fits(self, element: Element) -> bool:
        """Whether the selector chooses `element`."""
        if not self.selector or not _fits(self.selector[0], element):
            return False
        above = element.ancestors()
        return all(any(_fits(each, one) for one in above) for each in self.selector[1:])


class Page(HTMLParser):
    """The HTML part of a mail: all elements in their order, visible text, comments and rules of <style>."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self.comments: list[str] = []
        self.css = ""
        self.title = ""
        self._open: list[Element] = []
        self.feed(html)
        self.close()
        self.rules = tuple(rules(self.css))
        chosen = _Chosen(self.rules)
        known: dict[tuple[object, ...], Style] = {}
        for element in self.elements:
            fitting = chosen.rules(element)
            kind = _kind(element, fitting)
            if kind not in known:
                known[kind] = _styled(element, fitting)
            element.style = known[kind]
        self.runs = tuple(self._runs())

    @property
    def text(self) -> list[str]:
        """The visible text, in pieces."""
        return [run.text for run in self.runs]

    def all(self, *tags: str) -> Iterator[Element]:
        """The elements of these tags, in their order."""
        return (each for each in self.elements if each.tag in tags)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element. A paragraph ends where the next block begins, a cell or item where the next one does."""
        if self._open and (self._open[-1].tag == tag in ("li", "td", "th", "tr", "dt", "dd") or (
            self._open[-1].tag == "p" and tag in BLOCKS
        )):  # fmt: skip
            self._open.pop()
        parent = self._open[-1] if self._open else None
        attributes = {name: value or "" for name, value in attrs}
        element = Element(tag, attributes, parent, classes=frozenset(attributes.get("class", "").split()))
        self.elements.append(element)
        if parent is not None:
            parent.parts.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        """Close an element and the elements left open inside it."""
        for at in range(len(self._open) - 1, -1, -1):
            if self._open[at].tag == tag:
                del self._open[at:]
                return

    def handle_data(self, data: str) -> None:
        """Keep text, the title, or CSS."""
        tag = self._open[-1].tag if self._open else ""
        if tag == "style":
            self.css += data
        elif tag == "title":
            self.title += data
        elif self._open:
            self._open[-1].parts.append(data)

    def handle_comment(self, data: str) -> None:
        """Keep comments, because Outlook for Windows reads some."""
        self.comments.append(data)

    def _runs(self) -> Iterator[Run]:
        """Visible text in the order of the page."""
        waiting: list[tuple[Element, Element | str]] = [(each, each) for each in self.elements if each.parent is None]
        waiting.reverse()
        while waiting:
            inside, part = waiting.pop()
            if isinstance(part, Element):
                if not part.style.hidden and part.tag not in _UNSEEN:
                    waiting += [(part, each) for each in reversed(part.parts)]
            elif part.strip():
                yield Run(inside, part)


# --- style sheets ----------------------------------------------------------------------------------------------------


def rules(css: str) -> Iterator[Rule]:
    """The rules of a style sheet, those within @ rules included."""
    around: list[str] = []
    text = ""
    for piece in re.split(r"([{}])", without(css, "/*", "*/")):
        if piece == "{":
            around.append(" ".join(text.rpartition(";")[2].split()))
        elif piece == "}" and around:
            prelude = around.pop()
            if not prelude.startswith("@"):
                medium = " ".join(each for each in around if not _EVERYWHERE.fullmatch(each))
                for selector in prelude.split(","):
                    yield Rule(medium, _selector(selector), selector.strip(), declarations(text), len(around))
        text = "" if piece in "{}" else piece


@lru_cache(1024)  # a mail has few different style attributes, and each paper repeats them
def declarations(css: str) -> tuple[tuple[str, str, bool], ...]:
    """The declarations of a rule or a style attribute: name, value, and whether it is important."""
    found = []
    for part in css.split(";"):
        name, colon, value = part.partition(":")
        if colon:
            said, mark, _ = value.partition("!")
            found.append((name.strip().lower(), said.strip().lower(), bool(mark)))
    return tuple(found)


def _selector(written: str) -> tuple[tuple[str, frozenset[str]], ...]:
    matches = [_COMPOUND.fullmatch(each) for each in reversed(written.split())]
    found = [(match[1] or "", frozenset(match[2].split(".")[1:])) for match in matches if match is not None]
    return tuple(found) if len(found) == len(matches) else ()


def _fits(compound: tuple[str, frozenset[str]], element: Element) -> bool:
    tag, classes = compound
    return tag in ("", element.tag) and classes <= element.classes


class _Chosen:
    """Finds the rules of a style sheet that choose an element, those for dark colours included.

    Most rules are told by their last part alone, and most elements are like another one in tag and classes.
    """

    def __init__(self, sheet: Iterable[Rule]) -> None:
        self._sheet = [rule for rule in sheet if rule.selector and (not rule.medium or rule.dark)]
        self._alike: dict[tuple[str, frozenset[str]], list[Rule]] = {}

    def rules(self, element: Element) -> list[Rule]:
        """The rules that choose `element`, in their order."""
        kind = (element.tag, element.classes)
        if kind not in self._alike:
            self._alike[kind] = [rule for rule in self._sheet if _fits(rule.selector[0], element)]
        return [rule for rule in self._alike[kind] if len(rule.selector) == 1 or rule.fits(element)]


def _declared(element: Element, chosen: Iterable[Rule]) -> dict[str, str]:
    """What holds for an element: a style attribute wins over rules, and what is important over what is not."""
    found: dict[bool, dict[str, str]] = {False: {}, True: {}}
    for written in (*(rule.declarations for rule in chosen), declarations(element.attributes.get("style", ""))):
        for name, value, important in written:
            found[important][name] = value
    return found[False] | found[True]


def _kind(element: Element, chosen: Iterable[Rule]) -> tuple[object, ...]:
    """All that `_styled` looks at: the papers of a mail have few kinds of elements."""
    above = element.parent.style if element.parent is not None else None
    said = (element.attributes.get(name) for name in ("style", "color", "bgcolor", "hidden"))
    return (above, element.tag, "href" in element.attributes, *said, *map(id, chosen))


def _styled(element: Element, chosen: Sequence[Rule]) -> Style:
    """The style of an element, which `_kind` decides; `chosen` are the rules that choose it."""
    above = element.parent.style if element.parent is not None else element.style
    everywhere = [rule for rule in chosen if not rule.medium]
    light = _declared(element, everywhere)
    dark = light if len(everywhere) == len(chosen) else _declared(element, chosen)
    size = _font_size(element, light, above)
    schemes = dict(zip(_SCHEMES, (light, dark), strict=True))
    decoration = light.get("text-decoration", light.get("text-decoration-line", ""))
    underlined = "underline" in decoration or (element.tag in ("u", "ins") and not decoration)
    if element.tag == "a" and "href" in element.attributes and not decoration:
        underlined = True
    weight = light.get("font-weight", "bold" if element.tag in _BOLD else "")
    return Style(
        colours=_each(schemes, lambda name, css, at: _foreground(element, name, css) or above.colours[at]),
        backgrounds=_each(schemes, lambda name, css, at: _background(element, css) or above.backgrounds[at]),
        size=size,
        line=_line_height(light.get("line-height", ""), size, above),
        around=_around(light, size),
        bold=weight in ("bold", "bolder", "600", "700", "800", "900") or (above.bold and not weight),
        italic=light.get("font-style") == "italic" or element.tag in _ITALIC or above.italic,
        marked=underlined or _border_below(light) or (above.marked and element.tag not in BLOCKS),
        painted="url(" in light.get("background", "") + light.get("background-image", "") or above.painted,
        hidden=above.hidden or _hides(element, light),
        block=light.get("display", "") in ("block", "inline-block", "table") or element.tag in BLOCKS,
        opacity=above.opacity * _number(light.get("opacity", ""), 1),
    )


def _each(schemes: dict[str, dict[str, str]], find: Callable[[str, dict[str, str], int], Rgb]) -> tuple[Rgb, Rgb]:
    light, dark = (find(name, css, at) for at, (name, css) in enumerate(schemes.items()))
    return light, dark


def _foreground(element: Element, scheme: str, css: dict[str, str]) -> Rgb | None:
    said = colour(css.get("color", "") or (element.get("color") if element.tag == "font" else ""))
    if said is None and element.tag == "a" and "href" in element.attributes and css.get("color") != "inherit":
        return _LINK[scheme]
    return said


def _background(element: Element, css: dict[str, str]) -> Rgb | None:
    said = css.get("background-color", "") or css.get("background", "") or element.get("bgcolor")
    return colour(said) or next(filter(None, map(colour, said.split())), None)


def _font_size(element: Element, css: dict[str, str], above: Style) -> float:
    said = css.get("font-size", "")
    if said in _KEYWORDS:
        return _KEYWORDS[said]
    return _length(said, above.size, above.size) if said else above.size * _SIZES.get(element.tag, 1)


def _line_height(said: str, size: float, above: Style) -> float | None:
    if not said:
        return above.line
    return None if said == "normal" else _length(f"{said}em" if _number(said, -1) >= 0 else said, size, size)


def _around(css: dict[str, str], size: float) -> float:
    """Padding and margin above and below, in px."""
    total = 0.0
    for name in ("padding", "margin"):
        sides = css.get(name, "0").split() or ["0"]
        top = css.get(f"{name}-top", sides[0])
        bottom = css.get(f"{name}-bottom", sides[2] if len(sides) > 2 else sides[0])
        total += _length(top, size, 0) + _length(bottom, size, 0)
    return total


def _border_below(css: dict[str, str]) -> bool:
    said = css.get("border-bottom", css.get("border", ""))
    return bool(said) and not set(said.split()) & {"0", "none", "0px"}


def _hides(element: Element, css: dict[str, str]) -> bool:
    return (
        "hidden" in element.attributes
        or css.get("display") == "none"
        or css.get("visibility") == "hidden"
        or _number(css.get("opacity", ""), 1) == 0
        or (css.get("overflow") == "hidden" and _length(css.get("max-height", "9px"), 16, 9) <= 1)
    )


def _length(said: str, unit: float, otherwise: float) -> float:
    """A length in px; `unit` is that of 1em and of 100%."""
    match = _LENGTH.fullmatch(said)
    if match is None:
        return otherwise
    factors = {"px": 1, "": 1, "pt": 4 / 3, "em": unit, "rem": 16, "%": unit / 100}
    return _number(match.group(1), 0) * factors[match.group(2)]


def _number(said: str, otherwise: float) -> float:
    try:
        return float(said)
    except ValueError:
        return otherwise
