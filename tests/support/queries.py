"""What the tests of queries share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from hubwire import codec
from hubwire.clock import SystemClock, timestamp
from hubwire.log import Log, Rotation
from hubwire.ports import KnowledgeStore
from hubwire.query import Query

START_NS = 1_800_000_000_000_000_000
"""2027-01-15T08:00:00Z."""


def at(seconds: float) -> str:
    """Return a time so many seconds after the start, as hubs write it."""
    return timestamp(START_NS + int(seconds * 1e9))


def record(number: int, **fields: Any) -> dict[str, Any]:
    """Return one of many records: one a second, of ten agents and three kinds."""
    return {
        "agent_id": f"agent-{number % 10}",
        "at": at(number),
        "kind": ("tool.called", "tool.completed", "model.called")[number % 3],
        "n": number,
        **fields,
    }


async def write_log(
    store: KnowledgeStore,
    records: Iterable[Mapping[str, Any]],
    *,
    path: str = "/audit",
    chained: bool = True,
    records_max: int = 1_000_000,
    close: bool = True,
) -> None:
    """Write records as a log, with a segment for each ``records_max`` of them."""
    log = Log(store, path, clock=SystemClock(), chained=chained, rotation=Rotation(records_max=records_max))
    bodies = [codec.encode_fields(each) for each in records]
    for begin in range(0, len(bodies), step := min(records_max, 500)):
        await log.append(bodies[begin : begin + step])
    if close:
        await log.aclose()


async def numbers(query: Query) -> list[int]:
    """Return the ``n`` of the records that a query finds: those of the log's own have none."""
    return [fields["n"] async for found in query if "n" in (fields := found.fields)]


def lines_of(output: str) -> list[dict[str, Any]]:
    """Return the objects of lines of JSON."""
    return [json.loads(line) for line in output.split("\n") if line]
