"""Paths of the files that ship with the code: templates, the reference config, the sample day."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def find(name: str) -> Path:
    """The path of file or folder `name`: in the package (wheel), else beside it (checkout, editable install, sdist)."""
    inside = _PACKAGE / name
    return inside if inside.exists() else _PACKAGE.parent / name
