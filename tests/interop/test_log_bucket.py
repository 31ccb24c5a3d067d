"""The log's segments in a bucket: DuckDB with the query of docs/log.md over S3, on an emulator."""

from __future__ import annotations

import os
import re
import subprocess
import uuid

import duckdb
import pytest
import s3fs

from broker import Broker, eventually, relay_binary
from log_lines import BATCH, KEYS, batch, documented_query

COUNT = 2_000
TOPICS = ("orders", "bills")


def aws(*args: str, **environment: str) -> str:
    done = subprocess.run([relay_binary(), "aws", *args], env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def resources(tmp_path):
    """Queues, table and bucket of the test's own."""
    assert "AWS_ENDPOINT_URL" in os.environ, "this test needs an emulator: `make interop` starts one"
    name = f"t{uuid.uuid4().hex[:16]}"
    lines = aws("init", "--prefix", name, "--bucket", name).splitlines()
    return dict(line.removeprefix("export ").split("=", 1) for line in lines)


def read_to_end(broker: Broker, topic: str) -> int:
    count, after = 0, "earliest"
    while page := (answer := broker.call("GET", f"/v1/topics/{topic}/events?after={after}&limit=1000", 200).json())["items"]:
        count, after = count + len(page), answer["nextCursor"]
    return count


def test_duckdb_reads_from_the_bucket_what_was_accepted(resources, tmp_path):
    broker = Broker(tmp_path / "unused", resources)
    try:
        for topic in TOPICS:
            broker.call("PUT", f"/v1/topics/{topic}", 201, json={"retention": "30d"})
            for first in range(0, COUNT, 500):
                broker.publish(topic, batch(first, 500), BATCH)
        for topic in TOPICS:
            eventually(lambda: read_to_end(broker, topic) == COUNT, 60, f"all of {topic} in the log")
    finally:
        assert broker.stop() == 0

    written = 0

    def is_written() -> bool:
        # What is younger than half a minute is left to the next one.
        nonlocal written
        written += int(re.match(r"(\d+) events", aws("compact", **resources))[1])
        return written >= COUNT * len(TOPICS)

    eventually(is_written, 90, "all of it in segments")
    assert written == COUNT * len(TOPICS)

    bucket = s3fs.S3FileSystem(key="test", secret="test", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    connection = duckdb.connect()
    connection.register_filesystem(bucket)
    # The query of the docs, on the bucket in place of the folder.
    query = documented_query().replace("relay-data/", f"s3://{resources['RELAY_BUCKET']}/")
    counted = connection.sql(f"select topic, partitionkey, events, first <= last from ({query})").fetchall()
    rows = {(topic, key): events for topic, key, events, _ in counted}
    assert rows == {(topic, f"customer-{n}"): COUNT // KEYS for topic in TOPICS for n in range(KEYS)}
    assert all(in_order for *_, in_order in counted)
