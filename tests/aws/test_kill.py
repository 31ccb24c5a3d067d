"""Functions killed at random under load: nothing is lost, nothing overtakes. Repeats are allowed."""

from __future__ import annotations

import collections
import json
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from processes import kill_one
from relay import eventually

KEYS = [f"key-{number}" for number in range(20)]
EVENTS = 20  # of each key
KILLS = 30
PUBLISHERS = 4
# What a killed function had received comes back after the queue's visibility timeout; a lane that it had leased, after
# the lease's 60 s and the next sweep.
WITHIN = 240.0


class Killer:
    """Kills functions: half of the times at any moment, half of them while a webhook handles their request."""

    def __init__(self, cloud) -> None:
        self.emulator = cloud.process()
        self.names = {cloud.names[function]: function for function in ("Ingest", "Dispatch", "Drain")}
        self.killed: collections.Counter[str] = collections.Counter()
        self.ended = threading.Event()
        self._lock = threading.Lock()

    def kill(self, functions: set[str], how: str) -> None:
        with self._lock:
            if self.killed.total() < KILLS:
                names = {name for name, function in self.names.items() if function in functions}
                if name := kill_one(self.emulator, names):
                    self.killed[f"{self.names[name]} {how}"] += 1
            if self.killed.total() >= KILLS:
                self.ended.set()

    def at_any_moment(self) -> None:
        while not self.ended.wait(random.uniform(0.2, 1.6)):
            self.kill({"Ingest", "Dispatch", "Drain"}, "at any moment")

    def within_a_request(self, delivery) -> None:
        """The webhook has the event, and its sender dies before it learns that."""
        if not self.ended.is_set() and random.random() < 0.05:
            self.kill({"Drain"} if delivery.headers["relay-attempt"] != "1" else {"Dispatch"}, "within a request")


def publish_all(relay, topic: str, keys: list[str]) -> int:
    """Publishes each key's events one after another, each until it is accepted; how often that took a repeat."""
    repeats = 0
    for n in range(EVENTS):
        for key in keys:
            event = {"specversion": "1.0", "id": f"{key}/{n}", "source": "/kill", "type": "t", "partitionkey": key}
            body = json.dumps(event | {"data": {"n": n}}).encode()
            for _ in range(100):
                answer = relay.send("POST", f"/v1/topics/{topic}/events", body, {"content-type": "application/cloudevents+json"})
                if answer.status == 202:
                    break
                assert answer.status >= 500, f"{answer.status} {answer.body!r}"
                repeats += 1
            else:
                raise AssertionError(f"{event} was never accepted")
    return repeats


def test_killed_functions_lose_nothing_and_keep_each_keys_order(relay, cloud, hook, capsys):
    topic = relay.topic()
    killer = Killer(cloud)

    def answer(delivery) -> int:
        killer.within_a_request(delivery)
        return 503 if random.random() < 0.05 else 200

    hook.answer = answer
    relay.subscribe(topic, hook.url, retry={"schedule": [1]})
    # An invocation that is killed leaves its messages hidden for that long: 90 s would make this test as long.
    with cloud.visibility(seconds=15):
        began = time.monotonic()
        threading.Thread(target=killer.at_any_moment, daemon=True).start()
        with ThreadPoolExecutor(PUBLISHERS) as pool:
            shares = [KEYS[share::PUBLISHERS] for share in range(PUBLISHERS)]
            repeats = sum(pool.map(lambda keys: publish_all(relay, topic, keys), shares))
        published_in = time.monotonic() - began
        assert killer.ended.wait(60), killer.killed

        def distinct() -> set[str]:
            return {delivery.event["id"] for delivery in hook.accepted()}

        total = len(KEYS) * EVENTS
        eventually(lambda: len(distinct()) >= total, WITHIN, f"{total} events delivered")

    order: dict[str, list[int]] = {key: [] for key in KEYS}
    for delivery in hook.accepted():
        order[delivery.event["partitionkey"]].append(delivery.n)
    firsts = {key: list(dict.fromkeys(numbers)) for key, numbers in order.items()}
    assert firsts == {key: list(range(EVENTS)) for key in KEYS}
    with capsys.disabled():
        print(
            f"\n{total} events of {len(KEYS)} keys, published in {published_in:.0f} s with {repeats} repeats, all delivered after "
            f"{time.monotonic() - began:.0f} s; killed: {dict(killer.killed)}; requests refused by the webhook: "
            f"{len(hook.failed())}; delivered again: {len(hook.accepted()) - total}"
        )
    assert sum(count for how, count in killer.killed.items() if "request" in how) > 0, "none was killed at its work"
