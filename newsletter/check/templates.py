"""The operator's templates, judged on the sample day, so that a fault is found on days without papers too."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Final

from newsletter import languages, resources
from newsletter.check.remedies import given_to_us
from newsletter.check.values import Command, Context, Finding, Mail, bad, ok, quoted, warn
from newsletter.config import FeedConfig
from newsletter.errors import ConfigError, NewsletterError, TemplateError
from newsletter.feed import parse
from newsletter.issue.compose import compose
from newsletter.issue.rules import IssueRules
from newsletter.mail.lint import Finding as Fault
from newsletter.mail.lint import Level, Part, lint
from newsletter.mail.render import Renderer
from newsletter.model import Issue, RenderedIssue
from newsletter.text import count

_TAGS: Final = re.compile(r"<[^<>]*+>")
_TEMPLATES: Final = {Part.HTML: "digest.html", Part.TEXT: "digest.txt"}
_NOTE: Final = "a note for the operator"


def templates(context: Context) -> Iterator[Finding]:
    """Faults of the operator's files, and of the mail that they make of the sample day."""
    folder = context.config.templates
    found = list(_catalogues(context))
    if folder is not None and not any(finding.exit_code for finding in found):
        try:
            faults = list(_renderer(context).faults(folder))
            found += [_finding(folder, fault.file, fault.words, fault.meant) for fault in faults]
        except OSError as error:
            say = f"{error.filename or folder}: {error.strerror}"
            ours = folder.stat().st_uid == os.geteuid() and Path(error.filename or folder).stat().st_uid == os.geteuid()
            mend = Command(f"chmod -R u+rX {quoted(folder)}") if ours else given_to_us(folder, whole=True)
            found.append(bad("templates", say, mend, 1))
    if not any(finding.exit_code for finding in found):
        found += _sample(context)
    context.templates_broken = any(finding.exit_code for finding in found)
    yield from found
    if not found:
        yield ok("templates", "the built-in ones" if folder is None else f"{folder}: they render the sample day")


def language(context: Context) -> Iterator[Finding]:
    """How much of the mail's language is translated; what is not stays English."""
    config = context.config
    tag = config.publication.language
    try:
        left = languages.untranslated(tag, config.catalogues)
    except ConfigError:
        return  # the finding about its catalogue has said so
    english = f"; {count(len(left), 'message stays', 'messages stay')} English, such as {left[0]!r}" if left else ""
    yield ok("language", f"{tag}{english}")


def _renderer(context: Context) -> Renderer:
    config = context.config
    return Renderer(config.publication, templates=config.templates, catalogues=config.catalogues)


def _catalogues(context: Context) -> Iterator[Finding]:
    """Faults of the operator's catalogues; those of a language that is not the mail's stop nothing today."""
    config = context.config
    for path in sorted(config.catalogues.glob("*/LC_MESSAGES/messages.po")):
        try:
            languages.read(path)
        except ConfigError as error:
            spoken = path.parts[-3].replace("_", "-").casefold()
            if spoken.partition("-")[0] == config.publication.language.casefold().partition("-")[0]:
                yield bad("templates", str(error), _aside(path))
            else:
                yield warn("templates", str(error), _aside(path))


def _finding(folder: Path, file: Path, words: str, meant: str | None) -> Finding:
    if meant is not None:
        return warn("templates", words, Command(f"mv {quoted(file)} {quoted(folder / meant)}"))
    return bad("templates", words, _aside(file), 1)


def _aside(file: Path) -> Command:
    """Put a file aside: the built-in one then takes its place, until the file is mended."""
    return Command(f"mv {quoted(file)} {quoted(f'{file}.broken')}")


def _sample(context: Context) -> Iterator[Finding]:
    """Render the sample day as `run` would, for readers and with the operator's notes, and look at both parts."""
    publication, folder = context.config.publication, context.config.templates
    try:
        rendered = _renderer(context).noted(sample_issue())[1]
    except TemplateError as error:
        file = error.file or folder
        own = file is not None and folder is not None and file.is_relative_to(folder)  # never a built-in one
        remedy = _aside(file) if own and file else context.command("preview")
        yield bad("templates", str(error), remedy, error.exit_code)
        return
    except NewsletterError as error:
        yield bad("templates", str(error), context.command("preview"), error.exit_code)
        return
    context.mail = context.mail or Mail(rendered, 0)
    faults = lint(rendered, context.config.catalogues)
    for words, part in _missing(rendered, faults, publication.postal_address):
        yield bad("templates", words, _remedy(context, part))
    plain = f"{publication.base_url}/" if (publication.base_url or "").startswith("http:") else None  # its own finding
    warned = [fault for fault in faults if fault.level is Level.WARNING]
    if warnings := [fault for fault in warned if plain is None or plain not in fault.message]:
        more = f" (and {len(warnings) - 1} more)" if len(warnings) > 1 else ""
        yield warn("templates", f"{warnings[0].message}{more}", _remedy(context, _TEMPLATES[warnings[0].part]))


def _remedy(context: Context, part: str) -> Command:
    """What to do about a fault of a part of the mail; a built-in template is never put aside."""
    folder = context.config.templates
    return _aside(_source(folder, part)) if folder is not None else context.command("preview")


def _missing(rendered: RenderedIssue, faults: Iterable[Fault], postal_address: str) -> Iterator[tuple[str, str]]:
    """What the mail must have and has not: a sentence, and the template that should have it."""
    for fault in faults:
        if fault.level is Level.ERROR:
            yield fault.message, _TEMPLATES[fault.part]
    wanted = _words(postal_address)
    for part, text in (("digest.html", html.unescape(_TAGS.sub(" ", rendered.html))), ("digest.txt", rendered.text)):
        if wanted not in _words(text):
            yield f"the mail made of {part} lacks the postal address: {{{{ postal_address }}}}", part


def _words(text: str) -> str:
    return " ".join(text.split()).casefold()


def _source(folder: Path, part: str) -> Path:
    """The operator's file that makes a part of the mail."""
    own = [folder / part, *sorted(folder.glob("_*"))]
    return next((path for path in own if path.exists()), folder / part)


@cache
def sample_issue() -> Issue:
    """The sample day of `newsletter demo`, with a note for the operator."""
    path = resources.find("sample_day.json")
    issue = compose([parse(path.read_bytes(), FeedConfig(str(path)))], date(2026, 11, 24), IssueRules())
    return replace(issue, notes=(_NOTE,))
