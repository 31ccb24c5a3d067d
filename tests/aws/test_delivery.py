"""From a publisher to a webhook, through queue, dispatch and drain."""

from __future__ import annotations

import json
import uuid

from relay import PLAIN, eventually

SOON = {"retry": {"schedule": [1]}}


def test_events_arrive_signed_and_in_order(relay, hook):
    topic = relay.topic()
    subscription = relay.subscribe(topic, hook.url)
    published = [relay.publish(topic, n, key="a") for n in range(10)]
    deliveries = hook.wait(10)
    assert [delivery.id for delivery in deliveries] == published
    assert [delivery.n for delivery in deliveries] == list(range(10))
    secret = subscription["secrets"][0]["secret"]
    assert all(delivery.is_signed_with(secret) for delivery in deliveries)
    assert {delivery.headers["relay-attempt"] for delivery in deliveries} == {"1"}
    sequences = [delivery.event["sequence"] for delivery in deliveries]
    assert sequences == sorted(set(sequences)) and all(len(sequence) == 36 for sequence in sequences)


def test_a_batch_is_delivered_to_every_subscription_each_key_in_order(relay, receiver):
    topic = relay.topic()
    hooks = [receiver.hook(), receiver.hook()]
    for hook in hooks:
        relay.subscribe(topic, hook.url)
    events = [
        {"specversion": "1.0", "id": f"{key}{n}", "source": "/tests", "type": "t", "partitionkey": key, "data": {"n": n}}
        for n in range(20)
        for key in "abc"
    ]
    headers = {"content-type": "application/cloudevents-batch+json"}
    answer = relay.send("POST", f"/v1/topics/{topic}/events", json.dumps(events).encode(), headers)
    assert answer.status == 202, answer.body
    assert [event["id"] for event in answer.json()["events"]] == [event["id"] for event in events]
    for hook in hooks:
        arrived = [delivery.event for delivery in hook.wait(60)]
        for key in "abc":
            assert [event["data"]["n"] for event in arrived if event["partitionkey"] == key] == list(range(20))


def test_a_repeated_publish_is_delivered_once(relay, hook):
    topic = relay.topic()
    relay.subscribe(topic, hook.url)
    headers = PLAIN | {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/tests", "ce-type": "t", "partitionkey": "k"}
    for _ in range(3):
        relay.publish_bytes(topic, b'{"n": 0}', headers)
    relay.publish(topic, 1)  # behind them in their lane
    assert [delivery.n for delivery in hook.wait(2)] == [0, 1]


def test_an_event_without_a_key_is_delivered(relay, hook):
    topic = relay.topic()
    relay.subscribe(topic, hook.url)
    published = relay.publish(topic, 0, key=None)
    assert hook.wait()[0].id == published
    assert "relay-partition-key" not in hook.all()[0].headers


def test_an_event_too_large_for_the_queue_goes_by_the_bucket(relay, cloud, hook):
    topic = relay.topic()
    relay.subscribe(topic, hook.url, "raw")
    before = set(cloud.objects("payloads/"))
    # Objects are named by their content: this one is new.
    text = (str(uuid.uuid4()) + "Grüße, 世界. " * 40_000).encode()
    assert len(text) > 600 * 1024
    attributes = {"ce-specversion": "1.0", "ce-id": "large", "ce-source": "/tests", "ce-type": "t", "partitionkey": "k"}
    relay.publish_bytes(topic, text, attributes | {"content-type": "text/plain; charset=utf-8"})
    relay.publish_bytes(topic, b"{}", PLAIN | {"partitionkey": "k"})
    large, small = hook.wait(2)
    assert large.body == text and small.body == b"{}"
    assert len(set(cloud.objects("payloads/")) - before) == 1


def test_a_failing_webhook_holds_its_lane_alone_and_gets_everything_in_order(relay, receiver):
    topic = relay.topic()
    failing, healthy = receiver.hook(), receiver.hook()
    failing.answer = lambda delivery: 503 if delivery.headers["relay-partition-key"] == "bad" else 200
    subscription = relay.subscribe(topic, failing.url, **SOON)
    relay.subscribe(topic, healthy.url)
    for n in range(5):
        relay.publish(topic, n, key="bad")
        relay.publish(topic, n, key="good")
    assert len(healthy.wait(10)) == 10
    assert [delivery.n for delivery in failing.wait(5)] == list(range(5)), "another key of the same webhook goes on"
    failing.wait_failed(2)  # the second attempt is drain's: a wake-up has come
    lane = eventually(lambda: next(iter(relay.list(subscription, "lanes?state=held")), None), what="the held lane")
    assert (lane["partitionKey"], lane["lastStatus"]) == ("bad", 503)

    failing.answers(200)
    deliveries = [delivery for delivery in failing.wait(10) if delivery.headers["relay-partition-key"] == "bad"]
    assert [delivery.n for delivery in deliveries] == list(range(5))
    assert int(deliveries[0].headers["relay-attempt"]) > 2
    eventually(lambda: not relay.list(subscription, "lanes?state=held"), what="the lane's release")
    relay.publish(topic, 5, key="bad")
    assert failing.wait(11)[-1].headers["relay-attempt"] == "1", "live again: dispatch delivers"


def test_why_an_event_is_not_delivered_is_answered(relay, hook):
    topic = relay.topic()
    hook.answers(500)
    subscription = relay.subscribe(topic, hook.url, retry={"schedule": [600]})
    head, behind = relay.publish(topic, 0), relay.publish(topic, 1)
    hook.wait_failed(1)
    # Dispatch makes an event known: until then there is none of that id.
    eventually(lambda: len(held := relay.list(subscription, "lanes")) == 1 and held[0]["depth"] == 2, what="both held")
    found = relay.whereabouts(subscription, behind)
    assert (found["state"], found["attempts"], found["lane"]["state"]) == ("held", 0, "held")
    first = relay.whereabouts(subscription, head)
    assert (first["state"], first["attempts"], first["lastAttempt"]["status"]) == ("held", 1, 500)
    assert first["nextAttemptAt"] and first["sequence"] == found["lane"]["head"]
    attempts = eventually(lambda: relay.list(subscription, "attempts"), what="the attempt in the list")
    assert [(attempt["eventId"], attempt["outcome"], attempt["status"]) for attempt in attempts] == [(head, "failed", 500)]

    hook.answers(200)
    relay.act(subscription, f"lanes/{found['lane']['lane']}/retry", 202, {})
    assert [delivery.n for delivery in hook.wait(2)] == [0, 1]
    eventually(lambda: relay.whereabouts(subscription, behind)["state"] == "delivered", what="delivered")
    assert relay.list(subscription, "attempts")[0]["eventId"] == behind


def test_what_is_given_up_is_a_dead_letter_and_redrive_brings_it_back(relay, hook):
    topic = relay.topic()
    hook.answer = lambda delivery: 500 if delivery.n == 1 else 200
    subscription = relay.subscribe(topic, hook.url, retry={"schedule": [1], "maxAge": "1s"})
    published = [relay.publish(topic, n) for n in range(3)]
    assert [delivery.n for delivery in hook.wait(2)] == [0, 2], "the lane goes on"
    (letter,) = eventually(lambda: relay.list(subscription, "deadletters"), what="the dead letter")
    assert (letter["eventId"], letter["reason"], letter["lastStatus"]) == (published[1], "exhausted", 500)
    assert letter["event"]["data"] == {"n": 1}

    hook.answers(200)
    assert relay.act(subscription, "deadletters/redrive", 202, {}) == {"redriven": 1}
    assert [delivery.n for delivery in hook.wait(3)] == [0, 2, 1]
    eventually(lambda: not relay.list(subscription, "deadletters"), what="no dead letters")


def test_a_paused_subscription_gets_nothing_and_after_resume_everything(relay, hook, receiver):
    topic = relay.topic()
    witness = receiver.hook()
    subscription = relay.subscribe(topic, hook.url)
    relay.subscribe(topic, witness.url)
    relay.publish(topic, 0)
    hook.wait(1)
    assert relay.act(subscription, "pause")["status"] == "paused"
    for n in range(1, 6):
        relay.publish(topic, n)
    witness.wait(6)
    held = eventually(lambda: [lane for lane in relay.list(subscription, "lanes") if lane["depth"] == 5], what="5 held")
    assert len(hook.all()) == 1 and held[0]["partitionKey"] == "k"
    assert relay.act(subscription, "resume")["status"] == "active"
    assert [delivery.n for delivery in hook.wait(6)] == list(range(6))


def test_a_test_event_is_sent_and_its_attempt_reported(relay, hook):
    subscription = relay.subscribe(relay.topic(), hook.url)
    assert relay.act(subscription, "test", 200, {})["attempt"]["outcome"] == "delivered"
    assert hook.all()[0].is_signed_with(subscription["secrets"][0]["secret"])
