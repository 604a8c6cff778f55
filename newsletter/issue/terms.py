"""The terms of a text, for comparing a reader's topic with a paper: words, pairs, stems, and whole phrases. Pure.

A feature is a string whose first character says what it is:

``=`` a word or a pair of neighbouring words, without the s of the plural, in American spelling: ``=language model``
``~`` the same with English stems, so that *generating* meets *generation*: ``~languag model``
``&`` two stems near each other, in any order, so that *improves performance* meets *performance improvement*
``#`` a whole phrase, which is what stands between two stop words or punctuation marks: ``#large language model``
``^`` an abbreviation, ``^llm``, and one with what the text says that it stands for: ``^llm large language model``
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any, Final

from newsletter.issue.folding import UNSPACED, fold

# English function words, and words of abstracts that carry no subject. A phrase ends at them, and no topic is made of
# them alone.
STOP_WORDS: Final = frozenset(
    """a about above across after against all also although among an and another any are as at based be because been
    being below between both but by can could did do does down due during each either even every few for from further
    furthermore had has have having her here how however i if in include including into is it its just many may
    might more moreover most much must neither no nor not of off on only onto or other our out over own per same several
    shall she should since so some such than that the their them then there these they this those through thus to too
    toward towards under until up upon use used uses using very via was we well were what when where whereas whether
    which while who whom whose why will with within without would yet you your""".split()
)

_LONGEST_TEXT: Final = 20_000  # characters of a field that are read
_LONGEST_WORD: Final = 64
_LONGEST_PHRASE: Final = 6  # words
_REACH: Final = 5  # words that are no stop words

# A character of a script without spaces is a word, and so are C++ and C#. A point or comma between digits, as in 2.5,
# ends no phrase.
_WORD: Final = rf"[{UNSPACED}]|(?<!\w)[a-z](?:\+\+|#)(?![^\W\d])|[^\W_{UNSPACED}]+"
_TOKEN: Final = rf"({_WORD})|(?!(?<=\d)[.,]\d)[^\w\s'\u2019\u2010-\u2014\u2212-]"
# The parts of a name such as DanceGRPO or 4o: capitals, a capitalised word, small letters, digits.
_PARTS: Final = re.compile(r"[A-Z]{2,}(?![a-z])|[A-Z]?[a-z]+|\d+")
_LATIN: Final = re.compile(r"[A-Za-z0-9-]+")
_ABBREVIATION: Final = re.compile(r"[A-Z](?=[A-Za-z]{0,8}[A-Z])[A-Za-z]{1,9}")  # LLMs, MoE
_DEFINED: Final = re.compile(rf"\(({_ABBREVIATION.pattern})\)")
_BEFORE: Final = re.compile(r"(?<![A-Za-z])(?:[A-Za-z]++[ -]++){1,10}$")
_BEFORE_AT_MOST: Final = 150  # characters

# British spellings and the American ones that they are compared as (the pairs of VarCon, http://wordlist.aspell.net).
# A rule may change other words too, since topics and papers go through it alike; but none may part a verb from its
# noun, as *supervised* from *supervision*. Words have lost the s of the plural.
_SPELLINGS: Final = (
    ("is", r"(?<=\w\w[^cv])is(?=(?:e[dr]?|ing|ation(?:al)?|able)$)", "iz"),  # optimise, tokeniser, quantisation
    ("ys", r"(?<=\w)ys(?=(?:e[dr]?|ing)$)", "yz"),  # analyse
    ("our", r"(?<=\w\w)our(?=(?:ed|ing|al|er|ist|ite|ful|hood|less|able)?$)", "or"),  # tumour, behavioural
    ("re", r"(?<=[bt])re$", "er"),  # centre, fibre
    ("ll", r"(?:(?<=[aeiou]\w[aeiou])|(?<=[aeiou]\w\w[aeiou]))ll(?=(?:ed|er|ing)$)", "l"),  # modelling, channelled
    ("ogue", r"(?<=\w\w)ogue$", "og"),  # dialogue
    ("ae", r"ae(?=\w{3})", "e"),  # leukaemia
)


@lru_cache(maxsize=50_000)
def singular(word: str) -> str:
    """`word` without the s of an English plural (Harman 1991, "How effective is suffixing?"); *-ie* becomes *-y*.

    A word that lost its s already, such as *capabilitie*, becomes the same as *capabilities*.
    """
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    return f"{word[:-2]}y" if len(word) > 4 and word.endswith("ie") else word


@lru_cache(maxsize=50_000)
def normal(word: str) -> str:
    """The form of a word by which it is compared: `singular`, and American of two English spellings."""
    word = singular(word)
    for letters, british, american in _spellings():
        if letters in word:  # to look for them takes a tenth of the time of the pattern
            word = british.sub(american, word)
    return word


@cache
def _spellings() -> Sequence[tuple[str, re.Pattern[str], str]]:
    """Compiled when they are first needed, as the words are."""
    return [(letters, re.compile(british), american) for letters, british, american in _SPELLINGS]


@cache
def _tokens() -> re.Pattern[str]:
    """It takes 3 ms to compile: only an issue with chosen topics needs it."""
    return re.compile(_TOKEN)


@cache
def _stemmer() -> Callable[[str], Any]:
    """Snowball's, which takes 30 ms to import: only an issue with chosen topics needs it."""
    import snowballstemmer

    found: Callable[[str], Any] = snowballstemmer.stemmer("english").stemWord
    return found


# How the suffixes end that the stemmer removes or changes, so that other words need not go through it, which takes
# 30 microseconds each: a quarter of the words of abstracts, and those of other scripts.
_SUFFIXES: Final = (*"'cdegilmrsty", "ion")


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """The English stem (Snowball) of a word in the form that `normal` gives."""
    return str(_stemmer()(word)) if word.endswith(_SUFFIXES) else word


def words_of(text: str) -> list[str]:
    """The words of a topic as a reader typed it, in the form that `normal` gives."""
    return [normal(word) for phrase in _phrases(text) for word in phrase]


def features(words: Sequence[str]) -> list[str]:
    """The words and pairs of `words`, each plain and as a stem. `words` are in the form that `normal` gives."""
    stems = [stem(word) for word in words]
    found = []
    for sign, some in (("=", words), ("~", stems)):
        found += [f"{sign}{word}" for word in some]
        found += [f"{sign}{one} {other}" for one, other in pairwise(some)]
    return found


def near(words: Sequence[str], reach: int = _REACH) -> set[str]:
    """The pairs of different words, no stop words, of which one is at most `reach` such words after the other."""
    stems = [stem(word) for word in words if word not in STOP_WORDS]
    return {
        f"&{one} {other}" if one < other else f"&{other} {one}"
        for at, one in enumerate(stems)
        for other in stems[at + 1 : at + 1 + reach]
        if one != other
    }


def whole(words: Sequence[str]) -> str:
    """The feature of a whole phrase."""
    return f"#{' '.join(words)}"


def count(*texts: str) -> Counter[str]:
    """How often each feature stands in `texts`. At most the first 20,000 characters of each are read."""
    found: list[str] = []
    for text in texts:
        for phrase in _phrases(text):
            words = [normal(word) for word in phrase]
            found += features(words)
            found += near(words)
            found += [whole(words[start:end]) for start, end in _between_stop_words(phrase)]
        found += _abbreviations(text)
        for part in _parts(text):
            found += (f"={normal(part)}", f"~{stem(normal(part))}")
    return Counter(found)  # once for all, which takes less than to add to one


def _phrases(text: str) -> Iterator[list[str]]:
    """The words of `text`, folded, in groups that no punctuation mark divides. Hyphens divide words, not groups."""
    group: list[str] = []
    for word in _tokens().findall(fold(text[:_LONGEST_TEXT])):  # it gives an empty one for a punctuation mark
        if word:
            group.append(word[:_LONGEST_WORD])
        else:
            yield group
            group = []
    yield group


def _abbreviations(text: str) -> Iterator[str]:
    """The abbreviations in `text`, each once, and those that it explains, as in *large language models (LLMs)*.

    What an abbreviation stands for has a word for each of its letters, and each begins with that letter. *A simple
    algorithm for identifying abbreviation definitions* (Schwartz and Hearst 2003) takes more, and is wrong more often.
    """
    text = text[:_LONGEST_TEXT]
    yield from {f"^{normal(short.lower())}" for short in _ABBREVIATION.findall(text)}
    for found in _DEFINED.finditer(text):
        short = normal(found[1].lower())
        before = _BEFORE.search(f"{text[max(0, found.start() - _BEFORE_AT_MOST) : found.start()].rstrip()} ")
        words = [normal(word) for word in re.findall("[a-z]+", before[0].lower())] if before else []
        if "".join(word[0] for word in words[-len(short) :]) == short:
            yield f"^{short} {' '.join(words[-len(short) :])}"


def _between_stop_words(group: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Start and end of each run of words that are no stop words, up to six words long."""
    start = 0
    for end in range(len(group) + 1):
        if end == len(group) or group[end] in STOP_WORDS:
            if 0 < end - start <= _LONGEST_PHRASE:
                yield start, end
            start = end + 1


def _parts(text: str) -> Iterator[str]:
    """Other ways to write a word: *dance* and *grpo* for DanceGRPO, *finetuned* for fine-tuned; in lower case."""
    written = set(_LATIN.findall(unicodedata.normalize("NFKC", text[:_LONGEST_TEXT])))
    yield from {word.replace("-", "").lower()[:_LONGEST_WORD] for word in written if "-" in word.strip("-")}
    for word in {part for joined in written for part in joined.split("-")}:
        if word.isalpha() and word[1:].islower():  # as most are
            continue
        parts = _PARTS.findall(word[:_LONGEST_WORD])
        if len(parts) > 1:
            yield from (part.lower() for part in parts if len(part) > 1 or part.isdigit())
