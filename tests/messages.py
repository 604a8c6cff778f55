"""The messages in the source, and the catalogues: `python -m tests.messages` brings these up to date with those.

It adds what is new in templates and code, drops what is gone, and keeps every translation; a message whose English has
changed keeps its old translation, marked as fuzzy, until somebody has looked at it. `make messages` calls it.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Final

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from tests.conftest import ROOT

LOCALE: Final = ROOT / "locale"

# Functions and methods that take a message, with the places of its parts among their arguments.
KEYWORDS: Final = {
    "_": None,
    "gettext": None,
    "ngettext": (1, 2),
    "pgettext": ((1, "c"), 2),
}
_CALL: Final = re.compile(rf"\b(?:{'|'.join(KEYWORDS)})\(")
_OPTIONS: Final = {"**.html": {"trimmed": "true", "newstyle_gettext": "true", "silent": "false"}}
_OPTIONS["**.txt"] = _OPTIONS["**.html"]


def extracted() -> Catalog:
    """Every message of the source, with the comments for translators and no translation."""
    found = Catalog(fuzzy=False)
    for folder, methods in (("newsletter", _modules()), ("templates", [("**.html", "jinja2"), ("**.txt", "jinja2")])):
        messages = extract_from_dir(
            ROOT / folder, methods, _OPTIONS, keywords=KEYWORDS, comment_tags=("Translators:",), strip_comment_tags=True
        )
        for name, _, message, comments, context in messages:
            place = f"{folder}/{name}"
            known = found.get(message, context)
            if known is None or place not in [path for path, _ in known.locations]:
                found.add(message, None, [(place, 0)], auto_comments=comments, context=context)
    return found


def _modules() -> list[tuple[str, str]]:
    """The modules that call one of KEYWORDS, each with Babel's name for Python: to read all of them takes a second."""
    package = ROOT / "newsletter"
    calling = [path for path in sorted(package.rglob("*.py")) if _CALL.search(path.read_text("utf-8"))]
    return [(path.relative_to(package).as_posix(), "python") for path in calling]


def catalogues() -> dict[str, Path]:
    """The path of each built-in catalogue by its tag."""
    return {path.parent.parent.name: path for path in sorted(LOCALE.glob("*/LC_MESSAGES/messages.po"))}


def updated(path: Path, source: Catalog) -> bytes:
    """The catalogue in `path` with the messages of `source`, as it is written."""
    before = path.read_bytes()
    catalogue = read_po(io.BytesIO(before))
    catalogue.update(source, no_fuzzy_matching=False, update_header_comment=False, update_creation_date=False)
    catalogue.obsolete.clear()
    written = io.BytesIO()
    write_po(written, catalogue, width=110, omit_header=True, sort_by_file=True, include_lineno=False)
    header = before.partition(b"\n\n")[0]
    return header.rstrip() + b"\n\n" + written.getvalue().strip() + b"\n"


def main() -> None:
    """Bring all catalogues up to date, and print what is left to translate."""
    source = extracted()
    for tag, path in catalogues().items():
        path.write_bytes(updated(path, source))
        with path.open("rb") as file:
            missing = [each for each in read_po(file) if each.id and (each.fuzzy or not any(each.string or ()))]
        print(f"{tag}: {len(source)} messages, {len(missing)} to translate")


if __name__ == "__main__":
    main()
