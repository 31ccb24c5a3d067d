"""One broker and one sink for the whole run; tests keep apart by topics and hooks of their own."""

from __future__ import annotations

import pytest

from broker import Broker
from sink import Hook, Sink


@pytest.fixture(scope="session")
def sink():
    server = Sink()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def broker(sink, tmp_path_factory):
    server = Broker(tmp_path_factory.mktemp("relay") / "data")
    yield server
    code = server.stop()
    assert code == 0, f"SIGTERM must end in exit code 0, not {code}:\n{server.log_tail()}"


@pytest.fixture
def hook(sink) -> Hook:
    return sink.hook()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """A failed test is reported with the broker's log."""
    report = yield
    broker = getattr(item, "funcargs", {}).get("broker")
    if report.failed and broker:
        report.sections.append(("relay's log", broker.log_tail()))
    return report
