"""Redaction of a clean record: with RE2, by `re` alone, and by Aperion's redactor."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

from asks import missing
from measure import Row

from hubwire import codec
from hubwire.redaction import Redactor

RECORD = {
    "kind": "task.progressed",
    "id": "0193f7a2-7abc-7def-8123-0123456789ab",
    "at": "2026-11-29T07:50:26.123456Z",
    "hub": "0193f7a2-5555-7def-8123-abcdef012345",
    "task_id": "task-0042",
    "agent": "researcher",
    "data": {"step": 4, "of": 12, "note": "fetched 17 pages from the index, 3 were unchanged", "cost": 0.0042},
}
assert 280 <= len(codec.encode_fields(RECORD)) <= 320

LINE = codec.encode_fields(RECORD)
assert Redactor().redact_line(LINE) is LINE

LARGE = "the quick brown fox, 17 pages; " * 32_000
"""A megabyte without a finding."""


def seconds_of(redact: Callable[[Any], Any], value: Any, count: int) -> float:
    redact(value)
    start = time.perf_counter()
    for _ in range(count):
        redact(value)
    return (time.perf_counter() - start) / count


def by_re_alone() -> Redactor:
    with mock.patch.dict(sys.modules, {"re2": None}):
        return Redactor()


def by_aperion(count: int) -> float:
    from aperion_event_bus import Redactor as Aperion

    return seconds_of(Aperion().redact, RECORD, count)


def redacting() -> list[Row]:
    what = "redaction of a clean 300-byte record"
    return [
        Row(
            what,
            lambda _: seconds_of(Redactor().redact, RECORD, 20_000),
            "the same rules by stdlib re",
            lambda _: seconds_of(by_re_alone().redact, RECORD, 2_000),
            missing=missing("re2", "google-re2"),
        ),
        Row(
            what,
            lambda _: seconds_of(Redactor().redact, RECORD, 20_000),
            "Aperion: Redactor.redact",
            lambda _: by_aperion(2_000),
            missing=missing("aperion_event_bus", "aperion-event-bus"),
        ),
        Row(
            "redaction of a clean 300-byte record as it is written",
            lambda _: seconds_of(Redactor().redact_line, LINE, 20_000),
            "of the record before it is encoded",
            lambda _: seconds_of(Redactor().redact, RECORD, 20_000),
            missing=missing("re2", "google-re2"),
        ),
        Row(
            "redaction of a clean megabyte",
            lambda _: seconds_of(Redactor().redact, LARGE, 20),
            "the same rules by stdlib re",
            lambda _: seconds_of(by_re_alone().redact, LARGE, 3),
            missing=missing("re2", "google-re2"),
        ),
    ]
