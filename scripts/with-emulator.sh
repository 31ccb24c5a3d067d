#!/usr/bin/env bash
# Runs a command with an emulator of AWS of its own, which is stopped whatever happens.
#
#   scripts/with-emulator.sh ministack|up COMMAND…
#
#   TEST_AWS_PORT   the emulator's port (4666): not the default, so that one that somebody uses is left alone
#
# The command finds the emulator by the usual variables (AWS_ENDPOINT_URL, …) and by LOCALSTACK_PORT. The exit status is
# the command's; an emulator that does not start is a failure, with the reason on stderr.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export LOCALSTACK_PORT=${TEST_AWS_PORT:-4666}

mode=$1
shift
trap '"$root/localstack/start.sh" down' EXIT
# What an interrupted run left is no place to test on.
"$root/localstack/start.sh" down
if ! AWS_ENDPOINT_URL=$("$root/localstack/start.sh" "$mode"); then
  echo "NOT TESTED: the emulator ($mode) did not start; the reason is above" >&2
  exit 1
fi
# Which one it is, for tests that have to know what it does otherwise than AWS.
TEST_AWS_EMULATOR=$([ "$mode" = ministack ] && echo ministack || echo localstack)
export TEST_AWS_EMULATOR AWS_ENDPOINT_URL AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
"$@"
