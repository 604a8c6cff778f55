"""Excerpts: they begin where a paper says what it did, and end where a sentence or a clause ends."""

from __future__ import annotations

import gzip
import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from newsletter.mail.excerpt import excerpt, sentences, shorten, whole
from newsletter.mail.latex import readable


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("Owls hunt, e.g. voles. Kites do, i.e. by day.", ["Owls hunt, e.g. voles.", "Kites do, i.e. by day."]),
        ("As Gray et al. showed, tides turn. See Fig. 3 and Eq. 2.", 2),
        ("Owls vs. kites. Gains of 3.5 points. GPT-4.5 wins.", 3),
        ("It follows Gray et al. We differ.", ["It follows Gray et al.", "We differ."]),
        ("By J. R. Reed of the U.S. Navy. Done.", ["By J. R. Reed of the U.S. Navy.", "Done."]),
        ("Ships etc. The rest.", ["Ships etc.", "The rest."]),
        ("A lamp... and an oil can. vLLM is used.", ["A lamp... and an oil can.", "vLLM is used."]),
        ("See https://example.org/a.b?c=d. Then go.", ["See https://example.org/a.b?c=d.", "Then go."]),
        ("Tides rise.We measure them.", ["Tides rise.", "We measure them."]),
        ("“It works.” (Really.) Yes.", ["“It works.”", "(Really.)", "Yes."]),
        ("我们提出新方法。效果很好！为什么？", ["我们提出新方法。", "效果很好！", "为什么？"]),
        ("「光る。」と言う。次。", 3),
        ("नाव चलती है। ज्वार आता है।", 2),
        ("With $f(x) = 1. 5$ given. Next.", ["With $f(x) = 1. 5$ given.", "Next."]),
        ("", []),
    ],
)
def test_sentences(text: str, found: list[str] | int) -> None:
    split = sentences(text)
    assert (len(split) if isinstance(found, int) else split) == found


BACKGROUND = "Lighthouses are old. However, their beams remain hard to model. "


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("To judge it, however, evaluation must show more. We bend them.", 300, "We bend them."),
        (BACKGROUND + "We propose Fresnel, a lens for tides.", 300, "We propose Fresnel, a lens for tides."),
        (BACKGROUND + "In this paper, we present a lens.", 300, "We present a lens."),
        (BACKGROUND + "To address this gap, we briefly introduce lenses.", 300, "We briefly introduce lenses."),
        (BACKGROUND + "This paper surveys beams.", 300, "This paper surveys beams."),
        (BACKGROUND + "Here we show that beams bend.", 300, "We show that beams bend."),
        (BACKGROUND + "A new lens is proposed.", 300, "A new lens is proposed."),
        (BACKGROUND + "Experiments show that lenses help.", 300, "Experiments show that lenses help."),
        (BACKGROUND + "Fresnel is a lens for all.", 300, "Fresnel is a lens for all."),
        (
            "We propose a lens. It has rings. It is light. On nine coasts it outperforms mirrors by 12%. It floats.",
            66,
            "We propose a lens. … On nine coasts it outperforms mirrors by 12%.",
        ),
        (
            "We propose a lens. Our method gains 3%. It floats.",
            300,
            "We propose a lens. Our method gains 3%. It floats.",
        ),
        ("We propose a lens. Code is available at https://example.org/x.", 300, "We propose a lens."),
        ("Is it? What can we do? A beam that we call long bends. Beams bend. We bend them.", 20, "We bend them."),
        ("Nothing here says so. It just goes on.", 300, "Nothing here says so. It just goes on."),
        ("It just ends without a stop", 300, "It just ends without a stop."),
        ("A feed cut this text. It goes on to say that the …", 300, "A feed cut this text."),
        ("我们研究潮汐。本文提出新方法。", 8, "我们研究潮汐。"),
        ("潮汐很难预测，因此我们提出一种新的方法来预测它们的高度和时间", 12, "潮汐很难预测。"),
        ("", 300, ""),
    ],
)
def test_an_excerpt(text: str, limit: int, shown: str) -> None:
    assert excerpt(text, limit, "Fresnel") == shown


LONG = (
    "We introduce Fresnel, a lens of concentric rings that bends light at a tenth of the weight, which lets small "
    "harbours have a beam that ships can see from thirty miles away; it is cheap"
)


@pytest.mark.parametrize(
    ("limit", "end"), [(175, "thirty miles away."), (150, "tenth of the weight."), (60, "tenth of the weight.")]
)
def test_a_long_sentence_ends_at_a_clause(limit: int, end: str) -> None:
    assert excerpt(LONG, limit).endswith(end)


@pytest.mark.parametrize(
    "text",
    [
        "While beams are long, we propose rings of glass for them and on and on for all the coasts there are.",
        "This work shows that even with weak lamps in the fog, the beams of old lighthouses can be seen from afar.",
        "We compare (among others, with great care) the lamps, mirrors and lenses of nine hundred coasts of the north.",
    ],
)
def test_a_head_that_cannot_stand_alone_is_no_clause(text: str) -> None:
    assert excerpt(text, 60) == text


def test_a_result_stands_for_a_study_when_both_do_not_fit() -> None:
    study = "We study how beams bend in the fogs of autumn. We find that nine of 10 beams bend by 4%."
    assert excerpt(study, 60) == "We find that nine of 10 beams bend by 4%."


def test_whole_text_stays_whole_or_loses_whole_sentences() -> None:
    assert whole("Short. Enough.", 14) == "Short. Enough."
    assert whole("Short. Enough. Not this one.", 14) == "Short. Enough."
    assert whole("第一句。第二句。", 20) == "第一句。第二句。"


@pytest.mark.parametrize("text", ["a" * 900, "word " * 200, "日本" * 400])
def test_a_text_without_any_end_is_cut_between_words(text: str) -> None:
    shown = whole(text, 100)
    assert shown.endswith("…")
    assert len(shown) <= 100


@pytest.mark.parametrize(
    ("text", "limit", "short"),
    [
        ("Short enough", 12, "Short enough"),
        ("Only one title which goes on and on without an end", 27, "Only one title which goes…"),
        ("A cost of $a + b + c + d + e$ is high and grows all day", 26, "A cost of…"),
        ("研究論文很長很長很長", 6, "研究論文很…"),
        ("", 10, ""),
        ("anything", 0, ""),
    ],
)
def test_a_title_is_cut_between_words(text: str, limit: int, short: str) -> None:
    assert shorten(text, limit) == short


@pytest.mark.parametrize(
    "text", ["a" * 300, "e\u0301" * 200, "👩\u200d🔬" * 100, "word " * 90, "$x$ " * 90, "日本" * 90]
)
def test_the_limit_holds_and_no_character_is_split(text: str) -> None:
    for limit in range(2, 120):
        short = shorten(text, limit)
        assert len(short) <= limit
        body = short.removesuffix("…").rstrip()
        assert text.startswith(body)
        rest = text[len(body) :].lstrip()
        assert not rest or (not unicodedata.combining(rest[0]) and rest[0] not in "\u200d")
        assert not body.endswith("\u200d")
        assert body.count("$") % 2 == 0


@pytest.mark.parametrize(
    "text", ["e.g. " * 20_000, "(" * 90_000, ", we" * 20_000, "$a. " * 20_000, "。" * 90_000, "we " * 30_000]
)
def test_hostile_text_takes_no_longer_than_its_length(text: str) -> None:
    """The time limit of the test suite fails this test if the time is not linear."""
    assert len(excerpt(text, 300, "x")) <= 900
    assert len(whole(text, 300)) <= 900


LIMITS = (118, 340)  # characters


@pytest.fixture(scope="module")
def real_texts(shared_data: Path) -> dict[int, list[str]]:
    """What is shown of the abstract and the summary of every paper of the real days, at each of LIMITS."""
    shown: dict[int, list[str]] = {limit: [] for limit in LIMITS}
    for abstract, summary in texts_in(shared_data):
        for limit in LIMITS:  # at once, since a text's sentences are remembered
            shown[limit] += excerpt(abstract, limit), whole(summary, limit)
    return shown


def texts_in(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.glob("hf/*.json")):
        for entry in json.loads(path.read_text("utf-8")):
            paper = entry["paper"]
            yield readable(" ".join(paper.get("summary", "").split())), paper.get("ai_summary") or ""
    with gzip.open(next(folder.glob("topics/*.gz")), "rt", encoding="utf-8") as lines:
        for line in lines:
            paper = json.loads(line)
            yield readable(" ".join(paper["abstract"].split())), paper["summary"] or ""


@pytest.mark.slow
@pytest.mark.parametrize("limit", LIMITS)
def test_no_real_text_ends_in_the_middle_of_a_sentence(real_texts: dict[int, list[str]], limit: int) -> None:
    shown = [text for text in real_texts[limit] if text]
    assert [text for text in shown if not re.search(r"[.!?][\"'”’)\]]*$", text)] == []
    assert len(shown) > 2_000
