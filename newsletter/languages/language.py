"""A language as readers see it: its words, and how it writes dates, numbers and lists."""

from __future__ import annotations

import gettext
from collections.abc import Sequence
from datetime import date
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from newsletter.languages.catalogue import NUMBER, parse, read
from newsletter.languages.tags import SOURCE, direction, every, find, normalise

if TYPE_CHECKING:
    from babel import Locale

# The English of no country: 24 November 2026. A list in en-US has its dates as November 24, 2026.
_FORMATS: Final = {"en": "en-001"}
_FIRST_STRONG_ISOLATE, _POP_ISOLATE = "\u2068", "\u2069"  # Unicode Standard Annex #9
_THIN: Final = {0x2009: None, 0x202F: "\u00a0"}  # CLDR's thin spaces, which some fonts of mail clients lack


class Language:
    """The language `tag`, with the words of its catalogues.

    Messages are English and hold placeholders such as ``%(title)s``. What no catalogue has stays English. Extraction
    finds a message by the name of the method (`gettext`, `ngettext`, `pgettext`), so it must be a literal.
    """

    def __init__(self, tag: str, translations: gettext.NullTranslations | None = None) -> None:
        self.tag = normalise(tag)
        self.direction = direction(tag)
        self._translations = translations or gettext.NullTranslations()

    @classmethod
    def load(cls, tag: str, own: Path | None = None) -> Language:
        """The language `tag` with the built-in words and those in the operator's folder `own`.

        Raises UnknownLanguage if no catalogue speaks for it, and ConfigError with file and line for one that is wrong.
        """
        catalogues = [read(path) for path in find(tag, own)]
        for first, fallback in pairwise(catalogues):
            first.add_fallback(fallback)
        return cls(tag, catalogues[0] if catalogues else None)

    # --- words -------------------------------------------------------------------------------------------------------

    def gettext(self, message: str, /, **values: Any) -> str:
        """`message` in this language, with `values` in place of its placeholders."""
        return self._translations.gettext(message) % values

    def pgettext(self, context: str, message: str, /, **values: Any) -> str:
        """As `gettext`, for a message that means something else in another `context`."""
        return self._translations.pgettext(context, message) % values

    def ngettext(self, one: str, many: str, number: int, /, **values: Any) -> str:
        """The message for `number` things; ``%(num)s`` in it is the number as the language writes it."""
        return self._translations.ngettext(one, many, number) % {NUMBER: self.number(number), **values}

    def raw(self, message: str, /) -> str:
        """`message` in this language with its placeholders, for Jinja2, which fills them itself."""
        return self._translations.gettext(message)

    def raw_plural(self, one: str, many: str, number: int, /) -> str:
        """The message for `number` things with its placeholders, for Jinja2."""
        return self._translations.ngettext(one, many, number)

    def raw_in_context(self, context: str, message: str, /) -> str:
        """As `raw`, for a message that means something else in another `context`."""
        return self._translations.pgettext(context, message)

    # --- numbers, lists, dates ---------------------------------------------------------------------------------------

    @cached_property
    def _locale(self) -> Locale:
        """CLDR's data of the language; of its main language if CLDR does not know the region, else of English."""
        from babel import Locale, UnknownLocaleError

        for tag in (_FORMATS.get(self.tag, self.tag), self.tag.partition("-")[0]):
            try:
                return Locale.parse(tag, sep="-")
            except (UnknownLocaleError, ValueError):
                continue
        return Locale.parse("en_001")

    def number(self, number: int) -> str:
        """A whole number, such as 1,240 in English and 1.240 in German."""
        if -1000 < number < 1000 and self.tag[:2] in ("en", "de", "fr", "es", "zh", "ja", "he"):
            return str(number)  # the usual case, without Babel
        from babel.numbers import format_decimal

        return format_decimal(number, locale=self._locale).translate(_THIN)

    def join(self, names: Sequence[str]) -> str:
        """Names with the language's comma between them, and no "and"."""
        patterns = self._locale.list_patterns["standard"]
        text = names[0] if names else ""
        for name in names[1:]:
            text = patterns["middle"].format(text, name)
        return text

    def sentences(self, *sentences: str) -> str:
        """Sentences one after the other; Chinese and Japanese put no space between them."""
        text = ""
        for sentence in filter(None, sentences):
            text += ("" if not text or text[-1] in "。！？" else " ") + sentence
        return text

    def long_date(self, day: date) -> str:
        """A date such as 24 November 2026."""
        return self._date(day, "long")

    def short_date(self, day: date) -> str:
        """A date such as 24 Nov 2026."""
        from babel.dates import format_skeleton

        return format_skeleton("yMMMd", day, locale=self._locale).translate(_THIN)

    def day_and_month(self, day: date) -> str:
        """A date without its year, such as 24 Nov."""
        return _short(day, self._locale)

    def days(self, first: date, last: date) -> str:
        """Two dates such as 18–24 Nov; with their years only if these differ."""
        from babel.dates import format_interval

        form = "MMMd" if first.year == last.year else "yMMMd"
        return format_interval(first, last, form, locale=self._locale).translate(_THIN)

    def weekday(self, number: int) -> str:
        """The name of a weekday within a sentence; 0 is Monday."""
        from babel.dates import get_day_names

        return str(get_day_names("wide", "format", self._locale)[number])

    def weekday_alone(self, number: int) -> str:
        """The name of a weekday in a list, with a capital letter where the language has any; 0 is Monday."""
        from babel.dates import get_day_names

        return _capitalised(str(get_day_names("wide", "stand-alone", self._locale)[number]))

    def month_alone(self, number: int) -> str:
        """The name of a month as a heading; 1 is January."""
        from babel.dates import get_month_names

        return _capitalised(str(get_month_names("wide", "stand-alone", self._locale)[number]))

    def month_and_year(self, day: date) -> str:
        """A month as a heading of its own, such as November 2026."""
        from babel.dates import format_skeleton

        return _capitalised(format_skeleton("yMMMM", day, locale=self._locale).translate(_THIN))

    def weekday_and_day(self, day: date) -> str:
        """A day below the heading of its month, such as Tuesday 24."""
        weekday = self.weekday_alone(day.weekday())
        return self.pgettext("a day below the name of its month", "%(weekday)s %(day)s", weekday=weekday, day=day.day)

    def _date(self, day: date, form: Any) -> str:
        from babel.dates import format_date

        return format_date(day, form, locale=self._locale).translate(_THIN)

    # --- directions --------------------------------------------------------------------------------------------------

    def isolated(self, text: str) -> str:
        """`text` of another language within a line of plain text, so that a line from right to left keeps its order.

        A language from left to right needs no mark, and gets none.
        """
        return f"{_FIRST_STRONG_ISOLATE}{text}{_POP_ISOLATE}" if text and self.direction == "rtl" else text


def untranslated(tag: str, own: Path | None = None) -> list[str]:
    """The messages that stay English in the language `tag`, as an operator's catalogue may leave some.

    Raises UnknownLanguage, and ConfigError with file and line for a catalogue that is wrong.
    """
    if normalise(tag).partition("-")[0] == SOURCE:
        return []
    complete = parse(next(iter(every())))  # as all that are built in are
    said = {
        (each.context, each.id)
        for path in find(tag, own)
        for each in parse(path)
        if any(each.string or ()) and not each.fuzzy
    }
    left = [each.id for each in complete if each.id and (each.context, each.id) not in said]
    return sorted(message if isinstance(message, str) else message[0] for message in left)


def foreign_messages(tag: str, own: Path | None = None) -> list[str]:
    """The English messages, with their placeholders, that a mail in the language `tag` says in other words.

    Those without a translation are among them. Of a message with a plural each form is one. Empty for English. Raises
    UnknownLanguage, and ConfigError with file and line for a catalogue that is wrong.
    """
    if normalise(tag).partition("-")[0] == SOURCE:
        return []
    said: dict[tuple[str | None, tuple[str, ...]], tuple[str, ...]] = {}
    for path in reversed(find(tag, own)):
        said |= {(each.context, _strings(each.id)): _strings(each.string) for each in parse(path) if not each.fuzzy}
    complete = parse(next(iter(every())))  # as all that are built in are
    found: list[str] = []
    for each in complete:
        english = _strings(each.id)
        if each.id and not set(english) & set(said.get((each.context, english), ())):
            found += english
    return list(dict.fromkeys(found))


def _strings(message: str | Sequence[str] | None) -> tuple[str, ...]:
    """The forms of a message or of its translation; one without plural has one."""
    return (message,) if isinstance(message, str) else tuple(message or ())


def words_to_leave(own: Path | None = None) -> frozenset[str]:
    """The words in all languages that a reader may send alone to leave, the operator's folder `own` included.

    Raises ConfigError with file and line for a catalogue that is wrong.
    """
    found = [ENGLISH, *(Language(tag, read(path)) for path, tag in every(own).items())]
    said = [
        language.pgettext(
            "all words that a reader may send alone to leave, with commas between them; pages show the first",
            "unsubscribe",
        )
        for language in found
    ]
    return frozenset(word.strip() for words in said for word in words.split(","))


@lru_cache(maxsize=64)  # the subject of each edition has the day of the issue
def _short(day: date, locale: Locale) -> str:
    from babel.dates import format_skeleton

    return format_skeleton("MMMd", day, locale=locale).translate(_THIN)


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


ENGLISH: Final = Language("en")
