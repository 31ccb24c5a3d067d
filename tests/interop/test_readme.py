"""The README's first minute works as it is printed.

What is run: every ```sh block between the markers `<!-- readme-test:begin -->` and `<!-- readme-test:end -->` (any number
of pairs), all in order, in one bash, against a fresh broker that has its defaults. Three things stand for what a reader
has: `http://127.0.0.1:8080` is the test's broker, `http://127.0.0.1:9000` is the test's webhook endpoint, and
RELAY_ADMIN_KEY is set. A curl that is answered with 4xx or 5xx fails the test. If the blocks name the endpoint, at
least one signed delivery must reach it.
"""

from __future__ import annotations

import os
import re
import subprocess

import pytest
from broker import ADMIN_KEY, ROOT, Broker
from sink import Sink

BROKER, ENDPOINT = "http://127.0.0.1:8080", "http://127.0.0.1:9000"
PRELUDE = 'set -euo pipefail\ncurl() { command curl --fail-with-body --max-time 20 "$@"; }\n'


def script_of(readme: str) -> str:
    marked = re.findall(r"<!-- readme-test:begin -->(.*?)<!-- readme-test:end -->", readme, re.S)
    return "\n".join(block for part in marked for block in re.findall(r"^```sh\n(.*?)^```$", part, re.S | re.M))


def test_the_readmes_commands_work(tmp_path):
    readme = ROOT / "README.md"
    if not readme.is_file():
        pytest.skip("there is no README.md yet")
    script = script_of(readme.read_text(encoding="utf-8"))
    assert script.strip(), "README.md marks no ```sh block with <!-- readme-test:begin --> … <!-- readme-test:end -->"

    sink, broker = Sink(), Broker(tmp_path / "data")
    # Whatever path the README chose for its webhook.
    for path in set(re.findall(re.escape(ENDPOINT) + r"(/[\w./-]*)?", script)):
        sink.hook(path or "/")
    try:
        run = subprocess.run(
            ["bash", "-c", PRELUDE + script.replace(BROKER, broker.url).replace(ENDPOINT, sink.url)],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "RELAY_ADMIN_KEY": ADMIN_KEY},
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert run.returncode == 0, f"{run.stdout}\n{run.stderr}\n{broker.log_tail()}"
        for hook in sink.hooks.values():
            assert hook.wait(1)[0].headers["webhook-signature"].startswith("v1,")
    finally:
        code = broker.stop()
        sink.stop()
    assert code == 0
