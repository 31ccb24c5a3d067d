"""The HTTP API as API Gateway and the functions answer it."""

from __future__ import annotations

import json
import time

import pytest

from relay import PLAIN


def is_problem(answer, status: int, kind: str) -> bool:
    problem = answer.json()
    return (
        answer.status == problem["status"] == status
        and answer.headers["content-type"] == "application/problem+json"
        and problem["type"] == f"/problems/{kind}"
    )


def test_it_is_alive_and_reaches_queue_table_and_bucket(relay):
    assert relay.send("GET", "/healthz", headers={"authorization": ""}).json() == {"status": "alive"}
    ready = relay.send("GET", "/readyz", headers={"authorization": ""})
    assert ready.status == 200, ready.body
    assert ready.json()["status"] == "ready"


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/unknown"), ("POST", "/"), ("PUT", "/dev/v1/topics/a/b/c")])
def test_an_unknown_route_is_a_problem_document(relay, method, path):
    answer = relay.send(method, path)
    assert is_problem(answer, 404, "not-found"), answer


def test_a_method_that_a_route_lacks_is_a_problem_document(relay):
    assert is_problem(relay.send("DELETE", "/healthz"), 405, "method-not-allowed")


@pytest.mark.parametrize("authorization", ["", "Bearer rk_wrong"])
def test_nothing_is_done_without_a_key(relay, authorization):
    topic = relay.topic()
    for method, path in [("GET", f"/v1/topics/{topic}"), ("POST", f"/v1/topics/{topic}/events")]:
        answer = relay.send(method, path, b"{}", PLAIN | {"authorization": authorization})
        assert is_problem(answer, 401, "unauthorized"), answer


def test_what_ingest_refuses_is_a_problem_document(relay):
    topic = relay.topic()
    assert is_problem(relay.send("POST", "/v1/topics/aws.none/events", b"{}", PLAIN), 404, "topic-not-found")
    assert is_problem(relay.send("POST", f"/v1/topics/{topic}/events", b"{", PLAIN), 400, "malformed-json")
    big = b'"' + b"x" * (1024 * 1024) + b'"'
    assert is_problem(relay.send("POST", f"/v1/topics/{topic}/events", big, PLAIN), 413, "event-too-large")


def test_a_topic_is_listed_changed_and_deleted(relay):
    topic = relay.topic()
    assert topic in [entry["name"] for entry in relay.call("GET", "/v1/topics?limit=1000", 200)["items"]]
    assert relay.call("PATCH", f"/v1/topics/{topic}", 200, {"description": "ü"})["description"] == "ü"
    relay.call("DELETE", f"/v1/topics/{topic}", 204)
    relay.call("GET", f"/v1/topics/{topic}", 404)


def test_a_key_may_do_what_it_was_granted_until_soon_after_it_is_deleted(relay):
    topic, other = relay.topic(), relay.topic()
    grants = [{"action": "publish", "topics": topic}]
    key = relay.call("POST", "/v1/keys", 201, {"name": "shop", "grants": grants})
    headers = PLAIN | {"authorization": f"Bearer {key['key']}"}
    assert relay.send("POST", f"/v1/topics/{topic}/events", b"{}", headers).status == 202
    assert relay.send("POST", f"/v1/topics/{other}/events", b"{}", headers).status in (403, 404)
    relay.call("DELETE", f"/v1/keys/{key['id']}", 204)
    # A process of ingest goes by what it read of a key for ten seconds.
    deadline = time.monotonic() + 30
    while relay.send("POST", f"/v1/topics/{topic}/events", b"{}", headers).status != 401:
        assert time.monotonic() < deadline, "the key still works"
        time.sleep(0.2)


def test_the_log_is_read_in_order_and_event_by_event(relay):
    topic = relay.topic()
    for n in range(6):
        relay.publish(topic, n, key=f"k{n % 2}")
    large = {"n": 6, "text": "x" * 300_000}
    relay.publish_bytes(topic, json.dumps(large).encode(), PLAIN | {"partitionkey": "k0"})
    events, after = [], "earliest"
    deadline = time.monotonic() + 60
    while len(events) < 7:
        assert time.monotonic() < deadline, f"read only {len(events)} of 7"
        page = relay.call("GET", f"/v1/topics/{topic}/events?after={after}&limit=2&wait=5", 200)
        assert len(page["items"]) <= 2
        after = page["nextCursor"]
        # What dispatch appended again is there again.
        known = {event["id"] for event in events}
        events += [event for event in page["items"] if event["id"] not in known]
    for key, numbers in [("k0", [0, 2, 4, 6]), ("k1", [1, 3, 5])]:
        assert [event["data"]["n"] for event in events if event["partitionkey"] == key] == numbers
    assert large in [event["data"] for event in events]
    for event in events:
        assert relay.call("GET", f"/v1/topics/{topic}/events/{event['replayid']}", 200) == event
