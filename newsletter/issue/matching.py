"""How well papers fit topics in a reader's own words: tf-idf over words, stems and whole phrases. Pure, deterministic.

The papers of an issue are indexed once. A topic then costs as many steps as there are places at which its words stand.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise
from typing import Final

from newsletter.issue import terms
from newsletter.model import Paper

# Chosen with `python -m tests.topics` on papers of May to October 2025; each step gained in both halves of the weeks.
_SATURATION: Final = 0.5  # k1 of BM25: how soon another occurrence says nothing more
_FEATURE_WEIGHTS: Final = {"=": 0.7, "~": 1.0}
_PHRASE_WEIGHT: Final = 1.0
_NEAR_WEIGHT: Final = 0.5

_FITTING: Final = 0.6  # share of a topic's words, by weight, that a fitting paper has
_LEAST: Final = 0.05  # match of a fitting paper
_DEFINED: Final = 3  # papers that must explain an abbreviation in the same way, and three times as many as otherwise
_LIKED: Final = 0.5  # share of the words of a line in `more` or `less` that counts
_REMEMBERED: Final = 20_000  # topics of an index whose matches are kept


@dataclass(frozen=True, slots=True)
class Frequencies:
    """How many of the `documents` papers that were listed lately have each feature; one of a single paper may lack.

    `abbreviations` are those that several of them explain, each with the words that it stands for.
    """

    documents: int
    counts: Mapping[str, int]
    abbreviations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, papers: Iterable[Paper]) -> Frequencies:
        """The frequencies in `papers`."""
        return cls.counted(_counted(paper) for paper in papers)

    @classmethod
    def counted(cls, counted: Iterable[Mapping[str, int]]) -> Frequencies:
        """The frequencies in papers whose features have been counted."""
        counts: Counter[str] = Counter()
        explained: Counter[str] = Counter()
        documents = 0
        for features in counted:
            documents += 1
            counts.update([feature for feature in features if feature[0] in _FEATURE_WEIGHTS])
            explained.update([feature for feature in features if feature[0] == "^" and " " in feature])
        often = {feature: number for feature, number in counts.items() if number > 1}
        return cls(documents, often, _abbreviations(explained))

    def rarity(self, feature: str) -> float:
        """The inverse document frequency, from 1 for a feature of all papers."""
        return math.log((self.documents + 1) / (self.counts.get(feature, 1) + 1)) + 1


@dataclass(frozen=True, slots=True)
class _Query:
    """A topic as features with their weights.

    `words` has for each word its share of the whole topic, and the features of which one is enough for it.
    """

    weights: Mapping[str, float]
    words: Sequence[tuple[float, Sequence[str]]]
    most: float  # the sum of all weights


class _Postings:
    """The papers that have a feature, by position, each with the saturated number of occurrences.

    They are looked up when a topic first needs them: a day's papers have 100,000 features, and few are asked for.
    `counted` has the features of each paper, and `norms` what makes up for its length.
    """

    def __init__(self, counted: Sequence[Mapping[str, int]], norms: Sequence[float]) -> None:
        self._counted, self._norms = counted, norms
        self._known: dict[str, Mapping[int, float]] = {}
        self._words: defaultdict[str, list[int]] = defaultdict(list)
        for at, features in enumerate(counted):
            for feature in features:
                if " " not in feature:
                    self._words[feature].append(at)

    def of(self, feature: str) -> Mapping[int, float]:
        """The papers that have `feature`."""
        found = self._known.get(feature)
        if found is None:
            counted, norms = self._counted, self._norms
            places = [at for at in self._possible(feature) if feature in counted[at]]
            found = self._known[feature] = {at: _saturated(counted[at][feature], norms[at]) for at in places}
        return found

    def _possible(self, feature: str) -> Iterable[int]:
        """A paper with a pair or a phrase has its words, too, as stems or whole: those with the rarest of them."""
        sign = "=" if feature[0] in "=#" else "~"
        words = [f"{sign}{word}" for word in feature[1:].split(" ")] if " " in feature else [feature]
        return min([self._words.get(word, ()) for word in words], key=len)

    def packed(self) -> _Packed:
        """The same in less memory, for all features."""
        found: defaultdict[str, dict[int, float]] = defaultdict(dict)
        for at, (features, norm) in enumerate(zip(self._counted, self._norms, strict=True)):
            for feature, number in features.items():
                found[feature][at] = _saturated(number, norm)
        return _Packed(found)


def _saturated(number: int, norm: float) -> float:
    return number * (_SATURATION + 1) / (number + norm)


class _Packed:
    """Postings in four arrays, found by the hash of the feature: 64 bits, so that none of a day's are the same."""

    def __init__(self, postings: Mapping[str, Mapping[int, float]]) -> None:
        self._features, self._starts = array("q"), array("L", [0])
        self._papers, self._numbers = array("L"), array("d")
        for feature in sorted(postings, key=hash):
            self._features.append(hash(feature))
            self._papers.extend(postings[feature].keys())
            self._numbers.extend(postings[feature].values())
            self._starts.append(len(self._papers))

    def of(self, feature: str) -> Mapping[int, float]:
        """The papers that have `feature`."""
        at = bisect_left(self._features, hash(feature))
        if at == len(self._features) or self._features[at] != hash(feature):
            return {}
        here = slice(self._starts[at], self._starts[at + 1])
        return dict(zip(self._papers[here], self._numbers[here], strict=True))

    def packed(self) -> _Packed:
        """These, which are packed."""
        return self


@dataclass(frozen=True)
class TopicIndex:
    """Papers by the features of their title, abstract and summary."""

    papers: Sequence[Paper]
    frequencies: Frequencies
    postings: _Postings | _Packed
    _known: dict[tuple[str, str], Mapping[int, float]] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, papers: Sequence[Paper], lately: Frequencies | None = None) -> TopicIndex:
        """The index of `papers`. `lately` are the frequencies in the papers listed lately, by default in `papers`."""
        counted = [_counted(paper) for paper in papers]
        lengths = [sum(features[each] for each in features if each[0] == "=") for features in counted]
        average = sum(lengths) / max(1, len(lengths)) or 1
        frequencies = lately or Frequencies.counted(counted)
        meant = [_meant(features, frequencies.abbreviations) for features in counted]
        postings = _Postings(meant, [_SATURATION * length / average for length in lengths])
        _counted_in.cache_clear()  # it is large
        return cls(papers, frequencies, postings)

    def matches(self, topic: str) -> Mapping[int, float]:
        """The papers that fit `topic`, by position, with how well: above 0, about 1 for one that has all of it."""
        return self._remembered(topic, self._match)

    def shares(self, words: str) -> Mapping[int, float]:
        """The papers, by position, that have at least half of `words`, by rarity: which share of them, 1 for all."""
        return self._remembered(words, self._share)

    def packed(self) -> TopicIndex:
        """The same index in about a tenth of the memory, and slower: for a process that keeps it for long."""
        return replace(self, postings=self.postings.packed(), _known={})

    def forget(self) -> None:
        """Forget the matches that are kept. No other thread may look for any at this moment."""
        self._known.clear()

    def _remembered(self, words: str, found: Callable[[str], Mapping[int, float]]) -> Mapping[int, float]:
        key = (found.__name__, words)
        if key not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[key] = found(words)
        return self._known[key]

    def _share(self, words: str) -> Mapping[int, float]:
        covered = self._covered(self._shares(terms.words_of(words)))
        return {at: share for at, share in covered.items() if share >= _LIKED}

    def _match(self, topic: str) -> Mapping[int, float]:
        query = self._query(topic)
        covered = self._covered(query.words)
        found = {at: 0.0 for at, share in covered.items() if share >= _FITTING}
        for feature, weight in query.weights.items():
            numbers = self.postings.of(feature)
            for at in found.keys() & numbers.keys():
                found[at] += weight * numbers[at]
        matches = ((at, covered[at] * weight / query.most) for at, weight in found.items())
        return {at: match for at, match in matches if match >= _LEAST}

    def _covered(self, words: Sequence[tuple[float, Sequence[str]]]) -> dict[int, float]:
        """Which share of a query's words each paper has, by position."""
        covered: dict[int, float] = {}
        for share, enough in words:
            places = [self.postings.of(feature) for feature in enough]
            for at in places[0] if len(places) == 1 else {at for each in places for at in each}:
                covered[at] = covered.get(at, 0.0) + share
        return covered

    def _query(self, topic: str) -> _Query:
        words = terms.words_of(topic)
        rarity = self.frequencies.rarity
        weights = {feature: _FEATURE_WEIGHTS[feature[0]] * rarity(feature) ** 2 for feature in terms.features(words)}
        plain = sum(weight for feature, weight in weights.items() if feature[0] == "=")
        weights[terms.whole(words)] = _PHRASE_WEIGHT * plain / _FEATURE_WEIGHTS["="]
        for pair in terms.near(words, 1):
            weights[pair] = _NEAR_WEIGHT * sum(rarity(f"~{each}") ** 2 for each in pair[1:].split(" "))
        for one, other in pairwise(words):
            weights.setdefault(_joined(one, other), weights[f"={one} {other}"])
        return _Query(weights, self._shares(words), max(sum(weights.values()), 1.0))

    def _shares(self, words: Sequence[str]) -> Sequence[tuple[float, Sequence[str]]]:
        """The `words` of a query, see there."""
        rarity = self.frequencies.rarity
        enough = {word: [f"~{terms.stem(word)}"] for word in words if word not in terms.STOP_WORDS}
        for one, other in pairwise(words):
            for word in enough.keys() & {one, other}:
                enough[word].append(_joined(one, other))
        total = sum(rarity(stems[0]) for stems in enough.values()) or 1.0
        return [(rarity(stems[0]) / total, stems) for stems in enough.values()]


def _abbreviations(explained: Mapping[str, int]) -> dict[str, str]:
    """What abbreviations stand for, by how many papers explain each in which way."""
    ways: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for feature, number in explained.items():
        short, _, words = feature[1:].partition(" ")
        ways[short].append((number, words))
    found = {}
    for short, known in ways.items():
        number, words = max(known)
        if number >= _DEFINED and number >= _DEFINED * (sum(each for each, _ in known) - number):
            found[short] = words
    return {short: words for short, words in found.items() if short not in terms.STOP_WORDS}


def _meant(features: Mapping[str, int], abbreviations: Mapping[str, str]) -> Mapping[str, int]:
    """The features of a paper, with those of an abbreviation for what it stands for, and the other way round."""
    added: set[str] = set()
    for short, words in abbreviations.items():
        whole = words.split(" ")
        if all(f"={one} {other}" in features for one, other in pairwise(whole)):
            added.update(terms.features([short]))
        elif f"^{short}" in features:
            added.update(terms.features(whole))
    return {**dict.fromkeys(added, 1), **features} if added else features


def _joined(one: str, other: str) -> str:
    """The feature of two words written as one: pre-training is also written pretraining."""
    return f"~{terms.stem(one + other)}"


def _counted(paper: Paper) -> Counter[str]:
    return _counted_in(paper.title, paper.abstract, paper.summary or "")


@lru_cache(maxsize=256)  # a day's papers are counted for their index and for the frequencies
def _counted_in(*texts: str) -> Counter[str]:
    return terms.count(*texts)
