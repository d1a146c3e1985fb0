#!/bin/sh
# Makes sure that pip is there: through apt when root on Debian, else one line says what to do.
set -eu
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Mailstead needs Python 3.11 or newer: make PYTHON=python3.11 ..." >&2; exit 1; }
"$python" -m pip --version >/dev/null 2>&1 && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-pip ca-certificates >/dev/null
fi
"$python" -m pip --version >/dev/null 2>&1 || { echo "pip is missing: run 'apt install python3-pip' (or '$python -m ensurepip --user') and try again" >&2; exit 1; }
