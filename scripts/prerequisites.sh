#!/usr/bin/env bash
# Names at once everything that building and testing need and this machine lacks, with what to do about it.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
missing=0

lacks() {
  missing=$((missing + 1))
  printf 'missing: %s\n    %s\n' "$1" "$2" >&2
}

wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$root/Cargo.toml")
if ! command -v cargo >/dev/null; then
  lacks "cargo" "install Rust $wanted or later: https://rustup.rs"
else
  found=$(rustc --version | cut -d' ' -f2)
  if [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n1)" != "$wanted" ]; then
    lacks "Rust $wanted or later (this is $found)" "run: rustup update stable"
  fi
  for tool in fmt clippy; do
    cargo "$tool" --version >/dev/null 2>&1 || lacks "cargo $tool" "run: rustup component add ${tool/#fmt/rustfmt}"
  done
fi

command -v cc >/dev/null ||
  lacks "cc, a C compiler (SQLite is built from source)" "Debian, Ubuntu: apt-get install build-essential; macOS: xcode-select --install"
command -v make >/dev/null ||
  lacks "make" "Debian, Ubuntu: apt-get install make; macOS: xcode-select --install"
command -v curl >/dev/null ||
  lacks "curl (the README's commands are tested with it)" "Debian, Ubuntu: apt-get install curl; macOS: brew install curl"

if ! fault=$("$root/scripts/python.sh" find 2>&1 >/dev/null); then
  lacks "Python 3.13" \
    "$fault. Debian, Ubuntu: apt-get install python3.13 python3.13-venv; macOS: brew install python@3.13; pyenv: pyenv install 3.13; or name one: PYTHON=/path/to/python3.13"
fi

[ "$missing" -eq 0 ] || exit 1
