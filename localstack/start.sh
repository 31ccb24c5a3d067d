#!/usr/bin/env bash
# Starts and stops the emulators of AWS. Everything answers on loopback only.
#
#   localstack/start.sh up          LocalStack, without Docker, with MiniStack as its DynamoDB: takes the whole template
#   localstack/start.sh compose     LocalStack in Docker, with DynamoDB Local
#   localstack/start.sh ministack   MiniStack alone: SQS, DynamoDB and S3 for the adapters' tests
#   localstack/start.sh tools       installs cargo-lambda, SAM CLI and cfn-lint; prints the folder of their commands
#   localstack/start.sh down        stops what was started on this port
#   localstack/start.sh status      says what runs on this port; exit 1 when nothing does
#
# The only line on stdout is the endpoint, once it answers. Starting what runs already changes nothing: it prints the
# endpoint again. State is in memory, so `down` and a new start give an empty cloud.
#
#   LOCALSTACK_PORT   port of the endpoint (4566); `up` takes the fourth one after it, too
#   LOCALSTACK_HOME   where environments, logs and process ids live (.localstack at the root of the repository)
#   PYTHON            a Python 3.13 to use instead of searching for one
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
mkdir -p "${LOCALSTACK_HOME:-$root/.localstack}"
home=$(cd "${LOCALSTACK_HOME:-$root/.localstack}" && pwd)
port=${LOCALSTACK_PORT:-4566}
endpoint=http://127.0.0.1:$port
run=$home/run/$port

say() { printf '%s\n' "$*" >&2; }
fail() { say "localstack/start.sh: $*"; exit 1; }

# LocalStack 4.14 declares Python 3.10, but 3.11 and 3.12 start and then fail at the first request.
python_3_13() {
  local python
  python=$("$root/scripts/python.sh" find) &&
    "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' && { echo "$python"; return; }
  fail "Python 3.13 is needed (with venv), and neither a python3.13 on the PATH nor one of pyenv's was found.
    Debian, Ubuntu: apt-get install python3.13-venv; macOS: brew install python@3.13; pyenv: pyenv install 3.13;
    or name one: PYTHON=/path/to/python3.13"
}

prerequisites() {
  command -v curl >/dev/null || fail "curl is needed to see when the emulator is ready. Debian, Ubuntu: apt-get install curl"
}

# install NAME [PACKAGE…]: an environment of exactly the versions in NAME.lock.txt, made once per version of that file,
# and packages of ours on top of it.
install() {
  local name=$1 lock=$here/$1.lock.txt environment=$home/$1 python
  shift
  if ! cmp -s "$lock" "$environment/lock.txt"; then
    python=$(python_3_13)
    say "installing $name into $environment"
    rm -rf "$environment"
    "$python" -m venv "$environment"
    # --no-deps: unlocked, dependencies resolve to newer ones than the release was made with.
    "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps -r "$lock" >&2
    cp "$lock" "$environment/lock.txt"
  fi
  [ $# -eq 0 ] || "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps "$@" >&2
}

# The id of NAME's process if it runs. A process id is reused after a restart of the machine, so its command must match.
alive() {
  local pid
  pid=$(cat "$run/$1.pid" 2>/dev/null) || return 1
  case $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" || ps -p "$pid" -o command= 2>/dev/null) in *"$home/$1/"*) echo "$pid" ;; *) return 1 ;; esac
}

# launch NAME HEALTH COMMAND…: in the background, in a session of its own, until HEALTH answers.
launch() {
  local name=$1 health=$2 detach=nohup
  shift 2
  mkdir -p "$run"
  ! command -v setsid >/dev/null || detach=setsid
  $detach "$@" </dev/null >"$run/$name.log" 2>&1 &
  echo $! >"$run/$name.pid"
  for _ in $(seq 1 600); do
    curl --silent --fail --max-time 2 --output /dev/null "$health" && return
    kill -0 "$(cat "$run/$name.pid")" 2>/dev/null || break
    sleep 0.1
  done
  say "$name did not become ready; the end of $run/$name.log:"
  tail -n 30 "$run/$name.log" >&2
  down
  fail "$name did not start"
}

# Something else on the port would answer in our emulator's place.
claim() {
  ! curl --silent --max-time 2 --output /dev/null "http://127.0.0.1:$1/" ||
    fail "something else answers on port $1 of 127.0.0.1; stop it, or choose another port with LOCALSTACK_PORT"
}

ministack() {
  claim "$1"
  install ministack
  # It binds all interfaces unless told. AWS_ENDPOINT_URL is what its functions call: without it they would call AWS.
  launch ministack "http://127.0.0.1:$1/_ministack/health" \
    env BIND_HOST=127.0.0.1 GATEWAY_PORT="$1" LAMBDA_EXECUTOR=local AWS_ENDPOINT_URL="http://127.0.0.1:$1" \
    AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test "$home/ministack/bin/python" "$home/ministack/bin/ministack"
}

localstack() {
  local dynamodb=$((port + 4))
  claim "$port"
  ministack "$dynamodb"
  install localstack "$here"
  # Path-style queue URLs: the default's host names do not resolve. Without the poll intervals an idle queue is looked
  # at every ten seconds. The executor and the `external` providers are those of hostmode/.
  launch localstack "$endpoint/_localstack/health" \
    env GATEWAY_LISTEN="127.0.0.1:$port" LOCALSTACK_HOST="localhost:$port" LOCALSTACK_VOLUME_DIR="$run/volume" \
    OVERRIDE_IN_DOCKER=0 DNS_ADDRESS=0 DISABLE_EVENTS=1 SKIP_SSL_CERT_DOWNLOAD=1 SQS_ENDPOINT_STRATEGY=path \
    LAMBDA_RUNTIME_EXECUTOR=process DYNAMODB_ENDPOINT="http://127.0.0.1:$dynamodb" \
    PROVIDER_OVERRIDE_DYNAMODB=external PROVIDER_OVERRIDE_DYNAMODBSTREAMS=external \
    LAMBDA_EVENT_SOURCE_MAPPING_POLL_INTERVAL_SEC=0.2 LAMBDA_EVENT_SOURCE_MAPPING_MAX_BACKOFF_ON_EMPTY_POLL_SEC=1 \
    "$home/localstack/bin/python" -m localstack.runtime.main
}

compose() { docker compose --file "$here/compose.yaml" --project-name "relay-localstack-$port" "$@" >&2; }

# Docker keeps the process, so nothing is written down but the mode.
up_in_docker() {
  docker compose version >/dev/null 2>&1 || fail "\`docker compose\` is needed: https://docs.docker.com/compose/install
    (without Docker: localstack/start.sh up)"
  docker info >/dev/null 2>&1 || fail "the Docker engine does not answer; start it (without Docker: localstack/start.sh up)"
  prerequisites
  [ "$(cat "$run/mode" 2>/dev/null)" = compose ] || { down; claim "$port"; }
  mkdir -p "$run"
  echo compose >"$run/mode"
  LOCALSTACK_PORT=$port compose up --build --detach
  for _ in $(seq 1 600); do
    curl --silent --fail --max-time 2 --output /dev/null "$endpoint/_localstack/health" && { echo "$endpoint"; return; }
    sleep 0.2
  done
  compose logs --tail 30
  down
  fail "LocalStack did not start in Docker"
}

down() {
  local name pid
  [ "$(cat "$run/mode" 2>/dev/null)" != compose ] || compose down --volumes
  for name in localstack ministack; do
    if pid=$(alive "$name"); then
      kill "$pid" 2>/dev/null || true
      for _ in $(seq 1 200); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
      kill -9 "$pid" 2>/dev/null || true
    fi
    rm -f "$run/$name.pid"
  done
  rm -f "$run/mode"
}

status() {
  local mode pid
  if mode=$(cat "$run/mode" 2>/dev/null) && pid=$(alive "$mode"); then
    say "$mode runs as process $pid; log in $run/$mode.log"
    echo "$endpoint"
  else
    say "nothing of ours runs on port $port"
    return 1
  fi
}

# start MODE COMMAND…: unless MODE runs already.
start() {
  local mode=$1
  shift
  prerequisites
  if [ "$mode" != "$(cat "$run/mode" 2>/dev/null)" ] || ! alive "$mode" >/dev/null; then
    down
    "$@"
    echo "$mode" >"$run/mode"
  fi
  echo "$endpoint"
}

case ${1-} in
  up) start localstack localstack ;;
  compose) up_in_docker ;;
  tools) install tools; echo "$home/tools/bin" ;;
  ministack) start ministack ministack "$port" ;;
  down) down ;;
  status) status ;;
  *) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
