#!/usr/bin/env bash
# The broker on AWS, shown on the emulator: builds the functions, deploys the template, publishes ten events and shows
# them delivered in order. Needs what `make build` needs, and Python 3.13; the first run builds and installs for minutes.
#
#   localstack/demo.sh          the emulator goes on running afterwards, to try more
#   localstack/start.sh down    stops it
#
#   LOCALSTACK_PORT   port of the emulator (4566), as for localstack/start.sh
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
shown=$(mktemp -d)
listener=

step() { printf '\n== %s\n' "$*"; }
fail() { printf '\nlocalstack/demo.sh: %s\n' "$*" >&2; exit 1; }

end() {
  [ -z "$listener" ] || kill "$listener" 2>/dev/null || true
  rm -rf "$shown"
}
trap end EXIT

step "build the functions, and the relay command"
make --no-print-directory functions build || fail "the build failed; what it lacks is said above (\`make prerequisites\` lists it)"
relay=${CARGO_TARGET_DIR:-target}/${PROFILE:-release}/relay

step "start the emulator"
AWS_ENDPOINT_URL=$(localstack/start.sh up) || fail "the emulator did not start; the reason is above"
export AWS_ENDPOINT_URL AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=us-east-1 SAM_CLI_TELEMETRY=0
echo "$AWS_ENDPOINT_URL"

step "deploy template.yaml"
tools=$(localstack/start.sh tools) || fail "the SAM CLI could not be installed; the reason is above"
aws=${LOCALSTACK_HOME:-.localstack}/localstack/bin/aws
"$aws" s3 mb s3://deploy >/dev/null 2>&1 || "$aws" s3 ls s3://deploy >/dev/null || fail "there is no bucket to deploy from"
"$tools/sam" deploy --config-env emulator >"$shown/sam" 2>&1 || { cat "$shown/sam" >&2; fail "sam deploy failed"; }
output() {
  "$aws" cloudformation describe-stacks --stack-name relay --output text \
    --query "Stacks[0].Outputs[?OutputKey=='$1'].OutputValue | [0]"
}
api=$(output ApiId)
echo "the HTTP API is $api: requests carry the header  Host: $api.execute-api.localhost"

step "make an admin key"
key=$("$relay" aws admin-key --stack relay --another) || fail "no key was made"
echo "$key"

# call METHOD PATH [BODY [HEADER…]]: through API Gateway; fails unless it is answered with 2xx.
call() {
  local method=$1 path=$2 body=${3-} header
  local -a more=()
  for header in "${@:4}"; do more+=(-H "$header"); done
  curl --silent --show-error --max-time 60 --fail-with-body -X "$method" "$AWS_ENDPOINT_URL$path" \
    -H "Host: $api.execute-api.localhost" -H "Authorization: Bearer $key" -H 'Content-Type: application/json' \
    ${more[@]+"${more[@]}"} ${body:+--data "$body"} >"$shown/answer" ||
    fail "$method $path: $(cat "$shown/answer")"
}
# member NAME: of the last answer.
member() { "$tools/python" -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$shown/answer" "$1"; }

step "listen as a subscriber's webhook would"
"$relay" listen 127.0.0.1:0 >"$shown/deliveries" 2>"$shown/listen" &
listener=$!
for _ in $(seq 1 100); do grep -q 'listening on' "$shown/listen" && break; sleep 0.1; done
url=$(sed -n 's/^listening on //p' "$shown/listen")
[ -n "$url" ] || fail "relay listen did not start: $(cat "$shown/listen")"
echo "$url"

step "create a topic and a subscription"
call PUT /v1/topics/orders '{}'
call POST /v1/subscriptions "{\"topic\": \"orders\", \"endpoint\": {\"url\": \"$url/hook\"}}"
subscription=$(member id)
cat "$shown/answer"
echo

step "publish ten events of one customer"
for n in 1 2 3 4 5 6 7 8 9 10; do
  call POST /v1/topics/orders/events "{\"order\": $n}" 'partitionKey: customer-7'
  cat "$shown/answer"
  echo
done

step "what the webhook received"
for _ in $(seq 1 600); do
  [ "$(grep -c '^POST ' "$shown/deliveries" || true)" -lt 10 ] || break
  sleep 0.1
done
cat "$shown/deliveries"
order=$(grep -o '"order": *[0-9]*' "$shown/deliveries" | grep -o '[0-9]*$' | tr '\n' ' ' || true)
[ "$order" = "1 2 3 4 5 6 7 8 9 10 " ] ||
  fail "expected the orders 1 to 10, one after another, within a minute; delivered was: ${order:-nothing}
    Logs of the functions: $aws logs tail /aws/lambda/NAME; of the emulator: .localstack/run"
call DELETE "/v1/subscriptions/$subscription"

cat <<END

All ten, in order, through API Gateway, ingest, SQS, dispatch and the webhook. Go on with:

    export AWS_ENDPOINT_URL=$AWS_ENDPOINT_URL
    curl -H "Host: $api.execute-api.localhost" -H "Authorization: Bearer $key" \$AWS_ENDPOINT_URL/v1/topics

The emulator runs until you stop it:  ${LOCALSTACK_PORT:+LOCALSTACK_PORT=$LOCALSTACK_PORT }localstack/start.sh down
END
