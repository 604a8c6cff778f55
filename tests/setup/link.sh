#!/usr/bin/env bash
# link.sh VENV: makes this checkout's `newsletter` command and package available in VENV, as an editable install does,
# without a build tool: `make demo` installs nothing but what the program runs on.
set -euo pipefail
here=$(pwd -P)
site=$("$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo "$here" > "$site/newsletter-checkout.pth"
printf '#!%s\nfrom newsletter.__main__ import main\n\nmain()\n' "$here/$1/bin/python" > "$1/bin/newsletter"
chmod +x "$1/bin/newsletter"
