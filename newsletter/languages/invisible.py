"""Remove the characters that nobody sees and that change or hide text. No I/O.

Removed is what Unicode calls default ignorable (Unicode Standard, section 5.21; DerivedCoreProperties.txt), what
reverses text (UAX #9), controls, and the blanks that are letters by their category. Kept are joiners in the scripts
that need them (section 23.2; RFC 5892, appendix A) and the sequences that emoji are made of (UTS #51, section 1.4).
"""

from __future__ import annotations

import re
from typing import Final

# The patterns are compiled when a text first needs them, and kept by `re`: they take milliseconds.

# Letters and marks beside which ZWJ and ZWNJ shape the text: Arabic to Sinhala, Myanmar, Khmer, Mongolian, the later
# blocks of Indic scripts, and Arabic's presentation forms.
_JOINING: Final = (
    "[\u0600-\u0dff\u1000-\u109f\u1780-\u18af\u1a20-\u1aaf\u1b00-\u1bff\u1cd0-\u1cff\ua840-\ua8ff\ua980-\ua9ff"
    "\uaa60-\uaa7f\uabc0-\uabff\ufb50-\ufdff\ufe70-\ufefc\U00010a00-\U00010fff\U00011000-\U00011fff"
    "\U0001e900-\U0001e95f]"
)
_PICTURE: Final = (
    "[#*0-9\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u2460-\u24ff\u25a0-\u27bf\u2900-\u297f"
    "\u2b00-\u2bff\u3030\u303d\u3297\u3299\ufe0f\U0001f000-\U0001faff]"
)
_IDEOGRAPH: Final = "[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
_MATHEMATICS: Final = "[\u2190-\u23ff\u27c0-\u27ef\u2980-\u2aff\u3000-\u303f\uff01-\uff1f]"

_FLAG: Final = "\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{1,6}+\U000e007f"  # of a region, as Scotland
_JOINER: Final = "[\u200c\u200d]"
_SELECTOR: Final = "[\ufe00-\ufe0f\U000e0100-\U000e01ef]"
_NEVER: Final = (
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"  # controls but white space
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e"  # soft hyphen, fillers, the Arabic mark of direction
    "\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"  # zero width, marks and controls of direction, invisible operators
    "\ufeff\ufff0-\ufffb\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff"  # noncharacters and lone surrogates
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"  # tags
    + "".join(chr((plane << 16) + last) for plane in range(1, 17) for last in (0xFFFE, 0xFFFF))
    + "]"
)
_BLANK: Final = "[\u2800\u3164\uffa0]"  # Braille's and Hangul's letters without ink
_HIDDEN: Final = f"({_FLAG})|({_BLANK})|({_JOINER})|({_SELECTOR})|{_NEVER}"


def visible(text: str) -> str:
    """`text` without invisible characters; blanks that are letters become spaces. Takes linear time."""
    return text if text.isascii() and text.isprintable() else re.sub(_HIDDEN, _kept, text)


def _kept(match: re.Match[str]) -> str:
    """What stays of a match: a flag, a space for a blank, and joiners and selectors where they belong."""
    flag, blank, joiner, selector = match.groups()
    before = match.string[match.start() - 1 : match.start()] if match.start() else ""
    after = match.string[match.end() : match.end() + 1]
    if flag:
        return match[0]
    if blank:
        return " "
    stays = _joins(before, joiner, after) if joiner else bool(selector) and _selects(before, selector)
    return match[0] if stays else ""


def _joins(before: str, joiner: str, after: str) -> bool:
    """Whether a joiner shapes a script that needs it, or makes one emoji of two."""
    if re.match(_JOINING, before) or (re.match(_JOINING, after) and not before.isalpha()):
        return True
    return joiner == "\u200d" and bool(re.match(_PICTURE, before) and re.match(_PICTURE, after))


def _selects(before: str, selector: str) -> bool:
    """Whether a variation selector has a form to select (StandardizedVariants.txt, IVD_Sequences.txt)."""
    if selector in "\ufe0e\ufe0f":
        return bool(re.match(_PICTURE, before)) and before != "\ufe0f"
    if selector >= "\U000e0100":
        return bool(re.match(_IDEOGRAPH, before))
    return bool(re.match(_MATHEMATICS, before) or re.match(_IDEOGRAPH, before))
