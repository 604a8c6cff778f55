"""premailer is loaded without what it would need for style sheets from the network."""

from __future__ import annotations

import subprocess
import sys

PAGE = """<html><head><style>p { color: red }</style><link rel="stylesheet" href="http://a.invalid/x.css"></head>
<body><p>owls</p></body></html>"""


def printed(code: str) -> list[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_a_style_sheet_is_inlined_without_an_http_client_which_others_can_still_import() -> None:
    code = f"""
import sys
from newsletter.mail.inliner import inline
print(inline({PAGE!r}))
print("requests" in sys.modules)
import requests
print(requests.get.__name__)
"""
    *page, loaded, name = printed(code)
    assert '<p style="color:red">owls</p>' in "\n".join(page)
    assert (loaded, name) == ("False", "get")


def test_an_http_client_that_is_loaded_already_stays() -> None:
    code = "import requests, sys, newsletter.mail.inliner; print(sys.modules['requests'] is requests)"
    assert printed(code) == ["True"]
