"""The log: sweep compacts it into the bucket, and subscriptions are rewound on it."""

from __future__ import annotations

from datetime import timedelta

from relay import eventually

# A rewind waits until nobody who read the earlier status can still send; then dispatch and drain have their turns.
REWOUND_WITHIN = 60.0
# By then it is settled, and its shard is due for compaction.
AGE = timedelta(minutes=20)


def test_what_is_old_is_compacted_into_the_bucket(relay, cloud, tmp_path):
    with cloud.without_sweep():
        topic = relay.topic()
        # Before ingest has read it, for it remembers what it read.
        cloud.age_topic(topic, AGE + timedelta(minutes=1))
        for n in range(5):
            relay.publish(topic, n)
        eventually(lambda: len(relay.log(topic)) == 5, what="all in the log")
        topic_id = relay.call("GET", f"/v1/topics/{topic}", 200)["id"]
        assert cloud.age_log(topic_id, AGE) > 0
        cloud.sweep()
    (path,) = [key for key in cloud.objects("events/") if f"/topic={topic}/topicid={topic_id}/" in key]
    assert path.startswith("events/retention=7d/") and path.endswith(".jsonl.zst")
    copy = tmp_path / path
    copy.parent.mkdir(parents=True)
    copy.write_bytes(cloud.s3.get_object(Bucket=cloud.outputs["BucketName"], Key=path)["Body"].read())
    verified = cloud.relay("log", "verify", "--data", tmp_path)
    assert f"{topic} ({topic_id}): 5 events of 1 keys in 1 segments" in verified, verified
    assert "nothing is wrong" in verified
    assert [event["data"]["n"] for event in relay.log(topic)] == list(range(5))


def test_a_replay_delivers_again_in_order_and_joins_live_delivery(relay, hook):
    topic = relay.topic()
    subscription = relay.subscribe(topic, hook.url)
    for n in range(10):
        relay.publish(topic, n)
    assert [delivery.n for delivery in hook.wait(10)] == list(range(10))
    begun = relay.act(subscription, "replays", 202, {"from": "earliest"})
    for n in range(10, 20):
        relay.publish(topic, n)
    again = hook.wait(30, REWOUND_WITHIN)[10:]
    assert [delivery.n for delivery in again] == list(range(20)), "old ones, then those that came meanwhile"
    assert all(delivery.headers["relay-replay"] == "true" for delivery in again[:10])

    def replay() -> dict:
        return relay.call("GET", f"/v1/subscriptions/{subscription['id']}/replays/{begun['id']}", 200)

    eventually(lambda: replay()["state"] == "done", REWOUND_WITHIN, what="the replay to be done")
    relay.publish(topic, 20)
    last = hook.wait(31)[30]
    assert last.n == 20 and "relay-replay" not in last.headers, "live again"
