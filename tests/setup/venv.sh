#!/usr/bin/env bash
# venv.sh DIR: makes a virtual environment with the first Python >= 3.11 there is. As root on Debian, installs what
# Debian keeps in a package of its own (python3-venv).
set -euo pipefail
new_enough='import sys; sys.exit(sys.version_info < (3, 11))'
find_python() {
    for python in python3 python3.13 python3.12 python3.11; do
        if command -v "$python" >/dev/null && "$python" -c "$new_enough"; then echo "$python"; return; fi
    done
}
as_root_on_debian() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

python=$(find_python)
if [ -z "$python" ]; then
    echo "newsletter needs Python 3.11 or later, and this machine has none" >&2
    exit 1
fi
if ! "$python" -c 'import venv, ensurepip' 2>/dev/null && as_root_on_debian; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
fi
if ! "$python" -m venv "$1"; then
    echo "could not make a virtual environment: on Debian, apt-get install python3-venv" >&2
    exit 1
fi
