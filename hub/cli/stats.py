"""``hubwire stats``: the numbers of a log."""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import Any

import attrs
import msgspec

from ..log import LogReader, Record
from ..ports import KnowledgeStore
from .hub_client import is_hub
from .output import Paint, escape, say
from .target import READING_SECONDS, find_log, head_of, open_target

__all__ = ("Statistics", "count", "stats")


_TOPICS_MAX = 100_000


class _Peek(msgspec.Struct):
    """The few keys that are counted."""

    kind: str | None = None
    seq: int | None = None
    at: str | None = None
    topic: Any = None


_peek = msgspec.json.Decoder(_Peek).decode


@attrs.define(kw_only=True)
class Statistics:
    """The numbers of a log."""

    log: str
    records: int = 0
    events: int = 0
    first_at: str | None = None
    last_at: str | None = None
    channels: int = 0
    agents: int = 0
    topics: int = 0
    """On how many envelopes were published; at most 100,000 are told apart."""
    bytes: int = 0
    segments: int = 0
    damaged: int = 0
    head: str | None = None
    """Of a chained log: how many records it has, and the ``h`` of the last."""
    kinds: dict[str, int] = attrs.field(factory=dict)


async def stats(target: str, *, as_json: bool, log: str | None) -> None:
    """Print the numbers of a log."""
    if is_hub(target):
        from .remote import only_stores, stats as stats_at

        only_stores("stats", {"--log": log})
        await stats_at(target, as_json=as_json)
        return
    store = open_target(target, READING_SECONDS)
    try:
        statistics = await count(store, await find_log(store, log, target))
    finally:
        await store.aclose()
    if as_json:
        say(json.dumps(attrs.asdict(statistics)))
    else:
        _print(statistics)


async def count(store: KnowledgeStore, path: str) -> Statistics:
    """Read a log from its beginning, and count."""
    numbers = Statistics(log=path)
    kinds: Counter[str] = Counter()
    topics: set[str] = set()
    reader = LogReader(store, path)
    last: Record | None = None
    while records := await reader.read():
        last = records[-1]
        for record in records:
            numbers.records += 1
            try:
                peek = _peek(record.line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                numbers.damaged += 1
                continue
            numbers.events += peek.seq is not None
            numbers.first_at = numbers.first_at or peek.at
            numbers.last_at = peek.at or numbers.last_at
            kinds[peek.kind or "(none)"] += 1
            if peek.kind == "envelope.posted" and isinstance(peek.topic, str) and len(topics) < _TOPICS_MAX:
                topics.add(peek.topic)
    head = None if last is None else head_of(last)
    numbers.head = None if head is None else str(head)
    numbers.topics = len(topics)
    numbers.kinds = dict(sorted(kinds.items()))
    numbers.agents, numbers.channels = kinds["agent.registered"], kinds["channel.opened"]
    for name in await store.list(f"{path}/log"):
        if name.endswith(".jsonl"):
            numbers.segments += 1
            numbers.bytes += await store.size(f"{path}/log/{name}") or 0
    return numbers


def _print(numbers: Statistics) -> None:
    paint = Paint(sys.stdout)
    rows = {
        "log": numbers.log,
        "records": f"{numbers.records:,}",
        "events": f"{numbers.events:,}",
        "first": numbers.first_at or "-",
        "last": numbers.last_at or "-",
        "channels": f"{numbers.channels:,}",
        "agents": f"{numbers.agents:,}",
        "topics": f"{numbers.topics:,}",
        "bytes": f"{numbers.bytes:,}",
        "segments": f"{numbers.segments:,}",
    }
    if numbers.head is not None:
        rows["head"] = numbers.head
    for name, value in rows.items():
        say(f"{paint.dim(name.ljust(9))} {escape(value)}")
    if numbers.damaged:
        say(paint.red(f"damaged   {numbers.damaged:,}"))
    say("")
    width = max((len(escape(kind)) for kind in numbers.kinds), default=0)
    for kind, number in sorted(numbers.kinds.items(), key=lambda each: (-each[1], each[0])):
        say(f"{escape(kind).ljust(width)} {number:>9,}")
