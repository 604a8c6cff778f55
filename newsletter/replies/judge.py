"""Judges a reply by the table, and reads how long to wait from its words. Pure."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import lru_cache
from typing import Final

from newsletter.replies.values import Concern, Judgement, Rule, Stage

_LONGEST: Final = 600  # characters that are looked at

# An enhanced status code, which is no part of an IP address or of a version number.
_ENHANCED: Final = re.compile(r"(?<![\d.])([245])\.(\d{1,3}\.\d{1,3})(?![\d.]*\d)")
_CODE: Final = re.compile(r"(?<![\d.])[45]\d\d(?=[ -])")
_ADDRESS: Final = re.compile(r"[^\s<>()\[\]:;,\"']{1,64}@[^\s<>()\[\]:;,\"']{1,255}")
_REDACTED: Final = re.compile(r"\bADDRESS\b")
_URL: Final = re.compile(r"https?://([^\s/]{1,200})[^\s]*", re.IGNORECASE)
_DOT: Final = re.compile(r"(?<=\w)\.(?=\w)")  # within a name, where it ends no sentence
_IP: Final = re.compile(r"\[?\b\d{1,3}(?:\.\d{1,3}){3}\b\]?")
_CODES: Final = re.compile(r"(?<![\d.])(?:[45]\d\d[ -])?[#(]{0,3}[245]\.\d{1,3}\.\d{1,3}(?![\d.]{0,20}\d)[):]{0,3}")

_UNITS: Final = {
    "s": 1,
    "m": 60,
    "h": 3_600,
    "d": 86_400,
    "stunde": 3_600,
    "tag": 86_400,
    "heure": 3_600,
    "jour": 86_400,
}
_WAIT: Final = re.compile(
    r"(?:again|retry|resume|wait|later|resend|attempt|erneut|wieder|r[ée]essaye\w{0,12})\b[^.;]{0,30}?"
    r"\b(\d{1,5}|an?|one|eine[rm]?|une?) ?(s(?:ec(?:ond)?s?)?|m(?:in(?:ute)?s?)?|h(?:(?:ou)?rs?)?|d(?:ays?)?|"
    r"stunden?|tage?n?|heures?|jours?)\b",
    re.IGNORECASE,
)


def judge(stage: Stage, code: int | None, text: str) -> Judgement:
    """Of whom a reply speaks, and whether for good.

    `code` is the reply code (RFC 5321 section 4.2), None where it is not known; `text` are the server's words, with an
    enhanced status code first where there is one. Nothing temporary (4xx, 4.x.x) is ever for good.
    """
    text = text[:_LONGEST]
    codes = _ENHANCED.findall(text)
    enhanced = _enhanced([detail for _, detail in codes])
    reply = str(code) if code else next(iter(_CODE.findall(text)), "")
    temporary = reply.startswith("4") or any(kind == "4" for kind, _ in codes[:1])
    rule = _first(stage, reply, enhanced, _words(text))
    if rule is None:
        return Judgement(Concern.UNKNOWN, for_good=False, rule="no row of the table")
    certain = bool(rule.words) and not rule.loose
    return Judgement(rule.concern, rule.for_good and not temporary, rule.name, certain, rule.limit)


@lru_cache(maxsize=1_024)  # a server says the same to many
def _first(stage: Stage, reply: str, enhanced: str, words: str) -> Rule | None:
    from newsletter.replies.rules import RULES  # its patterns take 30 ms; most runs see no refusal

    return next((rule for rule in RULES if _fits(rule, stage, reply, enhanced, words)), None)


def _enhanced(details: list[str]) -> str:
    """The detail that decides: one of policy, whose subject is 7, before others; x.0.0 tells nothing."""
    finer = [detail for detail in details if detail != "0.0"]
    return next((detail for detail in finer if detail.startswith("7.")), finer[0] if finer else "")


def _words(text: str) -> str:
    """The words in lower case, without addresses, whose parts look like words, and without the paths of links.

    An address that was taken out before stands there as ADDRESS, which is no word of the server either.
    """
    if not text.isupper():
        text = _REDACTED.sub("@", text)
    return _DOT.sub("_", _IP.sub("#", _URL.sub(r"\1", _ADDRESS.sub("@", text.lower()))))


def _fits(rule: Rule, stage: Stage, reply: str, enhanced: str, words: str) -> bool:
    return (
        stage in rule.stages
        and (not rule.codes or reply.startswith(rule.codes))
        and (not rule.enhanced or any(_names(key, enhanced) for key in rule.enhanced))
        and (not rule.words or any(pattern.search(words) for pattern in rule.words))
    )


def _names(key: str, enhanced: str) -> bool:
    return enhanced.startswith(key) if key.endswith(".") else enhanced == key


def stated_wait(text: str) -> timedelta | None:
    """How long the server asks to wait, as in "try again in 1 hour"; None when it does not say so."""
    if (found := _WAIT.search(text[:_LONGEST])) is None:
        return None
    number, unit = found.group(1), found.group(2).lower()
    seconds = next(length for name, length in reversed(_UNITS.items()) if unit.startswith(name))
    return timedelta(seconds=(int(number) if number.isdigit() else 1) * seconds)


def alike(code: int | None, text: str) -> str:
    """What two replies of one kind have in common: code, enhanced code, and the words without names and numbers."""
    status = next((f"{kind}.{detail}" for kind, detail in _ENHANCED.findall(text)), "")
    words = _CODES.sub(" ", _words(text[:_LONGEST])).split()
    named = ["N" if any(letter.isdigit() for letter in word) else word for word in words]
    return " ".join((str(code or ""), status, *named))
