#!/usr/bin/env bash
# Runs cargo-deny with the arguments given, installing the version named here under target/ where it is not yet.
set -euo pipefail

version=0.20.2
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=${CARGO_TARGET_DIR:-$root/target}/tools

is_wanted() { [ "$("$1" --version 2>/dev/null)" = "cargo-deny $version" ]; }

deny=$tools/bin/cargo-deny
if ! is_wanted "$deny"; then
  if is_wanted cargo-deny; then
    deny=cargo-deny
  else
    # It runs for a second or two at a time: optimising it costs more than it saves.
    echo "installing cargo-deny $version into $tools (a few minutes, once)" >&2
    CARGO_TARGET_DIR=$tools/build CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
      CARGO_PROFILE_RELEASE_DEBUG=false CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
      cargo install --quiet --locked --no-default-features --version "=$version" --root "$tools" cargo-deny
    rm -rf "$tools/build"
  fi
fi

cd "$root"
# `--locked`: what is checked is what is built.
exec "$deny" --locked "$@"
