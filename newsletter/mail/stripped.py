"""Mend LaTeX that has lost its dollar signs and backslashes, as in Hugging Face's abstracts: a table of rules.

A rule changes only what cannot be anything else: "2times" but not "2 times", "L_2" but not "file_2", "tau^2" but not
"tau". Addresses of the web, paths and code between backticks are left as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from newsletter.mail.scripts import GREEK, subscript, superscript

_SIGNS: Final = re.compile(
    r"[\\^{*`_]|--|''|\d(?:\\?times|pm|rightarrow)|(?:sim|approx|leq|geq)\d| pm |[A-Za-z]times\b| % "
    r"|(?:left|right)arrow|propto|infty|[lc]dots?|varepsilon|nabla"
)

# What no rule may touch.
_KEPT: Final = re.compile(
    r"`[^`]{1,200}`|(?<!\S)--(?=\w)[\w-]+|\bhttps?://[^\s{}]+|\bwww\.[^\s{}]+|(?<!\S)[^\s@]++@[^\s@]++"
    r"|(?<!\S)[\w.~-]*(?:/[\w.-]+){2,}/?"
    r"|\b[A-Za-z]:\\\S+|(?<![\w-])[\w-]++\.(?:com|org|io|ai|net|edu|dev|py|json|yaml|md|txt|sh|cpp)\b[^\s{}]*"
)


# One of these is in whatever _KEPT finds.
_IN_KEPT: Final = (
    *("`", "--", "://", "www.", "@", "/", ":\\", ".com", ".org", ".io", ".ai", ".net", ".edu", ".dev", ".py", ".json"),
    *(".yaml", ".md", ".txt", ".sh", ".cpp"),
)

# What _SIGNS asks, in two steps: finding a character or a word is many times as fast as the alternatives of a pattern.
_CHARACTERS: Final = ("\\", "^", "{", "*", "`", "_", "--", "''")
_WORDS: Final = (
    *("times", "pm", "arrow", "sim", "approx", "leq", "geq", "propto", "infty", "dot", "varepsilon", "nabla", " % "),
)


def _is_suspicious(text: str) -> bool:
    """Whether anything in `text` may be the rest of LaTeX."""
    if any(each in text for each in _CHARACTERS):
        return True
    return any(each in text for each in _WORDS) and _SIGNS.search(text) is not None


def mended(text: str) -> str:
    """`text` with what is left of its LaTeX as text. It drops no word; its time is linear in the length."""
    if not _is_suspicious(text):
        return text
    text = _unwrapped(text)
    if not any(each in text for each in _IN_KEPT):
        return _mended(text)
    parts: list[str] = []
    end = 0
    for match in _KEPT.finditer(text):
        parts += (_mended(text[end : match.start()]), match.group())
        end = match.end()
    parts.append(_mended(text[end:]))
    return "".join(parts)


# --- macros with braces ----------------------------------------------------------------------------------------------

_FONTS: Final = (
    "text|textbf|textit|textrm|textsf|texttt|textsc|textnormal|emph|underline|mbox|mathbf|mathrm|mathit|mathsf|mathtt"
    "|mathcal|mathscr|mathfrak|mathbb|bm|boldsymbol|operatorname"
)
_BRACED: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (re.compile(r"\$((?:text|math)[a-z]{2}\{[^$]{1,200}\})\$"), r"\1"),
    (re.compile(rf"(?<![A-Za-z])\\?(?:{_FONTS})\{{([^{{}}]{{0,200}})\}}"), r"\1"),
    (
        re.compile(
            r"\{\\(?:it|em|bf|tt|sc|rm|sf|sl|itshape|bfseries|ttfamily|scshape|small|large)\b ?([^{}]{0,200})\}"
        ),
        r"\1",
    ),
    (re.compile(r"\{(?:it|em|bf|tt|sc|rm) ([^{}]{1,200})\}"), r"\1"),
    (re.compile(r"(?<![A-Za-z])\\?href\{[^{}]{0,200}\} ?\{([^{}]{0,200})\}"), r"\1"),
    (re.compile(r"(?<![A-Za-z])\\?url\{([^{}]{0,200})\}"), r"\1"),
    (re.compile(r" ?\\(?:footnote|thanks)\{([^{}]{1,200})\}"), r" (\1)"),
    (re.compile(r"[~ ]?\\(?:cite[tp]?|label)\*?\{[^{}]{0,200}\}"), ""),
    (re.compile(r"\\textsuperscript\{([^{}]{1,20})\}"), r"^{\1}"),
    (re.compile(r"\\textsubscript\{([^{}]{1,20})\}"), r"_{\1}"),
)


def _unwrapped(text: str) -> str:
    for _ in range(3 if "{" in text else 0):  # one in another
        before = text
        for pattern, shown in _BRACED:
            text = pattern.sub(shown, text)
        if text == before:
            break
    return text


# --- what stands in a line of prose ----------------------------------------------------------------------------------

# Macros that many papers define for themselves.
_SHORT_FORMS: Final = {
    "eg": "e.g.", "ie": "i.e.", "etal": "et al.", "etc": "etc.", "vs": "vs.", "wrt": "w.r.t.", "cf": "cf.",
    "Eg": "E.g.", "Ie": "I.e.", "aka": "a.k.a.", "resp": "resp.",
    "textgreater": ">", "textless": "<", "textasciitilde": "~", "textendash": "–", "textemdash": "—",
}  # fmt: skip

# Operators by their names; where the backslash is lost, only those that are no English words.
_OPERATORS: Final = {
    "times": "×", "sim": "~", "approx": "≈", "leq": "≤", "geq": "≥", "neq": "≠", "pm": "±", "rightarrow": "→",
    "leftarrow": "←", "leftrightarrow": "↔", "propto": "∝", "cdot": "·", "infty": "∞", "ldots": "…", "lesssim": "≲",
    "gtrsim": "≳", "varepsilon": "ε", "nabla": "∇", "equiv": "≡",
}  # fmt: skip
_NO_WORDS: Final = (
    *("leq", "geq", "neq", "rightarrow", "leftarrow", "leftrightarrow", "propto", "cdot", "infty", "ldots", "lesssim"),
    *("gtrsim", "varepsilon", "nabla"),
)
_ANY_NO_WORD: Final = "|".join(_NO_WORDS)
_GREEK: Final = "|".join(sorted(GREEK, key=len, reverse=True))
_NOT_IN_A_NAME: Final = r"(?<![\w./\\@#-])"


def _operator(match: re.Match[str]) -> str:
    return _OPERATORS[match.group(1)]


def _raised(match: re.Match[str]) -> str:
    return superscript(match.group(1).lstrip(","))


def _greek(match: re.Match[str]) -> str:
    return GREEK[match.group(1)]


def _greek_with_index(match: re.Match[str]) -> str:
    return GREEK[match.group(1)] + subscript(match.group(2) or match.group(3))


def _sum(match: re.Match[str]) -> str:
    upper = match.group(3) or match.group(4) or ""
    sign = {"sum": "∑", "prod": "∏", "int": "∫"}[match.group(1)]
    return sign + subscript(match.group(2)) + (superscript(upper) if "_" not in upper else f"^{upper}")


_Replacement = str | Callable[[re.Match[str]], str]

# The words of two rules, and what each rule cannot do without, one string or any of several: looking for that is much
# quicker than trying the pattern.
_CIRCLE: Final = ("circ", "deg")
_COMPARED: Final = ("sim", "approx", "leq", "geq", "neq", "arrow")

_RULES: Final[tuple[tuple[str | tuple[str, ...], re.Pattern[str], _Replacement], ...]] = (
    # An apostrophe or quotation mark that was escaped, and is no accent.
    ("\\", re.compile(r"(?<=\w)\\'(?=(?:s|t|d|m|re|ve|ll)\b|[^\w\\{]|$)"), "'"),
    ("\\", re.compile(r"(?<![\w\\])\\([\"'])([^\\\"']{1,100})\\\1(?![A-Za-z])"), r"\1\2\1"),
    # Money: the dollar sign of "\$81" is gone. "\1" alone may be a reference to a group.
    (
        "\\",
        re.compile(
            r"(?<![^\s(~≈<>])\\"
            r"(?=[1-9]\d|\d[\d,]*\.\d|\d+[KMB]?(?:[ -](?:million|billion|trillion|USD|per)\b|[KMB]\b))"
        ),
        "$",
    ),
    (
        "\\",
        re.compile(r"\b(cost|costs|price|only|under|roughly|about|around|than|to|valued at) \\(?=\d+\b(?![.\\)]))"),
        r"\1 $",
    ),
    # Short forms and spaces.
    (
        "\\",
        re.compile(rf"(?<![\w:\\/.])\\({'|'.join(_SHORT_FORMS)})\b\.?(?:\{{\}}|\\(?=\s))?"),
        lambda m: _SHORT_FORMS[m.group(1)],
    ),
    ("\\", re.compile(r"(?<=[\w.,;:)}])\\(?= )"), ""),
    ("\\", re.compile(r"(?<=[\w%.)])\\[,;:]\s?(?=[\w%])"), " "),
    # Degrees.
    (_CIRCLE, re.compile(r"(?<=\d)\s?(?:\^\{?\\?circ\}?|\{\\?(?:deg|circ)\}|\\deg\b)(?=times|[^A-Za-z]|$)"), "°"),
    ("°", re.compile(r"(?<=°)\s?\\?times\s?(?=\d)"), " × "),
    # Operators beside numbers and single letters, between braces, and those whose names are no words.
    ("times", re.compile(r"(?<=[\d)])\\?times(?: (?=\d)|(?=sim\d)|(?![a-z]))"), "×"),
    ("times", re.compile(r"(?<![\w\\/])([A-Za-z])\\?times ?(?=[A-Za-z\d](?![a-z]))"), r"\1×"),
    ("{", re.compile(r"(?<![\w{\\])\{\\?(sim|approx|times|pm|leq|geq|rightarrow)\} ?(?=[\d$.])"), _operator),
    ("{", re.compile(r"(?<=[\dA-Za-z%)])\{\\?(sim|approx|times|pm|leq|geq|rightarrow)\}"), _operator),
    (_COMPARED, re.compile(r"(?<![\w\\/.-])(sim|approx|leq|geq)(?=\d[\d.,]*+(?:[KMBTkx]\b|times|[^\w]|$))"), _operator),
    (_COMPARED, re.compile(r"(?<=[\d%)])(rightarrow|leftarrow|leq|geq|neq|approx|sim)(?=[\d.])"), _operator),
    ("arrow", re.compile(r"(?<=[A-Z]{2})(leftrightarrow|rightarrow|leftarrow)(?=[A-Z]{2})"), _operator),
    ("pm", re.compile(r"(\d\.\d{1,6}%?) ?\\?pm ?(?=\d{1,6}\.\d)"), r"\1 ± "),
    ("\\", re.compile(r"(?<=[\s=<>(,+]\w)\\(neq|leq|geq|approx|sim) ?(?=[A-Za-z\d](?![a-z]))"), _operator),
    (_NO_WORDS, re.compile(rf"(?<![A-Za-z\\/._-])({_ANY_NO_WORD})(?![A-Za-z/_(]|\.\w|\^)"), _operator),
    ("{", re.compile(r"(?<=\w)\{([+=<>*,.-])\}(?=\w)"), r"\1"),
    # Scripts.
    ("_", re.compile(r"(?<![\w\\])(sum|prod|int)_\{([^{}]{1,30})\}(?:\^(?:\{([^{}]{1,20})\}|(\w)))?"), _sum),
    (
        "_",
        re.compile(
            rf"{_NOT_IN_A_NAME}({_GREEK})_(?:\{{([^{{}}^_\\]{{1,20}})\}}|(\d(?:\.\d)?|[A-Za-z])(?=(?:{_ANY_NO_WORD}|times|sim)\b|\W|$)"
            rf"(?!\.\w|/))"
        ),
        _greek_with_index,
    ),
    ("^", re.compile(rf"{_NOT_IN_A_NAME}({_GREEK})(?=\^[\d{{*])"), _greek),
    ("^", re.compile(r"(?<=[\w)\]∇ℓ])\^(-?\d{1,3})(?![\d(\[_]|\.\d)"), _raised),
    ("^", re.compile(r"(?<=[A-Za-z])\^\{?\\?(?:\*|ast|star)\}?(?![A-Za-z(])"), "*"),
    ("^", re.compile(r"(?<=[A-Za-z\d)\]α-ω])\^\{,?([^{}^_\\,]{1,20})\}"), _raised),
    ("_", re.compile(rf"{_NOT_IN_A_NAME}([A-Z])_(\d)(?![\w(\[/]|\.\w)"), lambda m: m.group(1) + subscript(m.group(2))),
    # The sign of a comment at the end of a sentence; where the comment ended is not known.
    (" %", re.compile(r"(?<=[.!?:]) %(?: ,)?(?=\s|$)"), ""),
    # Markdown.
    ("**", re.compile(r"(?<![\w*\\])\*\*(?=[^\s*])([^*]{1,200})(?<=[^\s*])\*\*(?![\w*])"), r"\1"),
    ("*", re.compile(r"(?<![\w*\\])\*(?=\w)([^*]{1,100})(?<=[\w.!?])\*(?![\w*])"), r"\1"),
    # Quotation marks.
    ("``", re.compile(r"``([^`\"]{1,200}?)(?:''|\")"), "“\\1”"),
    ("''", re.compile(r"(?<![\w\"])\"(?=\w)([^\"'`]{1,100})''"), "“\\1”"),
    ("''", re.compile(r"(?<!\w)''(?=\w)([^']{1,200})''(?!\w)"), "“\\1”"),
)


def _mended(text: str) -> str:
    if not _is_suspicious(text):
        return text
    for needed, pattern, shown in _RULES:
        if needed in text if isinstance(needed, str) else any(each in text for each in needed):
            text = pattern.sub(shown, text)
    if "∑" in text or "∏" in text:  # a formula has been found, so its other letters with an index belong to it
        text = _INDEX.sub(lambda match: match.group(1) + subscript(match.group(2)), text)
    return _dashes(text)


_INDEX: Final = re.compile(rf"{_NOT_IN_A_NAME}([a-z])_([ijkmnt\d])(?![\w(\[/]|\.\w)")

# --- dashes ----------------------------------------------------------------------------------------------------------

_DASH: Final = re.compile(
    r"(?P<spaced>(?<=\S) -{2,3}(?= \S))|(?<=[\w)\]”’\"%°×])(?P<glued>-{2,3})(?=(?P<right>[\w({“\"‘]+))"
)
# Words that hardly ever are the second half of a compound: before them two hyphens stand for a dash.
_AFTER_A_DASH: Final = re.compile(
    r"(?:a|an|the|and|or|but|to|of|in|on|for|from|with|without|into|by|at|as|is|are|was|were|has|have|can|that|which|who"
    r"|where|when|while|whether|such|this|these|those|it|its|we|our|they|their|both|either|not|only|even|yet|so|if|than"
    r"|i|e|most|many|often|all|any|each|every|no|required|[a-z]+ing)$"
)
_STOP: Final = re.compile(r"[.;!?]\s")


def _dashes(text: str) -> str:
    """`text` with two or three hyphens as a dash: an en dash in ranges and compounds, else an em dash with spaces."""
    if "--" not in text:
        return text
    found = list(_DASH.finditer(text))
    shown = [_dash(match, text) for match in found]
    for at in range(len(found) - 1):  # the first of a pair is as the second
        if shown[at] == "–" and shown[at + 1] == " — " and not text[found[at].start() - 1].isdigit():
            between = text[found[at].end() : found[at + 1].start()]
            if len(between) < 150 and not _STOP.search(between):
                shown[at] = " — "
    parts: list[str] = []
    end = 0
    for match, dash in zip(found, shown, strict=True):
        parts += (text[end : match.start()], dash)
        end = match.end()
    return "".join((*parts, text[end:]))


def _dash(match: re.Match[str], text: str) -> str:
    if match.group("spaced"):
        return " —"
    if len(match.group("glued")) == 3 or _AFTER_A_DASH.match(match.group("right")):
        return " — "
    return "–"
