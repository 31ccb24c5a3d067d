"""The log's segments, as files that others read: DuckDB with the query of docs/log.md, and `relay log verify`."""

from __future__ import annotations

import re
import subprocess

import duckdb
import pytest

from broker import Broker, relay_binary
from log_lines import BATCH, KEYS, batch, documented_query

COUNT = 3_000


def log(command: str, data) -> subprocess.CompletedProcess:
    return subprocess.run([relay_binary(), "log", command, "--data", data], capture_output=True, text=True)


@pytest.fixture
def data(tmp_path):
    """The data folder of a broker that accepted events of two topics and was stopped, and its log compacted."""
    folder = tmp_path / "relay-data"
    broker = Broker(folder)
    for topic in ("orders", "bills"):
        broker.call("PUT", f"/v1/topics/{topic}", 201, json={"retention": "30d"})
        for first in range(0, COUNT, 1000):
            broker.publish(topic, batch(first, 1000), BATCH)
    # Data that is no object, and an event without a key or with line breaks, are lines like any other.
    broker.publish("orders", b'[1,\n 2]', {"content-type": "application/json"})
    broker.publish("orders", b"plain text", {"content-type": "text/plain", "ce-id": "t", "ce-source": "/s", "ce-type": "t", "ce-specversion": "1.0"})
    assert broker.stop() == 0
    compacted = log("compact", folder)
    assert compacted.returncode == 0, compacted.stderr
    return folder


def test_duckdb_reads_what_was_accepted(data, monkeypatch):
    query = documented_query()
    # The query of the docs names the folder as it is beside the working directory.
    monkeypatch.chdir(data.parent)
    # Times with a zone would need another package here.
    counted = duckdb.sql(f"select topic, partitionkey, events, first <= last from ({query})").fetchall()
    rows = {(topic, key): events for topic, key, events, _ in counted}
    for topic in ("orders", "bills"):
        assert [rows[topic, f"customer-{n}"] for n in range(KEYS)] == [COUNT // KEYS] * KEYS
    assert rows["orders", None] == 2
    assert sum(rows.values()) == 2 * COUNT + 2
    assert all(in_order for *_, in_order in counted)

    lines = "read_json('relay-data/events/**/*.jsonl.zst', format = 'newline_delimited', union_by_name = true)"
    (of_key,) = duckdb.sql(f"""
        select list(cast(data->>'number' as int) order by sequence), list(cast(data->>'number' as int) order by relayposition, sequence)
        from {lines} where topic = 'orders' and partitionkey = 'customer-3'""").fetchall()
    assert of_key[0] == of_key[1] == list(range(3, COUNT, KEYS)), "in the order of the key, which is that of the lines"


def test_a_log_is_verified_and_damage_is_named(data):
    good = log("verify", data)
    assert good.returncode == 0, good.stdout
    assert "nothing is wrong" in good.stdout
    assert re.search(rf"^bills .*: {COUNT} events of {KEYS} keys", good.stdout, re.MULTILINE), good.stdout
    files = sorted((data / "events").rglob("*.jsonl.zst"))
    whole = {file: file.read_bytes() for file in files}
    damages = {
        files[0]: lambda bytes: bytes[: len(bytes) // 2],
        files[1]: lambda bytes: bytes[:200] + b"\xff" + bytes[201:],
        files[2]: lambda bytes: b"",
    }
    for file, damage in damages.items():
        file.write_bytes(damage(whole[file]))
        bad = log("verify", data)
        assert bad.returncode == 1
        assert "WRONG" in bad.stdout and file.name in bad.stdout, bad.stdout
        file.write_bytes(whole[file])
    # A copy of a segment under another name would count twice.
    files[3].with_name("0" + files[3].name[1:]).write_bytes(whole[files[3]])
    assert "twice" in log("verify", data).stdout
    files[3].with_name("0" + files[3].name[1:]).unlink()
    assert log("verify", data).returncode == 0

    # The broker itself goes on, and reads from the files what is no longer elsewhere.
    broker = Broker(data)
    try:
        read, after = [], "earliest"
        while page := (answer := broker.call("GET", f"/v1/topics/bills/events?after={after}&limit=1000", 200).json())["items"]:
            read, after = read + page, answer["nextCursor"]
        assert len(read) == COUNT
    finally:
        assert broker.stop() == 0
