#!/usr/bin/env bash
# venv.sh DIR: makes a virtual environment with the first Python >= 3.11 there is. As root on Debian, installs what
# Debian keeps in a package of its own (python3-venv).
set -euo pipefail
stop() { echo "$1" >&2; exit 1; }
find_python() {
    local new_enough='import sys; sys.exit(sys.version_info < (3, 11))'
    for python in python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$python" >/dev/null && "$python" -c "$new_enough" 2>/dev/null; then echo "$python"; return; fi
    done
}
has_venv() { "$1" -c 'import venv, ensurepip' 2>/dev/null; }

python=$(find_python)
[ -n "$python" ] || stop "newsletter needs Python 3.11 or later, and this machine has none"
if ! has_venv "$python" && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing python3-venv"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
fi
has_venv "$python" || stop "$python cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv"
# A half-made environment would be taken for a whole one by the next `make`.
"$python" -m venv "$1" || { rm -rf "$1"; stop "could not make a virtual environment in $1"; }
