"""A webhook endpoint on loopback that keeps what it receives and answers as a test tells it to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Delivery:
    """One request as it arrived, and the status that it was answered with."""

    headers: dict[str, str]  # names in lower case
    body: bytes
    status: int = 0

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict:
        """The event of a delivery in `structured` mode."""
        return json.loads(self.body)

    @property
    def n(self) -> int:
        """The number that tests put into an event's data."""
        return self.event["data"]["n"]

    def is_signed_with(self, secret: str) -> bool:
        """Verifies as https://www.standardwebhooks.com says."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{self.id}.{self.headers['webhook-timestamp']}.".encode() + self.body
        expected = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        return any(hmac.compare_digest(expected, given) for given in self.headers["webhook-signature"].split(" "))


class Hook:
    """One path of the receiver: the webhook of one subscription."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answer: Callable[[Delivery], int] = lambda delivery: 200
        self._deliveries: list[Delivery] = []
        self._arrived = threading.Condition()

    def answers(self, status: int) -> None:
        """Answers everything from now on with this status."""
        self.answer = lambda delivery: status

    def receive(self, headers: dict[str, str], body: bytes) -> int:
        status = self.answer(Delivery(headers, body))
        with self._arrived:
            self._deliveries.append(Delivery(headers, body, status))
            self._arrived.notify_all()
        return status

    def all(self) -> list[Delivery]:
        """Every request so far, failed ones too, in order of arrival."""
        with self._arrived:
            return list(self._deliveries)

    def accepted(self) -> list[Delivery]:
        """The requests that were answered with 2xx so far."""
        return [delivery for delivery in self.all() if 200 <= delivery.status < 300]

    def failed(self) -> list[Delivery]:
        """The requests that were not."""
        return [delivery for delivery in self.all() if not 200 <= delivery.status < 300]

    def wait_until(self, done: Callable[[], bool], within: float, what: str) -> None:
        """Waits until something is true of what arrived."""
        with self._arrived:
            assert self._arrived.wait_for(done, within), f"not within {within} s: {what}; arrived: {self.summary()}"

    def wait(self, count: int = 1, within: float = 30.0) -> list[Delivery]:
        """Waits until `count` requests were accepted, and returns them."""
        self.wait_until(lambda: len(self.accepted()) >= count, within, f"{count} accepted deliveries")
        return self.accepted()

    def wait_failed(self, count: int = 1, within: float = 30.0) -> list[Delivery]:
        """Waits until `count` requests were refused, and returns them."""
        self.wait_until(lambda: len(self.failed()) >= count, within, f"{count} refused deliveries")
        return self.failed()

    def summary(self) -> str:
        return ", ".join(f"{delivery.id} {delivery.status}" for delivery in self.all()[-20:]) or "nothing"


class Receiver:
    """An HTTP server with any number of hooks."""

    def __init__(self) -> None:
        hooks: dict[str, Hook] = {}
        self.hooks = hooks

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                hook = hooks.get(self.path)
                headers = {name.lower(): value for name, value in self.headers.items()}
                self.send_response(hook.receive(headers, body) if hook else 404)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_) -> None:
                """Says nothing: the tests report what matters."""

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except ConnectionError:  # the broker's process was killed
                    self.close_connection = True

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def hook(self) -> Hook:
        """Makes a hook on a path of its own."""
        path = f"/{uuid.uuid4().hex[:12]}"
        self.hooks[path] = Hook(f"http://127.0.0.1:{self.server.server_port}{path}")
        return self.hooks[path]

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
