"""The real `relay serve`, started and stopped as an operator would, and a client of its HTTP API."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
import uuid
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]
ADMIN_KEY = "interop-admin-key-0123456789"
READY_WITHIN = 20.0
STOPPED_WITHIN = 35.0  # the broker gives requests in progress 30 s


def relay_binary() -> Path:
    """The binary under test: RELAY_BIN, else what `make build` made."""
    named = os.environ.get("RELAY_BIN")
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return Path(named) if named else target / "release" / "relay"


class Broker:
    """One `relay serve` on a free port, with its data in a folder of its own, or in the resources on AWS that are named."""

    def __init__(self, data: Path, resources: dict[str, str] | None = None) -> None:
        binary = relay_binary()
        assert binary.is_file(), f"there is no {binary}: run `make build`, or name another by RELAY_BIN"
        # Settings of the caller's shell must not leak into the broker.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("RELAY_")}
        self.process = subprocess.Popen(
            [binary, "serve", "--listen", "127.0.0.1:0", *(["--aws"] if resources else ["--data", str(data)])],
            env=environment | {"RELAY_ADMIN_KEY": ADMIN_KEY} | (resources or {}),
            cwd=data.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        self.log: list[str] = []
        self._address: str | None = None
        self._told = threading.Event()
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        if not self._told.wait(READY_WITHIN) or self._address is None:
            self.process.kill()
            raise AssertionError(f"the broker did not say that it listens:\n{self.log_tail()}")
        self.client = httpx.Client(
            base_url=self._address,
            headers={"authorization": f"Bearer {ADMIN_KEY}"},
            timeout=15,
            trust_env=False,
        )

    @property
    def url(self) -> str:
        """The base URL that the broker printed when it was ready."""
        assert self._address is not None
        return self._address

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line.rstrip("\n"))
            said = re.search(r"listening on (http://[\w.:\[\]-]+)", line)
            if said and self._address is None:
                self._address = said.group(1)
                self._told.set()
        self._told.set()

    def log_tail(self, lines: int = 60) -> str:
        """The last lines of the broker's log, for the report of a failed test."""
        return "\n".join(self.log[-lines:])

    def stop(self) -> int:
        """Asks the broker to finish, and returns its exit code."""
        self.client.close()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOPPED_WITHIN)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"the broker did not stop within {STOPPED_WITHIN} s:\n{self.log_tail()}") from None
        self._reader.join(5)
        return code

    # What tests ask of the API. Each returns only after the answer was as expected.

    def call(self, method: str, path: str, expect: int, **request) -> httpx.Response:
        answer = self.client.request(method, path, **request)
        assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    def topic(self) -> str:
        """Makes a topic that no other test uses."""
        name = f"interop.{uuid.uuid4().hex[:12]}"
        self.call("PUT", f"/v1/topics/{name}", 201, json={})
        return name

    def subscribe(self, topic: str, url: str, mode: str = "structured", max_batch: int | None = None, **fields) -> dict:
        """Subscribes a webhook; the answer holds the secret, once."""
        endpoint = {"url": url, "mode": mode} | ({"maxBatch": max_batch} if max_batch else {})
        made = self.call("POST", "/v1/subscriptions", 201, json={"topic": topic, "endpoint": endpoint} | fields).json()
        assert made["status"] == "active", made
        return made

    def publish(self, topic: str, body: bytes, headers: dict[str, str]) -> list[dict]:
        """Publishes one request's bytes as they are; returns the accepted events in request order."""
        answer = self.call("POST", f"/v1/topics/{topic}/events", 202, content=body, headers=headers)
        return answer.json()["events"]


def eventually(condition, within: float = 10.0, what: str = "the condition"):
    """Waits until `condition()` is true, and returns what it returned."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come true within {within} s")
