"""Unicode superscripts and subscripts, and the characters that LaTeX's names stand for."""

from __future__ import annotations

import re
from typing import Final

_SUPER: Final = str.maketrans("0123456789+-=()niTk*′", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱᵀᵏ*′")
_SUB: Final = str.maketrans("0123456789+-=(),aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎,ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ")

GREEK: Final = dict(
    zip(
        """alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi pi rho sigma tau
        upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega nabla
        ell""".split(),
        "αβγδϵεζηθϑικλμνξπρστυϕφχψωΓΔΘΛΞΠΣΥΦΨΩ∇ℓ",
        strict=True,
    )
)


def superscript(text: str) -> str:
    """`text` raised, in Unicode; after ^ if a character has no superscript. ``circ`` is the sign for degrees."""
    if text in ("\\circ", "∘", "circ"):
        return "°"
    return _script(text, _SUPER, "^")


def subscript(text: str) -> str:
    """`text` lowered, in Unicode; after _ if a character has no subscript."""
    return _script(text, _SUB, "_")


def _script(text: str, table: dict[int, int], mark: str) -> str:
    text = text.strip().replace(" ", "").replace("−", "-").replace("∗", "*")
    if re.fullmatch(r"\d+\.\d+", text):
        return text.translate(table).replace(".", "·" if mark == "^" else ".")
    if all(ord(char) in table for char in text):
        return text.translate(table)
    return mark + (text if re.fullmatch(r"[\w*′]+", text) else f"({text})")
