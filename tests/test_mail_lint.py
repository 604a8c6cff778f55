"""The lint: each rule finds its fault, and a good mail has no findings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from newsletter.languages import direction
from newsletter.mail.colours import colour, contrast
from newsletter.mail.lint import Level, Part, lint
from newsletter.mail.render import Renderer
from newsletter.model import RenderedIssue, Slot
from tests.conftest import PUBLICATION, ROOT, issue, paper


@cache
def good() -> RenderedIssue:
    """A mail without a fault."""
    return Renderer(PUBLICATION).issue(issue())


def html(old: str, new: str) -> RenderedIssue:
    assert old in good().html
    return replace(good(), html=good().html.replace(old, new))


def test_the_built_in_mail_gets_no_remark() -> None:
    assert lint(good()) == []


@pytest.mark.parametrize(
    ("spoil", "level", "said"),
    [
        (lambda: html(Slot.UNSUBSCRIBE, "https://x.example"), Level.ERROR, "the HTML has no unsubscribe link"),
        (
            lambda: replace(good(), text=good().text.replace(Slot.UNSUBSCRIBE, "")),
            Level.ERROR,
            "the text part has no unsub",
        ),
        (lambda: html("</body>", "<p>" + "x " * 60_000 + "</p></body>"), Level.ERROR, "Gmail clips at 102"),
        (lambda: html("Paper number 1", "{{ title }}"), Level.ERROR, "template syntax: "),
        (lambda: replace(good(), text=good().text + "{% if x %}"), Level.ERROR, "the text part shows what looks like"),
        (lambda: html("https://arxiv.org/abs", "/abs"), Level.ERROR, "is not an absolute http(s) or mailto link"),
        (lambda: html("https://arxiv.org/abs", "javascript:x"), Level.ERROR, "is not an absolute"),
        (lambda: html("</body>", "<script>1</script></body>"), Level.ERROR, "<script> is not allowed"),
        (lambda: html("<body", "<body onload=x"), Level.ERROR, "<body onload=...> is not allowed"),
        (lambda: html('lang="en"', ""), Level.ERROR, "<html> has no lang"),
        (lambda: html("<title>", "<title></title><p>"), Level.ERROR, "<title> is missing or empty"),
        (lambda: html("</body>", '<img src="https://x.example/a.png"></body>'), Level.ERROR, "has no alt"),
        (lambda: html("color:#57606a", "color:#aaaaaa"), Level.ERROR, "#aaaaaa on #ffffff in light mode"),
        (
            lambda: html(".kicker, .under, .meta, .links, .small, .by, .glance { color: #a7b0bb", ".x { color: #fff"),
            Level.ERROR,
            "in dark mode",
        ),
        (lambda: replace(good(), text=f"Unsubscribe: {Slot.UNSUBSCRIBE}"), Level.ERROR, "the text part lacks words"),
        (lambda: html("https://arxiv.org/abs", "http://arxiv.org/abs"), Level.WARNING, "is http, not https"),
        (lambda: replace(good(), text=good().text + "word " * 20), Level.WARNING, "has 100 characters, more than 78"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_rule_finds_what_it_is_for(spoil: Callable[[], RenderedIssue], level: Level, said: str) -> None:
    found = lint(spoil())
    part = Part.TEXT if "text part" in said or "characters" in said else Part.HTML
    assert any((finding.level, finding.part) == (level, part) and said in finding.message for finding in found), found


@pytest.mark.slow
@pytest.mark.parametrize("tag", ["de", "es", "fr", "he", "ja", "zh"])
def test_english_words_in_a_mail_of_another_language_are_told(tag: str, tmp_path: Path) -> None:
    publication = replace(PUBLICATION, language=tag, direction=direction(tag))
    contents = issue(*(paper(n, authors=("A", "B", "C", "D", "E"), author_count=5) for n in range(1, 9)))
    assert lint(Renderer(publication).issue(contents)) == []
    (tmp_path / "_cards.html").write_text(
        (ROOT / "templates" / "_cards.html")
        .read_text("utf-8")
        .replace("{% trans %}At a glance{% endtrans %}", "At a glance")
    )
    (tmp_path / "digest.html").write_text(
        "{% extends 'builtin/digest.html' %}{% block more %}<tr><td><p>12 upvotes</p><p>Ada and 3 more</p>"
        '<p lang="en">Subscribe</p></td></tr>{% endblock %}'
    )
    (tmp_path / "digest.txt").write_text("{% extends 'builtin/digest.txt' %}")
    found = [each.message for each in lint(Renderer(publication, templates=tmp_path).issue(contents))]
    assert [message.rpartition(" is English")[0] for message in found if "English" in message] == [
        repr("%(names)s and %(num)s more"), repr("%(votes)s upvotes"), repr("At a glance")
    ]  # fmt: skip


def test_errors_come_before_warnings() -> None:
    spoilt = replace(html("<title>", "<title></title><p>"), text=good().text + "word " * 20)
    assert [finding.level for finding in lint(spoilt)] == sorted(finding.level for finding in lint(spoilt))


def test_contrast_is_that_of_wcag() -> None:
    black, white, grey = (0, 0, 0), (255, 255, 255), (119, 119, 119)
    assert contrast(black, white) == pytest.approx(21)
    assert contrast(grey, white) == pytest.approx(4.48, abs=0.01)
    assert contrast(white, grey) == contrast(grey, white)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("#FfF", (255, 255, 255)),
        ("#1c2128", (28, 33, 40)),
        (" rgb(1, 2,3)", (1, 2, 3)),
        ("rgb(1 2 3 / 1)", (1, 2, 3)),
        ("navy", (0, 0, 128)),
        ("transparent", None),
        ("rgba(1, 2, 3, 0.5)", None),
        ("var(--x)", None),
        ("", None),
    ],
)
def test_a_colour_is_read_as_css_writes_it(written: str, meant: tuple[int, int, int] | None) -> None:
    assert colour(written) == meant
