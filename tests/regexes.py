"""Finds every regular expression of the program, and makes the texts over which each would take longest."""

from __future__ import annotations

import ast
import functools
import importlib
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# The parser of the standard library, under its name since Python 3.11.
from re import _constants as sre
from re import _parser as sre_parser
from typing import Any, Final

import newsletter

SIZE: Final = 50_000  # characters of a worst text

# What a method of `re` asks of the engine. Those that go on after a match begin at every character, as `search` does.
_APPLIED: Final = {
    "match": "match",
    "fullmatch": "fullmatch",
    **dict.fromkeys(("search", "sub", "subn", "split", "findall", "finditer"), "search"),
}


def modules() -> Iterator[Any]:
    """Every module of the program that can be imported alone."""
    for found in pkgutil.walk_packages(newsletter.__path__, "newsletter."):
        if ".migrations" not in found.name and not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


_METHODS: Final = "|".join(_APPLIED)


@dataclass(frozen=True)
class Use:
    """A regular expression, and how the program applies it: ``search``, ``match`` or ``fullmatch``."""

    pattern: str
    flags: int
    how: str


@functools.cache
def uses() -> list[Use]:
    """Every regular expression of the program, with each way in which it is applied. Patterns of bytes as text."""
    found: set[Use] = set()
    sources = {module: Path(module.__file__).read_text("utf-8") for module in modules()}
    calls = {module: _calls(source) for module, source in sources.items()}
    everywhere = set().union(*calls.values())  # a table may be applied in another module
    for module, own in sources.items():
        for name, value in vars(module).items():
            if compiled := list(_compiled_in(value)):
                here = _of(name, calls[module]) or _of(name, everywhere)
                applied = {_APPLIED[each] for each in here} or {"search"}
                found.update(_use(each.pattern, each.flags, how) for each in compiled for how in applied)
        if re.search(rf"\bre\.({_METHODS})\(", own):
            found.update(_written_inline(own))
    return sorted(found, key=lambda use: (use.pattern, use.flags, use.how))


def _calls(source: str) -> set[tuple[str, str]]:
    """Each name of which a source calls a method as `re` has them, also of a value in it or from it, and the method."""
    return set(re.findall(rf"\b(\w+)(?:\[\w+\]|\(\))?\.({_METHODS})\(", source))


def _of(name: str, calls: set[tuple[str, str]]) -> set[str]:
    return {method for each, method in calls if each == name}


def _compiled_in(value: Any) -> Iterator[re.Pattern[Any]]:
    """The patterns in a module's value, also in its tables, and what its cached functions compile."""
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, functools._lru_cache_wrapper):
        if "re.Pattern" in str(value.__annotations__.get("return")):
            yield from _compiled_in(value())
    elif isinstance(value, dict):
        for each in (*value.keys(), *value.values()):
            yield from _compiled_in(each)
    elif isinstance(value, (tuple, list, frozenset, set)):
        for each in value:
            yield from _compiled_in(each)
    elif type(value).__module__.startswith("newsletter.") and hasattr(value, "__dataclass_fields__"):
        for name in value.__dataclass_fields__:
            yield from _compiled_in(getattr(value, name, None))


def _written_inline(source: str) -> Iterator[Use]:
    """Patterns that a function gives to `re` as constants."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
            continue
        if isinstance(node.func.value, ast.Name) and node.func.value.id == "re" and node.func.attr in _APPLIED:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str | bytes):
                written = [ast.unparse(each.value) for each in node.keywords if each.arg == "flags"]
                flags = eval("|".join([*written, "0"]), {"re": re})
                yield _use(first.value, int(flags), _APPLIED[node.func.attr])


def _use(source: str | bytes, flags: int, how: str) -> Use:
    text = source.decode("latin-1") if isinstance(source, bytes) else source
    return Use(text, int(flags) & ~int(re.UNICODE | re.LOCALE | re.DEBUG), how)


def worst(use: Use) -> Iterator[str]:
    """Texts of SIZE characters: what leads to a repeat, then what it repeats, then what it cannot be followed by."""
    seen: set[str] = set()
    for before, unit in _repeats(sre_parser.parse(use.pattern, use.flags), ""):
        for end in ("\x01", "!", ""):
            for lead in dict.fromkeys((before, "")):
                text = lead + (unit * (SIZE // len(unit) + 1))[:SIZE] + end
                key = f"{lead}|{unit}|{end}"
                if key not in seen:
                    seen.add(key)
                    yield text
    for before, unit in _repeats(sre_parser.parse(use.pattern, use.flags), ""):
        for chunk in (before + unit, before + unit * 50):  # beginnings of a match, over and over
            key = f"again|{chunk}"
            if before and key not in seen:
                seen.add(key)
                yield (chunk * (SIZE // len(chunk) + 1))[:SIZE]


def _repeats(tree: Any, before: str) -> Iterator[tuple[str, str]]:
    """For each repeat without a small limit: a text that leads to it, and one thing that it repeats."""
    lead = before
    for operator, argument in tree:
        if operator in (sre.MAX_REPEAT, sre.MIN_REPEAT, getattr(sre, "POSSESSIVE_REPEAT", None)):
            low, high, inner = argument
            unit = _sample(inner)
            if (high == sre.MAXREPEAT or high > 500) and unit:
                yield lead, unit
            yield from _repeats(inner, lead)
            lead += unit * max(low, 1)
        elif operator is sre.SUBPATTERN:
            yield from _repeats(argument[-1], lead)
            lead += _sample(argument[-1])
        elif operator is sre.BRANCH:
            for branch in argument[1]:
                yield from _repeats(branch, lead)
            lead += _sample(argument[1][0])
        elif operator in (sre.ASSERT, sre.ASSERT_NOT):
            yield from _repeats(argument[1], lead)
        elif operator is getattr(sre, "ATOMIC_GROUP", None):
            yield from _repeats(argument, lead)
            lead += _sample(argument)
        else:
            lead += _sample([(operator, argument)])


def _sample(tree: Any) -> str:
    """A short text that the tree matches."""
    return "".join(_one(operator, argument) for operator, argument in tree)


def _one(operator: Any, argument: Any) -> str:
    if operator is sre.LITERAL:
        return chr(argument)
    if operator is sre.NOT_LITERAL:
        return "a" if argument != ord("a") else "b"
    if operator is sre.ANY:
        return "a"
    if operator is sre.IN:
        return _member(argument)
    if operator is sre.CATEGORY:
        return _CATEGORIES.get(argument, "a")
    if operator in (sre.MAX_REPEAT, sre.MIN_REPEAT, getattr(sre, "POSSESSIVE_REPEAT", None)):
        return _sample(argument[2]) * max(int(argument[0]), 1)
    if operator is sre.SUBPATTERN:
        return _sample(argument[-1])
    if operator is getattr(sre, "ATOMIC_GROUP", None):
        return _sample(argument)
    if operator is sre.BRANCH:
        return _sample(argument[1][0])
    return ""


_CATEGORIES: Final = {
    sre.CATEGORY_SPACE: " ",
    sre.CATEGORY_DIGIT: "1",
    sre.CATEGORY_WORD: "a",
    sre.CATEGORY_NOT_SPACE: "a",
    sre.CATEGORY_NOT_DIGIT: "a",
    sre.CATEGORY_NOT_WORD: "-",
}


def _member(choices: Any) -> str:
    """A character that a set holds."""
    if choices[0][0] is sre.NEGATE:
        allowed: re.Pattern[str] = re.compile("[^" + "".join(_written(each) for each in choices[1:]) + "]")
        return next((char for char in "a 1-\t\n" if allowed.match(char)), "~")
    operator, argument = choices[0]
    return chr(int(argument[0])) if operator is sre.RANGE else _one(operator, argument)


def _written(choice: Any) -> str:
    operator, argument = choice
    if operator is sre.RANGE:
        return f"{re.escape(chr(argument[0]))}-{re.escape(chr(argument[1]))}"
    if operator is sre.CATEGORY:
        return {" ": r"\s", "1": r"\d", "a": r"\w"}.get(_CATEGORIES.get(argument, ""), "")
    return re.escape(chr(argument))
