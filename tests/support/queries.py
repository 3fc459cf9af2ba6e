"""What the tests of queries share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hubwire import codec
from hubwire.clock import SystemClock, timestamp
from hubwire.log import Log, Rotation, moment_of
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


FILTERS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "agent": lambda fields: fields["agent_id"] == "agent-3",
    "kind": lambda fields: fields["kind"] in ("tool.called", "tool.completed"),
    "where": lambda fields: fields["n"] in (5, 13, 40, 41),
    "since": lambda fields: fields["at"] >= at(20),
    "until": lambda fields: fields["at"] < at(60),
    "text": lambda fields: "model" in fields["kind"],
}
VALUES = {
    "agent": "agent-3",
    "kind": "tool.*",
    "where": {"n": ["5", "13", "40", "41"]},
    "since": at(20),
    "until": at(60),
    "text": "MODEL",
}


class _OfRecords(SystemClock):
    """The time of the records that are written: those of the log itself have it, too."""

    def __init__(self) -> None:
        self.ns = START_NS

    def now_ns(self) -> int:
        return self.ns


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
    clock = _OfRecords()
    log = Log(store, path, clock=clock, chained=chained, rotation=Rotation(records_max=records_max))
    given = list(records)
    for begin in range(0, len(given), step := min(records_max, 500)):
        await log.append([codec.encode_fields(each) for each in given[begin : begin + step]])
        clock.ns = moment_of(given[min(begin + step, len(given)) - 1].get("at")) or clock.ns
    if close:
        await log.aclose()


async def numbers(query: Query) -> list[int]:
    """Return the ``n`` of the records that a query finds: those of the log's own have none."""
    return [fields["n"] async for found in query if "n" in (fields := found.fields)]


def lines_of(output: str) -> list[dict[str, Any]]:
    """Return the objects of lines of JSON."""
    return [json.loads(line) for line in output.split("\n") if line]
