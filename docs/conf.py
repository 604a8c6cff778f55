"""Sphinx's settings: the Markdown of this repository as a site, by `make site`.

The repository is the source folder, so that a relative link leads to the same page here and on a code host. The lists
of docs/index.md are the table of contents. The build asks no other host.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import newsletter

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "Daily papers newsletter"
author = f"the authors of {project}"
release = newsletter.__version__
extensions = ["myst_parser"]
needs_sphinx = "8.0"
language = "en"

root_doc = "docs/index"
source_suffix = {".md": "markdown"}
include_patterns = ["docs/*.md", "templates/README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
exclude_patterns = [".*", "bench", "build", "demo", "dist", "locale", "newsletter", "preview", "requirements", "tests"]

myst_heading_anchors = 3  # levels; the anchors are GitHub's
myst_enable_extensions = ["html_image"]

html_theme = "alabaster"
html_title = project
html_theme_options = {
    "description": "Self-hosted, tracks nobody",
    "font_family": "system-ui, sans-serif",
    "head_font_family": "system-ui, sans-serif",
    "page_width": "72em",
    "fixed_sidebar": True,
}
html_static_path = ["site/site.css"]
html_css_files = ["site.css"]
html_extra_path = ["site/index.html"]  # leads from the root to docs/
html_copy_source = False
html_show_copyright = False

_LINK: Final = re.compile(r"^- \[[^]]+\]\((?P<page>[^)#]+)\.md\)", re.MULTILINE)


def add_contents(_: Sphinx, name: str, text: list[str]) -> None:
    """Give the index a table of contents that is not shown: the pages of its lists, in their order."""
    if name == root_doc:
        pages = "\n".join(found["page"] for found in _LINK.finditer(text[0]))
        text[0] += f"\n```{{toctree}}\n:hidden:\n:maxdepth: 1\n\n{pages}\n```\n"


def setup(app: Sphinx) -> None:
    """Called by Sphinx when it starts."""
    app.connect("source-read", add_contents)
