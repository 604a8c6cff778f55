"""Whether a paper's organisation is the one that somebody asks for, whose name has many forms. Pure.

Names are compared by their words. *The*, *of*, *at* and the like say nothing, and *AI*, *Lab* or *Inc.* say only what
kind of an organisation it is, so that *Meta AI* is *AI at Meta*. A university is another kind: *Shanghai AI Lab* is not
*Shanghai University*. Words beside its name make it another one, as in *City University of Hong Kong*.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import permutations
from typing import Final

from newsletter.issue.folding import fold, occurs, unquoted

_COMMA: Final = ","
_LINKING: Final = frozenset({"the", "of", "at", "for", "and", "in", _COMMA})
_UNIVERSITY: Final = frozenset({"university", "univ"})
_KINDS: Final = frozenset(
    "ai ailab lab labs laboratory laboratories research team group inc ltd llc corp corporation company gmbh".split()
)
_SAYING_LITTLE: Final = _LINKING | _UNIVERSITY | _KINDS
# Before *University of X* they make it another university of X. A person's name, as in many German ones, does not.
_ANOTHER: Final = frozenset(
    "american baptist catholic chinese city federal international medical metropolitan national normal open"
    " polytechnic state technical technological".split()
)
# Words in the names of many organisations. One of them alone does not stand for an organisation.
_SUBJECTS: Final = frozenset(
    "academy biology center centre china cloud computing data engineering graphics health institute intelligence"
    " language learning medicine mind models robotics robots science sciences security software speech systems tech"
    " technologies technology vision".split()
)

_WORD: Final = re.compile(r"[^\W_]+")
_APART: Final = re.compile(r"[,;:()@/&|]|\s[-\u2013\u2014]\s")  # between an organisation and what it is a part of
# *Meta-learning* is one word; *Alibaba-NLP*, *alibaba-inc* and *TongyiLab* are two.
_COMPOUND: Final = re.compile(rf"\b([A-Z]\w*)-(?!(?:{'|'.join(_KINDS)})\b)([a-z]\w*)")
_GLUED: Final = re.compile(r"(?<=[a-z])(AI|Lab|Labs|Research|Team|Group)\b")

_LONGEST: Final = 20  # words
_MIXED: Final = 3  # words that may stand in any order when they are written as one
_SHORTEST: Final = 4  # letters of a name that stands for a longer one


@dataclass(frozen=True)
class _Name:
    """A name, folded: its text, and its words, those of each part between commas and the like."""

    text: str
    parts: Sequence[Sequence[str]]
    words: Sequence[str]  # all but the linking ones

    @classmethod
    def of(cls, name: str) -> _Name:
        """Take a name apart."""
        written = _COMPOUND.sub(r"\1\2", name)
        parts = [_WORD.findall(fold(part))[:_LONGEST] for part in _APART.split(written)]
        return cls(fold(written), parts, [word for part in parts for word in part if word not in _LINKING][:_LONGEST])

    @cached_property
    def runs(self) -> frozenset[str]:
        """All runs of words, each written as one word; and all words in any order, if they are few."""
        words = self.words
        runs = {"".join(words[start:end]) for end in range(1, len(words) + 1) for start in range(end)}
        return frozenset(runs.union(map("".join, permutations(words))) if len(words) <= _MIXED else runs)

    @cached_property
    def own(self) -> frozenset[str]:
        """The words that do not only say what kind of an organisation it is."""
        return frozenset(_own(self.words))


@lru_cache(maxsize=4096)
def _name(name: str) -> _Name:
    return _Name.of(name)


@lru_cache(maxsize=4096)
def _taken_apart(name: str) -> _Name:
    return _Name.of(_GLUED.sub(r" \1", name))


def comes_from(wanted: str, organisation: str) -> bool:
    """Whether a reader who asks for `wanted` wants a paper from `organisation`. Both are names as somebody wrote them.

    They do in three cases: `organisation` contains the wanted name (*Google* finds *Google DeepMind*); the names differ
    only in their order and in words that say little; or `organisation` is the last word of a wanted name that begins
    with a larger organisation (*Google DeepMind* finds *DeepMind*, but not *Google*). Quotation marks around the wanted
    name are ignored.
    """
    mine, theirs = _name(unquoted(wanted)), _name(organisation)
    if not mine.text:
        return False
    if mine.own and _is_university(mine.words):
        return _has_university(mine, theirs) or _is_same(mine, theirs)
    return (
        occurs(mine.text, theirs.text)
        or "".join(mine.words) in theirs.runs
        or _is_same(mine, _taken_apart(organisation))
        or _has_all(mine, theirs)
        or _is_tail(theirs, mine)
    )


def _own(words: Sequence[str]) -> list[str]:
    """The words that do not only say what kind of an organisation it is."""
    return [word for word in words if word not in _SAYING_LITTLE]


def _is_university(words: Sequence[str]) -> bool:
    return not _UNIVERSITY.isdisjoint(words)


def _is_same(mine: _Name, theirs: _Name) -> bool:
    """Whether `mine` and `theirs`, or a part of `theirs`, have the same words, apart from those that say little.

    A university is also found by its name without *university*, but only if that is the whole name and no word makes it
    another kind of organisation: *Stanford University* is *Stanford*, but neither *Stanford Lab* nor *Owl University,
    Stanford*.
    """
    own, university = mine.own, _is_university(mine.words)
    if own and own == theirs.own:
        other = _is_university(theirs.words)
        return university == other or _KINDS.isdisjoint(theirs.words if university else mine.words)
    return bool(own) and any(own == set(_own(part)) and university == _is_university(part) for part in theirs.parts)


def _has_all(mine: _Name, theirs: _Name) -> bool:
    """Whether `theirs` has all words of `mine`, if there are several: *ARC Lab, Tencent PCG* has *Tencent ARC Lab*."""
    return len(mine.own) > 1 and mine.own.issubset(theirs.words)


def _is_tail(short: _Name, long: _Name) -> bool:
    """Whether `short`, one word, is the last word of `long`, and can be the name of an organisation by itself.

    *Inria* is not taken as the end of *Owl Lab at Inria* or *Owl Lab, Inria*: there the larger organisation comes last.
    """
    own, whole = _own(short.words), _own(long.words)
    if len(own) != 1 or len(whole) < 2 or whole[-1] != own[0] or _is_university(short.words):
        return False
    plain = len(long.parts) == 1 and _LINKING.isdisjoint(long.parts[0])
    return plain and len(own[0]) >= _SHORTEST and own[0] not in _SUBJECTS


def _has_university(mine: _Name, theirs: _Name) -> bool:
    """Whether `theirs` contains the university `mine`, and no word beside it makes it another university."""
    first, last = mine.words[0] in _UNIVERSITY, mine.words[-1] in _UNIVERSITY
    words = [word for part in theirs.parts for word in (*part, _COMMA)]
    for start, end in _places("".join(mine.words), words):
        before, after = words[start - 1] if start else _COMMA, words[end]
        stands_alone = before not in _ANOTHER if first else before in _LINKING | _KINDS
        if stands_alone and not (last and after == "of"):
            return True
    return False


def _places(wanted: str, words: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Start and end of each run of `words` that, written as one word, is `wanted`. Linking words in it do not count."""
    for start in range(len(words)):
        run = ""
        for end in range(start, len(words)):
            run += "" if words[end] in _LINKING else words[end]
            if run == wanted and words[start] not in _LINKING:
                yield start, end + 1
                break
