"""Check a rendered issue before it is sent, whether its template is the operator's or ours.

An error stops the run; a warning is printed. The rules are about faults that recipients or mail clients notice: HTML
that Gmail clips, dead or insecure links, a missing language, low contrast, a text part that lacks words of the HTML.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from html.parser import HTMLParser
from typing import Final

from newsletter.model import RenderedIssue, Slot

_CLIP: Final = 102 * 1024  # bytes of HTML after which Gmail clips a mail, by public tests; Google documents no figure
_NEAR: Final = 96 * 1024  # bytes
_TEXT_WIDTH: Final = 78  # characters of a line (RFC 5322 section 2.1.1)
_CONTRAST: Final = 4.5  # least contrast ratio of text (WCAG 2.2, success criterion 1.4.3)
_CONTRAST_LARGE: Final = 3.0  # the same for text of at least 24 px, or 18.66 px in bold
_WORDS_IN_TEXT: Final = 0.9  # share of the HTML's distinct words that the text part must have

_RESIDUE: Final = re.compile(r"\{\{|\}\}|\{%|%\}")
_ACTIVE: Final = frozenset("script iframe object embed form input button base svg math video audio frame link".split())
_VOID: Final = frozenset("area base br col embed hr img input link meta source track wbr".split())
_URL_LINE: Final = re.compile(r"\s*\S+://\S+\s*|.*@.*")


class Level(StrEnum):
    """Severity of a finding."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault of a rendered issue; `message` is one line for the author of the template."""

    level: Level
    message: str


def lint(rendered: RenderedIssue) -> list[Finding]:
    """All findings, errors first. The slots of `rendered` need not be filled."""
    page = _Page()
    page.feed(rendered.html)
    page.close()
    found = [Finding(level, message) for level, rule in _RULES for message in rule(rendered, page)]
    return sorted(found, key=lambda finding: finding.level is not Level.ERROR)


# --- reading the HTML ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Style:
    """Style of an element's text. Colours are #rrggbb, for the light and the dark scheme; `size` is in px."""

    colour: tuple[str, str]
    background: tuple[str, str]
    size: float
    bold: bool
    hidden: bool


class _Page(HTMLParser):
    """Collects what the rules need to know about the HTML part."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.title = ""
        self.unreadable: list[str] = []
        self._css = ""
        self._stack: list[tuple[str, _Style]] = [
            ("", _Style(("#000000", "#ffffff"), ("#ffffff", "#000000"), 16, False, False))
        ]
        self._dark: dict[str, dict[str, str]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record an element and the style of its text."""
        values = {name: value or "" for name, value in attrs}
        self.tags.append((tag, values))
        if tag not in _VOID:
            self._stack.append((tag, self._styled(tag, values)))

    def handle_endtag(self, tag: str) -> None:
        """Close an element and the elements left open inside it."""
        if tag == "style":
            self._dark.update(_dark_rules(self._css))
        for at in range(len(self._stack) - 1, 0, -1):
            if self._stack[at][0] == tag:
                del self._stack[at:]
                return

    def handle_data(self, data: str) -> None:
        """Record visible text, the title, or CSS."""
        tag, style = self._stack[-1]
        if tag == "style":
            self._css = data
        elif tag == "title":
            self.title += data
        elif data.strip() and not style.hidden:
            self.text.append(data)
            self._check(data, style)

    def _styled(self, tag: str, values: dict[str, str]) -> _Style:
        before = self._stack[-1][1]
        css = _declarations(values.get("style", ""))
        dark: dict[str, str] = {}
        for name in values.get("class", "").split():
            dark |= self._dark.get(name, {})
        colour, background = css.get("color", ""), css.get("background-color", css.get("background", ""))
        size = re.match(r"([\d.]+)px", css.get("font-size", ""))
        return _Style(
            colour=(_hex(colour) or before.colour[0], _hex(dark.get("color", colour)) or before.colour[1]),
            background=(
                _hex(background) or before.background[0],
                _hex(dark.get("background-color", background)) or before.background[1],
            ),
            size=float(size.group(1)) if size else before.size,
            bold=css.get("font-weight", "") in ("bold", "700") or before.bold or tag in ("b", "strong"),
            hidden=before.hidden or css.get("display") == "none",
        )

    def _check(self, data: str, style: _Style) -> None:
        least = _CONTRAST_LARGE if style.size >= 24 or (style.bold and style.size >= 18.66) else _CONTRAST
        for scheme, colour, background in zip(("light", "dark"), style.colour, style.background, strict=True):
            ratio = contrast(colour, background)
            if ratio < least:
                said = f"{colour} on {background} in {scheme} mode has a contrast of {ratio:.1f}, needs {least:g}"
                self.unreadable.append(f"{said}: {' '.join(data.split())[:40]!r}")


def _declarations(css: str) -> dict[str, str]:
    pairs = (part.partition(":") for part in css.split(";"))
    return {name.strip().lower(): value.replace("!important", "").strip().lower() for name, _, value in pairs}


# Quantifiers are bounded or possessive, so that the time is linear in the length of the style sheet.
_DARK: Final = re.compile(
    r"@media[^{]{0,200}?prefers-color-scheme:\s{0,20}dark[^{]{0,200}+\{((?:[^{}]*+\{[^{}]*+\})*+)"
)
_RULE: Final = re.compile(r"(?<![^{}])([^{}]++)\{([^{}]*+)\}")


def _dark_rules(css: str) -> dict[str, dict[str, str]]:
    """The declarations for each class under ``@media (prefers-color-scheme: dark)``."""
    rules: dict[str, dict[str, str]] = {}
    for block in _DARK.findall(css):
        for selectors, body in _RULE.findall(block):
            for name in re.findall(r"\.([\w-]+)\s*(?=,|$)", selectors.strip()):
                rules.setdefault(name, {}).update(_declarations(body))
    return rules


def _hex(colour: str) -> str | None:
    if re.fullmatch(r"#[0-9a-f]{6}", colour):
        return colour
    if re.fullmatch(r"#[0-9a-f]{3}", colour):
        return "#" + "".join(2 * digit for digit in colour[1:])
    return None


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two #rrggbb colours, 1 to 21 (WCAG 2.2, definition of contrast ratio)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    channels = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


# --- the rules -------------------------------------------------------------------------------------------------------

_Rule = Callable[[RenderedIssue, _Page], Iterator[str]]


def _clipped(rendered: RenderedIssue, page: _Page) -> Iterator[str]:
    size = len(rendered.html.encode())
    if size > _CLIP:
        yield f"the HTML has {size / 1024:.0f} KiB; Gmail clips at 102 KiB, so the unsubscribe link is cut off"


def _near_the_clip(rendered: RenderedIssue, page: _Page) -> Iterator[str]:
    size = len(rendered.html.encode())
    if _NEAR < size <= _CLIP:
        yield f"the HTML has {size / 1024:.0f} KiB, close to the 102 KiB at which Gmail clips"


def _unsubscribe(rendered: RenderedIssue, page: _Page) -> Iterator[str]:
    if not any(values.get("href") == Slot.UNSUBSCRIBE for tag, values in page.tags if tag == "a"):
        yield 'the HTML has no unsubscribe link: <a href="{{ unsubscribe_url }}">'
    if Slot.UNSUBSCRIBE not in rendered.text:
        yield "the text part has no unsubscribe link: {{ unsubscribe_url }}"


def _residue(rendered: RenderedIssue, page: _Page) -> Iterator[str]:
    for name, part in (("the HTML", " ".join(page.text)), ("the text part", rendered.text)):
        if match := _RESIDUE.search(part):
            around = part[max(0, match.start() - 20) : match.end() + 20].strip()
            yield f"{name} shows what looks like template syntax: {' '.join(around.split())!r}"


def _links(rendered: RenderedIssue, page: _Page) -> Iterator[str]:
    for tag, values in page.tags:
        for name in ("href", "src"):
            if (url := values.get(name)) is not None and not re.match(r"(https?://[^/\s]|mailto:)", url):
                yield f"<{tag} {name}={url[:80]!r}> is not an absolute http(s) or mailto link"


def _insecure(rendered: RenderedIssue, page: _Page) -> Iterator[str]:
    links = [values.get(name, "") for _, values in page.tags for name in ("href", "src")]
    insecure = [link for link in links if link.startswith("http://")]
    if insecure:
        others = f" (and {len(insecure) - 1} more)" if len(insecure) > 1 else ""
        yield f"{insecure[0][:80]!r} is http, not https{others}"


def _active(rendered: RenderedIssue, page: _Page) -> Iterator[str]:
    for tag, values in page.tags:
        if tag in _ACTIVE:
            yield f"<{tag}> is not allowed in a mail: mail clients remove it"
        for name in values:
            if name.startswith("on"):
                yield f"<{tag} {name}=...> is not allowed in a mail: mail clients remove scripts"


def _language(rendered: RenderedIssue, page: _Page) -> Iterator[str]:
    html = next((values for tag, values in page.tags if tag == "html"), {})
    for name in ("lang", "dir"):
        if not html.get(name):
            yield f"<html> has no {name} attribute, which screen readers and right-to-left languages need"


def _title(rendered: RenderedIssue, page: _Page) -> Iterator[str]:
    if not page.title.strip():
        yield "<title> is missing or empty"


def _alternatives(rendered: RenderedIssue, page: _Page) -> Iterator[str]:
    for tag, values in page.tags:
        if tag == "img" and "alt" not in values:
            yield f"<img src={values.get('src', '')[:80]!r}> has no alt attribute"


def _readable(rendered: RenderedIssue, page: _Page) -> Iterator[str]:
    yield from dict.fromkeys(page.unreadable)


def _text_complete(rendered: RenderedIssue, page: _Page) -> Iterator[str]:
    seen, written = _words(" ".join(page.text)), _words(rendered.text)
    if seen and len(seen & written) < _WORDS_IN_TEXT * len(seen):
        missing = sorted(seen - written)[:5]
        yield f"the text part lacks words of the HTML, such as {', '.join(missing)}"


def _text_width(rendered: RenderedIssue, page: _Page) -> Iterator[str]:
    for number, line in enumerate(rendered.text.splitlines(), 1):
        if len(line) > _TEXT_WIDTH and not _URL_LINE.fullmatch(line):
            yield f"line {number} of the text part has {len(line)} characters, more than {_TEXT_WIDTH}"


def _words(text: str) -> set[str]:
    return set(re.findall(r"[^\W_]{3,}", text.lower()))


_RULES: Final[tuple[tuple[Level, _Rule], ...]] = (
    (Level.ERROR, _unsubscribe),
    (Level.ERROR, _clipped),
    (Level.ERROR, _residue),
    (Level.ERROR, _links),
    (Level.ERROR, _active),
    (Level.ERROR, _language),
    (Level.ERROR, _title),
    (Level.ERROR, _alternatives),
    (Level.ERROR, _readable),
    (Level.ERROR, _text_complete),
    (Level.WARNING, _near_the_clip),
    (Level.WARNING, _insecure),
    (Level.WARNING, _text_width),
)
