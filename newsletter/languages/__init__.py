"""The languages that readers see: which there are, their words, and how they write dates, numbers and lists.

Words come from gettext catalogues. The source is English, in templates and in Python; the catalogue of another language
is ``locale/TAG/LC_MESSAGES/messages.po``, read at the start and never compiled to a file. Dates, numbers and lists come
from the CLDR, through Babel, which is imported only when it is needed.
"""

from __future__ import annotations

from newsletter.languages.catalogue import read
from newsletter.languages.foreign import direction_of, language_of
from newsletter.languages.language import ENGLISH, Language, foreign_messages, untranslated, words_to_leave
from newsletter.languages.tags import UnknownLanguage, direction, find, is_language, normalise

__all__ = [
    "ENGLISH",
    "Language",
    "UnknownLanguage",
    "direction",
    "direction_of",
    "find",
    "foreign_messages",
    "is_language",
    "language_of",
    "normalise",
    "read",
    "untranslated",
    "words_to_leave",
]
