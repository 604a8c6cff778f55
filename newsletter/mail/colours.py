"""Colours as CSS writes them, and the contrast between two of them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

Rgb = tuple[float, float, float]  # red, green, blue, each 0 to 255

_HEX: Final = re.compile(r"#([0-9a-f]{3}|[0-9a-f]{6})")
_FUNCTION: Final = re.compile(r"rgba?\(\s*(\d+)[\s,]+(\d+)[\s,]+(\d+)\s*(?:[,/]\s*([\d.]+)\s*)?\)")


@lru_cache(maxsize=256)
def colour(written: str) -> Rgb | None:
    """The opaque colour that CSS writes as a name, with ``#`` or as ``rgb()``; None for all else."""
    written = written.strip().lower()
    if match := _HEX.fullmatch(written):
        digits = match.group(1)
        digits = digits if len(digits) == 6 else "".join(2 * digit for digit in digits)
        return (int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16))
    if match := _FUNCTION.fullmatch(written):
        red, green, blue, opacity = match.groups()
        return (int(red), int(green), int(blue)) if float(opacity or 1) == 1 else None
    from cssutils.css import ColorValue  # premailer needs it, and it is slow to import

    named = ColorValue.COLORS.get(written)
    return named[:3] if named and named[3] == 1 else None


@lru_cache(1024)  # a mail has few colours and many pieces of text
def mixed(front: Rgb, back: Rgb, opacity: float) -> Rgb:
    """The colour that is seen when `front` lies on `back` with an opacity of 0 to 1."""
    red, green, blue = (one * opacity + other * (1 - opacity) for one, other in zip(front, back, strict=True))
    return red, green, blue


def written(rgb: Rgb) -> str:
    """The colour as #rrggbb."""
    return "#" + "".join(f"{round(part):02x}" for part in rgb)


@lru_cache(1024)
def contrast(one: Rgb, other: Rgb) -> float:
    """The contrast ratio of two colours, 1 to 21 (WCAG 2.2, definition of contrast ratio)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(rgb: Rgb) -> float:
    channels = (part / 255 for part in rgb)
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
