"""Read a gettext catalogue (.po) and find what is wrong with it, before a reader sees it."""

from __future__ import annotations

import gettext
import io
import re
from collections import Counter
from collections.abc import Collection, Iterator
from copy import copy
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from newsletter.errors import ConfigError

if TYPE_CHECKING:
    from babel.messages.catalog import Catalog, Message

_PLACEHOLDER: Final = re.compile(r"%\((\w+)\)s")
_SPOKEN_FOR: Final = range(200)  # the numbers whose plural form is looked up; all rules of the CLDR repeat within
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_KEPT: Final = 16  # catalogues that are not read again while their text is the same; reading one takes 10 ms

NUMBER: Final = "num"  # the placeholder that Jinja2 and `Language.ngettext` give the number


def read(path: Path) -> gettext.NullTranslations:
    """The catalogue in the file `path`, checked. Raises ConfigError with file and line.

    Entries that are marked as fuzzy do not count, as gettext has it, and what is not translated stays English.
    """
    return copy(_checked(path, _text(path)))  # so that a fallback is added to the caller's own


@lru_cache(_KEPT)
def _checked(path: Path, text: str) -> gettext.GNUTranslations:
    """A catalogue with this `text`, by way of GNU's .mo file."""
    from babel.messages.mofile import write_mo

    catalog = _parsed(path, text)
    for line, said in faults(catalog):
        raise ConfigError(said, path=path, line=line)
    compiled = io.BytesIO()
    write_mo(compiled, catalog)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def parse(path: Path) -> Catalog:
    """The catalogue as Babel reads it, with plural forms that work. Raises ConfigError with file and line.

    The caller must not change it, because the same text gives the same catalogue again.
    """
    return _parsed(path, _text(path))


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path=path) from error
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise ConfigError("is not UTF-8 text", path=path, line=line) from error


@lru_cache(_KEPT)
def _parsed(path: Path, text: str) -> Catalog:
    from babel.messages.pofile import PoFileError, read_po

    _check_quotes(path, text)
    try:
        catalog = read_po(io.StringIO(text), abort_invalid=True)
    except PoFileError as error:
        said = str(error).rpartition(" on ")[0]
        raise ConfigError(f"not a catalogue: {said}", path=path, line=error.lineno + 1) from error
    except Exception as error:  # Babel lets through whatever a bad header or escape causes
        raise ConfigError(f"not a catalogue: {error}", path=path, line=1) from error
    _check_plural_rule(path, text, catalog)
    return catalog


def _check_quotes(path: Path, text: str) -> None:
    """Each line must be a comment, or a keyword with one whole string, or such a string. Babel is less strict."""
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if not re.fullmatch(r'(?:msg(?:id|id_plural|ctxt|str(?:\[\d\])?)\s*)?"(?:[^"\\]|\\.)*"', stripped):
            raise ConfigError("not a catalogue: expected msgid, msgstr or a string in quotes", path=path, line=number)


def _check_plural_rule(path: Path, text: str, catalog: Catalog) -> None:
    """The header must say which number takes which plural form, if there are any."""
    line = next((at for at, each in enumerate(text.splitlines(), 1) if each.startswith('"Plural-Forms')), None)
    if line is None:
        if any(message.pluralizable for message in catalog):
            said = "the header lacks Plural-Forms, such as nplurals=2; plural=(n != 1);"
            raise ConfigError(said, path=path, line=1)
        return
    try:
        form = gettext.c2py(catalog.plural_expr)
        largest = max(map(form, _SPOKEN_FOR))
    except Exception as error:  # an expression that is none, or divides by zero
        raise ConfigError(f"Plural-Forms has no rule: {error}", path=path, line=line) from error
    if largest >= catalog.num_plurals:
        said = f"Plural-Forms has {catalog.num_plurals} forms, and its rule gives the number {largest}"
        raise ConfigError(said, path=path, line=line)


def faults(catalog: Catalog) -> Iterator[tuple[int, str]]:
    """What is wrong with the translated entries of a catalogue: the line in its file, and a sentence."""
    rule = gettext.c2py(catalog.plural_expr)
    numbers = Counter(map(rule, _SPOKEN_FOR))
    lone = {form for form, count in numbers.items() if count == 1}
    for message in catalog:
        if message.id and not message.fuzzy and any(_forms(message)):
            for said in _faults(message, lone):
                yield message.lineno or 1, said


def _forms(message: Message) -> tuple[str, ...]:
    """The message's translation in each plural form; one without plural has one form."""
    return tuple(message.string) if isinstance(message.string, (tuple, list)) else (message.string or "",)


def _faults(message: Message, lone: Collection[int]) -> Iterator[str]:
    """What is wrong with a message. A plural form in `lone` is for one number only, and may say it as a word."""
    source = message.id[-1] if isinstance(message.id, (tuple, list)) else message.id
    wanted = set(_PLACEHOLDER.findall(source))
    forms = _forms(message)
    for form, text in enumerate(forms):
        name = f"msgstr[{form}]" if message.pluralizable else "msgstr"
        if not text:
            yield f"{name} is missing, of {len(forms)} plural forms"
            continue
        found = set(_PLACEHOLDER.findall(text))
        optional = {NUMBER} if message.pluralizable and form in lone else set()
        if missing := sorted(wanted - found - optional):
            yield f"{name} lacks the placeholder %({missing[0]})s"
        if unknown := sorted(found - wanted):
            yield f"{name} has the placeholder %({unknown[0]})s, which the English text has not"
        if "%" in _PLACEHOLDER.sub("", text).replace("%%", ""):
            yield f"{name} has a % that is part of no placeholder; write %% for a percent sign"
        if _CONTROL.search(text) and not _CONTROL.search(source):
            yield f"{name} has a line break or control character, which the English text has not"
