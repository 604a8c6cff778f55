"""Editions joined from pieces are, byte for byte, what is rendered as a whole, and so are their encoded copies."""

from __future__ import annotations

import email
import email.policy
import html
import random
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from newsletter import feed, resources
from newsletter.config import FeedConfig
from newsletter.issue.compose import compose
from newsletter.issue.rules import IssueRules
from newsletter.links import Links
from newsletter.mail.cutting import CannotCut
from newsletter.mail.dkim import Signer
from newsletter.mail.editions import EditionCopies
from newsletter.mail.joining import joined
from newsletter.mail.pieces import Pieces
from newsletter.mail.render import Renderer
from newsletter.model import (
    Delivery,
    FrozenIssue,
    Gain,
    Issue,
    LateRiser,
    Paper,
    Reason,
    ReasonKind,
    RenderedIssue,
    Slot,
)
from tests.conftest import PUBLICATION, issue, paper
from tests.test_mail_dkim import ED25519, RSA, verified

DAY = date(2026, 11, 24)

REASONS = (
    Reason(ReasonKind.TOPIC, "protein design"),
    Reason(ReasonKind.AUTHOR, "Ada & Co <\"Byron\" 'King'>"),
    Reason(ReasonKind.TOPIC, "a topic with {{ braces }} and https://slot.invalid/unsubscribe"),
    Reason(ReasonKind.ORGANISATION, "an institute of the longest of names" * 2),
    Reason(ReasonKind.CATEGORY, "拡散モデル" * 8),
)


def papers(number: int = 60) -> list[Paper]:
    """Papers of all kinds: with and without summary, link, votes, authors; of several feeds; in several scripts."""
    found = []
    for n in range(number):
        text = f"We study owl {n} & its <feathers>. " + "They are soft, and they are many. " * (n % 12)
        found.append(
            paper(
                n,
                title=("Owls: " if n % 3 else "") + f"A study of owl {n}, with ηθική . and more of it" * (1 + n % 3),
                abstract=text if n % 7 else "למדנו ינשופים. " * 5,
                summary=text * 2 if n % 5 == 1 else None,
                upvotes=(None, 0, 12, 3000, -2)[n % 5],
                url=None if n % 11 == 10 else f"https://example.org/{n}?a=1&b='2'",
                authors=() if n % 13 == 12 else ("Ada Lovelace", "Emmy Noether", "Alan Turing", "Grace Hopper"),
                organisation="Example University" if n % 4 else None,
                keywords=("owls", "feathers & more"),
                code_url="https://github.com/example/owl" if n % 2 else None,
                code_stars=1234,
                source="Hugging Face" if n % 9 else "Journal",
                published=DAY - timedelta(days=40 * (n % 3)),
            )
        )
    return found


def some(chosen: random.Random, listed: Sequence[Paper], number: int, **changes: object) -> Issue:
    """An edition of so many of the listed papers."""
    picked = tuple(chosen.sample(listed, min(number, len(listed))))
    reasons = {each.key: chosen.choice(REASONS) for each in picked if chosen.random() < 0.6}
    made = Issue(
        day=DAY,
        papers=picked,
        ranked_by_votes=chosen.random() < 0.7,
        left_out=chosen.choice((0, 1, 90)),
        reasons=reasons,
        pinned={each.key: "author: Ada Lovelace" for each in picked if chosen.random() < 0.1},
        gains={each.key: Gain(DAY - timedelta(days=3), 5) for each in picked if chosen.random() < 0.3},
        rising=tuple(
            LateRiser(each, DAY - timedelta(days=chosen.choice((2, 9))), 7)
            for each in chosen.sample([each for each in listed if each.upvotes], chosen.choice((0, 0, 1, 2)))
        ),
        since=chosen.choice((None, DAY - timedelta(days=6))),
        own=chosen.random() < 0.7,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # names of fields


def differences(renderer: Renderer, editions: Sequence[Issue]) -> list[str]:
    """Where editions that are joined differ from those that are rendered as a whole."""
    pieces = Pieces(renderer)
    found = []
    for each, made in zip(editions, pieces.editions(editions), strict=True):
        whole, parts = renderer.issue(each), joined(made, pieces.made, each.day)
        for name in ("subject", "html", "text"):
            one, other = getattr(whole, name), getattr(parts, name)
            if one != other:
                at = next((n for n, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), -1)
                found.append(
                    f"{len(each.papers)} papers, {name}: {one[at - 60 : at + 60]!r} {other[at - 60 : at + 60]!r}"
                )
    return found


def test_a_key_with_braces_or_a_slot_keeps_why_its_paper_is_there() -> None:
    renderer = Renderer(PUBLICATION)
    one, other, *others = papers(4)
    odd = [replace(one, key="link:https://a.example/{{x}}"), replace(other, key=f"link:{Slot.UNSUBSCRIBE}")]
    each = Issue(day=DAY, papers=(*odd, *others), ranked_by_votes=True, own=True)
    each = replace(each, reasons={paper.key: REASONS[0] for paper in odd}, pinned={odd[1].key: "author: Ada Lovelace"})
    whole = renderer.issue(each)
    assert whole.text.count("your topic: protein design") == 2
    assert whole.text.count("author: Ada Lovelace") == 1
    assert "paper=link:https:%2F%2Fa.example%2F%7B%7Bx%7D%7D&amp;more=1" in whole.html
    assert differences(renderer, [each]) == []


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "de", "es", "fr", "he", "ja", "zh"])
def test_what_is_joined_equals_what_is_rendered_as_a_whole(language: str) -> None:
    """In every language, with few and many papers, late risers, several feeds, and days or weeks."""
    chosen = random.Random(language)
    direction = "rtl" if language == "he" else "ltr"
    renderer = Renderer(replace(PUBLICATION, language=language, direction=direction))
    assert not differences(renderer, [some(chosen, papers(14), number) for number in (1, 3, 6, 9, 14)])


def test_sections_and_a_list_without_a_web_server() -> None:
    chosen = random.Random(1)
    renderer = Renderer(replace(PUBLICATION, base_url=None))
    editions = [some(chosen, papers(), number, by_source=True) for number in (2, 7, 20)]
    assert not differences(renderer, editions)


def test_both_agree_on_what_fits() -> None:
    """A layout is given up, and papers are left out, at the same sizes."""
    chosen = random.Random(2)
    listed = papers(16)
    shown = set()
    for budget in (22_000, 30_000):
        renderer = Renderer(PUBLICATION, budget=budget)
        editions = [some(chosen, listed, number) for number in (8, 16)]
        assert not differences(renderer, editions)
        shown |= {(renderer.issue(each).html.count("<!--paper-->"), len(each.papers)) for each in editions}
    assert any(number < of for number, of in shown)


def test_real_days_are_joined_as_they_are_rendered(shared_data: Path) -> None:
    chosen = random.Random(3)
    renderer = Renderer(PUBLICATION)
    for path in sorted((shared_data / "hf").glob("*.json"))[-1:]:
        day = compose([feed.parse(path.read_bytes(), FeedConfig(path.name))], DAY, IssueRules(max_papers=100))
        listed = list(day.papers)
        assert not differences(renderer, [some(chosen, listed, number, ranked_by_votes=True) for number in (10, 26)])


def test_a_style_for_some_links_is_inlined_like_any_other(tmp_path: Path) -> None:
    """Papers with the same markup share their style attributes. Links that a rule asks for belong to the markup."""
    usual = (resources.find("templates") / "_style.css").read_text("utf-8")
    rule = 'a[href$="/3"] { letter-spacing: 7px; }\n</style>'
    (tmp_path / "_style.css").write_text(usual.replace("</style>", rule, 1), "utf-8")
    renderer = Renderer(PUBLICATION, templates=tmp_path)
    alike = tuple(paper(n, url=f"https://example.org/{n}") for n in range(1, 7))
    edition = Issue(day=DAY, papers=alike, ranked_by_votes=True)
    assert renderer.issue(edition).html.count("letter-spacing:7px") == 2
    assert not differences(renderer, [edition])


def test_templates_that_cannot_be_cut_are_told_from_others(tmp_path: Path) -> None:
    (tmp_path / "digest.txt").write_text("{{ title }}{% for paper in papers %} {{ paper.title }}{% endfor %}", "utf-8")
    with pytest.raises(CannotCut):
        Pieces(Renderer(PUBLICATION, templates=tmp_path)).editions([issue()])


# --- encoded ---------------------------------------------------------------------------------------------------------


def copies(whole: RenderedIssue, pieces: Pieces, *signers: Signer) -> EditionCopies:
    at = datetime(2026, 11, 24, 8, tzinfo=UTC)
    frozen = FrozenIssue(1, 1, whole, PUBLICATION, at, at + timedelta(days=1))
    return EditionCopies(frozen, pieces.made, Links("secret", PUBLICATION), signers)


@pytest.mark.parametrize("base64", [False, True])
def test_a_copy_of_a_joined_edition_is_the_edition_with_its_slots_filled(base64: bool) -> None:
    """Every line is short, none begins with a dot, and DKIM's canonical form of the body is the body itself."""
    chosen = random.Random(4)
    listed = papers()
    if base64:
        listed = [replace(each, title="拡散モデルの研究" * 6, abstract="私たちは研究した。" * 30) for each in listed]
    edition = some(chosen, listed, 12, own=True)
    renderer, links = Renderer(PUBLICATION), Links("secret", PUBLICATION)
    pieces = Pieces(renderer)
    (made,) = pieces.editions([edition])
    delivery = Delivery(1, 2, 3, "0123456789abcdef", "ada=.lovelace@example.org", 0)
    whole = renderer.issue(edition)
    envelope = copies(whole, pieces).of(made).envelope(delivery)
    assert envelope == copies(whole, pieces).of(made).envelope(delivery)
    wire = envelope.message
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n|[\x00-\x08\x0b\x0c\x0e-\x1f]", wire)
    body = wire.partition(b"\r\n\r\n")[2]
    assert max(map(len, body.split(b"\r\n"))) <= 76
    assert not re.search(rb"(?m)^\.|[ \t]{2}|[ \t]\r", body)
    message = email.message_from_bytes(wire, policy=email.policy.SMTP)
    assert message["Subject"] == whole.subject
    fills = {
        Slot.UNSUBSCRIBE: links.unsubscribe(delivery.ref)[0],
        Slot.PREFERENCES: links.preferences(delivery.ref),
        Slot.ADDRESS: delivery.address,
        Slot.FEEDBACK: links.feedback(delivery.ref),
    }
    text, page = whole.text, whole.html
    for slot, value in fills.items():
        text, page = text.replace(slot, value), page.replace(slot, html.escape(value))
    parts = list(message.iter_parts())
    assert [part.get_content().replace("\r\n", "\n") for part in parts] == [text, page]
    assert (parts[0]["Content-Transfer-Encoding"] == "base64") is base64


@pytest.mark.parametrize("title", ["Owls of the north", "拡散モデルの研究" * 6], ids=["quoted-printable", "base64"])
def test_a_copy_of_a_joined_edition_is_signed_with_the_subject_of_its_own(title: str) -> None:
    chosen = random.Random(5)
    listed = [replace(each, title=f"{title} {each.key}", abstract=title * 9, summary=None) for each in papers(12)]
    editions = [some(chosen, listed, number, own=True) for number in (4, 9)]
    pieces = Pieces(renderer := Renderer(PUBLICATION))
    delivery = Delivery(1, 2, 3, "0123456789abcdef", "ada@example.org", 0)
    laid_out = pieces.editions(editions)
    made = copies(renderer.issue(editions[0]), pieces, RSA, ED25519)
    for edition in laid_out:
        raw = made.of(edition).envelope(delivery).message
        assert verified(raw, RSA, ED25519) == [True, True]
        for other in (raw.replace(b"Subject: ", b"Subject: x", 1), raw.replace(b"To: ", b"Subject: x\r\nTo: ", 1)):
            assert verified(other, RSA, ED25519) == [False, False]


def test_a_slot_below_each_paper_is_filled(tmp_path: Path) -> None:
    """Operators may have any link in a card, such as the one to unsubscribe."""
    for name in ("digest.html", "digest.txt"):
        usual = (resources.find("templates") / name).read_text("utf-8")
        (tmp_path / name).write_text(
            usual.replace("{{ paper.title }}", "{{ paper.title }} {{ unsubscribe_url }}"), "utf-8"
        )
    cards = (resources.find("templates") / "_cards.html").read_text("utf-8")
    link = '<a href="https://slot.invalid/preferences">Choose</a> {{ paper.title }}'
    (tmp_path / "_cards.html").write_text(cards.replace("{{ paper.title }}", link), "utf-8")
    renderer, delivery = Renderer(PUBLICATION, templates=tmp_path), Delivery(1, 2, 3, "0123456789abcdef", "a@b.org", 0)
    pieces = Pieces(renderer)
    edition = some(random.Random(6), papers(), 5, own=True)
    (made,) = pieces.editions([edition])
    assert any(Slot.PREFERENCES in piece.html or Slot.UNSUBSCRIBE in piece.text for piece in pieces.made[:-2])
    wire = copies(renderer.issue(edition), pieces).of(made).envelope(delivery).message
    assert b"slot.invalid" not in wire
    assert not re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]", wire)


def test_why_a_paper_is_there_may_stand_in_several_places(tmp_path: Path) -> None:
    """Operators may say it in the list at the top, too, and twice below a title."""
    again = "{{ paper.title }}{% if paper.reason %} ({{ paper.reason }}) {{ paper.reason }}{% endif %}"
    for name in ("digest.html", "digest.txt"):
        usual = (resources.find("templates") / name).read_text("utf-8")
        usual = usual.replace("{{ paper.title | wrap }}", again)
        (tmp_path / name).write_text(
            usual.replace("{{ line | wrap }}", "{{ line | wrap }} {{ paper.reason }}"), "utf-8"
        )
    listing = (resources.find("templates") / "_cards.html").read_text("utf-8")
    listing = listing.replace("<b>{{ paper.title }}</b>", again).replace("{{ paper.brief }}", "{{ paper.reason }}")
    (tmp_path / "_cards.html").write_text(listing, "utf-8")
    renderer, delivery = Renderer(PUBLICATION, templates=tmp_path), Delivery(1, 2, 3, "0123456789abcdef", "a@b.org", 0)
    listed = papers(9)
    edition = Issue(DAY, tuple(listed), ranked_by_votes=True, own=True, feedback=False)
    edition = replace(edition, reasons={each.key: REASONS[0] for each in listed[:7]})
    pieces = Pieces(renderer)
    (made,) = pieces.editions([edition])
    whole = renderer.issue(edition)
    raw = copies(whole, pieces).of(made).envelope(delivery).message
    parts = list(email.message_from_bytes(raw, policy=email.policy.SMTP).iter_parts())
    for part, expected in zip(parts, (whole.text, whole.html), strict=True):
        assert part.get_content().count("your topic: protein design") == expected.count("your topic: protein design")
        assert expected.count("your topic: protein design") > 2 * 7


def test_papers_that_look_alike_in_two_layouts_are_one_piece() -> None:
    """A short abstract is shown whole in both, so that only longer ones are rendered again."""
    alike = [paper(n, title=f"Owl {n}", abstract="We study owls.", upvotes=9) for n in range(40)]
    pieces = Pieces(Renderer(PUBLICATION))
    for number in (3, 9, 15, 40):
        pieces.editions([some(random.Random(number), alike, number, own=True)])
    shown = [(piece.html, piece.text) for piece in pieces.made if piece.html.startswith("<!--paper-->")]
    assert len(shown) == len(set(shown)) > 40
