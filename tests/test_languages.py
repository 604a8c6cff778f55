"""Languages: every catalogue is complete and sound, and no word of a mail or a page stays in English."""

from __future__ import annotations

import gettext
import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.plurals import get_plural

from newsletter import config as configs
from newsletter import resources
from newsletter.addresses import Fault, fault_of
from newsletter.bounces import parse
from newsletter.errors import ConfigError
from newsletter.languages import (
    ENGLISH,
    Language,
    UnknownLanguage,
    direction,
    direction_of,
    find,
    language_of,
    untranslated,
    words_to_leave,
)
from newsletter.languages.catalogue import faults
from newsletter.languages.catalogue import parse as parse_catalogue
from newsletter.mail.lint import Level, lint
from newsletter.mail.render import Renderer
from newsletter.mail.wrap import columns, wrap
from newsletter.model import (
    Gain,
    Issue,
    LateRiser,
    Paper,
    Publication,
    RenderedIssue,
    ReportKind,
)
from tests import messages
from tests.conftest import PUBLICATION, issue, paper
from tests.inbox import Inbox
from tests.pages import Site
from tests.test_archive import publish
from tests.test_cli import Site as Operator

BUILT_IN = ("de", "es", "fr", "he", "ja", "zh")
DAY = date(2026, 11, 24)

HEADER = r"""msgid ""
msgstr ""
"Content-Type: text/plain; charset=utf-8\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\n"

"""


@pytest.fixture(scope="module")
def source() -> Catalog:
    """The messages of the templates and the code."""
    return messages.extracted()


def texts(message: Message) -> tuple[str, ...]:
    """A message's translations."""
    return tuple(message.string) if isinstance(message.string, (tuple, list)) else (message.string or "",)


# --- the built-in catalogues -----------------------------------------------------------------------------------------


def test_these_languages_are_built_in() -> None:
    assert tuple(messages.catalogues()) == BUILT_IN


@pytest.mark.parametrize("tag", BUILT_IN)
def test_a_catalogue_translates_every_message_and_no_other(tag: str, source: Catalog) -> None:
    catalogue = parse_catalogue(messages.catalogues()[tag])
    known = {(each.context, each.id): each for each in catalogue if each.id}
    assert set(known) == {(each.context, each.id) for each in source if each.id}, "run `make messages`"
    assert [each.id for each in known.values() if each.fuzzy or not all(texts(each))] == []


@pytest.mark.parametrize("tag", BUILT_IN)
def test_a_catalogue_is_sound(tag: str) -> None:
    catalogue = parse_catalogue(messages.catalogues()[tag])
    assert list(faults(catalogue)) == []
    assert catalogue.num_plurals == get_plural(tag)[0] or tag in ("es", "fr", "he")  # CLDR adds forms for millions
    assert [each.id for each in catalogue if each.id and any("  " in text for text in texts(each))] == []


@pytest.mark.parametrize("tag", BUILT_IN)
def test_a_translation_is_none_of_the_english_words(tag: str) -> None:
    same = {
        "Code",
        "Paper:",
        "Site",
        "%(votes)s vote",
        "Pause",
        "Discussion",
        "organisation: %(name)s",
        "Organisations",
    }  # words that are also German, French or Spanish
    for message in parse_catalogue(messages.catalogues()[tag]):
        english = message.id if isinstance(message.id, str) else message.id[0]
        if re.search(r"[A-Za-z]", re.sub(r"%\(\w+\)s", "", english)):
            assert english in same or english not in texts(message), english


@pytest.mark.parametrize("tag", BUILT_IN)
def test_punctuation_is_the_language_s_own(tag: str) -> None:
    said = [text for message in parse_catalogue(messages.catalogues()[tag]) if message.id for text in texts(message)]
    wrong = {
        "fr": r"[^\u00a0][:;?!»](?!\w)|«[^\u00a0]|'|\.\.\.",
        "zh": r"[\u4e00-\u9fff][,:;?!.](?!\d)",
        "ja": r"[\u3040-\u9fff][,;?!.](?!\d)",
    }.get(tag, r"'|\"|\.\.\.")
    leave = "with commas"
    assert [text for text in said if re.search(wrong, text) and ", " not in text and leave not in text] == []


def test_nothing_of_the_source_is_marked_in_a_way_that_extraction_does_not_find(source: Catalog) -> None:
    assert len(source) > 100
    assert {each.id for each in source if "%(" in str(each.id) and "%(num)s" in str(each.id)}
    assert [
        each.id for each in source if isinstance(each.id, str) and re.search(r"[<>&{}]", each.id)
    ] == []  # plain text


# --- which language a tag means --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tag", "catalogue"),
    [
        ("de", "de"),
        ("de-AT", "de"),
        ("DE_ch", "de"),
        ("zh", "zh"),
        ("zh-Hans", "zh"),
        ("zh_CN", "zh"),
        ("zh-SG", "zh"),
        ("cmn", "zh"),
        ("deu-DE", "de"),
        ("iw", "he"),
        ("ja-JP", "ja"),
        ("fr-CA", "fr"),
        ("es-419", "es"),
    ],
)
def test_a_region_or_an_old_code_gets_the_language(tag: str, catalogue: str) -> None:
    assert [path.parent.parent.name for path in find(tag)] == [catalogue]


@pytest.mark.parametrize("tag", ["en", "en-GB", "en-US", "EN"])
def test_english_needs_no_catalogue(tag: str) -> None:
    assert find(tag) == ()


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ("zh-TW", "did you mean zh?"),  # which is simplified: not to be had without asking
        ("zh-Hant", "did you mean zh?"),
        ("german", "did you mean de?"),
        ("Deutsch", "did you mean de?"),
        ("francais", "did you mean fr?"),
        ("dee", "did you mean de?"),
        ("xx", "known: de, en, es, fr, he, ja, zh"),
    ],
)
def test_an_unknown_language_is_answered_with_the_nearest_known(tag: str, said: str) -> None:
    with pytest.raises(UnknownLanguage) as caught:
        find(tag)
    assert said in str(caught.value)
    assert repr(tag) in str(caught.value)


def own_catalogue(folder: Path, tag: str, text: str, header: str = HEADER) -> Path:
    """Write a catalogue of the operator; returns the folder of catalogues."""
    path = folder / "locale" / tag / "LC_MESSAGES" / "messages.po"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(header + text, "utf-8")
    return folder / "locale"


def test_an_operator_s_catalogue_adds_a_language(tmp_path: Path) -> None:
    own = own_catalogue(tmp_path, "pt_BR", 'msgid "Late risers"\nmsgstr "Subiram tarde"\n')
    language = Language.load("pt-BR", own)
    assert language.gettext("Late risers") == "Subiram tarde"
    assert language.gettext("Save") == "Save"  # what it lacks stays English
    assert language.long_date(DAY) == "24 de novembro de 2026"
    assert Language.load("pt", own).gettext("Late risers") == "Subiram tarde"  # the only Portuguese there is


def test_an_operator_s_catalogue_comes_before_the_built_in_one(tmp_path: Path) -> None:
    own_catalogue(tmp_path, "de", 'msgid "Save"\nmsgstr "Sichern"\n')
    own = own_catalogue(tmp_path, "de_AT", 'msgid "Leave"\nmsgstr "Austreten"\n')
    said = [Language.load("de-AT", own).gettext(each) for each in ("Leave", "Save", "Pause", "Confirm")]
    assert said == ["Austreten", "Sichern", "Pause", "Bestätigen"]
    assert Language.load("de", own).gettext("Leave") == "Abmelden"


def test_traditional_chinese_can_be_added(tmp_path: Path) -> None:
    own = own_catalogue(tmp_path, "zh_Hant", 'msgid "Save"\nmsgstr "儲存"\n')
    assert Language.load("zh-TW", own).gettext("Save") == "儲存"
    assert Language.load("zh-CN", own).gettext("Save") == "保存"


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("en", "ltr"),
        ("he", "rtl"),
        ("iw", "rtl"),
        ("ar-EG", "rtl"),
        ("fa", "rtl"),
        ("az-Arab", "rtl"),
        ("ar-Latn", "ltr"),
    ],
)
def test_the_direction_is_the_language_s(tag: str, expected: str) -> None:
    assert direction(tag) == expected


# --- config.yaml -----------------------------------------------------------------------------------------------------


def write_config(folder: Path, more: str) -> Path:
    text = resources.find("config.yaml").read_text("utf-8")
    kept = [
        line for line in text.splitlines() if not line.startswith(("language:", "direction:", "secret:", "templates:"))
    ]
    path = folder / "config.yaml"
    path.write_text("\n".join([*kept, "secret: a secret of this test", more]), "utf-8")
    return path


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", ("en", "ltr")),
        ("language: he", ("he", "rtl")),
        ("language: he\ndirection: null", ("he", "rtl")),
        ("language: he\ndirection: ltr", ("he", "ltr")),
        ("language: zh_cn", ("zh-CN", "ltr")),
    ],
)
def test_the_language_implies_the_direction(tmp_path: Path, more: str, expected: tuple[str, str]) -> None:
    publication = configs.load(write_config(tmp_path, more)).publication
    assert (publication.language, publication.direction) == expected


def test_an_unknown_language_is_a_mistake_in_the_configuration(tmp_path: Path) -> None:
    path = write_config(tmp_path, "language: dee")
    with pytest.raises(ConfigError) as caught:
        configs.load(path)
    line = path.read_text("utf-8").splitlines().index("language: dee") + 1
    assert str(caught.value).startswith(f"{path}:{line}: language: there are no words in the language 'dee'")
    assert "known: de, en" in str(caught.value)
    assert caught.value.exit_code == 78


def test_catalogues_of_the_operator_stand_beside_the_templates(tmp_path: Path) -> None:
    own_catalogue(tmp_path, "pt", 'msgid "Save"\nmsgstr "Salvar"\n')
    assert configs.load(write_config(tmp_path, "language: pt")).catalogues == tmp_path / "locale"
    elsewhere = tmp_path / "etc" / "templates"
    elsewhere.mkdir(parents=True)
    own_catalogue(tmp_path / "etc", "nl", 'msgid "Save"\nmsgstr "Opslaan"\n')
    config = configs.load(write_config(tmp_path, f"language: nl\ntemplates: {elsewhere}"))
    assert Language.load("nl", config.catalogues).gettext("Save") == "Opslaan"


# --- a catalogue that is wrong ---------------------------------------------------------------------------------------

PLURAL = 'msgid "%(num)s paper"\nmsgid_plural "%(num)s papers"\n'


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (PLURAL + 'msgstr[0] "%(num)s artigo"\n', 6, "msgstr[1] is missing, of 2 plural forms"),
        (PLURAL + 'msgstr[0] "%(num)s artigo"\nmsgstr[1] ""\n', 6, "msgstr[1] is missing"),
        (PLURAL + 'msgstr[0] "um artigo"\nmsgstr[1] "artigos"\n', 6, "msgstr[1] lacks the placeholder %(num)s"),
        (PLURAL + 'msgstr[0] "a"\nmsgstr[1] "%(num)s b"\nmsgstr[2] "%(num)s c"\n', 6, "more translations"),
        ('msgid "Leave %(title)s?"\nmsgstr "Sair?"\n', 6, "lacks the placeholder %(title)s"),
        ('msgid "Leave %(title)s?"\nmsgstr "Sair de %(titulo)s e %(title)s?"\n', 6, "%(titulo)s, which the English"),
        ('msgid "Leave %(title)s?"\nmsgstr "Sair de %(title)d?"\n', 6, "lacks the placeholder %(title)s"),
        ('msgid "Leave %(title)s?"\nmsgstr "Sair de %(title)s %s?"\n', 6, "a % that is part of no placeholder"),
        ('msgid "Save"\nmsgstr "100 % salvo"\n', 6, "a % that is part of no placeholder"),
        ('msgid "Save"\nmsgstr "Sal\\nvar"\n', 6, "a line break"),
        ('msgid "Save"\nmsgstr "Salvar\n', 7, "expected msgid, msgstr or a string in quotes"),
        ('msgid "Save"\nmsgstr “Salvar”\n', 7, "expected msgid, msgstr or a string in quotes"),
        ('msgid "Save"\nmsgtsr "Salvar"\n', 7, "expected msgid, msgstr or a string in quotes"),
        ("<<<<<<< HEAD\n", 6, "expected msgid, msgstr or a string in quotes"),
    ],
)
def test_a_wrong_catalogue_is_named_with_file_and_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    own = own_catalogue(tmp_path, "pt", text)
    with pytest.raises(ConfigError) as caught:
        Renderer(replace(PUBLICATION, language="pt"), catalogues=own)
    path = own / "pt" / "LC_MESSAGES" / "messages.po"
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert said in str(caught.value)
    assert caught.value.exit_code == 78


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("nplurals=2; plural=(n != 1", "Plural-Forms has no rule"),
        ("nplurals=2; plural=n/0;", "Plural-Forms has no rule"),
        ("nplurals=2; plural=(n > 2 ? 2 : n);", "Plural-Forms has 2 forms, and its rule gives the number 2"),
        ("nplurals=2; plural=__import__('os');", "Plural-Forms has no rule"),
    ],
)
def test_a_wrong_rule_for_plurals_is_named(tmp_path: Path, rule: str, said: str) -> None:
    header = HEADER.replace("nplurals=2; plural=(n != 1);", rule)
    own = own_catalogue(tmp_path, "pt", PLURAL + 'msgstr[0] "%(num)s a"\nmsgstr[1] "%(num)s b"\n', header)
    with pytest.raises(ConfigError, match=r"messages.po:4: ") as caught:
        Language.load("pt", own)
    assert said in str(caught.value)


def test_a_catalogue_with_plurals_and_no_rule_is_named(tmp_path: Path) -> None:
    header = "\n".join(line for line in HEADER.splitlines() if "Plural" not in line) + "\n\n"
    own = own_catalogue(tmp_path, "pt", PLURAL + 'msgstr[0] "%(num)s a"\nmsgstr[1] "%(num)s b"\n', header)
    with pytest.raises(ConfigError, match="lacks Plural-Forms"):
        Language.load("pt", own)


def test_a_catalogue_that_is_no_text_is_named(tmp_path: Path) -> None:
    own = own_catalogue(tmp_path, "pt", "")
    path = own / "pt" / "LC_MESSAGES" / "messages.po"
    path.write_bytes(HEADER.encode() + b'msgid "Save"\nmsgstr "Op\xe7\xe3o"\n')
    with pytest.raises(ConfigError, match=r"messages.po:7: is not UTF-8 text"):
        Language.load("pt", own)


def test_a_fuzzy_entry_is_not_used(tmp_path: Path) -> None:
    own = own_catalogue(tmp_path, "pt", '#, fuzzy\nmsgid "Save"\nmsgstr "Guardar %(x)s"\n')
    assert Language.load("pt", own).gettext("Save") == "Save"


def test_a_catalogue_is_neither_html_nor_a_template(tmp_path: Path) -> None:
    hostile = "<img src=x onerror=alert(1)>{{ 7 * 7 }}{% for x in range(9) %}"
    text = f'msgid "Late risers"\nmsgstr "{hostile.replace("%", "%%")}"\n'
    own = own_catalogue(tmp_path, "pt", text)
    rising = (LateRiser(paper(9), date(2026, 11, 23), 5),)
    rendered = Renderer(replace(PUBLICATION, language="pt"), catalogues=own).issue(replace(issue(), rising=rising))
    assert "&lt;img src=x onerror=alert(1)&gt;{{ 7 * 7 }}" in rendered.html
    assert "<img" not in rendered.html
    assert "49" not in rendered.html + rendered.text


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with Inbox() as running:
        yield running


def test_a_wrong_catalogue_stops_a_run_before_anything_is_sent(
    tmp_path: Path, inbox: Inbox, capsys: pytest.CaptureFixture[str]
) -> None:
    operator = Operator(tmp_path, inbox.port, capsys)
    operator("subscribers", "add", "ada@example.org")
    own_catalogue(tmp_path, "de", 'msgid "Leave %(title)s?"\nmsgstr "Abmelden?"\n')
    operator.configure("language: de\n")
    path = tmp_path / "locale" / "de" / "LC_MESSAGES" / "messages.po"
    for command in ("run", "check", "preview"):
        done = operator(command, *(["--offline"] if command == "check" else ["--date", "2026-11-24"]))
        assert done.code == 78, done
        assert f"{path}:6: msgstr lacks the placeholder %(title)s" in " ".join((done.out + done.err).split())
    assert inbox.messages == []
    path.unlink()
    assert operator("run", "--date", "2026-11-24").code == 0
    (mail,) = inbox.messages
    body = mail.get_body(("plain",))
    assert body is not None
    assert "24. November 2026" in body.get_content()
    assert "ok    language  de" in operator("check", "--offline").out


def test_check_counts_what_stays_english(tmp_path: Path, inbox: Inbox, capsys: pytest.CaptureFixture[str]) -> None:
    operator = Operator(tmp_path, inbox.port, capsys)
    own = own_catalogue(tmp_path, "pt", 'msgid "Late risers"\nmsgstr "Subiram tarde"\n')
    operator.configure("language: pt\n")
    number = len(untranslated("pt", own))
    assert number > 100
    assert f"ok    language  pt; {number} messages stay English, such as " in operator("check", "--offline").out
    assert [tag for tag in ("en", "en-GB", *BUILT_IN) if untranslated(tag)] == []


# --- dates, numbers, lists -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tag", "long", "days", "number"),
    [
        ("en", "24 November 2026", "18–24 Nov", "1,240"),
        ("en-US", "November 24, 2026", "Nov 18–24", "1,240"),
        ("de", "24. November 2026", "18.–24. Nov.", "1.240"),
        ("fr", "24 novembre 2026", "18–24 nov.", "1\u00a0240"),
        ("es", "24 de noviembre de 2026", "18–24 nov", "1.240"),
        ("zh", "2026年11月24日", "11月18日至24日", "1,240"),
        ("ja", "2026年11月24日", "11月18日～24日", "1,240"),
        ("he", "24 בנובמבר 2026", "18–24 בנוב׳", "1,240"),
    ],
)
def test_dates_and_numbers_are_written_as_the_language_does(tag: str, long: str, days: str, number: str) -> None:
    language = Language.load(tag)
    assert language.long_date(DAY) == long
    assert language.days(date(2026, 11, 18), DAY) == days
    assert language.number(1240) == number


def test_plurals_follow_the_language() -> None:
    hebrew = Language.load("he")
    said = [hebrew.ngettext("%(num)s paper", "%(num)s papers", number) for number in (1, 2, 3, 20)]
    assert said == ["מאמר אחד", "שני מאמרים", "3 מאמרים", "20 מאמרים"]
    french = Language.load("fr")
    said = [french.ngettext("%(num)s paper", "%(num)s papers", number) for number in (0, 1, 2)]
    assert said == ["0 article", "1 article", "2 articles"]


def test_a_constant_of_a_template_is_written_in_each_language_too(tmp_path: Path) -> None:
    (tmp_path / "once.txt").write_text('{{ 1240 | number }} {{ ["a", "b", "c"] | join_names }} {{ "a" | isolate }}')
    said = [Renderer(in_language(tag), templates=tmp_path).page("once.txt") for tag in ("de", "en", "fr", "he", "de")]
    assert said[:3] == ["1.240 a, b, c a", "1,240 a, b, c a", "1\u00a0240 a, b, c a"]
    assert said[3].endswith("\u2068a\u2069")
    assert said[4] == said[0]


# --- nothing stays in English ----------------------------------------------------------------------------------------


class Bracketed(gettext.NullTranslations):
    """A language that says everything in brackets, and leaves the placeholders out of them."""

    def gettext(self, message: str) -> str:
        return re.sub(r"((?:%\(\w+\)s)+)", r"]\1[", f"[{message}]")

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self.gettext(msgid1 if n == 1 else msgid2)

    def pgettext(self, context: str, message: str) -> str:
        return self.gettext(message)


class Brackets(Language):
    """The language of brackets, in which every word of paper, publication, dates and lists is a number or a sign."""

    def __init__(self) -> None:
        super().__init__("en", Bracketed())

    def long_date(self, day: date) -> str:
        return "0"

    short_date = day_and_month = weekday_and_day = month_and_year = long_date

    def days(self, first: date, last: date) -> str:
        return "0"

    def weekday(self, number: int) -> str:
        return "0"

    weekday_alone = month_alone = weekday


class Shown(HTMLParser):
    """The text that a page shows or reads out, without its styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.said: list[str] = []
        self._style = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._style = tag == "style"
        self.said += [value or "" for name, value in attrs if name in ("aria-label", "alt", "title", "placeholder")]

    def handle_endtag(self, tag: str) -> None:
        self._style = False

    def handle_data(self, data: str) -> None:
        if not self._style:
            self.said.append(data)


def outside_brackets(text: str) -> str:
    """The letters of `text` that are not in brackets."""
    return "".join(each for each in re.sub(r"\[[^\[\]]*\]", "", text) if each.isalpha())


SILENT = Publication(
    title="1",
    sender=PUBLICATION.sender,
    bounce_address=PUBLICATION.bounce_address,
    postal_address="2",
    list_id=PUBLICATION.list_id,
    base_url=PUBLICATION.base_url,
)


def silent(number: int, **changes: object) -> Paper:
    """A paper without a letter in its texts."""
    quiet = {"title": "10 11", "abstract": "12 13.", "authors": ("14", "15", "16", "17", "18"), "source": "19"}
    more = {"author_count": 9, "organisation": "20", "keywords": ("21",), "comments": 12, "code_stars": 7}
    return replace(paper(number), **(quiet | more | changes))  # type: ignore[arg-type]


def silent_issues() -> Iterator[Issue]:
    """Issues that between them show everything a mail can show."""
    code, place = "https://c.example/1", "https://d.example/1"
    first = silent(1, summary="22 23.", code_url=code, discussion_url=place, project_url="https://p.example/1")
    papers = (first, silent(2, upvotes=1, also=("24",)), silent(3, authors=(), author_count=7, upvotes=0))
    rising = (LateRiser(silent(8), date(2026, 11, 23), 5), LateRiser(silent(9, upvotes=1), date(2026, 1, 2), 5))
    gains = {papers[0].key: Gain(date(2026, 11, 22), 41), papers[1].key: Gain(date(2026, 1, 2), 3)}
    pinned = {papers[0].key: "author: 25", papers[1].key: "keyword: 26", papers[2].key: "organisation: 27"}
    whole = Issue(DAY, papers, ranked_by_votes=True, rising=rising, gains=gains, pinned=pinned, notes=("28",))
    yield whole
    yield replace(whole, since=date(2026, 11, 20), left_out=3)
    yield replace(whole, left_out=1, ranked_by_votes=False)
    yield replace(whole, papers=papers[:1])
    yield replace(whole, papers=(*papers, silent(4, source="29")), by_source=True)
    yield Issue(DAY, tuple(silent(n) for n in range(1, 400)), ranked_by_votes=True)


@pytest.fixture
def brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every renderer speak in brackets."""
    monkeypatch.setattr(Language, "load", classmethod(lambda cls, tag, own=None: Brackets()))


@pytest.mark.usefixtures("brackets")
def test_every_word_of_a_mail_is_translated() -> None:
    for each in silent_issues():
        renderer = Renderer(SILENT)
        for part in (*renderer.noted(each), renderer.nothing(each)):
            text = re.sub(r"\S+@\S+|https?://\S+", "", " ".join(part.text.split()))
            shown = " ".join(Shown(part.html).said)
            for said in (part.subject, text, re.sub(r"\S+@\S+", "", shown)):
                assert outside_brackets(re.sub(r"\b(?:arXiv|PDF)\b", "", said)) == "", said


@pytest.mark.usefixtures("brackets")
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("confirm", {"confirm_url": "https://x.example/1", "moves": True}),
        ("confirm", {"confirm_url": "https://x.example/1", "moves": False}),
        ("moved", {"undo_url": "https://x.example/1", "new_address": "…@3", "days": 14}),
    ],
)
def test_every_word_of_a_letter_is_translated(name: str, values: dict[str, object]) -> None:
    subject, text, html = Renderer(SILENT).letter(name, **values)
    for said in (subject, re.sub(r"https?://\S+", "", text), " ".join(Shown(html).said)):
        assert outside_brackets(said) == "", said


PAGES: dict[str, list[dict[str, object]]] = {
    "confirm.html": [
        {"state": "ask", "first_copy": True},
        {"state": "ask", "first_copy": False},
        {"state": "done", "first_copy": True, "preferences_url": "/p"},
        {"state": "done", "first_copy": False, "preferences_url": "/p"},
    ],
    "feedback.html": [
        {"state": state, "more": more, "paper": "1", "words": ["2", "3"], "gone": ["4"], "preferences_url": "/p"}
        | {"mistake": {"fault": "too-many", "limit": 30, "shown": ""}}
        for state in ("ask", "kept", "full", "wordless")
        for more in (True, False)
    ],
    "undo.html": [{"state": "ask"}, {"state": "done"}],
    "unsubscribe.html": [{"state": "ask"}, {"state": "left"}],
    "message.html": [
        {"state": state} for state in ("asked", "inactive", "unknown", "too-many", "too-large", "busy", "wrong")
    ],
}


@pytest.mark.usefixtures("brackets")
@pytest.mark.parametrize(("name", "values"), [(name, values) for name, cases in PAGES.items() for values in cases])
def test_every_word_of_a_page_is_translated(name: str, values: dict[str, object]) -> None:
    page = Renderer(SILENT).page(f"web/{name}", home_url="/", root="/", **values)
    assert outside_brackets(" ".join(Shown(page).said)) == ""


@pytest.fixture
def site(tmp_path: Path, brackets: None) -> Iterator[Site]:
    made = Site(tmp_path, "title: '1'\n")
    yield made
    made.store.close()


def quiet(page: str) -> str:
    """The letters of a page outside brackets, without its addresses and the names in its configuration."""
    return outside_brackets(
        re.sub(r"\S+@\S+|1 Example Street|arXiv|PDF|BibTeX|JSON|UTC", "", " ".join(Shown(page).said))
    )


def test_every_word_of_the_archive_is_translated(site: Site) -> None:
    pages = [site.client.get("/archive/")]
    assert "[No issue has been sent yet.]" in pages[0].text
    for number, contents in enumerate(silent_issues()):
        day = DAY + timedelta(days=2 - 16 * number)
        rendered = Renderer(SILENT).issue(replace(contents, day=day))
        publish(site.store, rendered, SILENT, replace(contents, day=day) if number else None)
    paths = [f"/archive/{DAY + timedelta(days=days)}" for days in (2, -14, -30, 5, -8)]
    paths += ["/", "/archive/", "/archive/2026-11/", "/archive/2026-10/", "/archive/1999-01/"]
    paths += [f"/archive/search?q={words}" for words in ("", "10", "99", "11&page=2", "11&page=99")]
    pages += [site.client.get(path, follow_redirects=True) for path in paths]
    pages.append(site.client.get(f"/archive/{DAY + timedelta(days=2)}.bib"))
    assert len({page.text for page in pages}) > 12
    assert [(page.request.path, quiet(page.text)) for page in pages if quiet(page.text)] == []


def test_every_word_of_the_forms_and_their_errors_is_translated(site: Site) -> None:
    pages = [site.client.get("/"), site.client.get(site.preferences)]
    pages += [
        site.subscribe(email) for email in ("", "1", "1@", "1@@2", "1 2@3.4", "1@2", "1" * 70 + "@2.3", "ada@x.org")
    ]
    wrong: list[dict[str, str]] = [
        {},
        {"day": "1", "pause": "until", "until": "x"},
        {"day": "1", "pause": "until", "until": "1999-01-01"},
    ]
    own = {"day": "1", "pause": "0", "edition": "top", "papers": "10"}
    wrong += [
        own | {"edition": "mine"},
        own | {"never": "1"},
        own | {"topics": "1" * 101, "authors": "\n".join(map(str, range(31))), "categories": ".", "never": "\x07"},
        own | {kind: "\n".join(f"{n:099}" for n in range(9)) for kind in ("topics", "authors")},
        own | {"hour": "24", "zone": "1", "papers": "0"},
        own | {"topics": "1" * 60_000},
    ]
    shown = [own | more | {"act": "show"} for more in ({}, {"topics": "1"}, {"less": "1"}, {"often": "weekly"})]
    forms = [*wrong, *shown, {"day": "1", "pause": "2"}, {"day": "1", "pause": "0"}]
    pages += [site.client.post(site.preferences, data=form) for form in forms]
    for email in ("", "ada@example.org", "eve@example.org"):
        pages.append(site.client.post(f"{site.preferences}/address", data={"email": email}))
    pages += [site.client.post("/subscribe"), site.client.get("/nowhere"), site.client.get("/archive/2026-01-01")]
    assert [(page.status_code, quiet(page.text)) for page in pages if quiet(page.text)] == []


# --- each language ---------------------------------------------------------------------------------------------------


def in_language(tag: str) -> Publication:
    return replace(PUBLICATION, language=tag, direction=direction(tag))


@cache
def rendered_in(tag: str) -> list[RenderedIssue]:
    full = [
        replace(each, papers=tuple(replace(paper(n), title=f"FastOwl-{n}: Owls at 4x speed") for n in range(1, 15)))
        for each in silent_issues()
    ]
    return [Renderer(in_language(tag)).issue(each) for each in full[:3]]


@pytest.mark.slow
@pytest.mark.parametrize("tag", ["en", *BUILT_IN])
def test_a_mail_in_each_language_is_sound(tag: str) -> None:
    for rendered in rendered_in(tag):
        assert [found for found in lint(rendered) if found.level is Level.ERROR] == []
        assert max(columns(line) for line in rendered.text.splitlines() if "://" not in line) <= 72
        assert "%(" not in rendered.subject + rendered.text + rendered.html
        assert rendered.html.count(f'lang="{tag}" dir="{direction(tag)}"') == 2


@pytest.mark.parametrize("tag", BUILT_IN)
def test_a_mail_has_no_english_sentence_of_ours(tag: str, source: Catalog) -> None:
    english = [each.id for each in source if isinstance(each.id, str) and len(each.id) > 14 and "%" not in each.id]
    for rendered in rendered_in(tag):
        shown = " ".join(" ".join(Shown(rendered.html).said).split()) + " ".join(rendered.text.split())
        assert [sentence for sentence in english if sentence in shown] == []


def test_a_mail_from_right_to_left_aligns_to_the_right() -> None:
    html = rendered_in("he")[0].html
    to_the_left = re.findall(r"<[^>]*(?:text-align:left|align=.left)[^>]*>", html)
    assert [tag for tag in to_the_left if 'dir="ltr"' not in tag] == []  # only the text of papers
    assert html.count("text-align:right") > 5


ATTRIBUTES = re.compile(r'<(?:h[23]|p|td|a)\b[^>]*? lang="(\w+)" dir="(\w+)"[^>]*>')


def test_the_text_of_a_paper_keeps_its_own_language_and_side() -> None:
    hebrew = paper(2, title="שיטה חדשה", abstract="אנו מציגים שיטה חדשה ללמידה.")
    made = issue(paper(1, title="Owls that read", summary="We show that owls can read."), hebrew)
    html = Renderer(in_language("he")).issue(made).html
    foreign = re.findall(r'<[^>]* lang="en" dir="ltr" style="[^"]*text-align:left[^"]*"[^>]*>', html)
    assert len(foreign) >= 2  # title and summary
    assert re.search(r'lang="he" dir="rtl"[^>]*>תקציר', html)
    assert re.search(r'<h2[^>]*? dir="rtl"[^>]*>.{0,200}שיטה', html)
    assert not re.search(r'<h2[^>]*? lang="he"', html)


@pytest.mark.parametrize(("tag", "expected"), [("en", set()), ("de", {("en", "ltr")}), ("ja", {("en", "ltr")})])
def test_the_language_of_a_paper_is_said_where_it_differs(tag: str, expected: set[tuple[str, str]]) -> None:
    html = Renderer(in_language(tag)).issue(issue()).html
    assert set(ATTRIBUTES.findall(html)) == expected
    assert "text-align:right" not in html


def test_in_a_line_of_hebrew_names_stand_in_their_order() -> None:
    made = issue(paper(1, authors=("Ada", "Bo", "Cy", "Di", "Ed"), author_count=5))
    rendered = Renderer(in_language("he")).issue(made)
    for part in (rendered.html, rendered.text):
        assert "\u2068Ada, Bo, Cy\u2069 ועוד 2" in part
    assert rendered.subject.startswith("24 בנוב׳: \u2068Paper number 1 (▲ 99)\u2069")
    assert "\u2068" not in Renderer(in_language("de")).issue(made).html


# --- leaving by a word -----------------------------------------------------------------------------------------------


def answered(text: str, subject: str = "Re: Papers") -> ReportKind:
    mail = f"From: Ada <ada@example.net>\nSubject: {subject}\nContent-Type: text/plain; charset=utf-8\n\n{text}\n"
    return parse(mail.encode(), words_to_leave()).kind


@pytest.mark.parametrize(
    "text",
    [
        "unsubscribe",
        "„Abmelden“",
        "ABBESTELLEN!",
        "« désabonner »",
        "Se desabonner.",
        "baja",
        "“退订”",
        "退訂。",
        "「配信停止」",
        "\u200fהסר\u200f",
    ],
)
def test_a_reader_leaves_by_the_word_of_their_language(text: str) -> None:
    assert answered(text) is ReportKind.UNSUBSCRIBE
    assert answered("x", f"Re: {text}") is ReportKind.UNSUBSCRIBE


@pytest.mark.parametrize(
    "text",
    [
        "bitte nicht abmelden",
        "> abmelden",
        "abmeldenx",
        "estoy de baja",
        "配信停止しないで",
        "不要退订",
        "x\nabmelden",
        "",
    ],
)
def test_a_word_in_a_sentence_removes_nobody(text: str) -> None:
    assert answered(text) is not ReportKind.UNSUBSCRIBE


def test_the_word_that_pages_show_is_understood() -> None:
    for tag in ("en", *BUILT_IN):
        page = Renderer(in_language(tag)).page("web/message.html", home_url="/", root="/", state="unknown")
        words = words_to_leave()
        assert any(f"{mark}{word}" in page for word in words for mark in "“„「«\u00a0"), tag


def test_words_of_an_operator_s_language_are_understood_too(tmp_path: Path) -> None:
    context = "all words that a reader may send alone to leave, with commas between them; pages show the first"
    own = own_catalogue(tmp_path, "nl", f'msgctxt "{context}"\nmsgid "unsubscribe"\nmsgstr "afmelden, uitschrijven"\n')
    assert words_to_leave(own) >= {"afmelden", "uitschrijven", "unsubscribe", "abmelden"}


# --- text of papers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "language", "side"),
    [
        ("Attention is all you need", "en", "ltr"),
        ("FastSAM: Segment Anything", "en", "ltr"),
        ("Wir zeigen, dass die Methode für große Modelle besser ist.", "de", "ltr"),
        ("Nous présentons une méthode pour les modèles de langue.", "fr", "ltr"),
        ("Presentamos un método para los modelos de lenguaje.", "es", "ltr"),
        ("我们提出 FastSAM", "zh", "ltr"),
        ("深層学習による高速化", "ja", "ltr"),
        ("שיטה חדשה ללמידה", "he", "rtl"),
        ("طريقة جديدة للتعلم", "ar", "rtl"),
        ("$\\alpha$-Rényi bounds by 李雪", "en", "ltr"),
        ("2026: שיטה", "he", "rtl"),
        ("", "en", "ltr"),
    ],
)
def test_the_language_and_side_of_a_text_show_in_it(text: str, language: str, side: str) -> None:
    assert (language_of(text), direction_of(text)) == (language, side)


def test_the_papers_of_real_days_are_english(shared_data: Path) -> None:
    days = sorted((shared_data / "hf").glob("*.json"))
    papers = [entry["paper"] for day in days for entry in json.loads(day.read_text("utf-8"))]
    assert len(papers) > 400
    assert [each["title"] for each in papers if language_of(f"{each['title']} {each.get('summary')}") != "en"] == []
    assert [each["title"] for each in papers if language_of(each["title"]) != "en"] == []


# --- small things ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("  ", Fault.EMPTY),
        ("ada", Fault.NO_AT),
        ("ada@b@c.org", Fault.TWO_ATS),
        ("ada lovelace@c.org", Fault.SPACE),
        ("ada@localhost", Fault.NO_DOT),
        ("a" * 65 + "@c.org", Fault.TOO_LONG),
        ("ada@-c.org", Fault.OTHER),
        ("ada@", Fault.OTHER),
    ],
)
def test_a_mistake_in_an_address_has_a_name(address: str, fault: Fault) -> None:
    assert fault_of(address) is fault


@pytest.mark.parametrize(
    "text",
    ["長い要約「これは」テストです。" * 30, "在 ImageNet 上，“我们”提出 FastSAM（快）。" * 20, "x" * 200 + "長" * 90],
)
def test_wide_characters_are_wrapped_by_their_width(text: str) -> None:
    lines = wrap(text).splitlines()
    assert max(map(columns, lines)) <= 72
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert [line for line in lines if line[0] in "、。，）」”"] == []
    assert all(columns(line) > 60 for line in lines[:-1])


def test_a_name_in_a_line_of_hebrew_is_isolated() -> None:
    assert Language.load("he").isolated("FastOwl (▲ 3)") == "\u2068FastOwl (▲ 3)\u2069"
    assert ENGLISH.isolated("שלום") == "שלום"
    assert unicodedata.bidirectional("\u2068") == "FSI"
