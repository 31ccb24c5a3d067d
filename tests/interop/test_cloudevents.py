"""Events of the CloudEvents SDK are accepted as it sends them, and it reads what is delivered."""

from __future__ import annotations

import copy
import json
from datetime import datetime, timezone

import pytest
from cloudevents.core.bindings import http as ce
from cloudevents.core.v1.event import CloudEvent

BATCH = {"content-type": "application/cloudevents-batch+json"}
# What the broker adds to an event on its way; the last two only where requests are traced.
PUT_THERE = {"sequence", "replayid"}
MAY_BE_THERE = PUT_THERE | {"traceparent", "tracestate"}

DATA = {
    "json": ("application/json", {"total": 99.5, "lines": [1, 2, {"sku": "ü-1"}], "note": None}),
    "text": ("text/plain", "Grüße, 世界\n"),
    "bytes": ("application/octet-stream", b"\x00\xff\xfe\x80 not UTF-8"),
    "none": (None, None),
}


def make_event(kind: str = "json", **attributes) -> CloudEvent:
    content_type, data = DATA[kind]
    described = {"datacontenttype": content_type} if content_type else {}
    return CloudEvent(
        attributes={
            "id": "order-1 %/é",
            "source": "https://shop.example/orders?region=eu",
            "type": "com.example.order.paid",
            "subject": "Größe \"50 %\" €",
            "time": datetime(2026, 11, 20, 21, 4, 5, 678000, tzinfo=timezone.utc),
            "dataschema": "https://shop.example/schemas/order.json",
            "partitionkey": "customer/7 ü",
            "tenant": "north",
        }
        | described
        | attributes,
        data=copy.deepcopy(data),
    )


def read(delivery) -> CloudEvent:
    return ce.from_http_event(ce.HTTPMessage(delivery.headers, delivery.body))


def assert_same(delivered: CloudEvent, sent: CloudEvent) -> None:
    attributes = dict(delivered.get_attributes())
    added = attributes.keys() - sent.get_attributes().keys()
    assert PUT_THERE <= added <= MAY_BE_THERE, added
    for name in added:
        assert isinstance(attributes.pop(name), str), name
    assert attributes == sent.get_attributes()
    assert delivered.get_data() == sent.get_data()


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize("delivered_as", ["structured", "binary"])
@pytest.mark.parametrize("published_as", ["structured", "binary"])
def test_an_event_arrives_as_it_was_sent(broker, hook, published_as, delivered_as, kind):
    topic = broker.topic()
    broker.subscribe(topic, hook.url, delivered_as)
    sent = make_event(kind)
    message = ce.to_structured_event(sent) if published_as == "structured" else ce.to_binary_event(sent)
    (accepted,) = broker.publish(topic, message.body, message.headers)
    assert (accepted["id"], accepted["partitionKey"]) == (sent.get_id(), "customer/7 ü")

    (delivery,) = hook.wait(1)
    is_structured = delivery.headers.get("content-type", "").startswith("application/cloudevents+json")
    assert is_structured == (delivered_as == "structured")
    assert_same(read(delivery), sent)
    assert delivery.headers["relay-partition-key"] == "customer/7%20%C3%BC"


def test_a_batch_of_structured_events_arrives_whole_and_in_order(broker, hook):
    topic = broker.topic()
    broker.subscribe(topic, hook.url)
    sent = [make_event(kind, id=f"batch-{kind}") for kind in DATA]
    body = b"[" + b",".join(ce.to_structured_event(event).body for event in sent) + b"]"
    accepted = broker.publish(topic, body, BATCH)
    assert [event["id"] for event in accepted] == [event.get_id() for event in sent]

    for delivery, event in zip(hook.wait(len(sent)), sent, strict=True):
        assert_same(read(delivery), event)


def test_a_batch_with_one_fault_is_refused_whole(broker, hook):
    topic = broker.topic()
    broker.subscribe(topic, hook.url)
    events = [json.loads(ce.to_structured_event(make_event(id=f"faulty-{n}")).body) for n in range(3)]
    del events[1]["source"]
    refused = broker.call("POST", f"/v1/topics/{topic}/events", 400, content=json.dumps(events), headers=BATCH)
    assert refused.headers["content-type"].startswith("application/problem+json")
    assert [fault["pointer"].split("/")[1] for fault in refused.json()["errors"]] == ["1"]

    # Of the same key, so anything of the batch would have come before it.
    message = ce.to_structured_event(make_event(id="after"))
    broker.publish(topic, message.body, message.headers)
    assert [read(delivery).get_id() for delivery in hook.wait(1)] == ["after"]


def test_the_same_event_published_twice_is_delivered_once(broker, hook):
    topic = broker.topic()
    broker.subscribe(topic, hook.url)
    message = ce.to_binary_event(make_event(id="twice"))
    first = broker.publish(topic, message.body, message.headers)
    second = broker.publish(topic, message.body, message.headers)
    assert [event["id"] for event in first] == [event["id"] for event in second] == ["twice"]

    marker = ce.to_binary_event(make_event(id="after"))
    broker.publish(topic, marker.body, marker.headers)
    assert [read(delivery).get_id() for delivery in hook.wait(2)] == ["twice", "after"]
