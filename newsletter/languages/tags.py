"""Which catalogue speaks for a language tag. A tag is of BCP 47, such as de, de-AT or zh-Hans."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from newsletter import resources

# Languages written from right to left, and the scripts that are, by their ISO codes (CLDR's character order).
_RTL: Final = frozenset(("he", *"ae ar arc ckb dv fa glk iw ks lrc mzn nqo pnb ps sd syr ug ur yi".split()))
_RTL_SCRIPTS: Final = frozenset("Adlm Arab Armi Avst Hebr Mand Mend Nkoo Rohg Samr Syrc Thaa".split())

SOURCE: Final = "en"  # the language of the messages themselves


class UnknownLanguage(ValueError):
    """No catalogue speaks for the tag. The message names the nearest languages that have one.

    `meant` is the tag of the nearest one; empty if there is none, or several are as near.
    """

    def __init__(self, message: str, meant: str = "") -> None:
        super().__init__(message)
        self.meant = meant


def normalise(tag: str) -> str:
    """`tag` with hyphens and in the usual case: ``zh_hans`` becomes ``zh-Hans``, ``DE_at`` becomes ``de-AT``."""
    first, *others = re.split("[-_]", tag)
    usual = {2: str.upper, 4: str.title}
    return "-".join((first.lower(), *(usual.get(len(part), str.lower)(part) for part in others)))


def direction(tag: str) -> str:
    """The writing direction of the language as HTML's `dir` names it: ltr or rtl."""
    language, *others = normalise(tag).split("-")
    if scripts := [part for part in others if len(part) == 4 and part.isalpha()]:
        return "rtl" if scripts[0] in _RTL_SCRIPTS else "ltr"
    return "rtl" if language in _RTL else "ltr"


def is_language(tag: str) -> bool:
    """Whether there is such a language, by CLDR's names and aliases; script and region are not looked at."""
    from babel.core import Locale, get_global

    language = normalise(tag).partition("-")[0]
    return any(
        language in known
        for known in (Locale("en").languages, get_global("likely_subtags"), get_global("language_aliases"))
    )


def every(own: Path | None = None) -> dict[Path, str]:
    """All catalogues, the operator's before the built-in ones, with the tags of their languages."""
    theirs = _catalogues(own) if own is not None and own.is_dir() else {}
    return theirs | _built_in(resources.find("locale"))


def _catalogues(folder: Path) -> dict[Path, str]:
    return {path: normalise(path.parent.parent.name) for path in sorted(folder.glob("*/LC_MESSAGES/messages.po"))}


_built_in: Final = cache(_catalogues)  # they stay as they are while the program runs


def find(tag: str, own: Path | None = None) -> tuple[Path, ...]:
    """The catalogues for `tag`, the one that is asked first at the front; none for English without a catalogue.

    `own` is the operator's folder of catalogues; it may not exist. Its catalogue of a language comes before the
    built-in one, and that of a region before that of the language. Raises UnknownLanguage.
    """
    known = every(own)
    wanted = normalise(tag)
    names = [SOURCE] if wanted == SOURCE else _speaking(wanted, known.values())  # the usual case needs no Babel
    if not names:
        raise _unknown(tag, {SOURCE, *known.values()})
    order = {name: rank for rank, name in enumerate(names)}
    return tuple(sorted((path for path, name in known.items() if name in order), key=lambda path: order[known[path]]))


@dataclass(frozen=True, slots=True)
class _Parts:
    language: str
    script: str
    territory: str


def _parts(tag: str) -> _Parts:
    """What a tag says, with the script that the language is usually written in (CLDR's likely subtags)."""
    from babel.core import get_global

    language, *others = normalise(tag).split("-")
    language = get_global("language_aliases").get(language, language).partition("_")[0]  # iw is "he", cmn is zh
    script = next((part for part in others if len(part) == 4 and part.isalpha()), "")
    territory = next((part for part in others if re.fullmatch(r"[A-Z]{2}|\d{3}", part)), "")
    if not script:
        likely = get_global("likely_subtags")
        full = likely.get(f"{language}_{territory}") or likely.get(language) or ""
        script = next((part for part in full.split("_") if len(part) == 4), "")
    return _Parts(language, script, territory)


def _speaking(tag: str, known: Iterable[str]) -> list[str]:
    """The names among `known` of the tag's language and script, the nearest first.

    That is the same region, then none, then any: a list in zh-TW gets zh-Hant but never zh, which is simplified
    Chinese.
    """
    wanted = _parts(tag)
    same = {}
    for name in {SOURCE, *known}:
        parts = _parts(name)
        if (parts.language, parts.script) == (wanted.language, wanted.script):
            same[name] = (0 if parts.territory == wanted.territory else 1 if not parts.territory else 2, name)
    ranked = sorted(same, key=same.__getitem__)
    best = [name for name in ranked if same[name][0] < 2]
    return best or ranked[:1]


def _unknown(tag: str, known: Iterable[str]) -> UnknownLanguage:
    """The error for an unknown language: the nearest known one, and all that are known."""
    names = sorted(known)
    wanted = normalise(tag)
    language = _parts(tag).language
    near = [name for name in names if _parts(name).language == language]
    near = near or _called(wanted, names) or difflib.get_close_matches(wanted, names, 2, 0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else ";"
    said = f"there are no words in the language {tag!r}{hint} known: {', '.join(names)}"
    return UnknownLanguage(said, near[0] if len(near) == 1 else "")


def _called(name: str, tags: Iterable[str]) -> list[str]:
    """The tags of languages that are called `name` or about so, in English or in the language: german, Deutsch."""
    from babel import Locale, UnknownLocaleError

    called: dict[str, str] = {}
    for tag in tags:
        try:
            locale = Locale.parse(tag, sep="-")
        except (UnknownLocaleError, ValueError):
            continue
        for said in (locale.get_display_name("en"), locale.get_display_name()):
            called[(said or tag).casefold()] = tag
    return [called[near] for near in difflib.get_close_matches(name.casefold(), called, 1, 0.75)]
