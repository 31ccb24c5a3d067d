"""The emulator, and the template deployed on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

ROOT = Path(__file__).resolve().parents[2]
START = ROOT / "localstack" / "start.sh"
# Not the default: an emulator that somebody uses is left alone.
PORT = os.environ.get("LOCALSTACK_PORT", "4666")
STACK = "relay"


def start_sh(command: str) -> str:
    """Runs localstack/start.sh; its last line on stdout."""
    done = subprocess.run(
        [START, command], env=os.environ | {"LOCALSTACK_PORT": PORT}, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 0, f"localstack/start.sh {command} failed:\n{done.stdout}{done.stderr}"
    return done.stdout.strip()


def is_running() -> bool:
    command = [START, "status"]
    return subprocess.run(command, env=os.environ | {"LOCALSTACK_PORT": PORT}, capture_output=True).returncode == 0


class Cloud:
    """The emulator. One that ran before is used as it is, and goes on; another is stopped by `stop`."""

    def __init__(self) -> None:
        self.was_running = is_running()
        self.endpoint = start_sh("up")
        self.variables = {"AWS_ENDPOINT_URL": self.endpoint, "AWS_DEFAULT_REGION": "us-east-1", "SAM_CLI_TELEMETRY": "0"}
        self.variables |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        services = ("sqs", "s3", "dynamodb", "logs", "cloudformation", "events", "lambda")
        clients = map(self._client, services)
        self.sqs, self.s3, self.dynamodb, self.logs, self.formation, self.events, self.functions = clients
        self.outputs: dict[str, str] = {}
        self.names: dict[str, str] = {}

    def _client(self, service: str):
        config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 3})
        settings = {"endpoint_url": self.endpoint, "region_name": "us-east-1", "config": config}
        return boto3.client(service, aws_access_key_id="test", aws_secret_access_key="test", **settings)

    def deploy(self) -> None:
        """Deploys template.yaml, unchanged, with what `make functions` built."""
        for function in ("ingest", "registry", "dispatch", "drain", "sweep"):
            built = ROOT / "target" / "lambda" / function / "bootstrap"
            assert built.is_file(), f"there is no {built}: run `make functions`"
        self.s3.create_bucket(Bucket="deploy")
        # The SAM CLI is in the environment that pytest runs in.
        command = [Path(sys.executable).parent / "sam", "deploy", "--config-env", "emulator", "--stack-name", STACK]
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | self.variables, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        assert done.returncode == 0, f"sam deploy failed:\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
        (stack,) = self.formation.describe_stacks(StackName=STACK)["Stacks"]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        resources = self.formation.describe_stack_resources(StackName=STACK)["StackResources"]
        self.names = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}

    def relay(self, *args: str | Path) -> str:
        """Runs a command that an operator has; what it printed."""
        relay = os.environ.get("RELAY_BIN", ROOT / "target" / "release" / "relay")
        done = subprocess.run([relay, *args], env=os.environ | self.variables, capture_output=True, text=True)
        assert done.returncode == 0, f"relay {args} failed:\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def admin_key(self) -> str:
        """Makes the first key."""
        return self.relay("aws", "admin-key", "--stack", STACK)

    def logs_of(self, function: str, lines: int = 40) -> str:
        """The last lines that a function wrote, by its name in the template."""
        written: list[str] = []
        # AWS writes to the group that the template names, the emulator to the usual one.
        for group in (self.names.get(f"{function}Log", ""), f"/aws/lambda/{self.names.get(function)}"):
            try:
                pages = self.logs.get_paginator("filter_log_events").paginate(logGroupName=group)
                written += [event["message"].rstrip() for page in pages for event in page["events"]]
            except ClientError as error:
                written.append(f"{group}: {error}")
        said = (line for text in written for line in text.splitlines())
        return "\n".join([line for line in said if not line.startswith(("START ", "END ", "REPORT "))][-lines:])

    @contextmanager
    def visibility(self, seconds: int):
        """Changes for how long received messages stay hidden, for a while."""
        queues = [self.outputs["EventsQueueUrl"], self.outputs["WakeUpsQueueUrl"]]
        name = "VisibilityTimeout"
        before = {url: self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"] for url in queues}
        for url in queues:
            self.sqs.set_queue_attributes(QueueUrl=url, Attributes={name: str(seconds)})
        try:
            yield
        finally:
            for url in queues:
                self.sqs.set_queue_attributes(QueueUrl=url, Attributes=before[url])

    @contextmanager
    def without_sweep(self):
        """Stops the schedule of sweep for a while."""
        rule = {"Name": self.names["SweepMinute"]}
        self.events.disable_rule(**rule)
        try:
            yield
        finally:
            self.events.enable_rule(**rule)

    def age_topic(self, name: str, age: timedelta) -> None:
        """Makes a topic look as if it had been made earlier: a reader begins with the topic's own time."""
        key = {"pk": {"S": "TOPICS"}, "sk": {"S": name}}
        table = self.outputs["TableName"]
        item = self.dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True)["Item"]
        kept = json.loads(item["rec"]["S"])
        kept["record"]["createdAt"] -= int(age.total_seconds() * 1000)
        self.dynamodb.update_item(
            TableName=table,
            Key=key,
            UpdateExpression="SET rec = :rec",
            ExpressionAttributeValues={":rec": {"S": json.dumps(kept)}},
        )

    def age_log(self, topic_id: str, age: timedelta) -> int:
        """Makes what was logged of a topic look older: moves its items. Answers how many there were."""
        table = self.outputs["TableName"]
        moved = 0
        for page in self.dynamodb.get_paginator("scan").paginate(TableName=table):
            for item in page["Items"]:
                # The time in ms, and what makes it unique: docs in crates/relay-aws/src/log.
                at, dash, unique = item["sk"]["S"].partition("-")
                if item["pk"]["S"].startswith(f"LOG#{topic_id}#") and dash and at.isdigit():
                    older = int(at) - int(age.total_seconds() * 1000)
                    self.dynamodb.put_item(TableName=table, Item=item | {"sk": {"S": f"{older:013}-{unique}"}})
                    self.dynamodb.delete_item(TableName=table, Key={"pk": item["pk"], "sk": item["sk"]})
                    moved += 1
        return moved

    def objects(self, prefix: str) -> list[str]:
        """The keys of what lies in the bucket."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.outputs["BucketName"], Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def sweep(self) -> None:
        """Calls sweep, and waits until it is done."""
        answer = self.functions.invoke(FunctionName=self.names["Sweep"], Payload=b"{}")
        assert "FunctionError" not in answer, answer["Payload"].read()

    def process(self) -> int:
        """The emulator's process, whose children the functions are."""
        home = Path(os.environ.get("LOCALSTACK_HOME", ROOT / ".localstack"))
        return int((home / "run" / PORT / "localstack.pid").read_text())

    def stop(self) -> None:
        if not self.was_running:
            start_sh("down")
