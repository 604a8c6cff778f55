"""Check a rendered issue before it is sent, whether its template is the operator's or ours.

An error stops the run; a warning is printed. The rules are about faults that recipients or mail clients notice: HTML
that Gmail clips, dead or insecure links, a missing language, low contrast, a text part that lacks words of the HTML.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from newsletter.mail import accessible
from newsletter.mail.accessible import several
from newsletter.mail.markup import Page
from newsletter.mail.untranslated import untranslated
from newsletter.model import RenderedIssue, Slot

_CLIP: Final = 102 * 1024  # bytes of HTML after which Gmail clips a mail, by public tests; Google documents no figure
_NEAR: Final = 96 * 1024  # bytes
_TEXT_WIDTH: Final = 78  # characters of a line (RFC 5322 section 2.1.1)
_STYLE: Final = 16 * 1024  # bytes of <style> that Gmail keeps (email-bugs #90)
_LONG_WORD: Final = 20  # characters
_UNTRANSLATED: Final = 3  # English messages that are named
_WORDS_IN_TEXT: Final = 0.9  # share of the HTML's distinct words that the text part must have

_RESIDUE: Final = re.compile(r"\{\{|\}\}|\{%|%\}")
_ACTIVE: Final = frozenset(
    "script iframe object embed form input button base svg math video audio frame link marquee blink select".split()
) | frozenset("textarea applet".split())
_ABSOLUTE: Final = re.compile(r"(https?://[^/\s]|mailto:)")
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd]")


class Level(StrEnum):
    """Severity of a finding."""

    ERROR = "error"
    WARNING = "warning"


class Part(StrEnum):
    """A part of the mail."""

    HTML = "html"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault of a rendered issue; `message` is one line for the author of the template of the `part`."""

    level: Level
    message: str
    part: Part = Part.HTML


def lint(rendered: RenderedIssue, catalogues: Path | None = None) -> list[Finding]:
    """All findings, errors first. The slots of `rendered` need not be filled.

    `catalogues` is the operator's folder of catalogues. Raises ConfigError with file and line for one that is wrong.
    """
    page = Page(rendered.html)
    found = [Finding(level, message, part) for level, part, rule in _RULES for message in rule(rendered, page)]
    found += [
        Finding(Level.WARNING, message)
        for message in several(untranslated(page, rendered.text, catalogues), _UNTRANSLATED)
    ]
    return sorted(found, key=lambda finding: finding.level is not Level.ERROR)


# --- the rules -------------------------------------------------------------------------------------------------------

_Rule = Callable[[RenderedIssue, Page], Iterator[str]]


def _clipped(rendered: RenderedIssue, page: Page) -> Iterator[str]:
    size = len(rendered.html.encode())
    if size > _CLIP:
        yield f"the HTML has {size / 1024:.0f} KiB; Gmail clips at 102 KiB, so the unsubscribe link is cut off"


def _near_the_clip(rendered: RenderedIssue, page: Page) -> Iterator[str]:
    size = len(rendered.html.encode())
    if _NEAR < size <= _CLIP:
        yield f"the HTML has {size / 1024:.0f} KiB, close to the 102 KiB at which Gmail clips"


def _unsubscribe(rendered: RenderedIssue, page: Page) -> Iterator[str]:
    if not any(each.get("href") == Slot.UNSUBSCRIBE for each in page.all("a")):
        yield 'the HTML has no unsubscribe link: <a href="{{ unsubscribe_url }}">'


def _unsubscribe_in_text(rendered: RenderedIssue, page: Page) -> Iterator[str]:
    if Slot.UNSUBSCRIBE not in rendered.text:
        yield "the text part has no unsubscribe link: {{ unsubscribe_url }}"


def _residue(rendered: RenderedIssue, page: Page) -> Iterator[str]:
    yield from _syntax("the HTML", " ".join(page.text))


def _residue_in_text(rendered: RenderedIssue, page: Page) -> Iterator[str]:
    yield from _syntax("the text part", rendered.text)


def _syntax(name: str, text: str) -> Iterator[str]:
    if match := _RESIDUE.search(text):
        around = text[max(0, match.start() - 20) : match.end() + 20].strip()
        yield f"{name} shows what looks like template syntax: {' '.join(around.split())!r}"


def _links(rendered: RenderedIssue, page: Page) -> Iterator[str]:
    for each in page.elements:
        for name in ("href", "src"):
            if (url := each.attributes.get(name)) is not None and not _ABSOLUTE.match(url):
                yield f"<{each.tag} {name}={url[:80]!r}> is not an absolute http(s) or mailto link"


def _insecure(rendered: RenderedIssue, page: Page) -> Iterator[str]:
    links = [each.attributes.get(name, "") for each in page.elements for name in ("href", "src")]
    insecure = [link for link in links if link.startswith("http://")]
    if insecure:
        others = f" (and {len(insecure) - 1} more)" if len(insecure) > 1 else ""
        yield f"{insecure[0][:80]!r} is http, not https{others}"


def _active(rendered: RenderedIssue, page: Page) -> Iterator[str]:
    for each in page.elements:
        if each.tag in _ACTIVE:
            yield f"<{each.tag}> is not allowed in a mail: mail clients remove it"
        for name in each.attributes:
            if name.startswith("on"):
                yield f"<{each.tag} {name}=...> is not allowed in a mail: mail clients remove scripts"


def _title(rendered: RenderedIssue, page: Page) -> Iterator[str]:
    if not page.title.strip():
        yield "<title> is missing or empty"


def _kept_style(rendered: RenderedIssue, page: Page) -> Iterator[str]:
    size = len(page.css.encode())
    if size > _STYLE:
        yield f"the <style> blocks have {size / 1024:.0f} KiB; Gmail drops those beyond {_STYLE // 1024} KiB"
    if page.css.count("{") != page.css.count("}"):
        yield "the braces in <style> are not balanced, so mail clients drop the rules"
    if any(rule.depth > 1 for rule in page.rules):
        yield "an @ rule within an @ rule in <style> makes Gmail drop the whole block"
    if match := re.search(r"@(?:import|font-face)", page.css):
        yield f"{match.group()} in <style> loads a file from elsewhere, which mail clients do not do"


def _head(rendered: RenderedIssue, page: Page) -> Iterator[str]:
    said = {name for meta in page.all("meta") for name in (meta.get("name").lower(), *map(str.lower, meta.attributes))}
    types = [meta.get("content").lower() for meta in page.all("meta")]
    if "charset" not in said and not any("charset=" in content for content in types):
        yield '<head> lacks <meta charset="utf-8">'
    if "viewport" not in said:
        yield '<head> lacks <meta name="viewport" content="width=device-width, initial-scale=1">'
    if "color-scheme" not in said or not any(rule.dark for rule in page.rules):
        yield "the mail has no colours for dark mode: a <meta> color-scheme, and rules for prefers-color-scheme"


def _preheader(rendered: RenderedIssue, page: Page) -> Iterator[str]:
    first = next((each for each in page.elements if each.parent and each.parent.tag == "body"), None)
    if first is None or not first.style.hidden or not first.name():
        yield "no hidden preheader begins the <body>, so the inbox shows whatever text comes first"


def _images(rendered: RenderedIssue, page: Page) -> Iterator[str]:
    for image in page.all("img"):
        if not image.get("width"):
            yield f"<img src={image.get('src')[:80]!r}> has no width attribute, so Outlook shows it in its own size"


def _control_characters(rendered: RenderedIssue, page: Page) -> Iterator[str]:
    if match := _CONTROL.search(rendered.html):
        yield f"the HTML has the control character U+{ord(match.group()):04X}, at which Gmail may clip"


def _outlook(rendered: RenderedIssue, page: Page) -> Iterator[str]:
    if rendered.html.count("<!--[if") != rendered.html.count("<![endif]"):
        yield "a conditional comment for Outlook is not closed: each <!--[if mso]> needs its <![endif]-->"


def _of_page(rule: Callable[[Page], Iterator[str]]) -> _Rule:
    """A rule that needs the HTML only."""

    def judge(rendered: RenderedIssue, page: Page) -> Iterator[str]:
        return rule(page)

    return judge


def _text_complete(rendered: RenderedIssue, page: Page) -> Iterator[str]:
    seen, written = _words(" ".join(page.text)), _words(rendered.text)
    unbroken = "".join(rendered.text.lower().split())
    lacking = {word for word in seen - written if not (_may_be_broken(word) and word in unbroken)}
    if seen and len(lacking) > (1 - _WORDS_IN_TEXT) * len(seen):
        missing = sorted(lacking)[:5]
        yield f"the text part lacks words of the HTML, such as {', '.join(missing)}"


def _text_width(rendered: RenderedIssue, page: Page) -> Iterator[str]:
    for number, line in enumerate(rendered.text.splitlines(), 1):
        if len(line) > _TEXT_WIDTH and not _is_address(line):
            yield f"line {number} of the text part has {len(line)} characters, more than {_TEXT_WIDTH}"


def _is_address(line: str) -> bool:
    """Whether a line cannot be broken, as the address of a page, or has one of a reader, which may be of any length."""
    words = line.split()
    return "@" in line or (len(words) == 1 and "://" in words[0])


def _may_be_broken(word: str) -> bool:
    """Whether the text part may have a line break within a word: in one too long for it, and in Chinese."""
    return len(word) > _LONG_WORD or not word.isascii()


def _words(text: str) -> set[str]:
    return set(re.findall(r"[^\W_]{3,}", text.lower()))


_RULES: Final[tuple[tuple[Level, Part, _Rule], ...]] = (
    (Level.ERROR, Part.HTML, _unsubscribe),
    (Level.ERROR, Part.TEXT, _unsubscribe_in_text),
    (Level.ERROR, Part.HTML, _clipped),
    (Level.ERROR, Part.HTML, _residue),
    (Level.ERROR, Part.TEXT, _residue_in_text),
    (Level.ERROR, Part.HTML, _links),
    (Level.ERROR, Part.HTML, _active),
    (Level.ERROR, Part.HTML, _of_page(accessible.language)),
    (Level.ERROR, Part.HTML, _title),
    (Level.ERROR, Part.HTML, _of_page(accessible.alternatives)),
    (Level.ERROR, Part.HTML, _of_page(accessible.readable)),
    (Level.ERROR, Part.TEXT, _text_complete),
    (Level.WARNING, Part.HTML, _near_the_clip),
    (Level.WARNING, Part.HTML, _insecure),
    (Level.WARNING, Part.TEXT, _text_width),
    (Level.WARNING, Part.HTML, _kept_style),
    (Level.WARNING, Part.HTML, _head),
    (Level.WARNING, Part.HTML, _preheader),
    (Level.WARNING, Part.HTML, _images),
    (Level.WARNING, Part.HTML, _control_characters),
    (Level.WARNING, Part.HTML, _outlook),
    *((Level.WARNING, Part.HTML, _of_page(rule)) for rule in accessible.WARNINGS),
)
