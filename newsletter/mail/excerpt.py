"""Choose what a card shows of a text: whole sentences, beginning where the paper says what it did. Pure functions.

`excerpt` is for abstracts, `whole` for summaries, `shorten` for titles. The tables below hold the rules for English;
a text in another language begins at its beginning and ends at one of its sentences all the same.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

# --- where sentences end ---------------------------------------------------------------------------------------------

# The end of a sentence: a full stop or the like, closing quotes, then white space. Chinese, Japanese, Hindi and Arabic
# have marks of their own, and need no white space.
_END: Final = re.compile(r"(?:(?<![.!?…])[.!?…]++[\"'”’)\]]*+(?=\s|$)|(?<![。！？｡।۔؟])[。！？｡।۔؟]++[」』）”\"]*+)")

# Words that begin a sentence and hardly ever follow an abbreviation. With one of them the space may be missing.
_STARTERS: Final = (
    "We Our The This These Those In To It By For However Moreover Furthermore Additionally Finally Experiments "
    "Extensive Specifically While Although As On With Through Experimental Results Recent Existing Here Such"
).split()
_STARTER: Final = re.compile(rf"(?:{'|'.join(_STARTERS)})\b")
_NO_SPACE: Final = re.compile(rf"(?<=[a-z)])\.(?=(?:{'|'.join(_STARTERS)})\s)")

# Full stops that end no sentence, and those that end one only if a starter follows.
_NEVER: Final = re.compile(
    r"(?:\b(?:e\.\s?g|i\.\s?e|cf|vs|v|viz|w\.r\.t|s\.t|ca|approx|resp|incl|Figs?|Eqs?|Secs?|Tabs?|Defs?|Thm|Dr|Prof|Mr"
    r"|Mrs|Ms|St|Refs?|Chap|App|pp|ed|eds|vol|eg|ie)|(?:^|[\s(:;])\d)\.$",
    re.IGNORECASE,
)
_SELDOM: Final = re.compile(r"\b(?:et al|etc|al|No|Inc|Ltd|Co|Corp|Jr|U\.S|a\.k\.a|a\.m|p\.m|[A-Z])\.$")

_LONGEST: Final = 20_000  # characters of a text that are looked at

# LaTeX that `latex.readable` left as it is.
_FORMULA: Final = re.compile(r"\$[^$]{1,300}\$|\\\(.{1,300}?\\\)|\\\[.{1,300}?\\\]")


def sentences(text: str) -> list[str]:
    """The sentences of the first 20,000 characters of `text`, without white space around them.

    The last may have no end.
    """
    text = _NO_SPACE.sub(". ", text[:_LONGEST])
    found = []
    start = 0
    for match in _END.finditer(text):
        if _ends(text, start, match):
            found.append(text[start : match.end()].strip())
            start = match.end()
    found.append(text[start:].strip())
    return [sentence for sentence in found if sentence]


def _ends(text: str, start: int, match: re.Match[str]) -> bool:
    """Whether the mark that `match` found ends the sentence which began at `start`."""
    if match.group()[0] != ".":
        return not re.match(r"\s+[a-z]", text[match.end() : match.end() + 3]) or match.group()[0] in "。！？｡।۔؟"
    following = text[match.end() : match.end() + 40].lstrip()
    before = text[max(start, match.start() - 12) : match.start() + 1]
    if _NEVER.search(before) or _inside_formula(text, start, match.start()):
        return False
    if not following or _STARTER.match(following):
        return True
    if _SELDOM.search(before):
        return False
    word = following.split(None, 1)[0]
    return not word[0].islower() or any(char.isupper() or char.isdigit() for char in word)


def _inside_formula(text: str, start: int, at: int) -> bool:
    begin = max(start, at - 300)
    around = text[begin : at + 300]
    if "$" not in around and "\\" not in around:
        return False
    return any(match.start() < at - begin < match.end() - 1 for match in _FORMULA.finditer(around))


# --- which sentence says what was done -------------------------------------------------------------------------------

_PAPER: Final = (
    r"(?:paper|work|article|survey|report|study|review|tutorial|thesis|technical report|position paper|manuscript|note"
    r"|research|project)"
)
_OURS: Final = (
    r"(?:[\w-]+ ){0,3}?(?:method|approach|models?|framework|system|algorithm|pipeline|results?|experiments?|findings?"
    r"|analys[ei]s|evaluations?|study|work|contributions?|dataset|benchmark|architecture|idea|goal|insight|solution"
    r"|technique|strategy|theory|paper|evidence|observations?|investigation)"
)

# "We" where it begins a clause, and not the "we" of "a habit we call laziness".
_WE: Final = (
    rf"(?:^|[,;:—–-] ?|\b(?:[Hh]ere(?:in)?|{_PAPER}|end|[Tt]hus|[Tt]herefore|[Hh]ence|[Ss]pecifically|[Ff]inally"
    r"|[Ff]irst|[Tt]hen|[Nn]ext|[Oo]verall|[Nn]ow|[Ii]nstead|and) )[Ww]e,? +"
)
_ADVERBS: Final = r"(?:(?:\w+ly|also|further|first|then|thus|hence|next|now|here|instead),? +)*"

# Verbs after "we" that say nothing about what the paper did.
_NOT_DOING: Final = (
    r"(?!(?:term|call|refer|denote|name|live|need|know|can|cannot|may|might|often|hope|rarely|tend|still|face|lack|do"
    r"|don|have|had|are|were|will|must|should|could|would|currently|all|humans?|see|get|no|never|want|wish|believe|note"
    r"|attribute|hypothesi[sz]e|posit|conjecture)\b)"
)
_DONE_VERB: Final = (
    r"(?:propos|present|introduc|develop|design|buil[dt]|releas|describ|construct|curat|establish|offer|provid|explor"
    r"|investigat|stud|examin|analy[sz]|evaluat|assess|benchmark|compar|revisit|survey|review|formali[sz]|address|tackl"
    r"|show|find|found|demonstrat|prov|reveal|identif|argu|report|aim|seek|achiev|improv|advanc|reimagin|bridg|unif"
    r"|outlin|discuss|examin|challeng|contribut|focus|delv|synthesi[sz]|extend|leverag|cover|detail|summari[sz])[a-z]*"
)

# What a sentence of contribution says, strongest first: the paper does something; it finds something; it is good.
_DONE: Final = re.compile(
    rf"{_WE}(?:(?:have|are) +)?{_ADVERBS}(?:{_NOT_DOING}[a-z][\w-]+\b|{_DONE_VERB}\b|the first)"
    rf"|\b(?:This|this|Our|our|(?:The|the)(?: present)?) {_PAPER},? +{_ADVERBS}{_DONE_VERB}\b"
    rf"|\b(?:The|the) authors? {_ADVERBS}{_DONE_VERB}\b"
    r"|\b(?:is|are) (?:here(?:by)? |then |further )?(?:proposed|presented|introduced|developed)\b"
    r"(?! (?:by|in) (?:\[|[A-Z]))"
    rf"|\b[Ii]n (?:this|the present) {_PAPER}\b"
)
_FOUND: Final = re.compile(
    rf"\b(?:[Oo]ur {_OURS}\b|(?:[Ee]xtensive|[Cc]omprehensive|[Ee]mpirical|[Ee]xperimental|[Ee]xperiments?|[Rr]esults"
    r"|[Ee]valuations?|[Aa]blations?|[Ff]indings|[Aa]nalys[ei]s|[Ss]imulations?)\b.{0,120}?\b(?:show|demonstrat|reveal"
    r"|indicat|confirm|suggest|validat|proves?\b|highlight|verif)\w*)"
)
_LOOKED_AT: Final = re.compile(
    rf"{_WE}{_ADVERBS}(?:explor|investigat|stud|examin|analy[sz]|consider|focus|aim|seek|address|tackl|revisit|ask"
    r"|rethink|review|survey)[a-z]*"
)
_GOOD: Final = re.compile(
    r"\b(?:outperform\w*|surpass\w*|achiev\w+|state-of-the-art|improv\w+ (?:by|over|from|of)|reduc\w+ .{1,60}\bby"
    r"|speed-?up|is an? (?:novel|new|large-scale|unified|open|simple|comprehensive|first)"
    r"|(?:novel|new) \w+ (?:that|for))\b"
)
_BACKGROUND: Final = re.compile(
    r"^[^,]{0,200}, however,"
    r"|^(?:Recent|Existing|Previous|Prior|Current|Traditional|Conventional|Despite|Although|However|While|Large|Many"
    r"|Most|Today|Yet|Unfortunately|Can |How |What |Is |Are |Do |Does |Why )"
)
_AVAILABLE: Final = re.compile(
    r"https?://|\bgithub\b|\b(?:code|models?|data|datasets?|weights|checkpoints|demos?|project page|videos?|website)\b"
    r"[^.]{0,60}\b(?:available|released|found at|open-?sourced)\b|^(?:Project|Code|Demo|Website|Homepage|Page)\b",
    re.IGNORECASE,
)

# One of these is in whatever the pattern finds: looking for them first is many times as fast.
_IN_DONE: Final = (
    *("we ", "We ", "we,", "We,", "author", "proposed", "presented", "introduced", "developed"),
    *("paper", "work", "article", "survey", "report", "study", "review", "tutorial", "thesis", "manuscript", "note"),
    *("research", "project"),
)
_IN_AVAILABLE: Final = (
    *("http", "github", "available", "released", "found at", "sourced", "project", "code", "demo", "website", "page"),
    "homepage",
)

# A figure that is a result, rather than part of a name such as GPT-4 or 3D.
_NUMBER: Final = re.compile(
    r"(?<![\w.-])[~+<>≈∼$−-]?\d[\d.,]*\s?(?:%|×|x\b|[KMBTk]\b|times|points?|percent|pp\b|ms\b|fps\b)?(?![\w-])"
)

# Beginnings that lead up to what follows and are left out: "In this paper, we propose" says "We propose".
_LEAD_IN: Final = re.compile(
    rf"^(?:In (?:this|the present|our) {_PAPER}|Here(?:in)?|To(?:wards)? (?:this|that) (?:end|goal)|Therefore|Thus"
    r"|Hence|However|Moreover"
    r"|Furthermore|In addition|Additionally|Specifically|Concretely|Accordingly|Consequently|In response|Finally|First"
    r"|(?:To|In order to) (?:address|tackle|solve|overcome|mitigate|alleviate|bridge|resolve|close|fill|remedy|meet|fix"
    r"|handle|achieve|counter|combat|answer|enable|facilitate|circumvent|break|cope with|respond to|deal with) "
    r"(?:this|these|those|that|such|the above|the|both)(?: [\w-]+){0,4}"
    r"|(?:Motivated|Inspired) by (?:this|these|that|the above)(?: [\w-]+){0,3}"
    rf"),? +(?:here,? +)?(?=[Ww]e\b|(?:This|this) {_PAPER}\b)"
)


@lru_cache(maxsize=1024)  # the editions of an issue show a paper in several forms
def excerpt(text: str, limit: int, name: str = "") -> str:
    """What an abstract says that was done and found, in whole sentences of together at most `limit` characters.

    It begins with the first sentence of contribution, and adds the first result with a number and the sentences that
    follow as far as they fit; "…" stands for sentences left out between them. Where both do not fit, a result with a
    number stands for a sentence that only says what was looked at. `name` is the short name in the paper's title: a
    sentence that begins with it is one of contribution. A text without one is shown as `whole` shows it.
    """
    found = _complete(text) if limit >= 2 else ()
    if not found:
        return ""
    kinds = [_kind(sentence, name) for sentence in found]
    lead = _lead(found, kinds, limit)
    if lead is None:
        return whole(text, limit)
    first = _without_lead_in(found[lead])
    if len(first) > limit:
        return _ended(first, limit)
    return _extended(first, found, kinds, lead, limit)


@lru_cache(maxsize=1024)
def whole(text: str, limit: int) -> str:
    """`text` if it has at most `limit` characters, else its first sentences or, if the first is longer, a clause.

    A sentence without a place to end within `limit` ends at the first one up to three times that. Only what has none
    there either is cut between words, with an ellipsis.
    """
    found = _complete(text) if limit >= 2 else ()
    if not found:
        return ""
    shown = ""
    for sentence in found:
        longer = f"{shown} {sentence}".strip() if not _chinese(shown) else shown + sentence
        if len(longer) > limit:
            break
        shown = longer
    return shown or _ended(found[0], limit)


def _ended(sentence: str, limit: int) -> str:
    """A sentence of more than `limit` characters, ended as `whole` says."""
    if shown := _clause(sentence, limit):
        return shown
    if len(sentence) <= 3 * limit:
        return _clause(sentence, 3 * limit, first=True) or sentence
    return _clause(sentence, 3 * limit, first=True) or shorten(sentence, limit)


def _chinese(shown: str) -> bool:
    return shown[-1:] in "。！？｡" if shown else False


# Kinds of sentences, by how much they say of the contribution.
_DONE_KIND, _FOUND_KIND, _GOOD_KIND, _OTHER, _NOT_SHOWN = 4, 3, 2, 1, 0


@lru_cache(maxsize=2048)  # a paper is shown at several lengths
def _kind(sentence: str, name: str) -> int:
    done = any(word in sentence for word in _IN_DONE) and _DONE.search(sentence) is not None
    if not done and _says_available(sentence):
        return _NOT_SHOWN
    if sentence.endswith("?"):
        return _OTHER
    if done:
        return _DONE_KIND
    if (_FOUND.search(sentence) and not _BACKGROUND.match(sentence)) or (name and _begins_with(sentence, name)):
        return _FOUND_KIND
    if _GOOD.search(sentence) and not _BACKGROUND.match(sentence):
        return _GOOD_KIND
    return _OTHER


def _says_available(sentence: str) -> bool:
    lower = sentence.lower()
    return any(word in lower for word in _IN_AVAILABLE) and _AVAILABLE.search(sentence) is not None


def _begins_with(sentence: str, name: str) -> bool:
    return re.match(rf"(?:The |Our )?{re.escape(name)}\b", sentence, re.IGNORECASE) is not None


def _lead(found: Sequence[str], kinds: Sequence[int], limit: int) -> int | None:
    """The index of the sentence to begin with; None if none says what was done.

    The first one that does wins, whether it says so as an act or as a finding. If it is too long and has no clause to
    end at, the next is tried. Praise alone counts only in an abstract that has nothing else.
    """
    for least in (_FOUND_KIND, _GOOD_KIND):
        candidates = [at for at, kind in enumerate(kinds) if kind >= least]
        fitting = [at for at in candidates if len(found[at]) <= limit or _clause(_without_lead_in(found[at]), limit)]
        if fitting and _LOOKED_AT.search(found[fitting[0]]):
            figures = [at for at in candidates if len(found[at]) <= limit and _NUMBER.search(found[at])]
            if figures and len(found[fitting[0]]) + len(found[figures[0]]) > limit:
                return figures[0]
        if fitting or candidates:
            return (fitting or candidates)[0]
    return None


def _extended(first: str, found: Sequence[str], kinds: Sequence[int], lead: int, limit: int) -> str:
    """`first` with a later result that has a number, and with the sentences after it that fit."""
    room = limit - len(first)
    results = [
        at
        for at in range(lead + 1, len(found))
        if kinds[at] >= _GOOD_KIND and _NUMBER.search(found[at]) and len(found[at]) + 3 <= room
    ]
    taken = set(results[:1])
    room -= sum(len(found[at]) + 3 for at in taken)
    for at in range(lead + 1, len(found)):
        if at in taken:
            continue
        if kinds[at] == _NOT_SHOWN or len(found[at]) + 1 > room or _BACKGROUND.match(found[at]):
            break
        taken.add(at)
        room -= len(found[at]) + 1
    parts = [first]
    last = lead
    for at in sorted(taken):
        parts += (["…"] if at > last + 1 else []) + [found[at]]
        last = at
    return " ".join(parts)


def _without_lead_in(sentence: str) -> str:
    rest = _LEAD_IN.sub("", sentence, count=1)
    return rest[:1].upper() + rest[1:]


# --- ends ------------------------------------------------------------------------------------------------------------

_CUT_OFF: Final = re.compile(r"(?:…|\.\.\.|\[(?:…|\.\.\.)\])\s*$")  # where a feed has cut its own text


@lru_cache(maxsize=512)  # of a text, several lengths are shown
def _complete(text: str) -> Sequence[str]:
    """The sentences without a last one that the feed itself cut, and with a full stop where the last has no end."""
    found = tuple(sentences(text))
    if not found:
        return ()
    last = found[-1]
    if len(found) > 1 and _CUT_OFF.search(last):
        return found[:-1]
    if re.search(r"[\w)%\]”\"]$", last) and "://" not in last.rsplit(None, 1)[-1] and not _scripts_without_stop(last):
        last += "."
    return (*found[:-1], last)


def _scripts_without_stop(text: str) -> bool:
    """Whether the last letter is Chinese, Japanese, Thai or the like, where a full stop would be foreign."""
    return unicodedata.name(text[-1], "").startswith(("CJK", "HIRAGANA", "KATAKANA", "THAI", "DEVANAGARI"))


# Where a sentence can end before its end, and still be one: what follows only adds to it. Better places first.
_CLAUSES: Final = (
    re.compile(
        r"(?:;| [—–] | -- |---|, (?:which|where|whereas|while|thereby|thus|enabling|including|such as|with|without|but"
        r"|yet|so that|e\.g\.|i\.e\.|and (?:we|it|they|our|its|this|show|demonstrate|find|can|thus|then|is|are)|even"
        r"|especially|particularly|in which|for which|of which|from|based|built|designed|trained|followed|as well as"
        r"|\w+ing)\b)"
    ),
    re.compile(r"(?:, (?:an?|the|for|to|by|in|on)\b|: | \((?=[^()]{15}))"),
    re.compile(
        r" (?:by (?:\w+ly )?\w+ing|to (?:\w+ly )?(?:improve|enhance|achieve|enable|ensure|reduce|address|support"
        r"|provide|make)|and (?:demonstrat|reveal|achiev|enabl|outperform|improv|reduc|surpass)\w+|through|using"
        r"|in order to|without|so that|because|when|while|which|where|whereas|via|based on|across|under|despite"
        r"|compared|within)\b"
    ),
)
# A head that only opens what the rest would say: a condition after "that", or a list of which items are missing.
_OPEN: Final = re.compile(
    r"\bthat,? (?:even|if|when|while|although|by|with|without|in|for|under|given|despite|unlike|across|\w+ing)\b[^,]*$"
    r"|\((?:1|i|a)\)|\b(?:1|i)\)|\bnot only\b|\b(?:both|between|of|the|a|an|to|and|or|as|into)$",
)
_SUBORDINATE: Final = re.compile(
    r"^(?:While|Although|Though|Given|By|To|When|If|Despite|Unlike|For|In|With|Without|Through|Inspired|Based|Building|"
    r"Motivated|As|Because|Since|From|On|At|Under|Rather|Instead|Following|\w+ing)\b"
)
_SHORTEST: Final = 40  # characters of a clause worth showing
_CJK_CLAUSE: Final = re.compile(r"[，；、：]")


def _clause(sentence: str, limit: int, *, first: bool = False) -> str:
    """The longest (or `first`) beginning of `sentence` that can stand alone, with a full stop; empty if none can."""
    claim = _DONE.search(sentence) or _FOUND.search(sentence)
    if claim:
        least = claim.end() + 10
    elif _SUBORDINATE.match(sentence):
        least = len(sentence)
    else:
        least = _SHORTEST
    for pattern in _CLAUSES:
        for cut in sorted((match.start() for match in pattern.finditer(sentence, 0, limit)), reverse=not first):
            head = sentence[:cut].rstrip(" ,;:–—-")
            if len(head) >= max(least, _SHORTEST) and _balanced(head) and not _OPEN.search(head):
                return head + "."
    cuts = [match.start() for match in _CJK_CLAUSE.finditer(sentence, 0, limit)]
    return sentence[: cuts[-1]] + "。" if cuts and cuts[-1] >= limit // 3 else ""


def _balanced(head: str) -> bool:
    return (
        head.count("(") == head.count(")")
        and head.count("[") == head.count("]")
        and head.count("“") == head.count("”")
        and head.count('"') % 2 == 0
        and head.count("$") % 2 == 0
    )


# --- titles ----------------------------------------------------------------------------------------------------------


def shorten(text: str, limit: int) -> str:
    """`text` if it has at most `limit` characters, else its first words with an ellipsis, within `limit` characters."""
    if len(text) <= limit:
        return text
    if limit < 2:
        return ""
    cut = _before_formula(text, _word(text, limit - 1))
    return text[:cut].rstrip(" ,;:–—-") + "…"


def _word(text: str, room: int) -> int:
    """The index after the last word within `room` characters; in a text without spaces, after a whole character."""
    space = text.rfind(" ", 0, room + 1)
    if space >= room // 2:
        return space
    while room > 0 and _joined(text, room):
        room -= 1
    return room


def _joined(text: str, at: int) -> bool:
    """Whether the code points before and after index `at` form one character, by a combining mark or a joiner."""
    return unicodedata.combining(text[at]) != 0 or text[at] in "\u200d\ufe0f" or text[at - 1] == "\u200d"


def _before_formula(text: str, cut: int) -> int:
    for match in _FORMULA.finditer(text):
        if match.start() < cut < match.end():
            return match.start()
    return cut
