#!/usr/bin/env python3
"""Measures how long a function takes from exec to its first poll of the Lambda Runtime API, and what memory it has then.

    make functions
    scripts/cold-start.py [--runs 50] [--warm http://127.0.0.1:4566 --stack relay] [function …]

A function is started with the variables that the template gives it and those that Lambda sets, against a Runtime API of
this script's (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html): a socket that waits for the first
`GET /2018-06-01/runtime/invocation/next`. By default it is started with `--cold`, so that it calls nothing before. With
`--warm`, it warms its connections first, against the stack deployed on that emulator. Runs of the functions take turns,
so that a busy moment of the machine is not one function's. What is printed is a table in Markdown. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FUNCTIONS = ["ingest", "registry", "dispatch", "drain", "sweep"]
PATIENCE = 10.0  # seconds: what Lambda gives an initialisation
# What Lambda sets (https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html).
LAMBDA = {
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EXECUTION_ENV": "AWS_Lambda_provided.al2023",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/relay",
    "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_SESSION_TOKEN": "test",
    "LANG": "en_US.UTF-8",
    "TZ": ":UTC",
    "PATH": "/usr/local/bin:/usr/bin:/bin:/opt/bin",
}
RESOURCES = {
    "RELAY_EVENTS_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/relay-events.fifo",
    "RELAY_WAKE_UPS_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/relay-wake-ups",
    "RELAY_TABLE": "relay",
    "RELAY_BUCKET": "relay-123456789012-us-east-1",
    "RELAY_LOG": "info",
    "RELAY_METRICS": "false",
    "RELAY_ALLOW_ENDPOINT_CIDRS": "",
    "AWS_LAMBDA_HTTP_IGNORE_STAGE_IN_PATH": "true",
}


class RuntimeApi:
    """A Runtime API that never has an invocation."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.settimeout(PATIENCE)
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"

    def first_request(self) -> tuple[float, bytes, socket.socket]:
        """Waits for the first request: when its first bytes were there, its request line, and its connection."""
        connection, _ = self.socket.accept()
        connection.settimeout(PATIENCE)
        head = connection.recv(65536)
        return time.perf_counter(), head.split(b"\r\n")[0], connection


def variables(function: str, given: dict[str, str]) -> dict[str, str]:
    """What a function is started with: the template gives it exactly these, which tests/template sees to."""
    read = json.loads((ROOT / "functions" / "variables.json").read_text())[function.capitalize()]
    return LAMBDA | {name: given[name] for name in read} | {"AWS_LAMBDA_FUNCTION_NAME": function}


def memory_of(pid: int) -> int:
    """Resident memory in KiB."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


def one_run(api: RuntimeApi, binary: Path, environment: dict[str, str], arguments: list[str]) -> tuple[float, int]:
    """Milliseconds from exec to the first poll, and resident memory in KiB at that time."""
    began = time.perf_counter()
    pid = os.posix_spawn(
        binary, [str(binary), *arguments], environment | {"AWS_LAMBDA_RUNTIME_API": api.address},
        file_actions=[(os.POSIX_SPAWN_OPEN, descriptor, os.devnull, os.O_RDWR, 0) for descriptor in (0, 1, 2)],
    )  # fmt: skip
    try:
        polled, line, connection = api.first_request()
        with connection:  # a function whose poll is cut off ends
            memory = memory_of(pid)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    if not line.startswith(b"GET /2018-06-01/runtime/invocation/next"):
        sys.exit(f"{binary.parent.name} did not ask for an invocation: {line!r}. Run it by hand to see why.")
    return (polled - began) * 1000, memory


def deployed(endpoint: str, stack: str) -> dict[str, str]:
    """The resources of a stack on an emulator, as the variables name them."""
    command = ["aws", "--endpoint-url", endpoint, "cloudformation", "describe-stacks", "--stack-name", stack]
    said = subprocess.run(command, env=os.environ | LAMBDA | {"PATH": os.environ["PATH"]}, capture_output=True, text=True)
    if said.returncode != 0:
        sys.exit(f"the stack {stack} is not at {endpoint}: {said.stderr.strip()}")
    outputs = {output["OutputKey"]: output["OutputValue"] for output in json.loads(said.stdout)["Stacks"][0]["Outputs"]}
    names = {"EVENTS_QUEUE_URL": "EventsQueueUrl", "WAKE_UPS_QUEUE_URL": "WakeUpsQueueUrl"}
    names |= {"TABLE": "TableName", "BUCKET": "BucketName"}
    return RESOURCES | {f"RELAY_{name}": outputs[output] for name, output in names.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--warm", metavar="ENDPOINT", help="warm connections, against an emulator at this address")
    parser.add_argument("--stack", default="relay", help="the stack that is deployed there")
    parser.add_argument("--lambda-dir", type=Path, default=ROOT / "target" / "lambda")
    parser.add_argument("functions", nargs="*", choices=[*FUNCTIONS, []], metavar="function")
    args = parser.parse_args()
    given = deployed(args.warm, args.stack) if args.warm else RESOURCES
    arguments = [] if args.warm else ["--cold"]
    extra = {"AWS_ENDPOINT_URL": args.warm} if args.warm else {}

    functions = args.functions or FUNCTIONS
    binaries = {function: (args.lambda_dir / function / "bootstrap").resolve() for function in functions}
    for function, binary in binaries.items():
        if not binary.is_file():
            sys.exit(f"there is no {binary}: run `make functions`")
    api, measured = RuntimeApi(), {function: [] for function in functions}
    for run in range(args.runs + 1):
        for function, binary in binaries.items():
            result = one_run(api, binary, variables(function, given) | extra, arguments)
            if run > 0:  # the first one reads the binary from disk
                measured[function].append(result)
    print("| function | median | p90 | slowest | resident | binary |")
    print("| --- | --- | --- | --- | --- | --- |")
    for function, runs in measured.items():
        times, memory = sorted(run[0] for run in runs), max(run[1] for run in runs)
        p90 = times[max(0, -(-len(times) * 9 // 10) - 1)]
        size = binaries[function].stat().st_size / 2**20
        print(
            f"| {function} | {statistics.median(times):.1f} ms | {p90:.1f} ms | {times[-1]:.1f} ms "
            f"| {memory / 1024:.1f} MiB | {size:.1f} MiB |"
        )


if __name__ == "__main__":
    main()
