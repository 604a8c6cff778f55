"""Pick the papers that a reader's selector wants out of a day's papers, and say why each is there. Pure, deterministic.

What a paper is picked for, the most certain first: an author, a topic, an organisation, a category. Among papers picked
for topics the better match comes first, and of equal ones the one with more votes; so it does among the others.

What the reader wants more or less of changes the order within these. It counts half as much as a topic: half of the
share of the words of a phrase in `more` that a paper has, by rarity, is added to its match, and half of that in `less`
taken away; of several phrases the one with the largest share counts. A paper with all words of a phrase in `more` is
picked for that, too, and stands among those picked for topics. A paper of whose match nothing is left is not picked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from heapq import merge
from itertools import islice
from operator import itemgetter
from typing import Final, NamedTuple

from newsletter.issue.filters import name_parts, same_given_names
from newsletter.issue.folding import first_word, fold, occurs, whole_words
from newsletter.issue.matching import Frequencies, TopicIndex
from newsletter.issue.organisations import comes_from
from newsletter.issue.selector import Selector
from newsletter.model import Paper, Reason, ReasonKind

# Where papers stand by what they are picked for. Without a reason, the reader asked for nothing in particular.
_TIERS: Final[Mapping[ReasonKind | None, int]] = {
    ReasonKind.AUTHOR: 0,
    ReasonKind.TOPIC: 1,
    ReasonKind.MORE: 1,
    None: 1,
    ReasonKind.ORGANISATION: 2,
    ReasonKind.CATEGORY: 3,
}
_LIKE_WEIGHT: Final = 0.5  # of what the reader wants more or less of; a topic has 1
_ALL: Final = 0.999  # share of words, which are floating-point numbers
_REMEMBERED: Final = 20_000  # topics whose picks are kept
_ALIKE: Final = 100  # matches are compared in hundredths, so that votes decide between those that are nearly equal


class Pick(NamedTuple):
    """A paper for a reader, and why: None if the reader asked for nothing, only against something.

    `match` is how well the paper fits the topic (about 1 for all of it), or 1 for any other reason; with what the
    reader wants more and less of.
    """

    paper: Paper
    reason: Reason | None
    match: float = 1.0


# A pick after its place among others: that of `rank`, then the better match of the same paper.
_Placed = tuple[tuple[int, int, int, int, float], Pick]
_PLACE: Final = itemgetter(0)


@dataclass(frozen=True)
class Candidates:
    """The papers of a day that selectors pick from, prepared once for all of them.

    They are what the filters of the list keep, in the order of the issue, uncut, and the late risers.
    """

    papers: Sequence[Paper]
    topics: TopicIndex
    _saying: dict[str, frozenset[int]] = field(default_factory=dict, compare=False)
    _fitting: dict[str, Sequence[_Placed]] = field(default_factory=dict, compare=False)
    _from: dict[str, Sequence[tuple[int, str]]] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, papers: Sequence[Paper], lately: Frequencies | None = None) -> Candidates:
        """Prepare `papers`. `lately` are the document frequencies of the papers listed lately, see `TopicIndex`."""
        return cls(papers, TopicIndex.of(papers, lately))

    def fitting(self, topic: str) -> Sequence[_Placed]:
        """The papers that fit a topic (`TopicIndex.matches`), best first; readers with the same topic share them."""
        if topic not in self._fitting:
            if len(self._fitting) >= _REMEMBERED:
                self._fitting.clear()
            reason, matches = Reason(ReasonKind.TOPIC, topic), self.topics.matches(topic).items()
            self._fitting[topic] = _placed((at, Pick(self.papers[at], reason, match)) for at, match in matches)
        return self._fitting[topic]

    def by_author(self, author: str) -> Iterator[tuple[int, str]]:
        """The papers by a person who may be `author` (`filters.same_name`), with the author's name on the paper."""
        given, family = name_parts(author)
        for at, their_given, name in self._families.get(family, ()) if family else ():
            if same_given_names(given, their_given):
                yield at, name

    def from_organisation(self, organisation: str) -> Iterator[tuple[int, str]]:
        """The papers from the organisation that is wanted (`organisations.comes_from`), with its name on the paper."""
        if organisation not in self._from:
            names = [name for name in self._organisations if comes_from(organisation, name)]
            self._from[organisation] = [(at, name) for name in names for at in self._organisations[name]]
        yield from self._from[organisation]

    def in_category(self, category: str) -> Iterator[int]:
        """The papers in a category, such as ``cs.lg``; ``cs`` and ``cs.*`` stand for all of its parts."""
        yield from self._categories.get(fold(category).removesuffix(".*"), ())

    def saying(self, words: str) -> frozenset[int]:
        """The papers that mention a word or phrase in title, abstract, summary or keywords.

        It is found as the list's filters find it. A card may show the summary alone.
        """
        if words not in self._saying:
            self._saying[words] = frozenset(self._places(fold(words)))
        return self._saying[words]

    def packed(self) -> Candidates:
        """The same in less memory, see `TopicIndex.packed`."""
        return Candidates(self.papers, self.topics.packed())

    def forget(self) -> None:
        """Forget the words that were looked up, for a process that keeps the papers. No other thread may pick now."""
        self._saying.clear()
        self._fitting.clear()
        self._from.clear()
        self.topics.forget()

    @cached_property
    def _families(self) -> Mapping[str, Sequence[tuple[int, tuple[str, ...], str]]]:
        """Authors by family name: position of the paper, given names, and the name as it is written there."""
        found: defaultdict[str, list[tuple[int, tuple[str, ...], str]]] = defaultdict(list)
        for at, paper in enumerate(self.papers):
            for name in paper.authors:
                given, family = name_parts(name)
                found[family].append((at, given, name))
        return found

    @cached_property
    def _organisations(self) -> Mapping[str, Sequence[int]]:
        """The papers of each organisation by its name."""
        found: defaultdict[str, list[int]] = defaultdict(list)
        for at, paper in enumerate(self.papers):
            if paper.organisation:
                found[paper.organisation].append(at)
        return found

    @cached_property
    def _categories(self) -> Mapping[str, Sequence[int]]:
        """Papers by category, each also by the part before every dot."""
        found: defaultdict[str, dict[int, None]] = defaultdict(dict)
        for at, paper in enumerate(self.papers):
            for keyword in map(fold, paper.keywords):
                parts = keyword.split(".")
                for end in range(len(parts)):
                    found[".".join(parts[: end + 1])][at] = None
        return {category: tuple(at) for category, at in found.items()}

    def _places(self, wanted: str) -> Iterable[int]:
        """The papers whose texts have `wanted`, which is folded, as whole words."""
        texts, with_word = self._texts
        word = first_word(wanted)
        if word == wanted:
            return with_word.get(word, ())
        return (at for at in (with_word.get(word, ()) if word else range(len(texts))) if occurs(wanted, texts[at]))

    @cached_property
    def _texts(self) -> tuple[Sequence[str], Mapping[str, Sequence[int]]]:
        """The folded texts of each paper, and the papers that have a word.

        The texts of a paper are lines, and a folded text holds no line break: no phrase stands across two texts.
        """
        texts = [
            "\n".join(map(fold, (each.title, each.abstract, each.summary or "", *each.keywords)))
            for each in self.papers
        ]
        found: defaultdict[str, list[int]] = defaultdict(list)
        for at, text in enumerate(texts):
            for word in set(whole_words(text)):
                found[word].append(at)
        return texts, found


def pick(selector: Selector, candidates: Candidates) -> tuple[Pick, ...]:
    """The papers that `selector` wants, the best first, at most as many as it says; empty if none fits."""
    return tuple(islice(every(selector, candidates), selector.papers))


def every(selector: Selector, candidates: Candidates) -> Iterator[Pick]:
    """All papers that `selector` wants, however many it says, the best first. Who needs a few pays for a few."""
    ranked: list[Iterable[_Placed]] = list(_wanted(selector, candidates))
    if selector.more or selector.less:
        found = {place[3]: picked for place, picked in _merged(ranked)}
        ranked = [_placed(_weighed(found, selector, candidates).items())]
    never = [candidates.saying(words) for words in selector.never]
    return (picked for _, picked in _merged(ranked, *never))


def _merged(ranked: Sequence[Iterable[_Placed]], *never: Iterable[int]) -> Iterator[_Placed]:
    """These picks in one order, each paper for the reason that places it best; without the papers in `never`."""
    done = set().union(*never)
    for placed in ranked[0] if len(ranked) == 1 else merge(*ranked, key=_PLACE):
        if (at := placed[0][3]) not in done:
            done.add(at)
            yield placed


def unwanted(selector: Selector, candidates: Candidates) -> frozenset[int]:
    """The papers, by position, that have more of the words that the reader wants less of than of those in `more`.

    Of a main edition they come last.
    """
    if not selector.less:
        return frozenset()
    more = _best(selector.more, candidates)
    less = _best(selector.less, candidates)
    return frozenset(at for at, (share, _) in less.items() if share > more.get(at, (0.0, ""))[0])


def _weighed(found: Mapping[int, Pick], selector: Selector, candidates: Candidates) -> dict[int, Pick]:
    """The picks with what the reader wants more and less of; see the top of this module."""
    more, less = _best(selector.more, candidates), _best(selector.less, candidates)
    weighed: dict[int, Pick] = {}
    for at in (*found, *sorted(more.keys() - found.keys())):
        liked, words = more.get(at, (0.0, ""))
        picked = found.get(at, Pick(candidates.papers[at], None, 0.0))
        reason = picked.reason
        if reason is None and liked >= _ALL:
            reason = Reason(ReasonKind.MORE, words)
        match = picked.match + _LIKE_WEIGHT * (liked - less.get(at, (0.0, ""))[0])
        if match > 0 and (at in found or reason):
            weighed[at] = Pick(picked.paper, reason, match)
    return weighed


def _best(phrases: Sequence[str], candidates: Candidates) -> dict[int, tuple[float, str]]:
    """The papers, by position, that have at least half of a phrase's words: the largest share, and of which phrase."""
    found: dict[int, tuple[float, str]] = {}
    for phrase in phrases:
        for at, share in candidates.topics.shares(phrase).items():
            if at not in found or found[at][0] < share:
                found[at] = (share, phrase)
    return found


def rank(at: int, picked: Pick) -> tuple[int, int, int, int]:
    """The place of a pick among others, the least first; `at` is the paper's position in the list."""
    kind = picked.reason.kind if picked.reason else None
    votes = (picked.paper.upvotes or 0) if kind else 0  # without a reason the order is the list's own
    return (_TIERS[kind], -round(picked.match * _ALIKE), -votes, at)


def _placed(picks: Iterable[tuple[int, Pick]]) -> list[_Placed]:
    """These picks in the order of their places; each comes with the position of its paper in the list."""
    placed = [((*rank(at, picked), -picked.match), picked) for at, picked in picks]
    return sorted(placed, key=_PLACE)


def _wanted(selector: Selector, candidates: Candidates) -> Iterator[Iterable[_Placed]]:
    """Every pick for each choice, the best first."""
    papers = candidates.papers
    if not selector.asks:
        yield _placed((at, Pick(paper, None)) for at, paper in enumerate(papers))
    for author in selector.authors:
        by = candidates.by_author(author)
        yield _placed((at, Pick(papers[at], Reason(ReasonKind.AUTHOR, name))) for at, name in by)
    for topic in selector.topics:
        yield candidates.fitting(topic)
    for wanted in selector.organisations:
        of = candidates.from_organisation(wanted)
        yield _placed((at, Pick(papers[at], Reason(ReasonKind.ORGANISATION, name))) for at, name in of)
    for category in selector.categories:
        reason = Reason(ReasonKind.CATEGORY, category)
        yield _placed((at, Pick(papers[at], reason)) for at in candidates.in_category(category))
