#!/usr/bin/env bash
# lock.sh BIN: writes requirements/run.txt and requirements/dev.txt from pyproject.toml, with the hashes of every file of
# each release and without the address of any index. requirements/build.txt is what dkimpy, which publishes no wheel, is
# built with: pip would fetch that unchecked.
set -euo pipefail
compile=("$1/pip-compile" --quiet --generate-hashes --allow-unsafe --strip-extras --no-header --no-annotate
    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --resolver=backtracking)
export PIP_CONFIG_FILE=/dev/null
unset PIP_FIND_LINKS
"${compile[@]}" --output-file requirements/run.txt pyproject.toml "${@:2}"
"${compile[@]}" --extra postgres --extra dev --constraint requirements/run.txt --output-file requirements/dev.txt \
    pyproject.toml "${@:2}"
printf 'setuptools\nwheel\n' | "${compile[@]}" --constraint requirements/dev.txt --output-file requirements/build.txt -
