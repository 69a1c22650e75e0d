#!/bin/sh
# Build a Python 2.7 environment with Autobahn|Testsuite, whose server does not run on Python 3.
# Prints the path of its wstest executable as the last line. Needs python2.7 (PYTHON27 names
# another one), a C compiler and a package index; takes about a minute, once.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
environment="$root/build/autobahn"
wstest="$environment/bin/wstest"

if [ ! -x "$wstest" ]; then
    python27=
    for candidate in "${PYTHON27:-}" python2.7 python2 \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7*/bin/python; do
        if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (2, 7))' \
            2>/dev/null; then
            python27=$candidate
            break
        fi
    done
    if [ -z "$python27" ]; then
        echo "no Python 2.7 was found; set PYTHON27 to one" >&2
        exit 1
    fi
    mkdir -p "$root/build"
    "$python27" -m pip install --quiet --target "$root/build/virtualenv27" 'virtualenv<20.22' >&2
    PYTHONPATH="$root/build/virtualenv27" "$python27" -m virtualenv --quiet "$environment" >&2
    "$environment/bin/pip" install --quiet autobahntestsuite >&2
fi
echo "$wstest"
