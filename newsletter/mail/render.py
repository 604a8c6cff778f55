"""Render an issue with Jinja2 templates to plain text and HTML. premailer inlines the CSS once per issue.

Operators may bring their own templates. Text from feeds is not trusted: the environment is sandboxed and strict, HTML
is escaped, and templates get plain values only. `context` makes these, and templates/README.md documents them; a test
compares the two.
"""

from __future__ import annotations

import hashlib
import re
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final, Protocol

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup, escape

from newsletter import resources
from newsletter.errors import ConfigError, TemplateError
from newsletter.languages import ENGLISH, Language, UnknownLanguage, direction_of, find, language_of
from newsletter.links import TOKEN_LENGTH
from newsletter.mail.cards import LAYOUTS, MOST_ROWS, Layout, context, leading, nothing, ranks_of, shared
from newsletter.mail.compiled import Compiled, folder_of_python
from newsletter.mail.latex import readable
from newsletter.mail.templates import TemplateFault, faults
from newsletter.mail.wrap import wrap
from newsletter.model import SLOT_HOST, Issue, Paper, Publication, Reason, RenderedIssue, Slot
from newsletter.text import without

# Gmail clips a mail near 102 KB of HTML, and the unsubscribe link with it. What else it counts is not documented, so
# there is a margin.
BUDGET: Final = 90 * 1024  # bytes of UTF-8 after inlining


# Beginnings of the names of files in a template folder that are not used to render an issue.
_NOT_OF_AN_ISSUE: Final = ("README", "confirm.", ".")

# Comments in the template mark the notes for the operator. The HTML is inlined once with the notes, and they are cut
# out for everybody else. An operator's own template without these comments is rendered twice.
_NOTES: Final = ("<!--notes-->", "<!--/notes-->")

_BRACES: Final = re.compile(r"\{(?=[{%])|[}%](?=\})")

_NOT_SHOWN: Final = re.compile(r"<[!?][^<>]*+>")  # comments, declarations

# Factor by which inlining enlarges the HTML: the least seen, and the usual one of a page with many rows.
_LEAST_GROWTH: Final = 1.4
_GROWTH: Final = 1.56


# The environment that a Renderer makes decides, too, how a template is compiled.
_COMPILED: Final = Compiled(folder_of_python(), Path(__file__).stat().st_mtime_ns)


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, in which ``paper.title`` is looked up as the entry that it is, rather than first as a method."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        """The entry of a dict, else what the sandbox allows."""
        if type(obj) is dict and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)


class Renderer:
    """Renders the issues, letters and web pages of one publication.

    Files in the folder `templates` replace built-in templates of the same name, catalogues in the folder `catalogues`
    come before the built-in ones. `budget` is the limit for the HTML of an issue in bytes. Raises ConfigError if the
    language is unknown or a catalogue is wrong.
    """

    def __init__(
        self,
        publication: Publication,
        *,
        templates: Path | None = None,
        catalogues: Path | None = None,
        budget: int = BUDGET,
    ) -> None:
        self.publication = publication
        self.budget = budget
        self._catalogues = catalogues
        self.language = self._load(publication.language)
        builtin = jinja2.FileSystemLoader(resources.find("templates"))
        own = [jinja2.FileSystemLoader(templates)] if templates is not None else []
        self._folders = tuple(str(path) for path in (templates, resources.find("templates")) if path is not None)
        self._environment = _Environment(
            loader=jinja2.ChoiceLoader([*own, builtin, jinja2.PrefixLoader({"builtin": builtin})]),
            autoescape=lambda name: name is not None and name.endswith(".html"),
            undefined=jinja2.StrictUndefined,
            bytecode_cache=_COMPILED,
            extensions=["jinja2.ext.i18n"],
        )
        _speak(self._environment, self.language)
        self._environment.globals |= {"written": partial(_written, publication), "ours": partial(_ours, publication)}

    def language_of(self, publication: Publication) -> Language:
        """The language of `publication`, which is another than `language` if its issue was frozen before a change.

        It is English if there are no words in it any more.
        """
        if publication.language == self.language.tag:
            return self.language
        try:
            return Language.load(publication.language, self._catalogues)
        except UnknownLanguage:
            return ENGLISH

    def _load(self, tag: str) -> Language:
        try:
            return Language.load(tag, self._catalogues)
        except UnknownLanguage as error:
            raise ConfigError(str(error), key="language") from error

    def issue(self, issue: Issue) -> RenderedIssue:
        """Render `issue` without its notes; the result still has its slots. Papers that do not fit are left out.

        Raises TemplateError with the template's file and line, and ValueError if the issue has no papers.
        """
        return self.noted(replace(issue, notes=()))[0]

    def noted(self, issue: Issue) -> tuple[RenderedIssue, RenderedIssue]:
        """As `issue`, and the edition of the operator, which also has `issue.notes`; the same twice without notes."""
        if not issue.papers:
            raise ValueError("an issue with no papers is not a mail")
        issue = readable_issue(issue)
        html, shown = self._fitted(issue)
        noted = RenderedIssue(issue.day, shown["subject"], html, tidy(self._render("digest.txt", shown)))
        if not issue.notes:
            return noted, noted
        shown["notes"] = []
        others = without(html, *_NOTES) if _NOTES[0] in html else inline(self._render("digest.html", shown))
        return replace(noted, html=others, text=tidy(self._render("digest.txt", shown))), noted

    def nothing(self, issue: Issue) -> RenderedIssue:
        """The mail for readers who want to be told that no paper of `issue` fits what they chose."""
        shown = nothing(self.publication, issue, self.language)
        html = inline(self._render("digest.html", shown))
        return RenderedIssue(issue.day, shown["subject"], html, tidy(self._render("digest.txt", shown)))

    def letter(self, name: str, **values: Any) -> tuple[str, str, str]:
        """Render another mail from the templates `name`.txt and `name`.html: its subject, text and inlined HTML.

        The first line of the text template is the subject. Both templates get the same values as in `page`.
        """
        subject, _, text = self.page(f"{name}.txt", **values).strip().partition("\n")
        return subject.removeprefix("Subject:").strip(), tidy(text), inline(self.page(f"{name}.html", **values))

    def page(self, name: str, **values: Any) -> str:
        """Render the template `name`, which gets the values of `shared` and `values`. Raises TemplateError."""
        return self._render(name, shared(self.publication) | values)

    def _fitted(self, issue: Issue) -> tuple[str, dict[str, Any]]:
        """The inlined HTML within the budget, and the template context it was rendered with."""
        fit = fitting(self.budget)
        layout, kept = next(fit)
        while True:
            whole = _Whole(self, issue, layout, kept)
            try:
                layout, kept = fit.send(whole)
            except StopIteration:
                return whole.html, whole.shown

    def size(self, html: str) -> int:
        """Bytes of a copy of inlined `html`, in which lines end in CRLF and links are longer than their slots."""
        size = len(html.encode()) + html.count("\n")
        for slot in (Slot.FEEDBACK, Slot.UNSUBSCRIBE, Slot.PREFERENCES):
            link = f"{self.publication.base_url}/{slot.rpartition('/')[2]}/"
            size += max(0, len(link) + TOKEN_LENGTH - len(slot)) * html.count(slot)
        return size

    def fingerprint(self) -> str:
        """SHA-256 (hex) of all that an issue is rendered with: its templates, and the catalogues of the language."""
        digest = hashlib.sha256()
        for folder in self._folders:
            for path in sorted(Path(folder).iterdir()):
                if path.is_file() and not path.name.startswith(_NOT_OF_AN_ISSUE):
                    digest.update(f"{path.name}\0".encode() + path.read_bytes() + b"\0")
        for path in find(self.language.tag, self._catalogues):
            digest.update(path.read_bytes() + b"\0")
        return digest.hexdigest()

    def ready(self) -> None:
        """Load what an issue is rendered with, for a time in which the program would wait. Raises TemplateError."""
        from newsletter.mail import inliner  # noqa: F401 - `inline` needs it

        self.check("digest.html", "digest.txt")

    def check(self, *names: str) -> None:
        """Load and compile these templates. Raises TemplateError if one is missing or has a syntax error."""
        for name in names:
            with self._template_errors(name):
                self._environment.get_template(name)

    def faults(self, folder: Path) -> Iterator[TemplateFault]:
        """What is wrong with the operator's templates in `folder`, without values to render them. Raises OSError."""
        return faults(folder, self._environment)

    def _render(self, name: str, values: Mapping[str, Any]) -> str:
        with self._template_errors(name):
            template = self._environment.get_template(name)
            rendered = template.render(values)
        if name.endswith(".html") and not _NOT_SHOWN.sub("", rendered).strip():  # premailer has nothing to work on
            raise _broken(str(template.filename), None, "it gives an empty page")
        return rendered

    @contextmanager
    def _template_errors(self, name: str) -> Iterator[None]:
        """Turn any error that the template `name` raises into a TemplateError."""
        try:
            yield
        except jinja2.TemplateSyntaxError as error:
            raise _broken(error.filename or str(error.name), error.lineno, error.message or "") from error
        except jinja2.TemplateNotFound as error:
            raise _broken(*self._where(error, name), f"there is no template {error.name}") from error
        except Exception as error:  # a template can raise any exception
            raise _broken(*self._where(error, name), str(error) or type(error).__name__) from error

    def _where(self, error: Exception, name: str) -> tuple[str, int | None]:
        """File and line of the template that failed, from the traceback; if unknown, `name` and None."""
        frames = traceback.extract_tb(error.__traceback__)
        places = [(frame.filename, frame.lineno) for frame in frames if frame.filename.startswith(self._folders)]
        return places[-1] if places else (name, None)


def _broken(file: str, line: int | None, reason: str) -> TemplateError:
    return TemplateError(f"{file}:{line}: {reason}" if line else f"{file}: {reason}", Path(file))


# --- what fits -------------------------------------------------------------------------------------------------------


class Sizes(Protocol):
    """The bytes of a mail's HTML before inlining and those of a copy, and those of its papers, in their order."""

    @property
    def page_size(self) -> int:
        """Before inlining."""

    @property
    def papers_of_page(self) -> Sequence[int]:
        """Of each paper, before inlining."""

    @property
    def size(self) -> int:
        """Of a copy."""

    @property
    def papers(self) -> Sequence[int]:
        """Of each paper in a copy."""


def fitting(budget: int) -> Generator[tuple[Layout, int | None], Sizes]:
    """The layouts to try until a mail fits into `budget` bytes, each with the number of papers shown (None for all).

    Each answer is sent the sizes that the layout leads to; the last layout is the one to use. Inlining is the most
    expensive step, so the size after it is not asked of a page that cannot fit.
    """
    for layout in LAYOUTS:
        sizes = yield layout, None
        if sizes.page_size * _LEAST_GROWTH <= budget and sizes.size <= budget:
            return
    kept = _kept(sizes.papers_of_page, sizes.page_size, budget / _GROWTH)
    while True:
        sizes = yield layout, kept
        if kept == 1 or sizes.size <= budget:
            return
        kept = min(kept - 1, _kept(sizes.papers, sizes.size, budget))


def must_fit(page: int, size: int, budget: int) -> bool:
    """Whether a mail fits into `budget` bytes that has `page` bytes before inlining, and `size` after it."""
    return page * _LEAST_GROWTH <= budget and size <= budget


def _kept(papers: Sequence[int], size: int, budget: float) -> int:
    """How many of these papers would fit into `budget` bytes, of a mail of `size` bytes with all of them."""
    kept = len(papers)
    while kept > 1 and size > budget - 400:  # 400 bytes for the line about the papers left out
        kept -= 1
        size -= papers[kept]
    return kept


class _Whole:
    """A mail rendered in one layout: its `Sizes`. It is inlined when that is first asked for."""

    def __init__(self, renderer: Renderer, issue: Issue, layout: Layout, kept: int | None) -> None:
        self._size = renderer.size
        self.shown = context(renderer.publication, issue, layout, renderer.language, kept=kept)
        self.page = renderer.page("digest.html", **self.shown)

    @cached_property
    def html(self) -> str:
        """The page after inlining."""
        return inline(self.page)

    @property
    def page_size(self) -> int:
        return len(self.page.encode())

    @property
    def papers_of_page(self) -> Sequence[int]:
        return [len(paper.encode()) for paper in _papers_of(self.page)]

    @property
    def size(self) -> int:
        return self._size(self.html)

    @property
    def papers(self) -> Sequence[int]:
        return list(map(self._size, _papers_of(self.html)))


def _papers_of(html: str) -> list[str]:
    """The HTML of each paper in a mail. Comments in the template mark them."""
    return html.partition("<!--end-->")[0].split("<!--paper-->")[1:]


# --- HTML ------------------------------------------------------------------------------------------------------------


def inline(html: str) -> str:
    """`html` with the rules of its <style> copied into style attributes, for mail clients that drop <style>."""
    from newsletter.mail import inliner  # takes 40 ms to import, and pages do not need it

    return inliner.inline(html)


def _speak(environment: jinja2.Environment, language: Language) -> None:
    """Give templates the messages of `language`, and the ways in which it writes dates, numbers and lists.

    A catalogue holds plain text: in a template of HTML it is escaped, as everything is, and Jinja2 then fills in the
    placeholders. No part of it is ever compiled as a template.
    """

    def plain(context: jinja2.nodes.EvalContext, text: str) -> str:
        return escape(text) if context.autoescape else text

    @jinja2.pass_eval_context
    def gettext(context: jinja2.nodes.EvalContext, message: str) -> str:
        return plain(context, language.raw(message))

    @jinja2.pass_eval_context
    def ngettext(context: jinja2.nodes.EvalContext, one: str, many: str, number: int) -> str:
        return plain(context, language.raw_plural(one, many, number))

    @jinja2.pass_eval_context
    def pgettext(context: jinja2.nodes.EvalContext, about: str, message: str) -> str:
        return plain(context, language.raw_in_context(about, message))

    environment.policies["ext.i18n.trimmed"] = True
    environment.install_gettext_callables(  # type: ignore[attr-defined]  # an extension adds it
        gettext, ngettext, newstyle=True, pgettext=pgettext
    )
    spoken: dict[str, Callable[..., str]] = {
        "number": language.number,
        "join_names": language.join,
        "isolate": language.isolated,
    }
    environment.filters |= {"wrap": wrap} | {name: _late(act) for name, act in spoken.items()}


def _late(act: Callable[..., str]) -> Callable[..., str]:
    """The filter `act`, which Jinja2 calls for a constant too when it renders: all languages share what it compiles."""

    @jinja2.pass_context
    def late(context: jinja2.runtime.Context, *values: Any) -> str:
        return act(*values)

    return late


def _written(publication: Publication, text: str, *more: str | None, align: bool = True) -> Markup:
    """The HTML attributes of an element that shows `text` of a feed: its language and direction, where they differ.

    `more` is further text of the same paper, from which the language shows better than from a title. A text that runs
    against the direction of the page is also aligned to its own side, unless `align` is false.
    """
    language, direction = language_of(" ".join((text, *filter(None, more)))), direction_of(text)
    said = f' lang="{language}"' if language != publication.language.partition("-")[0] else ""
    said += f' dir="{direction}"'
    if align and direction != publication.direction:
        said += f' style="text-align:{"right" if direction == "rtl" else "left"}"'
    return Markup(said)  # noqa: S704 - made of our own words alone


def _ours(publication: Publication, text: str) -> Markup:
    """The attributes of words of ours within an element that has those of `_written`, if they are needed there."""
    if language_of(text) == publication.language.partition("-")[0] and direction_of(text) == publication.direction:
        return Markup("")
    return Markup(' lang="{}" dir="{}"').format(publication.language, publication.direction)


def tidy(text: str) -> str:
    """`text` without trailing spaces and with at most one empty line in a row, ending in one line feed."""
    lines = "\n".join([line.rstrip(" \t") for line in text.split("\n")])
    return re.sub(r"\n{3,}", "\n\n", lines).strip() + "\n"


# --- feed text -------------------------------------------------------------------------------------------------------


def readable_issue(issue: Issue) -> Issue:
    """The issue with LaTeX as text, and without text that could be taken for a slot or template syntax."""
    papers = tuple(map(shown_paper, issue.papers[:MOST_ROWS]))
    if len(issue.papers) > MOST_ROWS:
        shown = set(leading(ranks_of(issue), MOST_ROWS))
        papers = tuple(shown_paper(each) if at in shown else each for at, each in enumerate(issue.papers))
    rising = tuple(replace(each, paper=shown_paper(each.paper)) for each in issue.rising)
    reasons = {key: readable_reason(why) for key, why in issue.reasons.items()}
    return replace(issue, papers=papers, rising=rising, reasons=reasons, notes=_escape_slots(issue.notes))


def readable_reason(why: Reason) -> Reason:
    """The reason as a mail shows it; see `readable_issue`."""
    words = _escape_slots(why.words)
    return why if words == why.words else Reason(why.kind, words)


def shown_paper(paper: Paper) -> Paper:
    """The paper as a mail shows it; see `readable_issue`. The key stays as it is, since no mail shows it."""
    return replace(_readable_paper(_said(paper)), key=paper.key)


def _said(paper: Paper) -> Paper:
    """The paper without an abstract that a mail does not show, because there is a summary."""
    return replace(paper, abstract="") if paper.summary else paper


def legible(issue: Issue) -> Issue:
    """The issue with the text of all its papers as readers see it: LaTeX as text, nothing that looks like a slot."""
    rising = tuple(replace(each, paper=_readable_paper(each.paper)) for each in issue.rising)
    return replace(issue, papers=tuple(map(_readable_paper, issue.papers)), rising=rising)


def _readable_paper(paper: Paper) -> Paper:
    paper = replace(
        paper,
        title=readable(paper.title),
        abstract=readable(paper.abstract),
        summary=readable(paper.summary) if paper.summary else None,
        authors=tuple(map(readable, paper.authors)),  # arXiv's feeds have accents in LaTeX, as in Andr\'e
    )
    return Paper(**{field.name: _escape_slots(getattr(paper, field.name)) for field in fields(Paper)})


def _escape_slots(value: Any) -> Any:
    """Feed text changed so that neither a slot nor, in the lint, template syntax is found in it."""
    if isinstance(value, str):
        if "{" not in value and "}" not in value and SLOT_HOST not in value:
            return value
        return _BRACES.sub(r"\g<0> ", value.replace(SLOT_HOST, "slot-invalid"))
    return tuple(map(_escape_slots, value)) if isinstance(value, tuple) else value
