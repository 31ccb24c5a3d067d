"""A webhook endpoint that keeps what it receives and answers as a test tells it to."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Delivery:
    """One request as it arrived, and the status that it was answered with."""

    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes
    status: int


class Hook:
    """One path of the sink: a webhook of one subscription."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._answer: Callable[[int], int] = lambda number: 200
        self._deliveries: list[Delivery] = []
        self._arrived = threading.Condition()

    def answers(self, answer: Callable[[int], int]) -> None:
        """Sets the status for each request, by its number from 0 on this path."""
        self._answer = answer

    def receive(self, path: str, headers: dict[str, str], body: bytes) -> int:
        with self._arrived:
            status = self._answer(len(self._deliveries))
            self._deliveries.append(Delivery(path, headers, body, status))
            self._arrived.notify_all()
            return status

    def all(self) -> list[Delivery]:
        """Every request so far, failed ones too, in order of arrival."""
        with self._arrived:
            return list(self._deliveries)

    def accepted(self) -> list[Delivery]:
        """The requests answered with 2xx so far."""
        return [delivery for delivery in self.all() if 200 <= delivery.status < 300]

    def wait(self, count: int = 1, within: float = 15.0) -> list[Delivery]:
        """Waits until `count` requests were accepted, and returns them."""
        with self._arrived:
            enough = self._arrived.wait_for(lambda: len(self.accepted()) >= count, within)
        accepted = self.accepted()
        assert enough, f"{len(accepted)} of {count} deliveries were accepted within {within} s"
        return accepted


class Sink:
    """An HTTP server on loopback with any number of hooks."""

    def __init__(self) -> None:
        self.hooks: dict[str, Hook] = {}
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                hook = sink.hooks.get(self.path)
                headers = {name.lower(): value for name, value in self.headers.items()}
                self.send_response(hook.receive(self.path, headers, body) if hook else 404)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_) -> None:
                """Says nothing: the tests report what matters."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def hook(self, path: str | None = None) -> Hook:
        """Makes a hook on a path of its own."""
        path = path or f"/{uuid.uuid4().hex[:12]}"
        return self.hooks.setdefault(path, Hook(self.url + path))

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
