"""A client of the deployed HTTP API."""

from __future__ import annotations

import http.client
import json
import time
import uuid
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

PLAIN = {"content-type": "application/json"}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    def json(self):
        return json.loads(self.body)


class Relay:
    """Calls the API as a client of API Gateway would: on an emulator, the Host header says which API is meant."""

    def __init__(self, endpoint: str, api_id: str, key: str) -> None:
        self.address = urlsplit(endpoint).netloc
        self.headers = {"host": f"{api_id}.execute-api.localhost", "authorization": f"Bearer {key}"}

    def send(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        """Any request; `headers` take the place of the usual ones of that name, and empty ones are left out."""
        connection = http.client.HTTPConnection(self.address, timeout=60)
        try:
            given = {name: value for name, value in (self.headers | (headers or {})).items() if value}
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def call(self, method: str, path: str, expect: int, fields: dict | None = None):
        """A JSON request that has to be answered with this status; what the answer says."""
        body = None if fields is None else json.dumps(fields).encode()
        answer = self.send(method, path, body, PLAIN if body else None)
        assert answer.status == expect, f"{method} {path}: {answer.status} {answer.body.decode(errors='replace')}"
        return answer.json() if answer.body else None

    def topic(self) -> str:
        """Makes a topic that no other test uses."""
        name = f"aws.{uuid.uuid4().hex[:12]}"
        self.call("PUT", f"/v1/topics/{name}", 201, {})
        return name

    def subscribe(self, topic: str, url: str, mode: str = "structured", **fields) -> dict:
        """Subscribes a webhook; the answer holds the secret, once."""
        made = {"topic": topic, "endpoint": {"url": url, "mode": mode}} | fields
        return self.call("POST", "/v1/subscriptions", 201, made)

    def publish(self, topic: str, n: int, key: str | None = "k", **data) -> str:
        """Publishes an event with a number in its data; its id."""
        headers = PLAIN | ({"partitionkey": key} if key else {})
        return self.publish_bytes(topic, json.dumps({"n": n} | data).encode(), headers)["id"]

    def publish_bytes(self, topic: str, body: bytes, headers: dict[str, str]) -> dict:
        answer = self.send("POST", f"/v1/topics/{topic}/events", body, headers)
        assert answer.status == 202, f"publish: {answer.status} {answer.body.decode(errors='replace')}"
        (event,) = answer.json()["events"]
        return event

    def list(self, subscription: dict, what: str) -> list[dict]:
        """Attempts, held lanes or dead letters of a subscription."""
        return self.call("GET", f"/v1/subscriptions/{subscription['id']}/{what}", 200)["items"]

    def log(self, topic: str) -> list[dict]:
        """The first events of a topic's log."""
        return self.call("GET", f"/v1/topics/{topic}/events?after=earliest", 200)["items"]

    def act(self, subscription: dict, action: str, expect: int = 200, fields: dict | None = None):
        return self.call("POST", f"/v1/subscriptions/{subscription['id']}/{action}", expect, fields)

    def whereabouts(self, subscription: dict, event: str) -> dict:
        return self.call("GET", f"/v1/subscriptions/{subscription['id']}/events/{quote(event, safe='')}", 200)


def eventually(condition, within: float = 30.0, what: str = "the condition"):
    """Waits until `condition()` is true, and returns what it returned."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.2)
    raise AssertionError(f"not within {within} s: {what}")
