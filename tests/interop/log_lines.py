"""What the tests of the log's segments share: events to publish, and the query of docs/log.md."""

from __future__ import annotations

import json
import re

from broker import ROOT

KEYS = 10
BATCH = {"content-type": "application/cloudevents-batch+json"}


def batch(first: int, count: int) -> bytes:
    """So many events of 1 KiB and more, on ten keys."""
    event = {"specversion": "1.0", "source": "/shop", "type": "order.placed"}
    text = "".join(chr(ord("a") + at % 26) for at in range(900))
    numbers = range(first, first + count)
    keyed = ((n, event | {"id": f"order-{n}", "partitionkey": f"customer-{n % KEYS}"}) for n in numbers)
    return json.dumps([event | {"data": {"number": n, "total": n / 4, "text": text}} for n, event in keyed]).encode()


def documented_query() -> str:
    (query,) = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "log.md").read_text(), re.DOTALL)
    return query
