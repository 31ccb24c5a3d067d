"""Plain JSON in, `raw` and `batch` deliveries out, and order per key while a webhook fails."""

from __future__ import annotations

import json
import re
from datetime import datetime

import pytest
from standardwebhooks.webhooks import Webhook

PLAIN = {"content-type": "application/json"}
RETRY_SOON = {"retry": {"schedule": [0.1]}}


def keyed(key: str) -> dict[str, str]:
    return PLAIN | {"partitionKey": key}


def test_plain_json_becomes_an_event(broker, hook):
    topic = broker.topic()
    broker.subscribe(topic, hook.url)
    (accepted,) = broker.publish(topic, b'{"total": 7}', keyed("customer-1"))
    (delivery,) = hook.wait(1)
    event = json.loads(delivery.body)
    assert event["specversion"] == "1.0"
    assert (event["id"], event["type"], event["partitionkey"]) == (accepted["id"], topic, "customer-1")
    assert event["source"]
    assert datetime.fromisoformat(event["time"]).utcoffset().total_seconds() == 0
    assert event["data"] == {"total": 7}


def test_raw_delivers_the_bytes_that_were_sent(broker, hook):
    topic = broker.topic()
    subscription = broker.subscribe(topic, hook.url, "raw")
    # Spaces, a number that no double holds, an escape: nothing may be rewritten on the way.
    body = b'{ "total" : 1.0,\n  "big":12345678901234567890.10, "text":"\\u00fc" }'
    (accepted,) = broker.publish(topic, body, keyed("customer-1"))
    (delivery,) = hook.wait(1)
    assert delivery.body == body
    assert delivery.headers["content-type"].startswith("application/json")
    expected = {
        "webhook-id": accepted["id"],  # the broker made it, so it is unique as it is
        "relay-topic": topic,
        "relay-subscription": subscription["id"],
        "relay-partition-key": "customer-1",
        "relay-attempt": "1",
    }
    assert {name: delivery.headers.get(name) for name in expected} == expected
    assert delivery.headers["relay-replay-id"]
    assert "relay-replay" not in delivery.headers


def test_an_event_without_a_key_is_delivered(broker, hook):
    topic = broker.topic()
    broker.subscribe(topic, hook.url)
    (accepted,) = broker.publish(topic, b"[1, 2]", PLAIN)
    event = json.loads(hook.wait(1)[0].body)
    assert (event["id"], event["data"]) == (accepted["id"], [1, 2])


def test_batch_mode_delivers_at_most_max_batch_in_order(broker, hook):
    topic = broker.topic()
    # Held by its first failure, the lane has all twelve waiting when it is tried again.
    hook.answers(lambda number: 500 if number == 0 else 200)
    subscription = broker.subscribe(topic, hook.url, "batch", max_batch=5, retry={"schedule": [1]})
    sent = [broker.publish(topic, b'{"n": %d}' % n, keyed("customer-1"))[0]["id"] for n in range(12)]

    webhook = Webhook(subscription["secrets"][0]["secret"])
    hook.wait(3)
    delivered: list[str] = []
    while len(delivered) < len(sent):
        delivered = []
        for delivery in hook.wait(len(hook.accepted())):
            assert delivery.headers["content-type"].startswith("application/cloudevents-batch+json")
            assert re.fullmatch(r"batch-[0-9a-f]{16}", delivery.headers["webhook-id"])
            events = webhook.verify(delivery.body, delivery.headers)
            assert 1 <= len(events) <= 5
            assert delivery.headers["relay-replay-id"] == events[-1]["replayid"]
            delivered += [event["id"] for event in events]
        if len(delivered) < len(sent):
            hook.wait(len(hook.accepted()) + 1)
    assert delivered == sent
    assert max(len(json.loads(delivery.body)) for delivery in hook.accepted()) == 5


@pytest.mark.parametrize("mode", ["structured", "raw"])
def test_each_key_arrives_in_order_though_the_webhook_fails(broker, sink, mode):
    topic = broker.topic()
    failing, healthy = sink.hook(), sink.hook()
    # A bad start, then every third request: never so many in a row that the circuit opens.
    failing.answers(lambda number: 503 if number < 6 or number % 3 == 0 else 200)
    broker.subscribe(topic, failing.url, mode, **RETRY_SOON)
    broker.subscribe(topic, healthy.url, mode)

    keys = ["a", "b", "ü/ 3"]
    sent = {key: [] for key in keys}
    for n in range(20):
        for key in keys:
            # A header's value is bytes: the key is UTF-8, taken literally.
            headers = [(b"content-type", b"application/json"), (b"partitionKey", key.encode())]
            (accepted,) = broker.publish(topic, b'{"n": %d}' % n, headers)
            sent[key].append(accepted["id"])

    total = sum(map(len, sent.values()))
    for hook in (healthy, failing):
        hook.wait(total, within=60)
        by_key = {key: [] for key in keys}
        for delivery in hook.accepted():
            by_key[next(key for key in keys if delivery.headers["webhook-id"] in sent[key])].append(
                delivery.headers["webhook-id"]
            )
        # A repeat is allowed, of an event that was delivered before; a gap or a swap is not.
        assert {key: list(dict.fromkeys(ids)) for key, ids in by_key.items()} == sent
    assert {delivery.headers["relay-attempt"] for delivery in healthy.all()} == {"1"}
    assert any(int(delivery.headers["relay-attempt"]) > 1 for delivery in failing.accepted())
