"""One emulator, one deployed stack and one receiver for the whole run; tests keep apart by topics and hooks of their own."""

from __future__ import annotations

import pytest

from cloud import Cloud
from receiver import Hook, Receiver
from relay import Relay


@pytest.fixture(scope="session")
def cloud():
    started = Cloud()
    try:
        started.deploy()
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="session")
def relay(cloud) -> Relay:
    return Relay(cloud.endpoint, cloud.outputs["ApiId"], cloud.admin_key())


@pytest.fixture(scope="session")
def receiver():
    server = Receiver()
    yield server
    server.stop()


@pytest.fixture
def hook(receiver) -> Hook:
    return receiver.hook()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """A failed test is reported with what the functions logged."""
    report = yield
    cloud = getattr(item, "funcargs", {}).get("cloud")
    if report.failed and cloud:
        for function in ("Ingest", "Registry", "Dispatch", "Drain", "Sweep"):
            report.sections.append((f"log of {function}", cloud.logs_of(function)))
    return report
