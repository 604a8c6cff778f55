#!/usr/bin/env bash
# link.sh VENV: makes this checkout's `newsletter` command and package available in VENV, as an editable install does,
# without a build tool: `make demo` installs nothing but what the program runs on.
set -euo pipefail
here=$(pwd -P)
site=$("$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo "$here" > "$site/newsletter-checkout.pth"
# Both sh and Python read this: a "#!" line of its own could not name a path with a space in it, nor a long one.
cat > "$1/bin/newsletter" <<SCRIPT
#!/bin/sh
'''exec' "$here/$1/bin/python" "\$0" "\$@"
' '''
from newsletter.__main__ import main

main()
SCRIPT
chmod +x "$1/bin/newsletter"
