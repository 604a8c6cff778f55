"""More or less like a paper: which words of its title say what it is about, and what they change. Pure.

Only these words are kept, as part of what the reader chose; the paper that they come from is not.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

from newsletter.issue.folding import UNSPACED, find, fold
from newsletter.issue.selector import KINDS, LONGEST, Selector
from newsletter.issue.terms import STOP_WORDS, singular, words_of
from newsletter.model import Paper

LATELY: Final = 500  # papers that tell how frequent words are

_MOST: Final = 4  # words
_FEWEST: Final = 2
_COMMON: Final = 0.1  # share of the papers from which a word says little

# A word as the title has it. Scripts without spaces have no words to see: there it is a run of characters, cut.
_WORD: Final = re.compile(rf"[{UNSPACED}]{{1,12}}|[^\W_{UNSPACED}]+")


def telling(paper: Paper, lately: Iterable[Paper]) -> tuple[str, ...]:
    """The words of the title that say best what the paper is about, in its order and whole, in lower case.

    They are up to four that its abstract mentions too, and that at least two, but few, of the papers listed `lately`
    mention: the rarer there and the more frequent here, the better. One alone would match too much, so that there are
    two if the title has them: then also a common word, or a name that no other paper has. Empty if it has no words.
    """
    own = fold(f"{paper.title} {paper.abstract} {paper.summary or ''}")
    texts = [fold(f"{each.title} {each.abstract}") for each in lately if each.key != paper.key]
    words = _words(paper.title)
    useful: list[tuple[float, str]] = []
    others: list[tuple[bool, bool, float, str]] = []
    for word in words:
        here = own.count(min(_forms(word), key=len))
        elsewhere = sum(any(form in text and find(form, text) >= 0 for form in _forms(word)) for text in texts)
        worth = math.sqrt(here) * math.log((len(texts) + 1) / (elsewhere + 1))
        if here > 1 and 1 < elsewhere <= max(2, _COMMON * len(texts)):
            useful.append((-worth, word))
        else:
            others.append((here == 1, elsewhere <= 1, -worth, word))
    best = [word for _, word in sorted(useful)[:_MOST]]
    best += [each[-1] for each in sorted(others)[: max(0, _FEWEST - len(best))]]
    return tuple(word for word in words if word in best)


def _forms(word: str) -> set[str]:
    """A word, its singular and its plural, folded."""
    one = singular(fold(word))
    return {fold(word), one, f"{one}s"}


def _words(title: str) -> list[str]:
    """The title's words that can be looked for, each once, as a selector writes them: in lower case and NFKC."""
    found = (word[0].casefold() for word in _WORD.finditer(unicodedata.normalize("NFKC", title)))
    wanted = (word for word in found if len(word) <= LONGEST // _MOST and not word.isdigit())
    return list(dict.fromkeys(word for word in wanted if set(words_of(word)) - STOP_WORDS and len(fold(word)) > 1))


def pressed(selector: Selector | None, words: Sequence[str], title: str, *, more: bool) -> Selector:
    """The selector of a reader who wants more, or less, of `words`, which `telling` found in `title`.

    `selector` is None for a reader who had none. A phrase that says the opposite of this paper goes; see `opposite`.
    Raises SelectorError if there are too many choices.
    """
    before = selector or Selector()
    mine, other = ("more", "less") if more else ("less", "more")
    kinds = {kind: before.own(kind) for kind in KINDS}
    gone = opposite(before, words, title, more=more)
    kinds[mine] = (*before.own(mine), " ".join(words))
    kinds[other] = tuple(phrase for phrase in before.own(other) if phrase not in gone)
    return Selector.of(**kinds, papers=before.papers)


def opposite(selector: Selector | None, words: Sequence[str], title: str, *, more: bool) -> tuple[str, ...]:
    """The phrases that asked for the opposite: the same words, or two and more that are all of this title.

    The second are those of the same paper before the frequencies of words had changed.
    """
    if selector is None:
        return ()
    of_title, same = set(words_of(title)), set(words_of(" ".join(words)))
    found = []
    for phrase in selector.own("less" if more else "more"):
        theirs = set(words_of(phrase))
        if theirs == same or (len(theirs) > 1 and theirs <= of_title):
            found.append(phrase)
    return tuple(found)
