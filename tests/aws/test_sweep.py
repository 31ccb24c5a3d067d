"""Sweep, which a schedule calls, makes up for what was lost."""

from __future__ import annotations

from datetime import UTC, datetime

from relay import eventually

# The schedule's minute, and a function's start.
WITHIN = 130.0


def test_a_lost_wake_up_is_made_up_for(relay, cloud, hook):
    with cloud.without_sweep():
        topic = relay.topic()
        hook.answers(503)
        subscription = relay.subscribe(topic, hook.url, retry={"schedule": [5]})
        relay.publish(topic, 0)
        relay.publish(topic, 1)
        hook.wait_failed(1)
        queue = cloud.outputs["WakeUpsQueueUrl"]
        counts = [
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesDelayed",
            "ApproximateNumberOfMessagesNotVisible",
        ]

        def waiting() -> int:
            attributes = cloud.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=counts)["Attributes"]
            return sum(int(attributes[name]) for name in counts)

        eventually(waiting, what="the wake-up in its queue")
        cloud.sqs.purge_queue(QueueUrl=queue)
        assert waiting() == 0, "the wake-up is lost"
        hook.answers(200)
        (lane,) = relay.list(subscription, "lanes?state=held")
        due = datetime.fromisoformat(lane["nextAttemptAt"])
        eventually(lambda: datetime.now(UTC) > due, what="the next attempt is due")
        assert len(hook.all()) == 1, "nobody else wakes the lane"
        cloud.sweep()
        assert [delivery.n for delivery in hook.wait(2)] == [0, 1]


def test_the_schedule_has_called_sweep(relay):
    # The first sweep makes the topic of system events, and nothing else does.
    eventually(lambda: relay.send("GET", "/v1/topics/relay.system").status == 200, WITHIN, "the topic relay.system")
