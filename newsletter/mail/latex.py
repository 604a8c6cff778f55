"""Turn LaTeX in titles and abstracts into Unicode text: ``$O(n^2)$`` becomes O(n²).

Text that may not be LaTeX (money, paths, `code`) and formulas with an unknown macro are left as written, because a
wrong conversion is worse than the source. tests/data/latex.tsv holds the expected results.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Final

from newsletter.mail.scripts import subscript, superscript
from newsletter.mail.stripped import mended

_MARKS: Final = re.compile(r"[\\$~^`]|_\{")  # a text without any of these has no LaTeX that is complete

_LONGEST: Final = 300  # characters of a formula; dollar signs further apart are money
_DEEPEST: Final = 12  # levels of nested braces

# Formulas by their delimiters. By Pandoc's rule a dollar sign opens a formula if no space follows it, and closes one if
# no space precedes and no digit follows it; so "$5 and $10" is money.
_FORMULA: Final = re.compile(
    rf"\$\$(?P<display>[^$]{{1,{_LONGEST}}})\$\$"
    rf"|(?<![\\\w$])\$(?=[^\s$])(?P<inline>[^$]{{1,{_LONGEST}}})(?<![\s\\])\$(?!\$)"
    rf"|\\\((?P<round>.{{1,{_LONGEST}}}?)\\\)|\\\[(?P<square>.{{1,{_LONGEST}}}?)\\\]"
)

# Text between two dollar signs is a formula if it has an operator or macro, or is a single letter or numbers.
_MATHS: Final = re.compile(r"[\\^_=<>]|^[\d\s.,+*/()|%-]*+[A-Za-z]?[\d\s.,+*/()|%-]*+$|^[A-Za-z]'?\([^()]{1,20}\)$")

_TOKEN: Final = re.compile(
    r"\\(?P<macro>[a-zA-Z]+)|\\(?P<escaped>.)|(?P<special>[{}^_])|(?P<plain>[^\\{}^_]+)", re.DOTALL
)

# Macros that show their argument; its font is lost.
_SHOW: Final = """text textbf textit textrm textsf texttt textsc textnormal emph underline mbox hbox operatorname url
    mathbf mathrm mathit mathsf mathtt mathcal mathscr mathfrak bm boldsymbol"""
_FUNCTIONS: Final = "log ln exp sin cos tan tanh sinh cosh max min sup inf lim arg det dim gcd ker deg Pr argmax argmin"
_IGNORED: Final = "left right big Big bigl bigr Bigl Bigr displaystyle textstyle limits nolimits"
_ESCAPED: Final = {",": " ", ";": " ", ":": " ", " ": " ", "!": "", "|": "‖"} | {c: c for c in "%&$#_{}"}
_BLACKBOARD: Final = dict(zip("CNPQRZEFH", "ℂℕℙℚℝℤ𝔼𝔽ℍ", strict=True))

# Accent macros of text and of formulas, as combining characters.
_ACCENTS: Final = {
    "'": "\u0301", "`": "\u0300", "^": "\u0302", '"': "\u0308", "~": "\u0303", "=": "\u0304", ".": "\u0307",
    "c": "\u0327", "v": "\u030c", "u": "\u0306", "H": "\u030b", "k": "\u0328", "r": "\u030a",
    "hat": "\u0302", "widehat": "\u0302", "bar": "\u0304", "overline": "\u0304", "tilde": "\u0303",
    "widetilde": "\u0303", "dot": "\u0307", "ddot": "\u0308", "vec": "\u20d7", "acute": "\u0301", "check": "\u030c",
}  # fmt: skip

# Macros outside formulas: with an argument in braces, or a known symbol alone.
_TEXT_MACRO: Final = re.compile(rf"\\({'|'.join(sorted(_SHOW.split()))})\{{([^{{}}]{{0,200}})\}}")
_LINK: Final = re.compile(r"\\href\{[^{}]{0,500}\}\{([^{}]{0,200})\}")
_TEXT_ACCENT: Final = re.compile(r"""\\(['`^"~=.])\{?\\?([a-zA-Z])\}?(?![a-zA-Z]*\{)|\\([cvuHkr])\{([a-zA-Z])\}""")
_ESCAPE: Final = re.compile(r"\\([%&$#_{}])")
_SYMBOL: Final = re.compile(r"(?<![\w:\\/.])\\([a-zA-Z]{2,})(?![a-zA-Z{\\])")
_SCRIPT: Final = re.compile(r"(?<=[\w)\]}])(?:\^\{([^{}^_\\]{1,20})\}|_\{([^{}^_\\]{1,20})\})")
_QUOTED: Final = re.compile(r"``(.{1,200}?)''")
_TIE: Final = re.compile(r"(?<=[A-Za-z.,)])~(?=[\w\\(\[])")


def readable(text: str) -> str:
    """`text` with its LaTeX as Unicode. It never fails and drops no word; its time is linear in the length."""
    if not _MARKS.search(text):
        return mended(text)
    parts: list[str] = []
    end = 0
    for match in _FORMULA.finditer(text):
        source = next(group for group in match.groups() if group is not None)
        shown = _formula(source) if match.group("inline") is None or _is_maths(match) else None
        if shown is not None:
            parts += (_prose(text[end : match.start()]), shown)
            end = match.end()
    parts.append(_prose(text[end:]))
    return "".join(parts)


def _is_maths(match: re.Match[str]) -> bool:
    """Whether the dollar signs of `match` enclose a formula, rather than being two prices."""
    source = match.group("inline")
    price = match.string[match.end() : match.end() + 1].isdigit() and not re.search(r"[\\^_]", source)
    return not price and _MATHS.search(source) is not None


def _prose(text: str) -> str:
    """`text` between formulas with its escapes, emphasis, accents, quotes and ties converted."""
    text = mended(text)
    if "\\" in text:
        text = _LINK.sub(r"\1", text)
        for _ in range(3):  # nested emphasis
            text = _TEXT_MACRO.sub(r"\2", text)
        text = _TEXT_ACCENT.sub(_accented, text)
        text = _ESCAPE.sub(r"\1", text)
        text = _SYMBOL.sub(lambda match: _symbol(match.group(1)) or match.group(), text)
    if "{" in text:
        text = _SCRIPT.sub(_scripted, text)
    if "~" in text:
        text = _TIE.sub("\u00a0", text)
    return _QUOTED.sub("“\\1”", text) if "``" in text else text


def _accented(match: re.Match[str]) -> str:
    accent, letter = match.group(1) or match.group(3), match.group(2) or match.group(4)
    return unicodedata.normalize("NFC", letter + _ACCENTS[accent])


def _scripted(match: re.Match[str]) -> str:
    return superscript(match.group(1)) if match.group(1) else subscript(match.group(2))


# --- formulas --------------------------------------------------------------------------------------------------------


def _atom(text: str) -> str:
    """`text`, in parentheses if it has more than one word."""
    return text if re.fullmatch(r"[\w.]+\W?|\(.*\)", text) else f"({text})"


def _root(text: str) -> str:
    return "√" + _atom(text)


def _blackboard(letters: str) -> str:
    return "".join(_BLACKBOARD.get(letter, letter) for letter in letters)


def _with_accent(mark: str, letters: str) -> str:
    return unicodedata.normalize("NFC", "".join(letter + mark for letter in letters))


# What a macro of a formula is shown as: one without an argument, and one with an argument, which is text already.
_ALONE: Final[Mapping[str, str]] = {
    **{name: name for name in _FUNCTIONS.split()},
    **dict.fromkeys(_IGNORED.split(), ""),
    **dict.fromkeys(("quad", "qquad"), " "),
}
_AROUND: Final[Mapping[str, Callable[[str], str]]] = {
    **dict.fromkeys(_SHOW.split(), str),
    **{name: partial(_with_accent, mark) for name, mark in _ACCENTS.items() if len(name) > 1},
    "mathbb": _blackboard,
    "sqrt": _root,
}
_FRACTIONS: Final = ("frac", "tfrac", "dfrac")


class _Unknown(Exception):
    """The formula has something that cannot be converted."""


def _formula(source: str) -> str | None:
    """A formula as text, or None if it has something that cannot be converted."""
    try:
        return re.sub(r"\s+", " ", _Formula(source).text()).strip()
    except _Unknown:
        return None


class _Formula:
    """A recursive descent parser for one formula."""

    def __init__(self, source: str) -> None:
        self._tokens = list(_TOKEN.finditer(source.strip()))
        self._next = 0
        self._depth = 0

    def text(self) -> str:
        """The whole formula as text. Raises _Unknown."""
        parts: list[str] = []
        while self._next < len(self._tokens):
            parts.append(self._item())
        return "".join(parts)

    def _item(self) -> str:
        """The next token with its argument, as text."""
        token = self._tokens[self._next]
        self._next += 1
        if token.group("plain"):
            return token.group("plain").replace("~", " ").replace("'", "′")
        if token.group("macro"):
            return self._macro(token.group("macro"))
        if token.group("escaped"):
            if token.group("escaped") not in _ESCAPED:
                raise _Unknown
            return _ESCAPED[token.group("escaped")]
        return self._special(token.group("special"))

    def _special(self, char: str) -> str:
        if char == "{":
            return self._group()
        if char == "^":
            return superscript(self._argument())
        if char == "_":
            return subscript(self._argument())
        raise _Unknown  # a closing brace without an opening one

    def _group(self) -> str:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _Unknown
        parts: list[str] = []
        while self._next < len(self._tokens):
            if self._tokens[self._next].group("special") == "}":
                self._next += 1
                self._depth -= 1
                return "".join(parts)
            parts.append(self._item())
        raise _Unknown

    def _argument(self) -> str:
        """The argument of a macro, superscript or subscript: a group, a macro or one character, as text."""
        if self._next >= len(self._tokens):
            raise _Unknown
        token = self._tokens[self._next]
        plain = token.group("plain")
        if not plain:
            return self._item()
        stripped = plain.lstrip()
        if not stripped:
            raise _Unknown
        rest = _TOKEN.match(stripped[1:]) if len(stripped) > 1 else None
        self._tokens[self._next : self._next + 1] = [rest] if rest else []
        return stripped[0]

    def _macro(self, name: str) -> str:
        if name in _ALONE:
            return _ALONE[name]
        if name in _AROUND:
            return _AROUND[name](self._argument())
        if name in _FRACTIONS:
            return f"{_atom(self._argument())}/{_atom(self._argument())}"
        symbol = _symbol(name)
        if symbol is None:
            raise _Unknown
        return symbol


@cache
def _symbol(name: str) -> str | None:
    """The character for a macro, from pylatexenc's tables; None if there is none."""
    from pylatexenc.latex2text import get_default_latex_context_db  # takes 30 ms to import and most days have no macro

    spec = get_default_latex_context_db().get_macro_spec(name)
    shown = getattr(spec, "simplify_repl", None)
    return shown if isinstance(shown, str) and shown and "%" not in shown and "\\" not in shown else None
