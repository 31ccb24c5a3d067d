#!/usr/bin/env bash
# Finds a Python for the interoperability tests, and makes their virtual environment.
#
#   scripts/python.sh find    prints the path of a usable interpreter
#   scripts/python.sh venv    prints the path of the environment's interpreter, making it first where needed
#
# Usable is CPython 3.13 with `venv` and `ensurepip`: LocalStack runs on no other (localstack/README.md). PYTHON names an interpreter to use instead of searching.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
requirements=$root/tests/interop/requirements.txt
venv=${CARGO_TARGET_DIR:-$root/target}/interop-venv

# Prints the interpreter's own path, so that a shim (which depends on where it is called) is not kept.
usable() {
  "$@" -c '
import sys, ensurepip, venv
if sys.version_info[:2] != (3, 13): sys.exit(1)
print(sys.executable)' 2>/dev/null
}

find_python() {
  if [ -n "${PYTHON:-}" ]; then
    usable "$PYTHON" && return
    echo "PYTHON=$PYTHON is not a usable Python: 3.13 with venv and ensurepip is needed" >&2
    return 1
  fi
  local name version
  usable python3.13 && return
  # A pyenv shim fails unless its version is activated; ask for the version by name.
  if command -v pyenv >/dev/null; then
    for version in $(pyenv versions --bare 2>/dev/null | grep -E '^3\.13\.[0-9]+$' | sort -rV); do
      PYENV_VERSION=$version usable python3.13 && return
    done
  fi
  usable python3 && return
  echo "no usable Python: 3.13 with venv and ensurepip is needed" >&2
  return 1
}

make_venv() {
  local python stamp
  python=$(find_python)
  stamp=$("$python" -VV; echo "$python"; cat "$requirements")
  if [ "$stamp" != "$(cat "$venv/stamp" 2>/dev/null)" ]; then
    echo "making the Python environment of the interoperability tests" >&2
    "$python" -m venv --clear "$venv" >&2
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
      --require-hashes --only-binary :all: --requirement "$requirements" >&2
    printf '%s\n' "$stamp" >"$venv/stamp"
  fi
  echo "$venv/bin/python"
}

case "${1:-}" in
  find) find_python ;;
  venv) make_venv ;;
  *) echo "usage: $0 find|venv" >&2; exit 2 ;;
esac
