#!/usr/bin/env bash
# lock.sh BIN [PIP-COMPILE OPTION]...: writes requirements/ from pyproject.toml, each release with the hashes of all its
# files and without the address of any index. Versions that are locked already stay; `--upgrade` takes the newest.
#   base.txt   a plain `pip install` of the package: all that `newsletter run` needs
#   run.txt    the same with every extra (`all`): what `make demo` installs
#   dev.txt    the same with the tools of `make test`
#   build.txt  what dkimpy is built with, since it publishes no wheel and pip would fetch these unchecked
set -euo pipefail
compile=("$1/pip-compile" --quiet --generate-hashes --allow-unsafe --strip-extras --no-header --no-annotate
    --no-emit-options --resolver=backtracking)
# The settings of this machine may name another index or folders of files, whose versions nobody else can install.
export PIP_CONFIG_FILE=/dev/null
unset PIP_FIND_LINKS
options=("${@:2}")
"${compile[@]}" --extra all --output-file requirements/run.txt "${options[@]}" pyproject.toml
"${compile[@]}" --constraint requirements/run.txt --output-file requirements/base.txt "${options[@]}" pyproject.toml
"${compile[@]}" --constraint requirements/run.txt --extra dev --output-file requirements/dev.txt "${options[@]}" \
    pyproject.toml
printf 'setuptools\nwheel\n' |
    "${compile[@]}" --constraint requirements/dev.txt --output-file requirements/build.txt "${options[@]}" -
# The extras `all` and `dev` name this package itself, which pip-compile writes down with the path of this checkout, and
# warns that it has no hash.
sed -i -e '/^# WARNING: pip install/d' -e '/^# Consider using a hashable URL/d' -e '/^daily-papers-newsletter @/d' \
    requirements/run.txt requirements/dev.txt
