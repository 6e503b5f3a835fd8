#!/bin/sh
# Make or renew .venv: a Python of 3.11 or newer, everything in requirements.lock, then this project itself.
set -eu
cd "$(dirname "$0")/.."

usable='import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'

find_python() {
    for candidate in ${PYTHON:-} python3.11 python3.12 python3.13 python3.14 python3 python; do
        # Running it is the test: a version manager's stub of that name may start nothing.
        if "$candidate" -c "$usable" >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
    echo "No Python of version 3.11 or newer with its venv module was found." >&2
    echo "Install one (Debian and Ubuntu: apt-get install python3 python3-venv), or name it: make PYTHON=/path/to/python" >&2
    exit 1
}

if ! .venv/bin/python -c "$usable" >/dev/null 2>&1; then
    python=$(find_python)
    echo "Making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
fi

echo "Installing the locked packages into .venv"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --use-pep517 --requirement requirements.lock
# The lock holds the build tools too: nothing more is fetched for this step.
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
touch .venv/installed
